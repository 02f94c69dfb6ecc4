//! The clock of an open loop: a thread that adds a permit when a request is due.
//!
//! A thread of its own, because timers of the runtime have a resolution of a millisecond, which is
//! longer than most responses take.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// When the request with this index is due, since the start.
pub(super) fn due(index: u32, rate: u32) -> Duration {
    Duration::from_secs(1) * index / rate.max(1)
}

/// Adds a permit whenever one of `requests` is due, until it is closed.
pub(super) fn start(permits: Arc<Semaphore>, began: Instant, requests: u32, rate: u32) -> io::Result<()> {
    let pace = move || {
        for index in 0..requests {
            let wait = due(index, rate).saturating_sub(began.elapsed());
            if !wait.is_zero() {
                std::thread::sleep(wait);
            }
            if permits.is_closed() {
                return;
            }
            permits.add_permits(1);
        }
    };
    std::thread::Builder::new().name("pacer".to_owned()).spawn(pace).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_even_distances() {
        assert_eq!(due(0, 1_000), Duration::ZERO);
        assert_eq!(due(1, 1_000), Duration::from_millis(1));
        assert_eq!(due(4_000_000, 1_000), Duration::from_secs(4_000));
    }
}
