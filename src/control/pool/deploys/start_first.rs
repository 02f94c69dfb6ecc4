//! The usual order: the successor of a number starts beside the incumbent, and the two change places.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::Stage;
use crate::control::Transition;
use crate::control::pool::departures::Fate;
use crate::control::pool::members::{BESIDE, Member};
use crate::control::pool::publishing::After;
use crate::control::pool::{Action, Pool};
use crate::runtime::{Owner, ReplicaId, Revision};

impl Pool {
    /// Starts the successors of these numbers, each beside its incumbent.
    pub(super) fn start_beside(&mut self, batch: BTreeSet<u32>, to: &Arc<Revision>, now: Instant) {
        for number in batch {
            let name = self.new_name();
            let Some(incumbent) = self.members.get(number) else { continue };
            let successor = Member::beside(incumbent, name, Arc::clone(to), now);
            self.members.insert(BESIDE + number, successor);
        }
    }

    /// The successors have shown that they are well: they take their places.
    pub(super) fn take_places(&mut self, now: Instant) {
        let Some(deploy) = &mut self.deploys.under_way else { return };
        deploy.stage = Stage::Judging(None);
        deploy.judge.begin_window();
        let (batch, to) = (deploy.batch.clone(), deploy.to.shown().to_owned());
        let reason = format!("revision '{to}' has taken its place; it is kept until the deploy has ended");
        for number in &batch {
            // Beside there are no requests to try it with: should it come back, it begins anew.
            self.forget_outlier(*number);
            self.exchange(*number);
            self.note_member(BESIDE + number, Transition::Standby, &reason);
        }
        self.publish_places(batch, now);
        self.tell_deploy();
    }

    /// The replica of a number and the one beside it change places.
    fn exchange(&mut self, number: u32) {
        self.exchange_members(number);
        let member = self.members.get(number).filter(|member| member.owner() == Owner::Orchestrator);
        if let Some(instance) = member.and_then(Member::instance) {
            self.out.push(Action::TakeNumber(instance.id()));
        }
    }

    /// The same, which nobody is told of.
    pub(in crate::control::pool) fn exchange_members(&mut self, number: u32) {
        self.members.exchange(number, BESIDE + number);
        self.follow_waiting(number);
        self.follow_waiting(BESIDE + number);
    }

    /// Publishes that the replicas of these numbers are others from now on.
    pub(in crate::control::pool) fn publish_places(
        &mut self,
        numbers: impl IntoIterator<Item = u32>,
        now: Instant,
    ) {
        let mut joined = Vec::new();
        for number in numbers {
            let Some(member) = self.members.get_mut(number) else { continue };
            member.list();
            joined.extend(member.instance().map(|instance| After::Joined(instance.id())));
            self.members.show(number);
        }
        if joined.is_empty() {
            return;
        }
        self.publish_healed();
        for after in joined {
            self.after_publication(after, now);
        }
    }

    /// Stops the successors that have not taken their places, and has the others give theirs back.
    pub(super) fn begin_reverting(&mut self, now: Instant) {
        let Some(deploy) = &mut self.deploys.under_way else { return };
        let has_places = !matches!(deploy.stage, Stage::Preparing | Stage::Starting);
        deploy.stage = Stage::Reverting;
        let batch = if has_places { BTreeSet::new() } else { std::mem::take(&mut deploy.batch) };
        deploy.reverted.extend(&batch);
        self.tell_deploy();
        for number in batch {
            self.retire_beside(number, "the deploy is taken back", now);
        }
    }

    /// Has the incumbents take their places back that are ready, or that are no worse than who has them. Returns
    /// whether there is more to do at once.
    pub(super) fn revert(&mut self, now: Instant) -> bool {
        let Some(deploy) = &self.deploys.under_way else { return false };
        let places: Vec<_> = deploy.batch.union(&deploy.passed).copied().collect();
        if places.is_empty() {
            self.end_taken_back(now);
            return true;
        }
        let (ready, others): (Vec<_>, Vec<_>) =
            places.into_iter().partition(|number| self.ready_since(BESIDE + number).is_some());
        // Who is out of the choice anyway keeps nobody waiting.
        let serves = |number: &u32| self.members.get(*number).is_some_and(|m| m.is_listed() && m.is_ready());
        let lost: Vec<_> = others.into_iter().filter(|number| !serves(number)).collect();
        let back: Vec<_> = ready.iter().chain(&lost).copied().collect();
        if back.is_empty() {
            return deploy.is_given_up && self.keep_places(now);
        }
        for number in &back {
            self.exchange(*number);
        }
        self.publish_places(ready, now);
        if let Some(deploy) = &mut self.deploys.under_way {
            for number in &back {
                deploy.batch.remove(number);
                deploy.passed.remove(number);
            }
            deploy.reverted.extend(&back);
        }
        for number in back {
            self.retire_beside(number, "the deploy is taken back", now);
        }
        true
    }

    /// The new revision keeps the places that the old one does not come back for. Returns whether there are any.
    fn keep_places(&mut self, now: Instant) -> bool {
        let Some(deploy) = &mut self.deploys.under_way else { return false };
        let kept = deploy.keep();
        for number in &kept {
            self.retire_beside(*number, "the deploy is taken back no further", now);
        }
        !kept.is_empty()
    }

    /// Stops the replica beside a number: drains it, if requests can be at it.
    pub(super) fn retire_beside(&mut self, number: u32, reason: &str, now: Instant) {
        self.retire_beside_to(Fate::Stopped, number, reason, now);
    }

    /// Lets the replica beside a number go.
    pub(in crate::control::pool) fn retire_beside_to(
        &mut self,
        fate: Fate,
        number: u32,
        reason: &str,
        now: Instant,
    ) {
        let Some(mut member) = self.members.remove(BESIDE + number) else { return };
        if fate == Fate::Stopped {
            member = self.take_hold(number, member, now);
        }
        let is_of_place = |listed: ReplicaId| {
            let place = self.members.get(number).and_then(|member| member.listed.as_ref());
            place.is_some_and(|place| place.id == listed)
        };
        // One that has a place on the ring all the same is down, and takes no requests.
        let drains =
            member.instance().is_some_and(|instance| instance.has_served && !is_of_place(instance.id()));
        self.retire_to(fate, number, &member, drains, reason, now);
    }

    /// Whether a replica stands beside a number: its endpoint is needed again.
    pub fn is_beside(&self, id: ReplicaId) -> bool {
        self.members.number_of(id).is_some_and(|number| number >= BESIDE)
    }
}
