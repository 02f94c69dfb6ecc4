//! What the outside may know of the cluster: a copy the supervisor publishes after each change.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use super::deploy::DeployView;
use crate::cluster::{Endpoint, Load, Routing};
use crate::ring::Ring;
use crate::runtime::Revision;

/// Where a replica is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Asked for; no good heartbeat yet.
    Starting,
    /// On the ring and healthy.
    Ready,
    /// On the ring, but not picked, for ill health.
    Ejected,
    /// Off the ring; its last requests are being answered.
    Draining,
    /// Being stopped, or gone.
    Stopped,
}

impl State {
    /// The name in lower case, as the API shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Ejected => "ejected",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One replica.
#[derive(Clone, Debug)]
pub struct ReplicaView {
    /// Number on the ring.
    pub number: u32,
    /// Name.
    pub name: String,
    /// Where it takes requests, once known.
    pub address: Option<SocketAddr>,
    /// What an operator knows it by, such as `pid 4711`, once known.
    pub instance: Option<String>,
    /// Where it is in its life.
    pub state: State,
    /// Why it is not ready, or how its last incarnations ended; empty when all is well.
    pub note: String,
    /// How many of its number have failed in a row.
    pub failures: u32,
    /// 0 to 100.
    pub weight: u8,
    /// The weight it had when it was given 0; `None` while it has another.
    pub drained_from: Option<u8>,
    /// Slots it owns.
    pub slots: u32,
    /// Share of all slots, 0 to 1.
    pub share: f64,
    /// What it runs, or will.
    pub revision: Arc<Revision>,
    /// Live counters, once it is on the ring.
    pub endpoint: Option<Arc<Endpoint>>,
}

/// Replicas in ascending number. Views that follow each other share what has not changed.
#[derive(Clone, Debug, Default)]
pub struct ReplicaViews {
    list: Vec<Arc<ReplicaView>>,
    ready: usize,
    undecided: usize,
    starting: usize,
}

impl ReplicaViews {
    /// Shows the replica of a number, or none any more.
    pub(super) fn set(&mut self, number: u32, view: Option<ReplicaView>) {
        let view = view.map(Arc::new);
        if let Some(view) = &view {
            self.count(view, 1);
        }
        match (self.list.binary_search_by_key(&number, |view| view.number), view) {
            (Ok(index), Some(view)) => {
                let before = std::mem::replace(&mut self.list[index], view);
                self.count(&before, -1);
            }
            (Ok(index), None) => {
                let before = self.list.remove(index);
                self.count(&before, -1);
            }
            (Err(index), Some(view)) => self.list.insert(index, view),
            (Err(_), None) => {}
        }
    }

    fn count(&mut self, view: &ReplicaView, change: isize) {
        if view.state == State::Ready && view.weight > 0 {
            self.ready = self.ready.saturating_add_signed(change);
        }
        if view.state == State::Starting {
            self.starting = self.starting.saturating_add_signed(change);
        }
        if view.state == State::Starting && view.failures == 0 {
            self.undecided = self.undecided.saturating_add_signed(change);
        }
    }
}

impl Deref for ReplicaViews {
    type Target = [Arc<ReplicaView>];

    fn deref(&self) -> &Self::Target {
        &self.list
    }
}

impl FromIterator<ReplicaView> for ReplicaViews {
    /// Of replicas in ascending number.
    fn from_iter<T: IntoIterator<Item = ReplicaView>>(replicas: T) -> Self {
        let mut views = Self::default();
        for view in replicas {
            views.count(&view, 1);
            views.list.push(Arc::new(view));
        }
        views
    }
}

/// The cluster at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// All replicas that there are: also those of an unfinished `/add`, and those that leave.
    pub present: usize,
    /// Version of the published snapshot.
    pub version: u64,
    /// The ring in force.
    pub ring: Arc<Ring>,
    /// Key and bound in force.
    pub routing: Routing,
    /// The members in ascending number: those on the ring in force and those that take a dead
    /// one's place. Neither replicas of an unfinished `/add` nor those that are off the ring.
    pub replicas: ReplicaViews,
    /// Whether the balancer is stopping.
    pub stopping: bool,
    /// Requests in flight over all replicas, and the retry budget.
    pub load: Arc<Load>,
    /// Why replicas can neither be added nor removed at the moment, if they cannot.
    pub outage: Option<String>,
    /// The deploy that is under way, or the last one.
    pub deploy: Option<Arc<DeployView>>,
}

impl View {
    /// Replicas that take requests at this moment.
    pub fn ready(&self) -> usize {
        self.replicas.ready
    }

    /// Replicas that start, or are about to be started again.
    pub fn starting(&self) -> usize {
        self.replicas.starting
    }

    /// Replicas of which nothing is known yet: they start, and have not failed.
    pub fn undecided(&self) -> usize {
        self.replicas.undecided
    }
}
