//! Operations that the Swarm refuses: retried with a growing backoff, and each reason logged once.
//! Knows neither the operations nor the Swarm.

use std::collections::HashMap;
use std::time::Duration;

/// First and longest wait after a pass with a refusal; the wait doubles in between.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// The refusals since the last pass without one.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Last reason by service, and how often it came in a row.
    reasons: HashMap<String, (String, u32)>,
    /// The wait before the next pass, if something was refused in the last one.
    wait: Option<Duration>,
}

impl Refusals {
    /// An operation on a service was refused. Returns whether to log that: the second time, because
    /// the first may only mean that another balancer was faster.
    pub(super) fn record(&mut self, service: &str, reason: &str) -> bool {
        let (last, times) = self.reasons.entry(service.to_owned()).or_default();
        if last != reason {
            reason.clone_into(last);
            *times = 0;
        }
        *times = times.saturating_add(1);
        *times == 2
    }

    /// An operation on a service was accepted.
    pub(super) fn clear(&mut self, service: &str) {
        self.reasons.remove(service);
    }

    /// A pass has ended.
    pub(super) fn passed(&mut self, with_refusal: bool) {
        if with_refusal {
            self.wait = Some(self.wait.map_or(BACKOFF.0, |wait| (wait * 2).min(BACKOFF.1)));
        } else {
            *self = Self::default();
        }
    }

    /// The wait before the next pass, if it is not the usual one.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_logged_once() {
        let mut refusals = Refusals::default();
        let logged: Vec<_> = ["a", "a", "a", "b", "b"].map(|reason| refusals.record("s", reason)).into();
        assert_eq!(logged, [false, true, false, false, true]);
        assert!(!refusals.record("t", "b"));
        refusals.clear("s");
        assert!(!refusals.record("s", "b"));
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
