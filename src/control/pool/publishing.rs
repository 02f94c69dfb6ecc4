//! Publications that were asked for and are not in force yet, and what waits for them.
//!
//! Building a ring takes its time and happens elsewhere. Meanwhile the pool goes on; what must
//! not be done or told before a publication is in force waits here, in the order asked.

use std::collections::VecDeque;
use std::time::Instant;

use super::action::{Ticket, Version};
use super::{Action, Pool};
use crate::cluster::Routing;
use crate::control::{ControlError, Transition};
use crate::runtime::ReplicaId;

use super::action::Publication;

/// What waits for a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The response to a request.
    Reply(Ticket),
    /// The news that a replica is on the ring.
    Joined(ReplicaId),
    /// The drain of a replica that was taken off the ring.
    Drain(ReplicaId),
}

/// What was asked for, what is in force, and what waits for the difference.
#[derive(Clone, Debug, Default)]
pub(super) struct Publishing {
    asked: Version,
    in_force: Version,
    /// In ascending version.
    waiting: VecDeque<(Version, After)>,
}

impl Publishing {
    /// Counts one more publication that is asked for.
    fn ask(&mut self) -> Version {
        self.asked += 1;
        self.asked
    }

    /// Whether all that was asked for is in force.
    fn is_done(&self) -> bool {
        self.in_force == self.asked
    }

    /// Remembers what follows the last publication that was asked for.
    fn wait(&mut self, after: After) {
        self.waiting.push_back((self.asked, after));
    }

    /// All up to `version` is in force.
    fn enter(&mut self, version: Version) {
        self.in_force = self.in_force.max(version.min(self.asked));
    }

    /// The next that waits no more.
    fn take(&mut self) -> Option<After> {
        let &(version, after) = self.waiting.front()?;
        (version <= self.in_force).then(|| self.waiting.pop_front())?;
        Some(after)
    }
}

impl Pool {
    /// Asks for a publication of what is listed now.
    pub(super) fn publish(&mut self) {
        let version = self.publishing.ask();
        self.out.push(Action::Publish { version, heals: false });
    }

    /// The same, where a replica has taken over a number that is on the ring.
    pub(super) fn publish_healed(&mut self) {
        let version = self.publishing.ask();
        self.out.push(Action::Publish { version, heals: true });
    }

    /// Does `after` once all that was asked for is in force: at once, if it is.
    pub(super) fn after_publication(&mut self, after: After, now: Instant) {
        if self.publishing.is_done() {
            self.follow(after, now);
        } else {
            self.publishing.wait(after);
        }
    }

    /// A publication is in force.
    pub(super) fn published(&mut self, version: Version, now: Instant) {
        self.publishing.enter(version);
        while let Some(after) = self.publishing.take() {
            self.follow(after, now);
        }
    }

    fn follow(&mut self, after: After, now: Instant) {
        match after {
            After::Reply(ticket) => self.reply(ticket, Ok(())),
            After::Joined(id) => self.joined(id),
            After::Drain(id) => self.begin_drain(id, now),
        }
    }

    /// A replica is on the ring. One that was ejected meanwhile is reported when it recovers.
    fn joined(&mut self, id: ReplicaId) {
        let Some((number, member)) = self.members.of_mut(id) else { return };
        let Some(listed) = member.listed.as_mut().filter(|listed| listed.id == id) else { return };
        listed.in_force = true;
        if member.is_ready() {
            self.note_member(number, Transition::Joined, "");
        } else {
            self.members.show(number);
        }
    }

    /// Nothing is published any more: whoever waits for it is told so.
    pub(super) fn abandon_publications(&mut self) {
        for (_, after) in std::mem::take(&mut self.publishing.waiting) {
            if let After::Reply(ticket) = after {
                self.reply(ticket, Err(ControlError::Stopping));
            }
        }
    }

    /// The last publication that was asked for.
    pub fn asked(&self) -> Version {
        self.publishing.asked
    }

    /// What is to be published as things are: without a replica at first.
    pub fn publication(&self) -> Publication {
        Publication {
            version: self.publishing.asked,
            params: self.config.ring.clone(),
            routing: self.routing(),
            members: self.members.iter().filter_map(|(number, member)| member.spec(number)).collect(),
        }
    }

    /// Key and bound as configured.
    pub(super) fn routing(&self) -> Routing {
        Routing {
            bounded_load: self.config.bounded_load.factor(&self.config.key),
            max_requests: Some(u64::from(self.config.max_requests)).filter(|&most| most > 0),
            key: self.config.key.clone(),
        }
    }
}
