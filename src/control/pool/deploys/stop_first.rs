//! The order for what may be there only once, such as a lock, a port or a volume: no number ever has two replicas.
//!
//! The incumbent leaves its number in one publication. The number stays on the ring, where a vacancy holds its place, so
//! its keys go to the next in their preference order, and come back. The incumbent finishes its requests and is
//! stopped. Its successor is a member of the number itself from the beginning, and is started when the incumbent has
//! ended ([`Pool::waits_for_departure`](super::Pool::waits_for_departure)). Its first good heartbeat publishes it, as if
//! it healed the number.
//!
//! The way back is the same with the revision before. It takes starts, and so its time: who is out of the choice anyway
//! is replaced at once, and of those that serve no more at a time than may be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::Stage;
use crate::cluster::Standing;
use crate::control::DeployOrder;
use crate::control::pool::departures::Fate;
use crate::control::pool::members::{Member, Phase};
use crate::control::pool::{Action, Pool};
use crate::runtime::{Owner, Revision};

/// Whether requests go to the replica of a member.
fn serves(member: &Member) -> bool {
    member.is_listed() && member.is_ready() && member.standing() == Standing::Good
}

impl Pool {
    /// Whether every replica that was found has had a heartbeat, or its time for one: until then each seems to be out of
    /// the choice, and would be stopped for that.
    pub(super) fn knows_who_serves(&self) -> bool {
        let is_new = |member: &Member| {
            let is_starting = member.instance().is_none_or(|instance| instance.phase == Phase::Starting);
            // An orchestrator may take for ever to start one, which does not serve meanwhile.
            let is_asked = member.instance().is_some_and(|it| it.address.is_some() && it.trouble.is_empty());
            let may_serve = member.owner().is_balancer() || member.owner() == Owner::Orchestrator && is_asked;
            member.existing().is_some() && !member.is_successor() && is_starting && may_serve
        };
        !self.members.iter().any(|(_, member)| is_new(member))
    }

    fn serves(&self, number: u32) -> bool {
        self.members.get(number).is_some_and(serves)
    }

    /// How many serve.
    fn count_serving(&self) -> usize {
        self.members.iter().filter(|(_, member)| serves(member)).count()
    }

    /// How many of those that serve may be stopped now, if so many may be missing: one stays, where there is something
    /// else to wait for.
    fn spare(&self, room: usize, waits: bool) -> usize {
        room.min(self.count_serving().saturating_sub(1)).max(usize::from(!waits))
    }

    /// Which of the `pending` numbers give up their replicas next, `room` at most: those first that do not serve.
    pub(super) fn choose_to_stop(&self, pending: &BTreeSet<u32>, room: usize) -> BTreeSet<u32> {
        let (serving, idle): (Vec<u32>, Vec<u32>) = pending.iter().partition(|number| self.serves(**number));
        let mut chosen: BTreeSet<_> = idle.into_iter().take(room).collect();
        let most = self.spare(room - chosen.len(), !chosen.is_empty());
        chosen.extend(serving.into_iter().take(most));
        chosen
    }

    /// The replicas of these numbers leave, to be followed by those of the new revision.
    pub(super) fn stop_for(&mut self, batch: BTreeSet<u32>, now: Instant) {
        let Some(deploy) = &mut self.deploys.under_way else { return };
        // What the numbers before met with is judged meanwhile.
        deploy.judge.begin_window();
        let to = Arc::clone(&deploy.to);
        let reason = format!("it makes room for revision '{}'", to.shown());
        let places = batch.into_iter().map(|number| (number, Arc::clone(&to))).collect();
        self.replace_in_place(places, &reason, now);
    }

    /// Lets the replicas of these numbers go, and has others follow that run these revisions.
    fn replace_in_place(&mut self, places: Vec<(u32, Arc<Revision>)>, reason: &str, now: Instant) {
        let (mut leaving, served) = (Vec::new(), self.count_serving());
        for (number, revision) in places {
            let (name, vacancy) = (self.new_name(), self.new_id());
            let Some(incumbent) = self.members.remove(number) else { continue };
            let mut successor = Member::in_place_of(&incumbent, name, revision, vacancy, now);
            successor.note = format!("'{}' had to go first", incumbent.name());
            self.members.insert(number, successor);
            leaving.push((number, incumbent));
        }
        if leaving.iter().any(|(_, incumbent)| incumbent.is_listed()) {
            self.publish_healed();
        }
        if served > 0 && self.count_serving() == 0 {
            self.out.push(Action::Unserved);
        }
        // Of who waited to be started there is nothing to tell.
        leaving.retain(|(_, incumbent)| incumbent.instance().is_some());
        for (number, incumbent) in leaving {
            // An orchestrator stops it, when it is told what to run instead.
            let is_changed = incumbent.owner() == Owner::Orchestrator;
            let fate = if is_changed { Fate::Changed } else { Fate::Stopped };
            self.retire_to(fate, number, &incumbent, incumbent.is_listed(), reason, now);
        }
    }

    /// The replica of a number begins to serve it. If that is a successor, requests count from here on: while it waited
    /// for its incumbent to end, the numbers before it had others, and among them its own would not be seen.
    pub(in crate::control::pool) fn begins_to_serve(&mut self, number: u32) {
        let deploy = self.deploys.under_way.as_mut().filter(|deploy| {
            let is_starting = deploy.stage == Stage::Starting && deploy.batch.contains(&number);
            is_starting && deploy.order == DeployOrder::StopFirst
        });
        if let Some(deploy) = deploy {
            deploy.judge.begin_window();
        }
    }

    /// The successors have been ready for long enough: from here on the window counts.
    pub(super) fn await_judgement(&mut self) {
        if let Some(deploy) = &mut self.deploys.under_way {
            deploy.stage = Stage::Judging(None);
        }
        self.tell_deploy();
    }

    /// The deploy is taken back from here on.
    pub(super) fn begin_to_put_back(&mut self) {
        if let Some(deploy) = &mut self.deploys.under_way {
            deploy.stage = Stage::Reverting;
        }
        self.tell_deploy();
    }

    /// The revision that a number had, for it to have again.
    fn revision_before(&self, before: &BTreeMap<u32, Arc<Revision>>, number: u32) -> Arc<Revision> {
        // Nobody can start one that is known by its name alone.
        let known = before.get(&number).filter(|before| !before.is_forgotten());
        known.cloned().unwrap_or_else(|| self.deploys.current())
    }

    /// Nobody waits for the old revision any more. Numbers without a replica are given back all the same, also while the
    /// engine is away: that stops and starts nobody, and else they would be healed with what is taken back.
    fn give_back_empty(&mut self, now: Instant) {
        let Some(deploy) = &self.deploys.under_way else { return };
        let is_empty =
            |number: &u32| self.members.get(*number).is_some_and(|member| member.instance().is_none());
        let empty = deploy.batch.union(&deploy.passed).copied().filter(is_empty);
        let places: Vec<_> =
            empty.map(|number| (number, self.revision_before(&deploy.before, number))).collect();
        if !places.is_empty() {
            let reason = self.mark_as_put_back(&places);
            self.replace_in_place(places, &reason, now);
        }
    }

    /// Gives numbers back to the revision that they had. Returns whether there is more to do at once.
    pub(super) fn put_back(&mut self, now: Instant) -> bool {
        let Some(deploy) = &self.deploys.under_way else { return false };
        let is_missing = |number: &u32| self.ready_since(*number).is_none();
        let returning: BTreeSet<_> = deploy.returning.iter().copied().filter(is_missing).collect();
        let has_none = |number: &u32| self.revision_before(&deploy.before, *number) == deploy.to;
        let kept: BTreeSet<_> = deploy.batch.union(&deploy.passed).copied().filter(has_none).collect();
        // What would be started now would be stopped at once.
        let (is_given_up, ends) = (deploy.is_given_up, self.end.refuses());
        let Some(deploy) = &mut self.deploys.under_way else { return false };
        deploy.returning = returning;
        deploy.batch.retain(|number| !kept.contains(number));
        deploy.passed.retain(|number| !kept.contains(number));
        deploy.kept.extend(kept);
        if is_given_up && !ends {
            self.give_back_empty(now);
        }
        let Some(deploy) = &mut self.deploys.under_way else { return false };
        if is_given_up || ends {
            deploy.returning.clear();
            deploy.keep();
        }
        if deploy.returning.is_empty() && deploy.batch.is_empty() && deploy.passed.is_empty() {
            self.end_taken_back(now);
            return true;
        }
        // Nothing is stopped for what cannot be started.
        let places = if self.has_outage() { Vec::new() } else { self.choose_to_put_back() };
        if places.is_empty() {
            return false;
        }
        let reason = self.mark_as_put_back(&places);
        self.replace_in_place(places, &reason, now);
        self.tell_deploy();
        true
    }

    /// The numbers that are given back next, each with the revision that it had: at once all that do not serve.
    fn choose_to_put_back(&self) -> Vec<(u32, Arc<Revision>)> {
        let Some(deploy) = &self.deploys.under_way else { return Vec::new() };
        // Those that are judged are the ones that something is wrong with.
        let new = deploy.batch.iter().chain(&deploy.passed).copied();
        let (serving, mut chosen): (Vec<_>, Vec<_>) = new.partition(|&number| self.serves(number));
        let missing = deploy.returning.len() + chosen.len();
        let room = (self.config.deploy.surge.max(1) as usize).saturating_sub(missing);
        chosen.extend(serving.into_iter().take(self.spare(room, missing > 0)));
        let before = |number| (number, self.revision_before(&deploy.before, number));
        chosen.into_iter().map(before).collect()
    }

    /// Notes which numbers are given back. Returns why, for people.
    fn mark_as_put_back(&mut self, places: &[(u32, Arc<Revision>)]) -> String {
        let Some(deploy) = &mut self.deploys.under_way else { return String::new() };
        for (number, _) in places {
            deploy.batch.remove(number);
            deploy.passed.remove(number);
            deploy.reverted.insert(*number);
            deploy.returning.insert(*number);
        }
        format!("revision '{}' is taken back", deploy.to.shown())
    }
}
