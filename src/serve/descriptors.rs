//! As many descriptors as this process may have, and no more connections than they allow.

use std::cell::{Cell, RefCell};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Error;
use crate::config::{Config, RuntimeKind};
use crate::proxy::{Io, ProxyConfig};
use crate::telemetry::Traffic;

/// Descriptors of a balancer without workers, replicas and clients: standard streams, listener of the
/// admin API, event queue, signals. Counted in a running one.
const BASE: u64 = 12;

/// Descriptors of a worker: its listener, event queue and timers, and the first of idle connections. One
/// more if it listens for TLS too.
const PER_WORKER: u64 = 5;

/// Descriptors of a worker's ring: its own, and the event that wakes the thread.
const PER_RING: u64 = 2;

/// Kept for what comes and goes: clients of the admin API, the engine, lookups of names, log files, and
/// the replicas of an `/add` while the limit on connections follows them.
const RESERVE: u64 = 52;

/// Descriptors per child process: three pipes and one to wait for it, a heartbeat, an idle connection
/// or two.
const PER_PROCESS: u64 = 8;

/// Descriptors per replica that is no child: a heartbeat, an idle connection or two.
const PER_OTHER: u64 = 3;

/// Clients that a balancer must have room for. Each may need a second connection, to a replica.
const LEAST_CLIENTS: u64 = 8;

/// How many descriptors there are, and what replicas need of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Budget {
    limit: u64,
    workers: u64,
    per_worker: u64,
    per_replica: u64,
}

impl Budget {
    fn new(limit: u64, config: &Config) -> Self {
        let has_children = config.pools().iter().any(|(_, pool)| pool.runtime == RuntimeKind::Process);
        let per_replica = if has_children { PER_PROCESS } else { PER_OTHER };
        let per_ring = if config.proxy.io == Io::Epoll { 0 } else { PER_RING };
        let per_worker = PER_WORKER + per_ring + u64::from(config.tls_listen.is_some());
        Self { limit, workers: config.workers as u64, per_worker, per_replica }
    }

    /// Descriptors without which a balancer of so many replicas cannot serve.
    fn least(&self, replicas: u32) -> u64 {
        self.fixed() + self.per_replica * u64::from(replicas) + 2 * LEAST_CLIENTS
    }

    /// How many clients there is room for beside so many replicas.
    fn room(&self, replicas: usize) -> usize {
        let taken = self.fixed() + RESERVE + self.per_replica.saturating_mul(replicas as u64);
        let clients = (self.limit.saturating_sub(taken) / 2).max(LEAST_CLIENTS);
        usize::try_from(clients).unwrap_or(usize::MAX)
    }

    fn fixed(&self) -> u64 {
        BASE + self.per_worker * self.workers
    }
}

/// The configuration of the data plane, with no more connections than descriptors allow beside the
/// replicas that exist.
pub(super) struct ConnectionLimit {
    budget: Budget,
    traffic: Traffic,
    configured: RefCell<ProxyConfig>,
    replicas: Cell<usize>,
    is_warned: Cell<bool>,
}

impl ConnectionLimit {
    /// Raises the soft limit on descriptors to the hard one.
    ///
    /// # Errors
    /// It is too low for the replicas to begin with.
    pub(super) fn new(config: &Config, traffic: Traffic) -> Result<Self, Error> {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // Where that is refused, the limit stays as it is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        // `None` is no limit at all.
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let budget = Budget::new(limit, config);
        let replicas = config.replicas();
        let needed = budget.least(replicas);
        if limit < needed {
            return Err(Error::Descriptors { limit, needed, replicas, workers: config.workers });
        }
        Ok(Self {
            budget,
            traffic,
            configured: RefCell::new(config.proxy.clone()),
            replicas: Cell::new(replicas as usize),
            is_warned: Cell::new(false),
        })
    }

    /// How many replicas are taken into account.
    pub(super) fn replicas(&self) -> usize {
        self.replicas.get()
    }

    /// There are so many from now on.
    pub(super) fn set_replicas(&self, replicas: usize) {
        self.replicas.set(replicas);
    }

    /// Another configuration is in force.
    pub(super) fn configure(&self, config: ProxyConfig) {
        self.configured.replace(config);
    }

    /// What the data plane may do as things are.
    pub(super) fn proxy(&self) -> ProxyConfig {
        let configured = self.configured.borrow().clone();
        let (wanted, room) = (configured.max_connections, self.budget.room(self.replicas.get()));
        if room < wanted && !self.is_warned.replace(true) {
            tracing::warn!(
                wanted,
                allowed = room,
                limit = self.budget.limit,
                replicas = self.replicas.get(),
                "--max-connections is lowered to what the limit on open files allows; raise that (ulimit -n)"
            );
        }
        let max_connections = wanted.min(room);
        self.traffic.limit_connections(max_connections);
        ProxyConfig { max_connections, ..configured }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limit: u64, per_replica: u64) -> Budget {
        Budget { limit, workers: 2, per_worker: PER_WORKER, per_replica }
    }

    #[test]
    fn each_client_may_need_a_second_connection() {
        assert_eq!(budget(1024, PER_PROCESS).room(64), (1024 - 12 - 10 - 52 - 512) / 2);
        assert_eq!(budget(u64::MAX, PER_PROCESS).room(64), usize::MAX / 2 - 293);
    }

    #[test]
    fn the_reserve_is_for_the_replicas_that_there_are() {
        let [few, many] = [256, 20_000].map(|limit| budget(limit, PER_PROCESS));
        assert_eq!((few.room(3), few.room(12)), (79, 43));
        assert_eq!((many.room(3), many.room(1000), many.room(4001)), (9951, 5963, 8));
        assert_eq!(budget(20_000, PER_OTHER).room(4001), 3961);
    }

    #[test]
    fn what_a_balancer_needs_at_least_depends_on_its_replicas() {
        assert_eq!((budget(0, PER_PROCESS).least(3), budget(0, PER_PROCESS).least(0)), (62, 38));
    }
}
