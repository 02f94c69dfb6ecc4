//! Deploys: every number gets a replica of another revision, one after the other.
//!
//! A deploy is healing with the incumbent alive. The successor of a number starts *beside* it, under a number of its
//! own that is on no ring. Once it was ready for a while the two change places, and one publication has the endpoint
//! of the number exchanged: the ring stays what it is, and no key moves. Its requests are compared with those of the
//! other numbers. The incumbents stay ready, out of the choice, until the last number has passed, so that the way
//! back is one publication too.
//!
//! ```text
//!  Preparing ──the image is there──► Starting
//!  Starting ──ready for min_healthy──► Judging ──window over──► Starting (the next) … Succeeded
//!     │                                 │   └──canary complete──► Waiting ──promoted──► Starting
//!     └────anything wrong───────────────┴───► Reverting ──every incumbent back──► Reverted
//! ```
//!
//! That is the order [`start_first`]. Where no number may have two replicas it is [`stop_first`].
//!
//! What is wrong: a successor that ends, does not start, or has a bad heartbeat; a replica of the new revision that
//! is ejected for its requests; and what the [`judge`] finds.

mod image;
mod judge;
mod revisions;
mod show;
mod start_first;
mod stop_first;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

pub use judge::DeploySample;

use super::action::Ticket;
use super::departures::Fate;
use super::members::{BESIDE, Member, Phase};
use super::{Action, Pool};
use crate::control::{ControlError, DeployOrder, DeployRequest, DeployState, DeployView};
use crate::runtime::{Owner, ReplicaId, Revision};
use judge::Judge;

/// Why a deploy ends that an end of the balancer interrupts.
const STOPPING: &str = "the balancer is stopping";

/// The revision of the replicas, and the deploys that change it.
#[derive(Clone, Debug)]
pub(super) struct Deploys {
    /// What replicas run that are started anew.
    current: Arc<Revision>,
    /// Deploys so far.
    count: u64,
    under_way: Option<Deploy>,
    /// How the last one ended.
    last: Option<Arc<DeployView>>,
    /// Whether replicas of several revisions were found, which the next deploy ends.
    is_mixed: bool,
}

/// A deploy under way.
#[derive(Clone, Debug)]
struct Deploy {
    from: Arc<Revision>,
    to: Arc<Revision>,
    /// What is configured when it begins.
    order: DeployOrder,
    began: Instant,
    stage: Stage,
    /// What each number had when it began.
    before: BTreeMap<u32, Arc<Revision>>,
    /// Numbers that the old revision serves, and that nothing was begun for.
    pending: BTreeSet<u32>,
    /// Those whose successors start, or are judged.
    batch: BTreeSet<u32>,
    /// Those that have passed.
    passed: BTreeSet<u32>,
    /// Those that were given back to the old revision.
    reverted: BTreeSet<u32>,
    /// Those of them that it does not serve yet, because its replica has to start again.
    returning: BTreeSet<u32>,
    /// Those that the new revision keeps, because the old one did not become ready again, or nobody can start it.
    kept: BTreeSet<u32>,
    /// Whether nobody waits for the old revision any more.
    is_given_up: bool,
    /// How many numbers are the canary, until it is promoted.
    canary: Option<usize>,
    failure: Option<Failure>,
    judge: Judge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The runtime finds what the new revision needs. Nothing has been touched.
    Preparing,
    /// The batch starts.
    Starting,
    /// The batch serves its numbers; since then it is in force, if it is.
    Judging(Option<Instant>),
    /// The canary has passed.
    Waiting,
    /// Batch and passed give their places back.
    Reverting,
}

/// Why a deploy is taken back.
#[derive(Clone, Debug)]
struct Failure {
    reason: String,
    /// At which replica that was seen.
    replica: Option<String>,
    /// Whether somebody asked for it.
    is_wanted: bool,
}

impl Deploys {
    pub(super) fn new(current: Arc<Revision>) -> Self {
        Self { current, count: 0, under_way: None, last: None, is_mixed: false }
    }

    /// What replicas run that are started anew.
    pub(super) fn current(&self) -> Arc<Revision> {
        Arc::clone(&self.current)
    }

    /// Whether no deploy of this balancer is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// The deploy under way in which the number is served by the new revision, and judged by what it does.
    fn judging(&mut self, number: u32) -> Option<&mut Deploy> {
        let deploy = self.under_way.as_mut()?;
        let is_new = match deploy.stage {
            Stage::Starting if deploy.order == DeployOrder::StartFirst => deploy.passed.contains(&number),
            Stage::Starting | Stage::Judging(_) | Stage::Waiting => {
                deploy.passed.contains(&number) || deploy.batch.contains(&number)
            }
            Stage::Preparing | Stage::Reverting => false,
        };
        is_new.then_some(deploy)
    }

    /// The deploy under way in which a successor of the number starts.
    fn starting(&mut self, number: u32) -> Option<&mut Deploy> {
        self.under_way.as_mut().filter(|deploy| deploy.starts(number))
    }

    /// Whether a successor of the number starts, in a deploy of this balancer.
    pub(super) fn is_starting(&self, number: u32) -> bool {
        self.under_way.as_ref().is_some_and(|deploy| deploy.starts(number))
    }
}

impl Deploy {
    /// Whether a successor of the number starts.
    fn starts(&self, number: u32) -> bool {
        self.stage == Stage::Starting && self.batch.contains(&number)
    }

    /// The number that the successor of a number has while it starts.
    fn number_of_successor(&self, number: u32) -> u32 {
        match self.order {
            DeployOrder::StartFirst => BESIDE + number,
            DeployOrder::StopFirst => number,
        }
    }

    /// The new revision keeps the numbers that it has. Returns which.
    fn keep(&mut self) -> BTreeSet<u32> {
        let kept: BTreeSet<_> = self.batch.union(&self.passed).copied().collect();
        self.batch.clear();
        self.passed.clear();
        self.kept.extend(&kept);
        kept
    }

    fn fail(&mut self, reason: &str, replica: Option<&str>) {
        // The first reason is the one that led to the others.
        self.failure.get_or_insert_with(|| Failure {
            reason: reason.to_owned(),
            replica: replica.map(str::to_owned),
            is_wanted: false,
        });
    }
}

impl Pool {
    pub(super) fn deploy_revision(&mut self, ticket: Ticket, request: &DeployRequest, now: Instant) {
        let result = self.begin_deploy(request, now);
        self.reply(ticket, result);
    }

    fn begin_deploy(&mut self, request: &DeployRequest, now: Instant) -> Result<(), ControlError> {
        self.refuse_while_stopping()?;
        if !self.runtime.owner.makes_replicas() {
            return Err(ControlError::NoDeploys(self.runtime.kind));
        }
        self.refuse_during_outage()?;
        self.refuse_during_deploy()?;
        if let Some(percent) = request.canary.filter(|percent| !(1..=99).contains(percent)) {
            return Err(ControlError::BadCanary(percent));
        }
        let to = self.revision_named(&request.revision)?;
        let ours = |member: &Member| member.owner().makes_replicas();
        if !self.additions.tickets().is_empty() {
            return Err(ControlError::DeployNotNow("replicas are being added"));
        }
        let all: Vec<_> = self.members.iter().filter(|(_, member)| ours(member)).collect();
        // A successor finds its incumbent in the orchestrator, and is found there.
        let is_missing =
            |member: &Member| member.owner() == Owner::Orchestrator && member.existing().is_none();
        if all.iter().any(|(_, member)| is_missing(member)) {
            return Err(ControlError::DeployNotNow("the first replicas are still being created"));
        }
        let pending: BTreeSet<_> =
            all.iter().filter(|(_, member)| member.revision != to).map(|(number, _)| *number).collect();
        match (all.is_empty(), pending.is_empty()) {
            (true, _) => return Err(ControlError::NothingToDeploy),
            (_, true) => return Err(ControlError::DeployedAlready(to.shown().to_owned())),
            _ => {}
        }
        let order = self.config.deploy.order;
        // Each that leaves is still a process, and there are to be no more than twice as many as there may be.
        let members = self.members.len();
        let most = 2 * members.max(self.config.max_replicas as usize);
        let more = if order == DeployOrder::StartFirst { pending.len() } else { 0 };
        if members + more + self.departures.len() > most {
            return Err(ControlError::DeployNotNow("too many replicas are still leaving"));
        }
        // Another one than the current where an abort has left some numbers with the new revision, or a crash did.
        let replaced = pending.first().and_then(|number| self.members.get(*number));
        let from = replaced.map_or_else(|| self.deploys.current(), |member| Arc::clone(&member.revision));
        let share = |percent: u32| (all.len() * percent as usize).div_ceil(100).clamp(1, pending.len());
        let canary = request.canary.map(share);
        let before = all.iter().map(|(number, member)| (*number, Arc::clone(&member.revision))).collect();
        self.deploys.count += 1;
        let stage = if self.runtime.prepares {
            self.out.push(Action::Prepare { deploy: self.deploys.count, revision: Arc::clone(&to) });
            Stage::Preparing
        } else {
            Stage::Starting
        };
        self.deploys.under_way = Some(Deploy {
            from,
            to,
            order,
            began: now,
            stage,
            before,
            pending,
            batch: BTreeSet::new(),
            passed: BTreeSet::new(),
            reverted: BTreeSet::new(),
            returning: BTreeSet::new(),
            kept: BTreeSet::new(),
            is_given_up: false,
            canary,
            failure: None,
            judge: Judge::default(),
        });
        self.deploys.is_mixed = false;
        self.tell_deploy();
        Ok(())
    }

    /// What the new revision of a deploy needs is there, or cannot be had.
    pub(super) fn prepared_deploy(&mut self, deploy: u64, result: Result<(), String>) {
        let is_waiting = |found: &&mut Deploy| found.stage == Stage::Preparing;
        if deploy != self.deploys.count {
            return;
        }
        let Some(deploy) = self.deploys.under_way.as_mut().filter(is_waiting) else { return };
        match result {
            Ok(()) => {
                deploy.stage = Stage::Starting;
                self.tell_deploy();
            }
            Err(reason) => deploy.fail(&reason, None),
        }
    }

    /// Refuses what would change the ring in the middle of a deploy.
    pub(super) fn refuse_during_deploy(&self) -> Result<(), ControlError> {
        match &self.deploys.under_way {
            Some(deploy) => Err(ControlError::Deploying(deploy.to.shown().to_owned())),
            None if self.others_deploy() => Err(ControlError::DeployingElsewhere),
            None => Ok(()),
        }
    }

    /// The canary goes on to all other numbers.
    pub(super) fn promote_deploy(&mut self) -> Result<(), ControlError> {
        let deploy = self.deploys.under_way.as_mut().ok_or(ControlError::NotDeploying)?;
        if deploy.stage != Stage::Waiting {
            return Err(ControlError::NotWaiting(deploy.to.shown().to_owned()));
        }
        deploy.canary = None;
        deploy.stage = Stage::Starting;
        self.tell_deploy();
        Ok(())
    }

    /// Takes the deploy under way back, because somebody asks for it.
    pub(super) fn abort_deploy(&mut self, reason: &str) -> Result<(), ControlError> {
        let deploy = self.deploys.under_way.as_mut().ok_or(ControlError::NotDeploying)?;
        if deploy.failure.is_none() {
            deploy.failure = Some(Failure { reason: reason.to_owned(), replica: None, is_wanted: true });
        } else if deploy.stage == Stage::Reverting {
            // Asked for again: incumbents that do not become ready are waited for no more.
            deploy.is_given_up = true;
        }
        Ok(())
    }

    /// The same, because the balancer stops.
    pub(super) fn abandon_deploy(&mut self) {
        let _ = self.abort_deploy(STOPPING);
    }

    /// A replica has failed: it ended, was given up, or is ejected. Returns whether that is a successor that has not
    /// taken its place yet, which has no other.
    pub(super) fn fails_deploy(&mut self, number: u32, reason: &str) -> bool {
        let name = self.members.get(number).map(|member| member.name().to_owned());
        let is_beside = number >= BESIDE;
        let deploy =
            if is_beside { self.deploys.starting(number - BESIDE) } else { self.deploys.judging(number) };
        let Some(deploy) = deploy else { return false };
        deploy.fail(reason, name.as_deref());
        is_beside
    }

    /// Another balancer of the pool has removed or changed the replica of a number: the deploy under way goes on without
    /// it.
    pub(super) fn drop_from_deploy(&mut self, number: u32, now: Instant) {
        let Some(deploy) = &mut self.deploys.under_way else { return };
        deploy.before.remove(&number);
        let sets = [
            &mut deploy.pending,
            &mut deploy.batch,
            &mut deploy.passed,
            &mut deploy.reverted,
            &mut deploy.returning,
            &mut deploy.kept,
        ];
        for numbers in sets {
            numbers.remove(&number);
        }
        let beside = self.members.get(BESIDE + number);
        // An incumbent is another balancer's to judge from here on.
        let is_ours = beside.is_some_and(Member::is_successor);
        let fate = if is_ours { Fate::Stopped } else { Fate::Forgotten };
        self.retire_beside_to(fate, number, "another balancer has changed its number", now);
    }

    /// Whether a number is one of the deploy under way.
    pub(super) fn is_of_deploy(&self, number: u32) -> bool {
        self.deploys.under_way.as_ref().is_some_and(|deploy| deploy.before.contains_key(&number))
    }

    /// The incumbent of a number is gone, so there is no way back for it.
    pub(super) fn keep_without_incumbent(&mut self, number: u32, now: Instant) {
        let Some(deploy) = &mut self.deploys.under_way else { return };
        if deploy.batch.remove(&number) | deploy.passed.remove(&number) {
            deploy.kept.insert(number);
        }
        self.retire_beside_to(Fate::Forgotten, number, "another balancer has removed it", now);
    }

    /// Everything is taken back at once, as far as it can be.
    pub(super) fn fail_deploy(&mut self, reason: &str) {
        if let Some(deploy) = &mut self.deploys.under_way {
            deploy.fail(reason, None);
        }
    }

    /// Whether [`Event::DeploySamples`](super::Event::DeploySamples) is wanted.
    pub fn wants_deploy_samples(&self) -> bool {
        let stage = self.deploys.under_way.as_ref().map(|deploy| deploy.stage);
        stage.is_some_and(|stage| !matches!(stage, Stage::Preparing | Stage::Reverting))
    }

    /// What was counted at the replicas on the ring.
    pub(super) fn judge_deploy(&mut self, samples: Vec<(ReplicaId, DeploySample)>, now: Instant) {
        let is_judged = |deploy: &&mut Deploy| deploy.stage != Stage::Preparing;
        let Some(deploy) = self.deploys.under_way.as_mut().filter(is_judged) else { return };
        let (members, to) = (&self.members, &deploy.to);
        let of_member = |(id, sample)| {
            let member = members.number_of(id).and_then(|number| members.get(number))?;
            Some((id, member.revision == *to, sample))
        };
        deploy.judge.look(samples.into_iter().filter_map(of_member), now);
        if let Some(reason) = deploy.judge.verdict(&self.config.deploy) {
            deploy.fail(&reason, None);
        }
        self.changed = true;
    }

    /// When a deploy goes on, as far as that is a matter of time.
    pub(super) fn deploy_deadline(&self) -> Option<Instant> {
        let deploy = self.deploys.under_way.as_ref().filter(|_| !self.is_stopping())?;
        match deploy.stage {
            Stage::Starting => {
                let ready = |&number: &u32| self.ready_since(deploy.number_of_successor(number));
                let since: Option<Vec<_>> = deploy.batch.iter().map(ready).collect();
                Some(since?.into_iter().max()? + self.config.deploy.min_healthy)
            }
            Stage::Judging(since) => Some(since? + self.config.deploy.window),
            Stage::Preparing | Stage::Waiting | Stage::Reverting => None,
        }
    }

    pub(super) fn ready_since(&self, number: u32) -> Option<Instant> {
        match self.members.get(number)?.instance()?.phase {
            Phase::Ready(since) => Some(since),
            Phase::Starting | Phase::Ejected(_) => None,
        }
    }

    /// Whether no replica of a number is to start before the one before it has ended: as configured, or as the deploy
    /// under way began.
    pub(super) fn stops_first(&self) -> bool {
        let of_deploy = self.deploys.under_way.as_ref().map(|deploy| deploy.order);
        of_deploy.unwrap_or(self.config.deploy.order) == DeployOrder::StopFirst
    }

    pub(super) fn is_deploy_failed(&self) -> bool {
        self.deploys.under_way.as_ref().is_some_and(|deploy| deploy.failure.is_some())
    }

    /// Goes on with the deploy under way. Returns whether there may be more to do.
    pub(super) fn advance_deploy(&mut self, now: Instant) -> bool {
        let Some(deploy) = &self.deploys.under_way else { return false };
        let ends = self.is_stopping() || deploy.failure.is_some();
        if ends && deploy.stage == Stage::Preparing {
            self.out.push(Action::CancelPreparation);
        }
        if self.is_stopping() {
            self.end_deploy(DeployState::Aborted, now);
            return true;
        }
        let stops_first = deploy.order == DeployOrder::StopFirst;
        if deploy.failure.is_some() && deploy.stage != Stage::Reverting {
            if stops_first {
                self.begin_to_put_back();
            } else {
                self.begin_reverting(now);
            }
            return true;
        }
        let is_due = self.deploy_deadline().is_some_and(|at| at <= now);
        match deploy.stage {
            Stage::Starting if deploy.batch.is_empty() && deploy.pending.is_empty() => self.succeed(now),
            Stage::Starting if deploy.batch.is_empty() => return self.begin_batch(now),
            Stage::Starting if is_due && stops_first => self.await_judgement(),
            Stage::Starting if is_due => self.take_places(now),
            Stage::Judging(None) if self.are_in_force(&deploy.batch) => self.begin_judging(now),
            Stage::Judging(_) if is_due => self.pass_batch(),
            Stage::Reverting if stops_first => return self.put_back(now),
            Stage::Reverting => return self.revert(now),
            Stage::Preparing | Stage::Starting | Stage::Judging(_) | Stage::Waiting => return false,
        }
        true
    }

    /// Starts the next successors. Returns whether there are any to start at this moment.
    fn begin_batch(&mut self, now: Instant) -> bool {
        let Some(deploy) = &self.deploys.under_way else { return false };
        let surge = self.config.deploy.surge.max(1) as usize;
        let room = deploy
            .canary
            .map_or(surge, |canary| surge.min(canary.saturating_sub(deploy.passed.len())))
            .max(1);
        let (order, to) = (deploy.order, Arc::clone(&deploy.to));
        let batch: BTreeSet<_> = match order {
            DeployOrder::StartFirst => deploy.pending.iter().copied().take(room).collect(),
            DeployOrder::StopFirst if self.knows_who_serves() => self.choose_to_stop(&deploy.pending, room),
            DeployOrder::StopFirst => return false,
        };
        let Some(deploy) = &mut self.deploys.under_way else { return false };
        deploy.pending.retain(|number| !batch.contains(number));
        deploy.batch.clone_from(&batch);
        match order {
            DeployOrder::StartFirst => self.start_beside(batch, &to, now),
            DeployOrder::StopFirst => self.stop_for(batch, now),
        }
        self.tell_deploy();
        true
    }

    fn are_in_force(&self, numbers: &BTreeSet<u32>) -> bool {
        let listed = |&number: &u32| self.members.get(number)?.listed.as_ref();
        numbers.iter().all(|number| listed(number).is_some_and(|listed| listed.in_force))
    }

    fn begin_judging(&mut self, now: Instant) {
        if let Some(deploy) = &mut self.deploys.under_way {
            deploy.stage = Stage::Judging(Some(now));
        }
    }

    /// The batch has done as well as the others.
    fn pass_batch(&mut self) {
        let Some(deploy) = &mut self.deploys.under_way else { return };
        let batch = std::mem::take(&mut deploy.batch);
        deploy.passed.extend(batch);
        if deploy.canary.is_some_and(|canary| deploy.passed.len() >= canary) {
            deploy.stage = Stage::Waiting;
            self.tell_deploy();
        } else {
            deploy.stage = Stage::Starting;
        }
    }

    fn succeed(&mut self, now: Instant) {
        let Some(deploy) = &self.deploys.under_way else { return };
        let (to, passed) = (Arc::clone(&deploy.to), deploy.passed.clone());
        let reason = format!("revision '{}' was deployed", to.shown());
        self.deploys.current = to;
        self.end_deploy(DeployState::Succeeded, now);
        for number in passed {
            self.retire_beside(number, &reason, now);
        }
    }

    /// The deploy has been taken back: somebody asked for that, or something was wrong.
    fn end_taken_back(&mut self, now: Instant) {
        let failure = self.deploys.under_way.as_ref().and_then(|deploy| deploy.failure.as_ref());
        let is_wanted = failure.is_some_and(|failure| failure.is_wanted);
        self.end_deploy(if is_wanted { DeployState::Aborted } else { DeployState::Reverted }, now);
    }

    fn end_deploy(&mut self, state: DeployState, now: Instant) {
        let Some(view) = self.view_of_deploy(Some((state, now))) else { return };
        let view = Arc::new(view);
        self.deploys.under_way = None;
        // Another order may be configured meanwhile, and who waits to be started waits no more.
        self.members.touch_all();
        self.deploys.last = Some(Arc::clone(&view));
        self.changed = true;
        self.out.push(Action::TellDeploy(view));
    }

    /// Tells how far the deploy under way has come.
    fn tell_deploy(&mut self) {
        self.changed = true;
        if let Some(view) = self.view_of_deploy(None) {
            self.out.push(Action::TellDeploy(Arc::new(view)));
        }
    }
}
