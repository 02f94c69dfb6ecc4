//! What is known of the clients whose requests are counted, over all workers: bounded, without a lock.
//!
//! A client has a place in one set of eight, by a hash with a secret of this process, so that nobody can
//! choose to be counted with somebody else. In a full set a new client takes the place of the one that is
//! nearest to its whole burst: mostly one that has it, of which nothing need be known. Where more clients
//! than there are places are above their rate at a time, some are forgotten, and have their burst again.
//! So too many clients make the limit lenient, and never the table larger.
//!
//! Two words of a place are not written at once. The worst that comes of it is that a request is counted
//! for another client, or not at all, in the moment in which a place changes its owner.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::rate_limit::RateLimit;

/// Sets of the table. With all its places it has 1 MiB.
const SETS: usize = 8 * 1024;
const WAYS: usize = 8;

/// How often a client tries for a place that others take too.
const TRIES: usize = 4;

/// The table; there from the first request on that is counted.
#[derive(Debug)]
pub(crate) struct RateTable {
    start: Instant,
    secret: RandomState,
    sets: OnceLock<Box<[Set]>>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([Place; WAYS]);

/// Of one client.
#[derive(Debug, Default)]
struct Place {
    /// Its hash; 0 for nobody.
    client: AtomicU64,
    /// See [`RateLimit::admit`].
    due: AtomicU64,
}

impl Default for RateTable {
    fn default() -> Self {
        Self { start: Instant::now(), secret: RandomState::new(), sets: OnceLock::new() }
    }
}

impl RateTable {
    /// Counts a request of `client` at `now`.
    ///
    /// # Errors
    /// It is one too many, for as long as this.
    pub(crate) fn admit(&self, client: &impl Hash, now: Instant, limit: &RateLimit) -> Result<(), Duration> {
        let now = now.saturating_duration_since(self.start).as_nanos() as u64;
        let client = self.secret.hash_one(client).max(1);
        let sets = self.sets.get_or_init(|| (0..SETS).map(|_| Set::default()).collect());
        // Without a place it is not counted.
        let Some(place) = sets[client as usize % SETS].place_of(client) else { return Ok(()) };
        let mut due = place.due.load(Ordering::Acquire);
        loop {
            let next = limit.admit(due, now)?;
            match place.due.compare_exchange_weak(due, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(other) => due = other,
            }
        }
    }
}

impl Set {
    fn place_of(&self, client: u64) -> Option<&Place> {
        for _ in 0..TRIES {
            let is_its = |place: &&Place| place.client.load(Ordering::Acquire) == client;
            if let Some(place) = self.0.iter().find(is_its) {
                return Some(place);
            }
            let place = self.0.iter().min_by_key(|place| place.due.load(Ordering::Acquire))?;
            let before = place.client.load(Ordering::Acquire);
            place.due.store(0, Ordering::Release);
            let taken = place.client.compare_exchange(before, client, Ordering::AcqRel, Ordering::Acquire);
            if taken.is_ok() {
                return Some(place);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_a_limit_of_its_own() {
        let (table, limit): (_, RateLimit) = (RateTable::default(), "1/h burst 3".parse().unwrap());
        let now = Instant::now();
        let admitted = |client: u32| (0..10).filter(|_| table.admit(&client, now, &limit).is_ok()).count();
        assert_eq!((1..=1000).map(admitted).collect::<Vec<_>>(), [3; 1000]);
        assert_eq!(admitted(1), 0);
        let wait = table.admit(&1, now, &limit).unwrap_err();
        assert!(table.admit(&1, now + wait, &limit).is_ok());
    }

    #[test]
    fn a_client_that_has_its_burst_makes_room() {
        let limit: RateLimit = "1/s burst 2".parse().unwrap();
        let set = Set::default();
        let mut now = 0;
        for client in 1..=8 {
            let place = set.place_of(client).unwrap();
            now += 1_000_000;
            place.due.store(limit.admit(0, now).unwrap(), Ordering::Relaxed);
        }
        assert!(
            std::ptr::eq(set.place_of(9).unwrap(), &raw const set.0[0]),
            "the first of them has waited longest"
        );
        assert!(set.0.iter().all(|place| place.client.load(Ordering::Relaxed) != 1));
        assert_eq!(set.0[0].due.load(Ordering::Relaxed), 0, "and nothing is left of it");
    }

    #[test]
    fn more_clients_than_places_need_no_more_memory_and_are_served() {
        let (table, limit): (_, RateLimit) = (RateTable::default(), "1/h".parse().unwrap());
        let now = Instant::now();
        let clients = (SETS * WAYS * 2) as u64;
        assert!((0..clients).all(|client| table.admit(&client, now, &limit).is_ok()));
        let sets = table.sets.get().unwrap();
        assert_eq!((sets.len(), size_of_val(&**sets)), (SETS, 1 << 20));
    }

    #[test]
    fn threads_share_a_limit() {
        let (table, limit): (_, RateLimit) = (RateTable::default(), "1/h burst 1000".parse().unwrap());
        let now = Instant::now();
        // Who takes a place and who counts in it at the same time may miss each other.
        assert!(table.admit(&7, now, &limit).is_ok());
        let admitted = |_| (0..1000).filter(|_| table.admit(&7, now, &limit).is_ok()).count();
        let total: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || admitted(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(total, 999);
    }
}
