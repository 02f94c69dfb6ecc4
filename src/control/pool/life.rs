//! How a member is filled: starting an instance, what becomes of it, and filling it again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::departures::{Departure, Fate};
use super::members::{Member, of_ring};
use super::{Action, Pool};
use crate::control::{ExitCause, Transition};
use crate::runtime::{Launch, Owner, ReplicaId};

impl Pool {
    /// Starts an instance of an empty member whose time has come.
    pub(super) fn fill(&mut self, number: u32, now: Instant) {
        let due = |member: &Member| {
            let is_time = member.retry_at.is_some_and(|at| at <= now);
            is_time && member.instance().is_none() && !self.waits_for_departure(number, member)
        };
        if self.has_outage() || !self.members.get(number).is_some_and(due) {
            return;
        }
        let id = self.new_id();
        let Some(member) = self.members.get_mut(number) else { return };
        let (launch, instance) = member.begin(id, number, now);
        let (reason, cause) = (member.note.clone(), member.cause);
        self.members.set_instance(number, Some(instance));
        self.out.push(Action::Start(launch));
        self.note_member(number, Transition::Starting(cause), &reason);
    }

    /// Starts an instance of a member that is on its way out.
    pub(super) fn launch(&mut self, number: u32, mut member: Member, now: Instant) -> Member {
        let (launch, instance) = member.begin(self.new_id(), number, now);
        // It is to end, and not to change.
        self.out.push(Action::Start(Launch { replaces: None, ..launch }));
        member.filled(Some(instance))
    }

    pub(super) fn new_id(&mut self) -> ReplicaId {
        self.last_id += 1;
        ReplicaId(self.last_id)
    }

    /// An instance runs: its first heartbeat is due at once.
    pub(super) fn started(&mut self, id: ReplicaId, address: SocketAddr, label: String, now: Instant) {
        let Some((number, member)) = self.members.of_mut(id) else { return };
        // Who listed a replica by a name expects to be called by it.
        let listed = member.existing().filter(|_| member.owner() == Owner::Others).map(Arc::from);
        let orchestrated = (member.owner() == Owner::Orchestrator).then(|| member.name().to_owned());
        let Some(instance) = member.instance_mut().filter(|instance| instance.address.is_none()) else {
            return;
        };
        instance.address = Some(address);
        instance.host = listed.unwrap_or_else(|| Arc::from(address.to_string()));
        instance.started = Some(now);
        instance.label = Some(label);
        instance.trouble.clear();
        instance.is_warned = false;
        instance.checks.begin(now);
        if orchestrated.is_some() {
            // Whatever becomes of it, it is not to be made a second time.
            self.members.set_existing(number, orchestrated);
        }
        self.members.show(number);
        self.turns.came_up(now);
    }

    /// An instance does not run yet. Whoever waits for it wants to know why, at the latest when that takes too long.
    pub(super) fn delayed(&mut self, id: ReplicaId, reason: String) {
        let Some((number, member)) = self.members.of_mut(id) else { return };
        let name = member.name().to_owned();
        let Some(instance) = member.instance_mut().filter(|instance| instance.address.is_none()) else {
            return;
        };
        if !reason.is_empty() && !std::mem::replace(&mut instance.is_warned, true) {
            self.out.push(Action::Unready { name, reason: reason.clone() });
        }
        instance.trouble = reason;
        self.members.show(number);
    }

    /// An instance has ended, whether it was asked to or not.
    pub(super) fn gone(&mut self, id: ReplicaId, cause: ExitCause, reason: &str, now: Instant) {
        if let Some(departure) = self.forget_departure(id) {
            if departure.is_listed() {
                self.out.push(Action::SetUp(id, false));
            }
            if !departure.is_stopping() {
                self.note(departure.change(id, Transition::Stopped, reason));
                self.hold_departed(&departure, now);
            }
        } else if let Some(number) = self.members.number_of(id) {
            self.lost(number, cause, reason, now);
        }
    }

    /// Somebody else has told an instance to end. It takes no more requests, finishes those it
    /// has, and is replaced meanwhile if it is ours to replace.
    pub(super) fn ending(&mut self, id: ReplicaId, reason: &str, now: Instant) {
        let Some(number) = self.members.number_of(id) else { return };
        if self.members.get(number).is_some_and(|member| member.owner() == Owner::Discovered) {
            self.take_out([number], reason, now);
        } else {
            self.give_up(number, ExitCause::EndedByOthers, reason, now);
        }
    }

    /// The instance of a member has failed: heals the member, or gives up the `/add` it belongs to.
    fn lost(&mut self, number: u32, cause: ExitCause, reason: &str, now: Instant) {
        self.take_off(number);
        self.note_member(number, Transition::Died(cause), reason);
        if self.fails_deploy(number, reason) {
            // It has no other: the deploy is taken back.
            self.members.set_instance(number, None);
            return;
        }
        let Some(member) = self.members.get(number) else { return };
        if let Some(ticket) = member.addition {
            let failure = (member.name().to_owned(), reason.to_owned());
            let shared = member.existing().filter(|_| member.owner() == Owner::Orchestrator);
            let shared = shared.map(str::to_owned);
            self.members.set_instance(number, None);
            self.remove_unattended(&failure.0, number, shared, now);
            self.fail_addition(ticket, vec![failure]);
        } else {
            self.heal(number, cause, reason, now);
        }
    }

    /// Lets no more requests go to the instance of a member.
    fn take_off(&mut self, number: u32) {
        let Some(member) = self.members.get(number) else { return };
        if let (true, true, Some(instance)) = (member.is_listed(), member.is_ready(), member.instance()) {
            self.out.push(Action::SetUp(instance.id(), false));
        }
    }

    /// Empties a member and says when it is filled again. The replacement has a name of its own,
    /// which it keeps over repeated attempts; a replica that never took a request, and one that
    /// others run, comes back under its own.
    fn heal(&mut self, number: u32, cause: ExitCause, reason: &str, now: Instant) {
        let Some(member) = self.members.get(number) else { return };
        let (was_listed, is_ours) = (member.is_listed(), member.owner().is_balancer());
        let new_name = (was_listed && is_ours).then(|| self.new_name());
        let ended = self.members.set_instance(number, None);
        if is_ours {
            // What was taken over is gone; what comes is new.
            self.members.set_existing(number, None);
        }
        let current = self.deploys.current();
        let Some(member) = self.members.get_mut(number) else { return };
        if is_ours {
            member.cause = Some(cause);
            if member.revision.is_forgotten() {
                member.revision = current;
            }
        }
        if ended.is_some_and(|instance| instance.has_settled(now)) {
            member.backoff.settled();
        }
        let at = member.backoff.failed(now, &mut self.rng);
        member.retry_at = Some(at);
        let failed = format!("'{}' failed: {reason}", member.name());
        member.note = match member.backoff.failures() {
            1 => failed,
            failures => {
                let delay = in_words(at - now);
                format!("{failed}; failure {failures} in a row, next start after {delay}")
            }
        };
        if let Some(name) = new_name {
            self.members.rename(number, name);
        }
    }

    /// Gives up an owned instance that has had its time to start. One of an unfinished `/add`
    /// fails with it; one that others run may come whenever it likes.
    pub(super) fn expire_start(&mut self, number: u32, now: Instant) {
        let Some(member) = self.members.get(number) else { return };
        if self.start_deadline(member).is_some_and(|deadline| deadline <= now) {
            let reason = self.why_not_ready(member);
            self.give_up(number, ExitCause::NotReady, &reason, now);
        }
    }

    /// Replaces an owned instance that was ejected for too long.
    pub(super) fn expire_ejection(&mut self, number: u32, now: Instant) {
        let Some(member) = self.members.get(number) else { return };
        if self.replace_deadline(member).is_some_and(|deadline| deadline <= now) {
            let limit = in_words(self.config.replace_after);
            let reason = format!("no good heartbeat for {limit}{}", member.trouble());
            self.give_up(number, ExitCause::Unhealthy, &reason, now);
        }
    }

    /// Stops the instance of a member, and heals the member.
    fn give_up(&mut self, number: u32, cause: ExitCause, reason: &str, now: Instant) {
        let Some(member) = self.members.get(number) else { return };
        // An orchestrator keeps what it has, but for who was to take the place of another. Who had the place before stands
        // beside it as well, and may still have to be changed since a deploy in the other order.
        let takes_place = member.is_beside() && self.deploys.is_starting(of_ring(number));
        let is_extra = member.addition.is_some() || takes_place;
        let stays = member.owner() == Owner::Orchestrator && !is_extra;
        let fate = if stays { Fate::Forgotten } else { Fate::Stopped };
        let Some((id, departure)) = Departure::of(number, member) else { return };
        let departure = departure.with_fate(fate);
        self.lost(number, cause, reason, now);
        self.dismiss(id, departure);
    }
}

/// A duration for people, without what is below a millisecond.
pub(super) fn in_words(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_millis(duration.as_millis() as u64))
}
