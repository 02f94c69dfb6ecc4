//! While the runtime does not answer: replicas serve and are checked as ever, but none is
//! started, replaced or removed. What is not known to be dead must not be replaced.

use std::time::Instant;

use super::Pool;
use crate::control::ControlError;

/// The runtime does not answer.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    reason: String,
    pub(super) since: Instant,
}

impl Pool {
    /// Nothing can be started or stopped. Whoever waits for an `/add` is told at once.
    pub(super) fn unavailable(&mut self, reason: String, now: Instant) {
        self.changed = true;
        for ticket in self.tickets_of_batches() {
            self.drop_batch(ticket, |_| &reason);
            self.reply(ticket, Err(ControlError::Unavailable(reason.clone())));
        }
        if self.is_stopping() {
            self.stop_hindered.get_or_insert(now);
        }
        self.outage = Some(Outage { reason, since: now });
    }

    /// It can again. What is overdue happens in the same step.
    pub(super) fn available(&mut self) {
        self.changed = true;
        self.outage = None;
    }

    /// Whether replicas cannot be started and replaced.
    pub(super) fn is_blind(&self) -> bool {
        self.outage.is_some()
    }

    /// Refuses changes of membership that could not be carried out.
    pub(super) fn refuse_while_blind(&self) -> Result<(), ControlError> {
        match self.blindness() {
            Some(reason) => Err(ControlError::Unavailable(reason)),
            None => Ok(()),
        }
    }

    /// Why replicas cannot be started or stopped at the moment, if they cannot.
    pub fn blindness(&self) -> Option<String> {
        let unlisted = self.unlisted.then(|| "it has not told yet which replicas there are".to_owned());
        self.outage.as_ref().map(|outage| outage.reason.clone()).or(unlisted)
    }
}
