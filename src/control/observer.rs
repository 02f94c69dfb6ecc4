//! What the control plane does, told to its observers: the log, the journal, the counters.
//! Decides nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::deploy::{DeployState, DeployView};
use super::pool::{Change, Event, Verdict};
use super::transition::{ExitCause, Transition};
use crate::runtime::RuntimeEvent;
use crate::telemetry::upkeep::Heartbeat;
use crate::telemetry::{Journal, Upkeep};

/// Where the control plane tells what it does.
#[derive(Clone, Debug)]
pub struct Observer {
    /// What happened.
    pub journal: Journal,
    /// How often.
    pub upkeep: Arc<Upkeep>,
    /// The pool that it is about.
    pool: Arc<str>,
}

/// What a lone pool is called, which says nothing.
const LONE: &str = "default";

impl Default for Observer {
    fn default() -> Self {
        Self { journal: Journal::default(), upkeep: Arc::default(), pool: LONE.into() }
    }
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Published {
    pub(super) version: u64,
    pub(super) replicas: usize,
    /// Slots whose owner changed, where the rings can be compared.
    pub(super) slots_moved: Option<u32>,
    /// The same as a share of all keys, where those are hashed as before.
    pub(super) keys_moved: Option<f64>,
    pub(super) peak_to_average: f64,
    /// How long the ring took, if it was built.
    pub(super) build_seconds: Option<f64>,
}

#[derive(Serialize)]
struct PublishFacts<'a> {
    pool: &'a str,
    #[serde(flatten)]
    published: &'a Published,
}

#[derive(Serialize)]
struct ReplicaFacts<'a> {
    pool: &'a str,
    replica: &'a str,
    number: u32,
    event: &'static str,
    state: &'static str,
    reason: &'a str,
    address: Option<SocketAddr>,
}

#[derive(Serialize)]
struct DeployFacts<'a> {
    pool: &'a str,
    id: u64,
    from: &'a str,
    to: &'a str,
    state: &'static str,
    /// Numbers that the new revision serves, of all.
    served: usize,
    total: usize,
    reason: &'a str,
}

#[derive(Serialize)]
struct OutageFacts<'a> {
    pool: &'a str,
    available: bool,
    reason: &'a str,
}

impl Observer {
    /// For what is about the pool of this name, which is told in `journal`.
    pub fn of_pool(name: &str, journal: Journal) -> Self {
        Self { journal, upkeep: Arc::default(), pool: name.into() }
    }

    /// The pool in log lines, where there may be others.
    pub(super) fn shown(&self) -> Option<&str> {
        Some(&*self.pool).filter(|pool| *pool != LONE)
    }

    /// Before the pool takes an event in.
    pub(super) fn event(&self, event: &Event) {
        match event {
            Event::Runtime(RuntimeEvent::Unavailable { reason }) => {
                tracing::warn!(pool = self.shown(), reason, "replicas can neither be started nor stopped");
                self.journal.record("outage", &OutageFacts { pool: &self.pool, available: false, reason });
            }
            Event::Runtime(RuntimeEvent::Available) => {
                tracing::info!(pool = self.shown(), "replicas can be started and stopped");
                self.journal.record("outage", &OutageFacts { pool: &self.pool, available: true, reason: "" });
            }
            Event::TrialEnded { went_well, .. } => self.upkeep.trial_ended(*went_well),
            Event::Heartbeat(_, verdict) => self.upkeep.heartbeat(match verdict {
                Verdict::Good => Heartbeat::Good,
                Verdict::Bad(_) | Verdict::NoAnswer(_) => Heartbeat::Bad,
                Verdict::Unknown(_) => Heartbeat::Unsent,
            }),
            _ => {}
        }
    }

    pub(super) fn change(&self, change: &Change) {
        let Change { name, number, id, transition, address, reason } = change;
        let (id, state) = (id.map(|id| id.0), transition.state());
        let (pool, shown) = (self.shown(), address.map(tracing::field::display));
        let what = match transition {
            Transition::Died(ExitCause::StartFailed | ExitCause::NotReady) => "failed to start",
            Transition::Died(_) => "died",
            _ => state.as_str(),
        };
        if matches!(transition, Transition::Ejected | Transition::Outlier(_) | Transition::Died(_)) {
            tracing::warn!(pool, replica = %name, number, id, %state, address = shown, reason, "replica {what}");
        } else {
            tracing::info!(pool, replica = %name, number, id, %state, address = shown, reason, "replica {what}");
        }
        if let Transition::Starting(Some(cause)) = transition {
            self.upkeep.restarted(cause.as_str());
        }
        if let Transition::Outlier(cause) = transition {
            self.upkeep.ejected(*cause as usize);
        }
        let (number, address, event) = (*number, *address, transition.as_str());
        let (pool, state) = (&*self.pool, state.as_str());
        let facts = ReplicaFacts { pool, replica: name, number, event, state, reason, address };
        self.journal.record("replica", &facts);
    }

    /// How far a deploy has come.
    pub(super) fn deploy(&self, deploy: &DeployView) {
        let DeployView { id, from, to, reason, .. } = deploy;
        let state = deploy.state.as_str();
        let (served, total) = (deploy.served(), deploy.numbers.len());
        let pool = self.shown();
        if matches!(deploy.state, DeployState::Reverting | DeployState::Reverted) {
            tracing::warn!(pool, deploy = id, from, to, served, total, reason, "deploy {state}");
        } else {
            tracing::info!(pool, deploy = id, from, to, served, total, reason, "deploy {state}");
        }
        let facts = DeployFacts { pool: &self.pool, id: *id, from, to, state, served, total, reason };
        self.journal.record("deploy", &facts);
    }

    /// A replica at which requests fail was not ejected, because too few others would be left.
    pub(super) fn ejection_refused(&self, replica: &str, reason: &str, is_news: bool) {
        self.upkeep.ejection_refused();
        if is_news {
            tracing::warn!(
                pool = self.shown(),
                replica,
                reason,
                "replica is not ejected: too few others take requests (--outlier-max-ejection-percent)"
            );
        }
    }

    pub(super) fn published(&self, published: &Published) {
        let Published { version, replicas, slots_moved, keys_moved, build_seconds, .. } = *published;
        tracing::info!(pool = self.shown(), version, replicas, slots_moved, "published");
        let build = build_seconds.map(Duration::from_secs_f64);
        self.upkeep.published(slots_moved, keys_moved, build);
        self.journal.record("publish", &PublishFacts { pool: &self.pool, published });
    }
}
