//! Deploys of other balancers that share the pool: what one has done to a number, this balancer does as well. It judges
//! nothing, and takes nothing back; the labels that all of them read say who serves a number.
//!
//! | another balancer has | here |
//! |---|---|
//! | started a successor beside a replica | nothing; changes of the ring are refused |
//! | given it the number | it comes beside, and takes the place once it is ready here too |
//! | given the number back | the same the other way round |
//! | taken a replica out, to have it run another revision | its number is vacant, and it drains |
//! | done that | it is looked for, and serves with its first good heartbeat |
//!
//! So the ring stays what it is at all balancers, and a number is empty only where it has to be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::Pool;
use super::departures::{Departure, Fate};
use super::members::{BESIDE, Member};
use crate::runtime::{Found, Owner, Place, Revision};

/// Why a replica leaves that another balancer has replaced.
const REPLACED: &str = "another balancer has given its number to another replica";

/// What the last inventory showed of deploys of others.
#[derive(Clone, Debug, Default)]
pub(super) struct Following {
    /// Whether one was under way.
    is_elsewhere: bool,
    /// The replicas that have numbers which are still those of other replicas here, by number.
    claims: BTreeMap<u32, Found>,
    /// All of it, while a deploy of this balancer is under way.
    postponed: Option<Vec<Found>>,
}

/// Whether another balancer has a replica run what this one neither found nor wants.
fn is_changed_elsewhere(member: &Member, found: &Found) -> bool {
    member.is_successor() && !member.may_run(Revision::shown_name(&found.revision))
}

impl Pool {
    /// Whether another balancer deploys, or this one has not done all of it yet.
    pub(super) fn others_deploy(&self) -> bool {
        self.following.is_elsewhere || self.deploys.is_idle() && self.members.beside_len() > 0
    }

    /// Notes which numbers were found with other replicas than they have here.
    pub(super) fn note_claims(&mut self, found: &[Found]) {
        let shared =
            || found.iter().filter(|found| found.owner == Owner::Orchestrator && found.number.is_some());
        let holders: BTreeSet<_> = shared().map(|found| found.key.as_str()).collect();
        let is_new = |found: &&Found| {
            // One that has a number here keeps it for now, or is given another; what was removed here does not return.
            let is_placed = self.members.number_of_found(found).is_some_and(|number| number < BESIDE);
            !is_placed && !self.departures.contains_key(&found.key)
        };
        let claim = |found: &Found| {
            let number = found.number?;
            let occupant = self.members.get(number)?;
            let key = occupant.existing().filter(|_| occupant.owner() == Owner::Orchestrator)?;
            (occupant.is_full() && !holders.contains(key)).then(|| (number, found.clone()))
        };
        self.following.claims = shared().filter(is_new).filter_map(claim).collect();
    }

    /// Whether the replica of a number is to be another one.
    pub(super) fn is_claimed(&self, number: u32) -> bool {
        self.following.claims.contains_key(&number)
    }

    /// Whether a replica is to have the number of another one.
    pub(super) fn has_claim(&self, found: &Found) -> bool {
        found
            .number
            .and_then(|number| self.following.claims.get(&number))
            .is_some_and(|it| it.key == found.key)
    }

    /// Does what the claims are about, and notes what else was found of deploys of others.
    pub(super) fn follow_others(&mut self, found: &[Found], now: Instant) {
        if self.runtime.owner != Owner::Orchestrator {
            return;
        }
        let was_elsewhere = self.following.is_elsewhere;
        if !self.deploys.is_idle() {
            self.notice_others(found, now);
            self.following.postponed = Some(found.to_vec());
            return;
        }
        self.following.postponed = None;
        self.following.is_elsewhere = found.iter().any(|found| match found.place {
            Place::Holder => false,
            Place::Beside => true,
            Place::Vacant => !self.is_changing(found),
        });
        self.changed |= was_elsewhere != self.following.is_elsewhere;
        self.drop_unclaimed(now);
        for (number, claim) in self.following.claims.clone() {
            self.bring_beside(number, &claim, now);
        }
        for found in found.iter().filter(|found| found.owner == Owner::Orchestrator) {
            self.follow_place(found, now);
        }
        self.take_up_what_others_deployed();
    }

    /// Once the deploys of others have ended, here as well, what is added runs the same.
    fn take_up_what_others_deployed(&mut self) {
        if !self.others_deploy() {
            self.take_up_revisions();
        }
    }

    /// In the middle of a deploy of this balancer: another one has begun one as well, or ended this one.
    fn notice_others(&mut self, found: &[Found], now: Instant) {
        let stops_first = self.stops_first();
        let is_other = |found: &Found| match found.place {
            Place::Holder => false,
            Place::Beside => stops_first || self.members.number_of_found(found).is_none(),
            Place::Vacant => !stops_first || !self.is_changing(found),
        };
        self.following.is_elsewhere = found.iter().any(is_other);
        if self.following.is_elsewhere {
            self.fail_deploy("another balancer of this pool deploys as well");
        }
        let is_ours = |claim: &Found| self.members.number_of_found(claim).is_some();
        let (ours, others): (Vec<_>, Vec<_>) =
            self.following.claims.iter().partition(|(_, claim)| is_ours(claim));
        // While the label that says so is not written yet, who gave up the number here is still its holder there.
        let keys: BTreeSet<_> = found.iter().map(|found| found.key.as_str()).collect();
        let is_gone = |number: u32| {
            let holder = self.members.get(number).and_then(Member::existing);
            holder.is_some_and(|key| !keys.contains(key))
        };
        let is_taken_back = ours.into_iter().any(|(number, _)| is_gone(*number));
        let others: Vec<_> = others.into_iter().map(|(number, _)| *number).collect();
        if is_taken_back || !others.is_empty() {
            self.fail_deploy("another balancer of this pool has given a number to another replica");
        }
        for number in others {
            self.drop_from_deploy(number, now);
        }
        for incumbent in self.missing_incumbents(&keys) {
            self.keep_without_incumbent(incumbent, now);
        }
        for found in found {
            let Some(number) = self.members.number_of_found(found).filter(|&number| number < BESIDE) else {
                continue;
            };
            let member = self.members.get(number);
            let is_vacated = found.place == Place::Vacant && !self.is_changing(found);
            if is_vacated || member.is_some_and(|member| is_changed_elsewhere(member, found)) {
                self.fail_deploy("another balancer of this pool has a replica run another revision");
                self.drop_from_deploy(number, now);
            }
            if !self.is_of_deploy(number) {
                self.follow_place(found, now);
            }
        }
    }

    /// The numbers beside which incumbents stand that are not there any more.
    fn missing_incumbents(&self, keys: &BTreeSet<&str>) -> Vec<u32> {
        let is_missing = |member: &Member| {
            let key = member.existing().filter(|_| member.is_beside() && !member.is_successor());
            key.is_some_and(|key| !keys.contains(key))
        };
        self.members.iter().filter(|(_, member)| is_missing(member)).map(|(n, _)| n - BESIDE).collect()
    }

    /// The replica that was given a number comes beside the one that has it here.
    fn bring_beside(&mut self, number: u32, claim: &Found, now: Instant) {
        if self.members.get(BESIDE + number).is_some() {
            return;
        }
        let (name, revision) = (self.free_name_like(&claim.name), self.revision_of_found(&claim.revision));
        let follower = Member::following(name, claim.key.clone(), revision, now);
        self.members.insert(BESIDE + number, follower);
    }

    /// Lets go of those beside that have no claim any more.
    fn drop_unclaimed(&mut self, now: Instant) {
        let beside: Vec<_> = self.members.numbers().into_iter().filter(|&number| number >= BESIDE).collect();
        for number in beside.into_iter().map(|number| number - BESIDE) {
            let beside = self.members.get(BESIDE + number).and_then(Member::existing);
            let claim = self.following.claims.get(&number).map(|claim| claim.key.as_str());
            if claim.is_none() || claim != beside {
                self.retire_beside_to(Fate::Forgotten, number, "another balancer has taken it back", now);
            }
        }
    }

    /// Those beside take their places as far as they are ready, or nobody serves there. Returns whether any did.
    pub(super) fn advance_following(&mut self, now: Instant) -> bool {
        if !self.deploys.is_idle() || self.is_stopping() {
            return false;
        }
        if let Some(found) = self.following.postponed.take() {
            self.note_claims(&found);
            self.follow_others(&found, now);
            return true;
        }
        if self.members.beside_len() == 0 {
            return false;
        }
        let beside = self.members.numbers().into_iter().filter(|&number| number >= BESIDE);
        let numbers: Vec<_> = beside.map(|number| number - BESIDE).collect();
        let (ready, others): (Vec<u32>, Vec<u32>) =
            numbers.into_iter().partition(|number| self.ready_since(BESIDE + number).is_some());
        // One that is out of the choice for its requests still has its place there.
        let is_up = |number| self.members.get(number).is_some_and(|m| m.is_listed() && m.is_ready());
        let idle = others.into_iter().filter(|&number| !is_up(number));
        let numbers: Vec<_> = ready.iter().copied().chain(idle).collect();
        for &number in &numbers {
            self.forget_outlier(number);
            self.exchange_members(number);
        }
        self.publish_places(ready, now);
        for &number in &numbers {
            self.retire_beside_to(Fate::Forgotten, number, REPLACED, now);
        }
        self.take_up_what_others_deployed();
        !numbers.is_empty()
    }

    /// An unfinished `/add` of this balancer lets a replica go that another one deploys to already: that has it on its
    /// ring.
    pub(super) fn release_deployed(&mut self, found: &[Found], now: Instant) {
        for found in found.iter().filter(|found| found.place != Place::Holder) {
            let Some(number) = self.members.number_of_found(found) else { continue };
            let Some(ticket) = self.addition_of(number) else { continue };
            self.members.set_existing(number, Some(found.key.clone()));
            if let Some(member) = self.members.get_mut(number) {
                member.addition = None;
            }
            if self.additions.release(ticket, number) {
                self.complete_addition(ticket, now);
            }
        }
    }

    /// Whether this balancer is about to have a replica run another revision.
    fn is_changing(&self, found: &Found) -> bool {
        let member = self.members.number_of_found(found).and_then(|number| self.members.get(number));
        member.is_some_and(Member::is_successor)
    }

    /// A replica that has a number here is taken out of the choice while it is changed, and comes back after that.
    fn follow_place(&mut self, found: &Found, now: Instant) {
        let Some(number) = self.members.number_of_found(found).filter(|&number| number < BESIDE) else {
            return;
        };
        let revision = self.revision_of_found(&found.revision);
        if self.members.get(number).is_some_and(|member| is_changed_elsewhere(member, found)) {
            return self.give_up_change(number, &revision, now);
        }
        let Some(member) = self.members.get_mut(number) else { return };
        match found.place {
            Place::Beside => {}
            // This balancer is about to change it.
            _ if member.is_successor() => {}
            Place::Vacant if member.instance().is_some() => self.leave_vacant(number, now),
            Place::Vacant => member.retry_at = None,
            Place::Holder => {
                // What it was made of is known better than what goes by that name today.
                if member.revision.is_forgotten() || member.revision.shown() != revision.shown() {
                    member.revision = revision;
                }
                if member.instance().is_none() {
                    member.retry_at.get_or_insert(now);
                }
            }
        }
    }

    /// A replica runs something else by now than it was to be changed from, or to: it serves as it is. Finding it ends what
    /// this balancer has written of the change.
    fn give_up_change(&mut self, number: u32, runs: &Arc<Revision>, now: Instant) {
        let Some(member) = self.members.get_mut(number) else { return };
        member.give_up_change(Arc::clone(runs));
        self.departures.leave_unchanged(number);
        let Some(member) = self.members.get_mut(number) else { return };
        member.retry_at = Some(now);
        let departure = Departure::of(number, member);
        self.members.set_instance(number, None);
        if let Some((id, departure)) = departure {
            self.dismiss(id, departure.with_fate(Fate::Forgotten));
        }
    }

    /// The replica of a number leaves it, and finishes its requests. Nobody serves the number until it is found again.
    fn leave_vacant(&mut self, number: u32, now: Instant) {
        let vacancy = self.new_id();
        let Some(incumbent) = self.members.remove(number) else { return };
        let note = "another balancer has it run another revision";
        let place = Member::vacated(&incumbent, vacancy, note, now);
        self.members.insert(number, place);
        if incumbent.is_listed() {
            self.publish_healed();
        }
        self.retire_to(Fate::Forgotten, number, &incumbent, incumbent.is_listed(), note, now);
    }
}
