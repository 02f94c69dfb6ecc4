//! Changes that the Swarm refuses: tried again, at longer and longer intervals, and complained of
//! once. Knows neither the changes nor the Swarm.

use std::collections::HashMap;
use std::time::Duration;

/// Waits after passes with a refusal, from the first to the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// What is being refused.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// The last reason for each service, and how often it came in a row.
    reasons: HashMap<String, (String, u32)>,
    /// The wait after the last pass, if something was refused in it.
    wait: Option<Duration>,
}

impl Refusals {
    /// A change of a service was refused. Returns whether to complain: the second time, because
    /// the first may only mean that somebody else was quicker.
    pub(super) fn note(&mut self, service: &str, reason: &str) -> bool {
        let (last, times) = self.reasons.entry(service.to_owned()).or_default();
        if last != reason {
            reason.clone_into(last);
            *times = 0;
        }
        *times = times.saturating_add(1);
        *times == 2
    }

    /// A change of a service was taken.
    pub(super) fn forget(&mut self, service: &str) {
        self.reasons.remove(service);
    }

    /// A pass over all that is to be done has ended.
    pub(super) fn passed(&mut self, with_refusal: bool) {
        if with_refusal {
            self.wait = Some(self.wait.map_or(BACKOFF.0, |wait| (wait * 2).min(BACKOFF.1)));
        } else {
            *self = Self::default();
        }
    }

    /// How long to wait for the next pass.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_complained_of_once() {
        let mut refusals = Refusals::default();
        let complaints: Vec<_> = ["a", "a", "a", "b", "b"].map(|reason| refusals.note("s", reason)).into();
        assert_eq!(complaints, [false, true, false, false, true]);
        assert!(!refusals.note("t", "b"));
        refusals.forget("s");
        assert!(!refusals.note("s", "b"));
    }

    #[test]
    fn waits_grow_until_nothing_is_refused() {
        let mut refusals = Refusals::default();
        let mut after = |with_refusal| {
            refusals.passed(with_refusal);
            refusals.wait().map(|wait| wait.as_millis())
        };
        let waits = [true, true, true, true, true, false, true].map(&mut after);
        assert_eq!(waits, [Some(250), Some(500), Some(1000), Some(2000), Some(2000), None, Some(250)]);
    }
}
