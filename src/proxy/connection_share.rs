//! Client connections that each pool has for itself: one in which requests hang is not on all of them.
//!
//! A connection of HTTP/1 is a pool's while a request for that pool is on it. It is one of the pool's own first, and then
//! one of those that are for all. One of HTTP/2 carries requests of all pools, and counts for none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The share of a pool, and what is left for all.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionShare {
    /// Of the client connections that there may be, those that are only for this pool, in percent (0 to 100).
    pub own: f64,
    /// The same of each other pool; together with `own` at most 100.
    pub others: Vec<f64>,
}

impl Default for ConnectionShare {
    /// That of a pool without others.
    fn default() -> Self {
        Self { own: 100.0, others: Vec::new() }
    }
}

/// How many connections that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    /// Those that are only for the pool.
    own: usize,
    /// Those that are for all pools.
    common: usize,
}

impl ConnectionShare {
    /// Of `max_connections` that there may be.
    pub(crate) fn limits(&self, max_connections: usize) -> ConnectionLimits {
        let own = part(self.own, max_connections);
        let others: usize = self.others.iter().map(|share| part(*share, max_connections)).sum();
        ConnectionLimits { own, common: max_connections.saturating_sub(own + others) }
    }
}

/// At least one, where there is a share.
fn part(percent: f64, max_connections: usize) -> usize {
    (max_connections as f64 * percent / 100.0).ceil() as usize
}

/// Which connections requests of a pool are on, over all workers. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct BusyConnections {
    own: Arc<AtomicUsize>,
    /// Those of all pools.
    common: Arc<AtomicUsize>,
}

/// A connection that a request is on, which has to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// One of those of its pool.
    Own,
    /// One of those for all.
    Common,
}

impl BusyConnections {
    /// Those of another pool of the same balancer.
    #[must_use]
    pub fn of_another_pool(&self) -> Self {
        Self { own: Arc::default(), common: Arc::clone(&self.common) }
    }

    /// One more connection; `None` if there is none for this pool.
    pub(crate) fn take(&self, limits: ConnectionLimits) -> Option<Taken> {
        if take_one(&self.own, limits.own) {
            return Some(Taken::Own);
        }
        take_one(&self.common, limits.common).then_some(Taken::Common)
    }

    /// It is free again.
    pub(crate) fn give_back(&self, taken: Taken) {
        match taken {
            Taken::Own => &self.own,
            Taken::Common => &self.common,
        }
        .fetch_sub(1, Ordering::Relaxed);
    }
}

/// Relaxed: the count orders nothing else, and no two requests get the last one.
fn take_one(count: &AtomicUsize, most: usize) -> bool {
    let more = |taken: usize| (taken < most).then_some(taken + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pools with these shares.
    fn pools(shares: &[f64]) -> Vec<(ConnectionShare, BusyConnections)> {
        let first = BusyConnections::default();
        let pool = |index: usize| {
            let mut others = shares.to_vec();
            let own = others.remove(index);
            (ConnectionShare { own, others }, first.of_another_pool())
        };
        (0..shares.len()).map(pool).collect()
    }

    #[test]
    fn a_pool_without_others_has_all() {
        let (share, busy) = (ConnectionShare::default(), BusyConnections::default());
        assert!((0..7).all(|_| busy.take(share.limits(7)) == Some(Taken::Own)));
        assert_eq!(busy.take(share.limits(7)), None);
    }

    #[test]
    fn its_own_come_first_and_what_is_given_back_can_be_taken_again() {
        let pools = pools(&[25.0, 25.0]);
        let (share, busy) = &pools[0];
        let taken: Vec<_> = (0..9).map(|_| busy.take(share.limits(8))).collect();
        let (own, common) = (Some(Taken::Own), Some(Taken::Common));
        assert_eq!(taken, [own, own, common, common, common, common, None, None, None]);
        busy.give_back(Taken::Own);
        assert_eq!((busy.take(share.limits(8)), busy.take(share.limits(8))), (own, None));
    }

    proptest! {
        /// However many others take all that they can get, a pool has its share, and all together have no more than
        /// there are.
        #[test]
        fn each_pool_has_its_share(
            weights in proptest::collection::vec(0_u32..100, 1..20),
            common in 0_u32..100,
            max_connections in 1_000_usize..20_000,
        ) {
            let sum = f64::from(weights.iter().sum::<u32>() + common).max(1.0);
            let shares: Vec<_> = weights.iter().map(|weight| 100.0 * f64::from(*weight) / sum).collect();
            let pools = pools(&shares);
            let (last, others) = pools.split_last().expect("one at least");
            let greedy = |(share, busy): &(ConnectionShare, BusyConnections)| {
                std::iter::from_fn(|| busy.take(share.limits(max_connections))).count()
            };
            let theirs: usize = others.iter().map(greedy).sum();
            let own = greedy(last);
            prop_assert!(own >= (max_connections as f64 * last.0.own / 100.0) as usize, "{own} {last:?}");
            prop_assert!(theirs + own <= max_connections + pools.len(), "{theirs} {own}");
        }
    }
}
