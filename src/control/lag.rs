//! Whether the control thread ran what was due in time.
//!
//! A thread that stood still (a busy machine, a process that was stopped, work that took long)
//! has neither sent nor read anything meanwhile. What was lost is measured here, and not held
//! against a replica.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How often it is looked at.
const PERIOD: Duration = Duration::from_millis(50);

/// Timers are this coarse, and threads share a machine.
const TOLERANCE: Duration = Duration::from_millis(20);

/// All the time that the thread lost, as far as it was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Lag(Arc<AtomicU64>);

impl Lag {
    /// What was lost so far.
    pub(super) fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Something that was due then runs now.
    fn ran(&self, due: Instant, now: Instant) {
        if let Some(late) = lateness(due, now) {
            // The standstill may have begun up to a period before it was due.
            let lost = u64::try_from((late + PERIOD).as_nanos()).unwrap_or(u64::MAX);
            self.0.fetch_add(lost, Ordering::Relaxed);
        }
    }

    /// Measures for as long as it is polled.
    pub(super) async fn measure(self) {
        loop {
            let due = Instant::now() + PERIOD;
            tokio::time::sleep_until(due).await;
            self.ran(due, Instant::now());
        }
    }
}

/// How late something is that was due then, if that is more than usual.
fn lateness(due: Instant, now: Instant) -> Option<Duration> {
    Some(now.saturating_duration_since(due)).filter(|&late| late > TOLERANCE)
}

/// The time that something may take, without what the thread lost meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    began: Instant,
    limit: Duration,
    before: Duration,
    lag: Lag,
}

/// What it means that the time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// It was over, for want of a response.
    TimedOut,
    /// Part of it was lost: it ends then.
    At(Instant),
    /// So much of it was lost that nothing can be said.
    Unknown,
}

impl Allowance {
    /// `limit` from now on.
    pub(super) fn new(limit: Duration, lag: &Lag) -> Self {
        Self { began: Instant::now(), limit, before: lag.total(), lag: lag.clone() }
    }

    /// When it is over, as far as is known.
    pub(super) fn ends(&self) -> Instant {
        self.began + self.limit
    }

    /// Whether the thread lost as much as may be taken.
    pub(super) fn is_lost(&self) -> bool {
        self.lost() >= self.limit
    }

    fn lost(&self) -> Duration {
        self.lag.total().saturating_sub(self.before)
    }

    /// It was to end at `due`, and that is looked at now.
    pub(super) fn expires(&self, due: Instant, now: Instant) -> Expiry {
        let lost = self.lost().max(lateness(due, now).unwrap_or_default());
        if lost >= self.limit {
            return Expiry::Unknown;
        }
        let ends = self.ends() + lost;
        if ends <= now { Expiry::TimedOut } else { Expiry::At(ends) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    #[test]
    fn what_was_lost_is_given_back_and_too_much_tells_nothing() {
        let lag = Lag::default();
        let allowance = Allowance::new(LIMIT, &lag);
        let (began, due) = (allowance.began, allowance.ends());
        let ms = Duration::from_millis;
        assert_eq!(allowance.expires(due, due), Expiry::TimedOut);
        assert_eq!(allowance.expires(due, due + ms(5)), Expiry::TimedOut, "as coarse as timers are");
        assert_eq!(allowance.expires(due, due + ms(400)), Expiry::TimedOut, "late, but it had all its time");
        assert_eq!(allowance.expires(due, due + LIMIT), Expiry::Unknown, "looked at far too late");
        lag.ran(began, began + ms(10));
        assert_eq!(allowance.expires(due, due), Expiry::TimedOut);
        // The thread stood still after it had begun, and was back before the time was over.
        lag.ran(began, began + ms(250));
        let ends = due + ms(250) + PERIOD;
        assert_eq!(allowance.expires(due, due), Expiry::At(ends));
        assert_eq!(allowance.expires(ends, ends), Expiry::TimedOut);
        lag.ran(began, began + ms(900));
        assert_eq!(allowance.expires(ends, ends), Expiry::Unknown);
        assert!(allowance.is_lost());
        assert!(!Allowance::new(LIMIT, &lag).is_lost(), "what was lost before it does not count");
    }

    #[tokio::test]
    async fn a_thread_that_stands_still_is_noticed() {
        let lag = Lag::default();
        let measuring = tokio::spawn(lag.clone().measure());
        tokio::task::yield_now().await;
        std::thread::sleep(PERIOD * 4);
        while lag.total() < PERIOD * 2 {
            tokio::task::yield_now().await;
        }
        measuring.abort();
    }
}
