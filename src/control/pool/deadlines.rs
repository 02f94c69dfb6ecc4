//! Until when things may take, and what is due next.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Pool;
use super::life::in_words;
use super::members::{Member, Phase};
use super::schedule::Subject;
use crate::runtime::ReplicaId;

/// What the time has come for.
#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) members: BTreeSet<u32>,
    pub(super) departures: BTreeSet<ReplicaId>,
}

impl Pool {
    /// When [`Event::Tick`](super::Event::Tick) is due; `None` if nothing depends on time.
    pub fn next_deadline(&self) -> Option<Instant> {
        let turns = self.turns.next(self.config.start_timeout);
        [self.schedule.next(), turns, self.stop_deadline(), self.deploy_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The same, found by looking at all there is.
    #[cfg(any(test, feature = "test-util"))]
    pub(in crate::control) fn scan_for_deadline(&self) -> Option<Instant> {
        let all = |(number, member): (u32, &Member)| {
            [self.deadline_of(number, member), self.start_deadline(member)].into_iter().flatten().min()
        };
        let members = self.members.iter().filter_map(all);
        let others = self.stop_deadline().into_iter().chain(self.deploy_deadline());
        members.chain(self.departures.scan_for_deadline()).chain(others).min()
    }

    /// Renews the deadlines of the members that were touched.
    pub(super) fn renew_deadlines(&mut self) {
        for number in self.members.take_touched() {
            let member = self.members.get(number);
            let at = member.and_then(|member| self.deadline_of(number, member));
            let turn = member.and_then(|member| self.turn_of(member));
            self.schedule.set(Subject::Member(number), at);
            self.turns.set(number, turn);
            self.renew_outlier(number);
        }
    }

    /// Takes out what is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Due> {
        let mut due = Due::default();
        while let Some(subject) = self.schedule.take_due(now) {
            match subject {
                Subject::Member(number) => _ = due.members.insert(number),
                Subject::Departure(id) => _ = due.departures.insert(id),
            }
        }
        while let Some(number) = self.turns.take_due(now, self.config.start_timeout) {
            due.members.insert(number);
        }
        (!due.members.is_empty() || !due.departures.is_empty()).then_some(due)
    }

    /// Until when the instance of a member has to be ready, where there is such a limit. One that
    /// an `/add` waits for may also have been ready and be so no more.
    pub(super) fn start_deadline(&self, member: &Member) -> Option<Instant> {
        let turn =
            self.turn_of(member).map(|launched| self.turns.deadline(launched, self.config.start_timeout));
        turn.or_else(|| self.first_heartbeat_deadline(member))
    }

    /// When the instance of a member was launched, if it does not run yet and may not take for
    /// ever.
    fn turn_of(&self, member: &Member) -> Option<Instant> {
        let instance = member.instance().filter(|instance| instance.started.is_none())?;
        self.has_to_start(member).then_some(instance.launched)
    }

    /// Until when an instance that runs has to have a good heartbeat, where there is such a limit.
    /// A heartbeat that could not be sent yet does not count against it.
    fn first_heartbeat_deadline(&self, member: &Member) -> Option<Instant> {
        let instance = member.instance().filter(|instance| instance.checks.waits_since().is_none())?;
        let since = match instance.phase {
            Phase::Starting if self.has_to_start(member) => instance.started?,
            Phase::Ejected(since) if !member.is_full() => since,
            _ => return None,
        };
        Some(since + self.config.start_timeout + instance.checks.waited())
    }

    /// Whether the instance of a member may be given up if it does not become ready.
    fn has_to_start(&self, member: &Member) -> bool {
        let starting = member.instance().is_some_and(|instance| instance.phase == Phase::Starting);
        let is_awaited = !member.is_full() || member.is_successor() && !self.has_outage();
        starting && (is_awaited || self.replaces(member))
    }

    /// Until when an ejected instance of a member may recover, where there is such a limit.
    pub(super) fn replace_deadline(&self, member: &Member) -> Option<Instant> {
        let instance = member.instance().filter(|instance| instance.checks.waits_since().is_none())?;
        let Phase::Ejected(since) = instance.phase else { return None };
        self.replaces(member).then(|| since + self.config.replace_after + instance.checks.waited())
    }

    /// Whether the instance of a member may be given up for another.
    fn replaces(&self, member: &Member) -> bool {
        member.owner().is_balancer() && member.is_full() && !self.has_outage()
    }

    /// The next time at which something about a member is due, its turn to start apart.
    fn deadline_of(&self, number: u32, member: &Member) -> Option<Instant> {
        let may_start = || !self.has_outage() && !self.waits_for_departure(number, member);
        let retry = member.retry_at.filter(|_| member.instance().is_none() && may_start());
        let check = member.instance().and_then(|instance| instance.checks.next());
        let start = self.first_heartbeat_deadline(member);
        let trial = Self::trial_deadline(member);
        [retry, check, start, trial, self.replace_deadline(member)].into_iter().flatten().min()
    }

    /// Where a replica has to listen, if it does not do so anywhere.
    fn where_to_listen(&self) -> &'static str {
        match self.runtime.kind {
            "process" => "; it must listen on 127.0.0.1 or [::1], at the port in PORT",
            "docker" | "swarm" => "; it must listen on all addresses, at --replica-port",
            _ => "",
        }
    }

    /// Why the instance of a member has not become ready in time.
    pub(super) fn why_not_ready(&self, member: &Member) -> String {
        let limit = in_words(self.config.start_timeout);
        match member.instance() {
            Some(instance) if instance.address.is_some() => {
                let bad = member.trouble();
                let place = if bad.contains("cannot connect") { self.where_to_listen() } else { "" };
                // One that responds at another path does not get faster.
                let slow = if bad.contains("--health-path") {
                    ""
                } else {
                    "; if it is slow to start, raise --start-timeout"
                };
                format!("no good heartbeat within {limit}{bad}{place}{slow}")
            }
            Some(instance) if !instance.trouble.is_empty() => {
                format!("did not start within {limit}{}", member.trouble())
            }
            _ => format!("did not start within {limit}; if that is too short, raise --start-timeout"),
        }
    }
}
