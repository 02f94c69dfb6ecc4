//! A replica as the data plane sees it: an address, whether it may be picked, and its counters.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam::utils::CachePadded;

use super::lanes::{Lane, Lanes};
use super::latency::{Latencies, LatencyCounts};
use super::load::{Load, RetryPermit};
use super::outcome::{FailureKind, Outcome, OutcomeQueue};
use super::slow_start::{self, SlowStart};

/// One incarnation of a replica. Shared by successive snapshots, so that its counters and its
/// health survive a rebuild of the ring; a replacement is a new endpoint with the old number.
#[derive(Debug)]
pub struct Endpoint {
    /// Unique among all endpoints of this process, never re-used: keys the connection pools.
    pub id: u64,
    /// Name shown to users.
    pub name: String,
    /// Number on the ring.
    pub number: u32,
    /// Where it takes requests.
    pub address: SocketAddr,
    /// What it is called, with its port: its host name where others run it, else its address.
    pub host: Arc<str>,
    load: Arc<Load>,
    /// Set once, when it drains.
    leaves: OnceLock<Instant>,
    slow_start: SlowStart,
    /// How long its responses took, once somebody has wanted to know.
    latencies: OnceLock<Box<LatencyCounts>>,
    counts: Lanes<Counts>,
    hot: CachePadded<Hot>,
}

/// The id of the next endpoint. One counter for the process: endpoints of different pools never
/// share a connection. Relaxed: all that matters is that no two get the same.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What each request counts, for each worker.
#[derive(Debug, Default)]
struct Counts {
    /// Requests ever begun, and those of them that have ended. The difference is in flight: one
    /// counter less to change for each request than with one for that.
    begun: AtomicU64,
    ended: AtomicU64,
    /// By the first digit of the status, less one; the last for what is no status.
    responses: [AtomicU64; 6],
}

/// What each request looks at, and few change.
#[derive(Debug, Default)]
struct Hot {
    /// Requests, and responses under way, that failed at it.
    failures: AtomicU64,
    /// Why it is not picked as others are; 0 if it is.
    gate: AtomicU8,
    /// Failures that count against it since the last request that went well.
    streak: AtomicU32,
    /// All of those.
    strikes: AtomicU64,
    /// Whether the supervisor was told of the streak and has not looked at it.
    told: AtomicBool,
    /// Whether a request of its half-open trial is under way.
    on_trial: AtomicBool,
    /// Whether the times of its responses are counted.
    is_measured: AtomicBool,
}

/// Bits of [`Hot::gate`]: its heartbeats are bad.
const DOWN: u8 = 1;
/// Its requests failed: it is ejected.
const EJECTED: u8 = 2;
/// It was, and gets one request at a time.
const HALF_OPEN: u8 = 4;
/// It has just come, and does not take all of its keys yet.
const WARMING: u8 = 8;

/// How real requests went at a replica, as far as that decides whether it gets more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Standing {
    /// Well enough.
    #[default]
    Good,
    /// Badly: it gets none.
    Ejected,
    /// Badly, a while ago: it gets one at a time, until these have shown how it is.
    HalfOpen,
}

impl Endpoint {
    /// An endpoint that may be picked, with all counters at zero.
    pub fn new(name: String, number: u32, address: SocketAddr, load: Arc<Load>) -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Self {
            id,
            name,
            number,
            address,
            host: address.to_string().into(),
            load,
            leaves: OnceLock::new(),
            slow_start: SlowStart::new(),
            latencies: OnceLock::new(),
            counts: Lanes::new(),
            hot: CachePadded::default(),
        }
    }

    /// The same, called `host`.
    #[must_use]
    pub fn called(mut self, host: Arc<str>) -> Self {
        self.host = host;
        self
    }

    /// Whether requests may be sent to it. Relaxed: a reader that sees the old value for some
    /// nanoseconds is a reader that came a little earlier.
    pub fn is_up(&self) -> bool {
        self.hot.gate.load(Ordering::Relaxed) & !WARMING == 0
    }

    /// Whether it is up and takes all of its keys.
    pub(super) fn is_open(&self) -> bool {
        self.hot.gate.load(Ordering::Relaxed) == 0
    }

    /// Whether it takes the request of this key, where it is up: not all while it is warming up.
    pub(super) fn takes(&self, key: u64) -> bool {
        if self.hot.gate.load(Ordering::Relaxed) & WARMING == 0 {
            return true;
        }
        let Some(share) = self.slow_start.share() else {
            self.set_gate(WARMING, 0);
            return true;
        };
        slow_start::takes(key, share)
    }

    /// It takes a growing share of its keys for so long, of which some has `passed`. For the supervisor.
    pub fn warm_up(&self, takes: Duration, passed: Duration) {
        if takes > passed {
            self.slow_start.begin(takes, passed);
            self.set_gate(WARMING, WARMING);
        }
    }

    /// Whether its heartbeats are good. It is up only if its [`Standing`] is good too.
    pub fn is_healthy(&self) -> bool {
        self.hot.gate.load(Ordering::Relaxed) & DOWN == 0
    }

    /// Its heartbeats are good, or they are not. For the supervisor.
    pub fn set_up(&self, up: bool) {
        let was_down = self.set_gate(DOWN, if up { 0 } else { DOWN }) & DOWN != 0;
        if !up && !was_down {
            self.load.ejected();
        }
    }

    /// How real requests go at it. For the supervisor.
    pub fn set_standing(&self, standing: Standing) {
        self.hot.streak.store(0, Ordering::Relaxed);
        let bits = match standing {
            Standing::Good => 0,
            Standing::Ejected => EJECTED,
            Standing::HalfOpen => HALF_OPEN,
        };
        self.set_gate(EJECTED | HALF_OPEN, bits);
    }

    /// How real requests go at it.
    pub fn standing(&self) -> Standing {
        match self.hot.gate.load(Ordering::Relaxed) & (EJECTED | HALF_OPEN) {
            0 => Standing::Good,
            HALF_OPEN => Standing::HalfOpen,
            _ => Standing::Ejected,
        }
    }

    /// Replaces the bits in `mask`; returns all that there were.
    fn set_gate(&self, mask: u8, bits: u8) -> u8 {
        let changed = |gate| Some(gate & !mask | bits);
        self.hot
            .gate
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed)
            .unwrap_or_else(|unchanged| unchanged)
    }

    /// It is in no snapshot any more, and is stopped at this time at the latest. For the supervisor.
    pub fn leave(&self, until: Instant) {
        // It leaves once; what is still under way keeps to the first time.
        let _ = self.leaves.set(until);
    }

    /// When it is stopped at the latest, if it is to be.
    pub fn leaves(&self) -> Option<Instant> {
        self.leaves.get().copied()
    }

    /// Requests being forwarded to it at this moment.
    pub fn in_flight(&self) -> u64 {
        // Acquire pairs with the Release of `InFlight::drop`: who reads zero while draining
        // also sees everything the last request did. It also keeps the order of the loads: what
        // has begun is read last, so that it is never less than what has ended, and a request that
        // is in flight at both loads is never missed.
        let ended = self.counts.sum(|counts| counts.ended.load(Ordering::Acquire));
        self.requests().saturating_sub(ended)
    }

    /// Requests ever forwarded to it.
    pub fn requests(&self) -> u64 {
        self.counts.sum(|counts| counts.begun.load(Ordering::Relaxed))
    }

    /// Responses it gave, by class: `1xx` to `5xx`, and those with a status outside of these.
    pub fn responses(&self) -> [u64; 6] {
        std::array::from_fn(|class| self.counts.sum(|counts| counts.responses[class].load(Ordering::Relaxed)))
    }

    /// Counts a response with this status, whose head came `after` so long.
    pub fn responded(&self, status: u16, after: Duration) {
        if self.hot.is_measured.load(Ordering::Relaxed)
            && let Some(latencies) = self.latencies.get()
        {
            latencies.count(after);
        }
        // The first digit less one, and 5 for all that is below 100 or above 599.
        let class = usize::from(status / 100).wrapping_sub(1).min(5);
        let lane = Lane::of_this_thread();
        lane.add(&self.counts.of(lane).responses[class], 1, Ordering::Relaxed);
    }

    /// Has the times of its responses counted, or not any more. For the supervisor.
    pub fn measure(&self, whether: bool) {
        if whether {
            self.latencies.get_or_init(|| Box::new(LatencyCounts::new()));
        }
        self.hot.is_measured.store(whether, Ordering::Relaxed);
    }

    /// How long its responses took that were counted.
    pub fn latencies(&self) -> Latencies {
        self.latencies.get().map_or_else(Latencies::default, |counts| counts.read())
    }

    /// Requests, and responses under way, that failed at it.
    pub fn failures(&self) -> u64 {
        self.hot.failures.load(Ordering::Relaxed)
    }

    /// Counts one of those.
    pub fn failed(&self) {
        self.hot.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that have ended, and failures that count against it.
    pub fn experience(&self) -> (u64, u64) {
        (
            self.counts.sum(|counts| counts.ended.load(Ordering::Relaxed)),
            self.hot.strikes.load(Ordering::Relaxed),
        )
    }

    /// Failures that count against it since the last request that went well. The next one is reported
    /// again. For the supervisor.
    pub fn take_streak(&self) -> u32 {
        self.hot.told.store(false, Ordering::Relaxed);
        self.hot.streak.load(Ordering::Relaxed)
    }

    /// Requests in flight to all endpoints that share this one's [`Load`].
    pub fn total_in_flight(&self) -> u64 {
        self.load.in_flight()
    }

    /// How often one of all endpoints that share this one's [`Load`] was taken out of the choice.
    pub fn ejections(&self) -> u64 {
        self.load.ejections()
    }

    /// Takes a retry out of the budget of all endpoints that share this one's [`Load`].
    pub fn try_retry(&self) -> Option<RetryPermit> {
        self.load.try_retry()
    }

    /// Counts a request as in flight until the guard drops.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.enter(false)
    }

    /// The same unless `cap` requests are in flight already, over all workers; `u64::MAX` for no cap.
    #[inline]
    pub fn begin_below(self: &Arc<Self>, cap: u64) -> Option<InFlight> {
        if cap == u64::MAX {
            return Some(self.begin());
        }
        self.reserve(cap).then(|| self.enter_counted(Lane::SHARED, false))
    }

    /// Counts a request as begun, if fewer than `cap` are in flight. Never more are: those that have a cap
    /// are counted in one place, what has ended is read first, and only grows until the count of those begun
    /// is exchanged. Others, of before the cap, become fewer.
    #[inline(never)]
    fn reserve(&self, cap: u64) -> bool {
        let shared = self.counts.of(Lane::SHARED);
        loop {
            let ended = self.counts.sum(|counts| counts.ended.load(Ordering::Acquire));
            let begun = shared.begun.load(Ordering::Relaxed);
            let others = self.counts.sum_of_own(|counts| counts.begun.load(Ordering::Relaxed));
            if (begun + others).saturating_sub(ended) >= cap {
                return false;
            }
            let next = begun + 1;
            if shared.begun.compare_exchange(begun, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return true;
            }
        }
    }

    #[inline]
    fn enter_counted(self: &Arc<Self>, lane: Lane, is_trial: bool) -> InFlight {
        self.load.enter(lane);
        InFlight { endpoint: Arc::clone(self), lane, is_trial, of_this_thread: PhantomData }
    }

    #[inline]
    fn enter(self: &Arc<Self>, is_trial: bool) -> InFlight {
        let lane = Lane::of_this_thread();
        lane.add(&self.counts.of(lane).begun, 1, Ordering::Relaxed);
        self.enter_counted(lane, is_trial)
    }

    /// [`Endpoint::begin_below`] for a request of its half-open trial, if that is due and has none under way.
    pub fn begin_trial(self: &Arc<Self>, cap: u64) -> Option<InFlight> {
        let is_due = self.hot.gate.load(Ordering::Relaxed) & !WARMING == HALF_OPEN;
        if !is_due || self.hot.on_trial.swap(true, Ordering::Relaxed) {
            return None;
        }
        if cap == u64::MAX {
            return Some(self.enter(true));
        }
        if !self.reserve(cap) {
            self.hot.on_trial.store(false, Ordering::Relaxed);
            return None;
        }
        Some(self.enter_counted(Lane::SHARED, true))
    }

    /// What all endpoints that share it count together.
    pub fn load(&self) -> &Arc<Load> {
        &self.load
    }
}

/// Keeps one request counted as in flight on its endpoint.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
    lane: Lane,
    is_trial: bool,
    /// It ends on the thread that counted it, the only one that changes the counters of its lane.
    of_this_thread: PhantomData<*const ()>,
}

impl InFlight {
    /// Where the request goes.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Whether the request is one of the half-open trial of its endpoint.
    pub fn is_trial(&self) -> bool {
        self.is_trial
    }

    /// Whether anybody wants to know that the request went well.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.is_trial || self.endpoint.hot.streak.load(Ordering::Relaxed) != 0
    }

    /// The request went well; of a trial the supervisor is told.
    #[cold]
    pub fn went_well(&self, outcomes: &OutcomeQueue) {
        self.endpoint.hot.streak.store(0, Ordering::Relaxed);
        if self.is_trial {
            outcomes.report(Outcome { endpoint: self.endpoint.id, kind: None, is_trial: true });
        }
    }

    /// The request failed in a way that counts against its endpoint. The supervisor is told of each
    /// failed connection, and of other failures if it has looked at those before.
    #[cold]
    pub fn went_wrong(&self, kind: FailureKind, outcomes: &OutcomeQueue) {
        let hot = &self.endpoint.hot;
        hot.strikes.fetch_add(1, Ordering::Relaxed);
        hot.streak.fetch_add(1, Ordering::Relaxed);
        let was_told = hot.told.swap(true, Ordering::Relaxed);
        if was_told && !self.is_trial && kind == FailureKind::Status {
            return;
        }
        let outcome = Outcome { endpoint: self.endpoint.id, kind: Some(kind), is_trial: self.is_trial };
        if !outcomes.report(outcome) {
            hot.told.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.is_trial {
            self.endpoint.hot.on_trial.store(false, Ordering::Relaxed);
        }
        let ended = &self.endpoint.counts.of(self.lane).ended;
        self.lane.add(ended, 1, Ordering::Release);
        self.endpoint.load.leave(self.lane);
    }
}
