//! Heartbeats: when one is sent, how many at a time, and what they lead to: into the ring, out
//! of the choice, back in.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fxhash::FxHashSet;

use super::action::{Probe, Verdict};
use super::checks::moment_after;
use super::members::{Member, Phase};
use super::publishing::After;
use super::{Action, Pool};
use crate::cluster::Standing;
use crate::control::{HealthConfig, Transition};
use crate::runtime::{Owner, ReplicaId};

/// Most heartbeats under way at a time. Each may take as long as the time-out, and has a
/// descriptor meanwhile. So many are few enough for the queue of new connections of one server
/// that is many replicas, and enough that a thousand replicas, all of which hang, are asked every
/// four seconds by the default time-out.
const AT_ONCE: usize = 256;

/// Between the heartbeats of a replica that has just started: it should not wait to be noticed.
const START_PAUSE: Duration = Duration::from_millis(25);

/// Later it may wait for so much of the time it has taken already: one that takes 10 s is asked some 25
/// times meanwhile.
const START_DIVISOR: u32 = 2;

/// After a first bad heartbeat the next follows within this part of the interval, to tell a
/// hiccup from a failure soon.
const DOUBT_DIVISOR: u32 = 5;

/// Those under way, and those that wait because there are too many of them.
#[derive(Clone, Debug)]
pub(super) struct Heartbeats {
    under_way: FxHashSet<ReplicaId>,
    /// When each was due, and of which number. Some may be of an instance that is gone.
    waiting: BTreeSet<(Instant, u32)>,
    at_once: usize,
    /// From which the moments of replicas are counted.
    epoch: Instant,
}

impl Heartbeats {
    pub(super) fn new(epoch: Instant) -> Self {
        Self { under_way: FxHashSet::default(), waiting: BTreeSet::new(), at_once: AT_ONCE, epoch }
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < self.at_once
    }
}

impl Pool {
    /// Allows fewer heartbeats at a time, so that a simulation of a few replicas reaches the limit.
    #[cfg(any(test, feature = "test-util"))]
    pub(in crate::control) fn limit_heartbeats(&mut self, at_once: usize) {
        self.heartbeats.at_once = at_once;
    }

    /// Sends the heartbeat of a member if it is due; where too many are under way, it waits.
    pub(super) fn check(&mut self, number: u32, now: Instant) {
        let Some(member) = self.members.get_mut(number) else { return };
        let Some(instance) = member.instance_mut() else { return };
        if instance.checks.next().is_none_or(|next| next > now) {
            return;
        }
        if self.heartbeats.has_room() {
            self.send_heartbeat(number, now);
        } else if let Some(since) = instance.checks.wait() {
            self.heartbeats.waiting.insert((since, number));
        }
    }

    fn send_heartbeat(&mut self, number: u32, now: Instant) {
        let instance = self.members.get_mut(number).and_then(|member| member.instance_mut());
        let Some(instance) = instance else { return };
        let Some(address) = instance.address.map(|last| instance.addresses.after(last)) else { return };
        instance.address = Some(address);
        instance.checks.send(now);
        self.heartbeats.under_way.insert(instance.id());
        let probe = Probe { id: instance.id(), address, host: instance.host.clone() };
        self.out.push(Action::Check(probe));
    }

    /// Sends those that waited, as far as there is room; the one that waited longest first.
    fn send_waiting(&mut self, now: Instant) {
        while self.heartbeats.has_room() {
            let Some((since, number)) = self.heartbeats.waiting.pop_first() else { return };
            let instance = self.members.get(number).and_then(|member| member.instance());
            // Another instance may fill the number by now.
            if instance.and_then(|instance| instance.checks.waits_since()) == Some(since) {
                self.send_heartbeat(number, now);
            }
        }
    }

    /// A replica has another number than when its heartbeat had to wait for room: it waits under that.
    pub(super) fn follow_waiting(&mut self, number: u32) {
        let instance = self.members.get(number).and_then(|member| member.instance());
        if let Some(since) = instance.and_then(|instance| instance.checks.waits_since()) {
            self.heartbeats.waiting.insert((since, number));
        }
    }

    pub(super) fn heartbeat(&mut self, id: ReplicaId, verdict: Verdict, now: Instant) {
        if !self.heartbeats.under_way.remove(&id) {
            return;
        }
        match verdict {
            Verdict::Good => self.heartbeat_good(id, now),
            Verdict::Bad(reason) => self.heartbeat_bad(id, reason, true, now),
            Verdict::NoAnswer(reason) => self.no_answer(id, reason, now),
            Verdict::Unknown(reason) => self.heartbeat_unknown(id, reason, now),
        }
        self.send_waiting(now);
    }

    /// When the replica of `number` is asked next, if all goes as usual.
    fn next_moment(&self, number: u32, now: Instant) -> Instant {
        moment_after(now, self.heartbeats.epoch, self.config.health.interval, number)
    }

    fn heartbeat_good(&mut self, id: ReplicaId, now: Instant) {
        let Some(number) = self.members.number_of(id) else { return };
        let next = self.next_moment(number, now);
        let Some(member) = self.members.get_mut(number) else { return };
        let Some(instance) = member.instance_mut() else { return };
        instance.checks.ended(Some(true));
        instance.checks.again_at(next);
        instance.addresses.responded();
        if !instance.trouble.is_empty() {
            instance.trouble.clear();
            self.members.show(number);
        }
        self.became_ready(number, now);
    }

    /// A replica on the ring takes requests again. One that is not goes there, the replicas of
    /// an `/add` all together.
    fn became_ready(&mut self, number: u32, now: Instant) {
        let moved = self.follow_address(number);
        if moved {
            self.forget_outlier(number);
        }
        let Some(member) = self.members.get(number) else { return };
        if member.is_ready() {
            if moved {
                self.publish_healed();
            }
            return;
        }
        let (addition, listed, is_beside) = (member.addition, member.is_listed(), member.is_beside());
        let in_force = member.listed.as_ref().is_some_and(|listed| listed.in_force);
        let Some(member) = self.members.get_mut(number) else { return };
        let Some(instance) = member.instance_mut() else { return };
        instance.enter(Phase::Ready(now));
        let (id, has_served) = (instance.id(), instance.has_served);
        if is_beside {
            self.members.show(number);
            if has_served {
                // It is ready to take its place back.
                self.out.push(Action::SetUp(id, true));
            }
        } else if let Some(ticket) = addition {
            if self.additions.set_ready(ticket, number, true) {
                self.complete_addition(ticket, now);
            }
        } else if listed {
            if moved {
                self.publish_healed();
            } else {
                self.out.push(Action::SetUp(id, true));
            }
            self.hurry_trial(number);
            let standing = self.members.get(number).map(Member::standing);
            if in_force && standing == Some(Standing::Good) {
                self.note_member(number, Transition::Recovered, "");
            }
        } else {
            let heals = member.listed.is_some();
            member.list();
            if has_served {
                // It had its place before a deploy, and was down when it got it back.
                self.out.push(Action::SetUp(id, true));
            }
            self.members.show(number);
            if heals {
                self.publish_healed();
            } else {
                self.publish();
            }
            self.begins_to_serve(number);
            self.after_publication(After::Joined(id), now);
        }
    }

    /// Nobody responded. One that takes no requests may be at another address, which is asked at once.
    fn no_answer(&mut self, id: ReplicaId, reason: String, now: Instant) {
        let Some(number) = self.members.number_of(id) else { return };
        let Some(member) = self.members.get_mut(number) else { return };
        let Some(instance) = member.instance_mut() else { return };
        let unready = !matches!(instance.phase, Phase::Ready(_));
        let Some(address) = instance.address.filter(|_| unready) else {
            return self.heartbeat_bad(id, reason, false, now);
        };
        let (next, reasons) = instance.addresses.failed(address, reason);
        if let Some(reasons) = reasons {
            self.heartbeat_bad(id, reasons, false, now);
        } else {
            instance.checks.ended(None);
            instance.checks.again_at(now);
        }
        if let Some(instance) = self.members.get_mut(number).and_then(|member| member.instance_mut()) {
            instance.address = Some(next);
        }
        if next != address {
            self.members.show(number);
        }
    }

    /// `responded` says whether there was a response, which was not what it should be.
    fn heartbeat_bad(&mut self, id: ReplicaId, reason: String, responded: bool, now: Instant) {
        let (interval, unhealthy_after) = (self.config.health.interval, self.config.health.unhealthy_after);
        let Some(number) = self.members.number_of(id) else { return };
        let next = self.next_moment(number, now);
        let start_timeout = self.config.start_timeout;
        let Some(member) = self.members.get_mut(number) else { return };
        let Some(instance) = member.instance_mut() else { return };
        instance.checks.ended(Some(false));
        let ejects = matches!(instance.phase, Phase::Ready(_)) && instance.checks.bad() >= unhealthy_after;
        match instance.phase {
            Phase::Starting if now < instance.launched + start_timeout => {
                let taken = now - instance.started.unwrap_or(instance.launched);
                let pause = (taken / START_DIVISOR).max(START_PAUSE).min(interval);
                instance.checks.again_in(pause, now, &mut self.rng);
            }
            Phase::Ready(_) if !ejects => {
                instance.checks.again_in(interval / DOUBT_DIVISOR, now, &mut self.rng);
            }
            _ => instance.checks.again_at(next),
        }
        if instance.trouble != reason {
            instance.trouble = reason;
            self.members.show(number);
        }
        if ejects {
            self.eject(number, now);
        } else {
            self.warn_unready(number, responded, now);
            self.locate_unready(number);
        }
    }

    /// Tells once that a replica does not become ready, where time alone may not help: it responds and
    /// is not well, or nobody gives it up. One of ours that says nothing is given up in time.
    fn warn_unready(&mut self, number: u32, responded: bool, now: Instant) {
        let HealthConfig { unhealthy_after, .. } = self.config.health;
        let start_timeout = self.config.start_timeout;
        let Some(member) = self.members.get_mut(number) else { return };
        let (name, owner) = (member.name().to_owned(), member.owner());
        let Some(instance) = member.instance_mut() else { return };
        let late = instance.started.is_some_and(|started| now >= started + start_timeout);
        let hopeless = responded || owner == Owner::Others || (late && !owner.is_balancer());
        let failed = instance.phase == Phase::Starting && instance.checks.bad() >= unhealthy_after;
        if !failed || !hopeless || std::mem::replace(&mut instance.is_warned, true) {
            return;
        }
        let hint = match owner {
            Owner::Others if !responded => "; start it, or correct --upstream",
            _ => "",
        };
        self.out.push(Action::Unready { name, reason: format!("{}{hint}", instance.trouble) });
    }

    /// The replica stays what it is, and is asked again at the usual time.
    fn heartbeat_unknown(&mut self, id: ReplicaId, reason: String, now: Instant) {
        let Some(number) = self.members.number_of(id) else { return };
        let next = self.next_moment(number, now);
        let Some(member) = self.members.get_mut(number) else { return };
        let Some(instance) = member.instance_mut() else { return };
        instance.checks.ended(None);
        instance.checks.again_at(next);
        instance.trouble = reason;
        self.members.show(number);
    }

    /// Lets no more requests go to a ready replica. The ring stays as it is.
    fn eject(&mut self, number: u32, now: Instant) {
        let Some(member) = self.members.get_mut(number) else { return };
        let addition = member.addition;
        let Some(instance) = member.instance_mut() else { return };
        let (settled, id, has_served) = (instance.has_settled(now), instance.id(), instance.has_served);
        instance.enter(Phase::Ejected(now));
        let reason = instance.trouble.clone();
        if settled {
            member.backoff.settled();
        }
        if has_served {
            self.out.push(Action::SetUp(id, false));
        }
        if let Some(ticket) = addition {
            self.additions.set_ready(ticket, number, false);
        }
        self.note_member(number, Transition::Ejected, &reason);
        self.fails_deploy(number, &reason);
    }

    /// A request failed at a ready replica: a heartbeat soon tells whether it was the replica's
    /// fault. The others have theirs soon enough.
    pub(super) fn request_failed(&mut self, id: ReplicaId, now: Instant) {
        let Some((_, member)) = self.members.of_mut(id) else { return };
        let Some(instance) = member.instance_mut() else { return };
        if matches!(instance.phase, Phase::Ready(_)) {
            instance.checks.hurry(now);
        }
    }
}
