//! The one truth about where requests go: an immutable snapshot, published by one writer.
//!
//! Readers never lock and never wait. A worker's [`Reader`] keeps the snapshot it saw last and
//! compares one pointer per request; it gives the old one up on its next request or on the
//! worker's next tick ([`Reader::refresh`]), whichever comes first. So the retired snapshot of a pool that
//! nobody holds ([`Retired::is_released`]) proves that no request can still be routed by it:
//! the in-flight guard is taken inside the closure that reads the snapshot.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use arc_swap::{ArcSwap, Cache};

use super::PoolSnapshot;
use crate::routes::Routes;

/// All pools and the routes to them at one moment. One that follows shares what has not changed.
#[derive(Clone, Debug)]
pub struct Snapshot {
    routes: Option<Arc<Routes>>,
    pools: Vec<Arc<PoolSnapshot>>,
}

impl Snapshot {
    /// Which pool a request goes to; without any, all go to the first.
    #[inline]
    pub fn routes(&self) -> Option<&Routes> {
        self.routes.as_deref()
    }

    /// The pool of this index.
    ///
    /// # Panics
    /// When there is none. Pools are those of the configuration at the start, and keep their index.
    #[inline]
    pub fn pool(&self, index: usize) -> &PoolSnapshot {
        &self.pools[index]
    }

    /// All of them, by their index.
    pub fn pools(&self) -> &[Arc<PoolSnapshot>] {
        &self.pools
    }
}

/// The writing end: one per cluster, not `Clone`, owned by the control plane, which gives each pool's
/// supervisor its part.
#[derive(Debug)]
pub struct Publisher {
    current: Arc<ArcSwap<Snapshot>>,
}

impl Publisher {
    /// The writing end of the routes, and those of the pools by their index, one for each.
    pub fn split(self) -> (RoutePublisher, Vec<PoolPublisher>) {
        let pools = self.current.load().pools.len();
        let pools =
            (0..pools).map(|pool| PoolPublisher { current: Arc::clone(&self.current), pool }).collect();
        (RoutePublisher { current: self.current }, pools)
    }
}

/// The writing end of the routes: not `Clone`.
#[derive(Debug)]
pub struct RoutePublisher {
    current: Arc<ArcSwap<Snapshot>>,
}

impl RoutePublisher {
    /// Has all requests that come from now on go where `routes` say, which know as many pools as there are.
    pub fn publish(&mut self, routes: Option<Routes>) {
        let routes = routes.map(Arc::new);
        self.current.rcu(|before| Snapshot { routes: routes.clone(), pools: before.pools.clone() });
    }
}

/// The writing end of one pool: not `Clone`, owned by its supervisor.
#[derive(Debug)]
pub struct PoolPublisher {
    current: Arc<ArcSwap<Snapshot>>,
    pool: usize,
}

impl PoolPublisher {
    /// Makes `next` what the pool is for all requests that come from now on. The other pools stay as they are,
    /// also if they publish at the same time.
    pub fn publish(&mut self, next: PoolSnapshot) -> Retired {
        let next = Arc::new(next);
        let before = self.current.rcu(|before| {
            let mut snapshot = Snapshot::clone(before);
            snapshot.pools[self.pool] = Arc::clone(&next);
            snapshot
        });
        Retired(Arc::clone(&before.pools[self.pool]))
    }
}

/// What a pool was before the last publication.
#[derive(Debug)]
pub struct Retired(Arc<PoolSnapshot>);

impl Retired {
    /// Whether no worker can route by it any more.
    pub fn is_released(&self) -> bool {
        // Once unpublished the count only falls: a reader copies the pointer of a snapshot from the
        // publication, never from another reader, and a publisher copies pools from there as well.
        let released = Arc::strong_count(&self.0) == 1;
        // `strong_count` is a relaxed load. The fence makes the in-flight counts that the last
        // holder raised before letting go visible to the drain that reads them next.
        fence(Ordering::Acquire);
        released
    }
}

/// Makes readers for workers.
#[derive(Clone, Debug)]
pub struct Readers {
    current: Arc<ArcSwap<Snapshot>>,
}

impl Readers {
    /// A reader for one thread.
    pub fn reader(&self) -> Reader {
        Reader { cache: RefCell::new(Cache::new(Arc::clone(&self.current))) }
    }
}

/// The reading end of one worker.
#[derive(Debug)]
pub struct Reader {
    cache: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
}

impl Reader {
    /// Reads the current snapshot in a synchronous closure: nothing of it can be held across
    /// an await.
    #[inline]
    pub fn with<R>(&self, read: impl FnOnce(&Snapshot) -> R) -> R {
        read(self.cache.borrow_mut().load())
    }

    /// Reads one pool of it.
    ///
    /// # Panics
    /// When there is no pool of this index.
    #[inline]
    pub fn with_pool<R>(&self, index: usize, read: impl FnOnce(&PoolSnapshot) -> R) -> R {
        self.with(|snapshot| read(snapshot.pool(index)))
    }

    /// Gives up a retired snapshot. Called on each tick of the worker, so that a worker without
    /// requests does not hold up a drain.
    pub fn refresh(&self) {
        self.cache.borrow_mut().load();
    }
}

/// A cluster whose pools begin like this, without routes: its single writer, and the source of its readers.
pub fn cluster(pools: Vec<PoolSnapshot>) -> (Publisher, Readers) {
    let snapshot = Snapshot { routes: None, pools: pools.into_iter().map(Arc::new).collect() };
    let current = Arc::new(ArcSwap::from_pointee(snapshot));
    (Publisher { current: Arc::clone(&current) }, Readers { current })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Routing;
    use crate::ring::{Params, Ring};

    fn pool(version: u64) -> PoolSnapshot {
        let ring = Ring::build(&Params::default(), &[]).expect("it fits");
        PoolSnapshot::new(version, Arc::new(ring), Vec::new(), Routing::default())
    }

    fn versions(reader: &Reader) -> Vec<u64> {
        reader.with(|snapshot| snapshot.pools().iter().map(|pool| pool.version()).collect())
    }

    #[test]
    fn a_change_of_one_pool_shares_the_others() {
        let (publisher, readers) = cluster(vec![pool(0), pool(0), pool(0)]);
        let (mut routes, mut publishers) = publisher.split();
        let reader = readers.reader();
        let others = reader.with(|snapshot| [0, 2].map(|index| Arc::clone(&snapshot.pools()[index])));
        publishers[1].publish(pool(7));
        assert_eq!(versions(&reader), [0, 7, 0]);
        reader.with(|snapshot| {
            assert!(
                Arc::ptr_eq(&snapshot.pools()[0], &others[0])
                    && Arc::ptr_eq(&snapshot.pools()[2], &others[1])
            );
        });
        publishers[0].publish(pool(3));
        assert_eq!(versions(&reader), [3, 7, 0]);
        assert_eq!(reader.with_pool(1, PoolSnapshot::version), 7);
        routes.publish(Some(Routes::to_one_pool()));
        publishers[0].publish(pool(4));
        assert_eq!(versions(&reader), [4, 7, 0]);
        assert!(reader.with(|snapshot| snapshot.routes().is_some()));
    }

    #[test]
    fn a_pool_is_released_when_no_reader_holds_a_snapshot_with_it() {
        let (publisher, readers) = cluster(vec![pool(0), pool(0)]);
        let mut publishers = publisher.split().1;
        let reader = readers.reader();
        reader.refresh();
        // The snapshot that the reader holds has both pools as they were; so has the one in between pool 1.
        let second = publishers[1].publish(pool(1));
        let first = publishers[0].publish(pool(1));
        assert!(!second.is_released() && !first.is_released());
        reader.refresh();
        assert!(second.is_released() && first.is_released());
    }

    #[test]
    fn pools_that_publish_at_once_lose_nothing() {
        const EACH: u64 = 200;
        let (publisher, readers) = cluster((0..4).map(|_| pool(0)).collect());
        std::thread::scope(|scope| {
            for mut publisher in publisher.split().1 {
                scope.spawn(move || (1..=EACH).for_each(|version| _ = publisher.publish(pool(version))));
            }
        });
        assert_eq!(versions(&readers.reader()), [EACH; 4]);
    }
}
