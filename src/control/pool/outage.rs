//! While the runtime does not answer: replicas serve and are checked as ever, but none is
//! started, replaced or removed. What is not known to be dead must not be replaced.

use std::time::Instant;

use super::Pool;
use crate::control::ControlError;

/// The runtime does not answer.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    reason: String,
    since: Instant,
}

impl Pool {
    /// Nothing can be started or stopped. Whoever waits for an `/add` is told at once.
    pub(super) fn unavailable(&mut self, reason: String, now: Instant) {
        for ticket in self.additions.tickets() {
            self.drop_addition(ticket, &reason);
            self.reply(ticket, Err(ControlError::Unavailable(reason.clone())));
        }
        self.fail_deploy(&reason);
        self.end.is_hindered(now);
        self.set_outage(Some(Outage { reason, since: now }));
    }

    /// It can again. What is overdue happens in the same step.
    pub(super) fn available(&mut self) {
        self.set_outage(None);
    }

    /// Deadlines of starts and replacements hold only while these are possible.
    fn set_outage(&mut self, outage: Option<Outage>) {
        self.outage = outage;
        self.changed = true;
        self.members.touch_all();
    }

    /// Whether instances can neither be started nor replaced.
    pub(super) fn has_outage(&self) -> bool {
        self.outage.is_some()
    }

    /// Since when that is so, if it is.
    pub(super) fn outage_since(&self) -> Option<Instant> {
        self.outage.as_ref().map(|outage| outage.since)
    }

    /// Refuses changes of membership that could not be carried out.
    pub(super) fn refuse_during_outage(&self) -> Result<(), ControlError> {
        match self.outage() {
            Some(reason) => Err(ControlError::Unavailable(reason)),
            None => Ok(()),
        }
    }

    /// Why replicas cannot be started or stopped at the moment, if they cannot.
    pub fn outage(&self) -> Option<String> {
        let unlisted =
            self.inventory.unlisted.then(|| "it has not told yet which replicas there are".to_owned());
        self.outage.as_ref().map(|outage| outage.reason.clone()).or(unlisted)
    }
}
