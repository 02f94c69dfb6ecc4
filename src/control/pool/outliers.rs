//! Outlier detection, or passive ejection: a replica at which real requests fail gets none for a while,
//! whatever its heartbeats say. Then it is half-open: it gets one request at a time, and these decide
//! whether it is back or has to wait for longer.
//!
//! It keeps its place on the ring, so that no key of another replica moves; and it is never stopped or
//! replaced for this, which only heartbeats decide. Both reasons stand beside each other: a replica takes
//! requests if neither holds.
//!
//! ```text
//!  Good ──failures in a row, success rate──► Ejected ──back-off──► HalfOpen ──TRIALS good──► Good
//!   ▲                                          ▲  │                   │
//!   └────── too few others take requests ──────┼──┴───────────────────┤
//!                                              └───────one failed─────┘ twice the back-off
//! ```

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fxhash::FxHashSet;

use super::life::in_words;
use super::members::{Member, Phase};
use super::success_rate::{self, Sample};
use super::{Action, Pool};
use crate::cluster::Standing;
use crate::control::transition::EjectionCause;
use crate::control::{OutlierConfig, Transition};
use crate::runtime::ReplicaId;

/// Requests that have to go well, one after another, before a replica is back.
pub(super) const TRIALS: u32 = 3;

/// How often a refused ejection is looked at again.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// How often it is told of one replica.
const REFUSAL_TOLD_AGAIN: Duration = Duration::from_secs(300);

/// How real requests go at one instance.
#[derive(Clone, Debug, Default)]
pub(in crate::control::pool) struct Outlier {
    stage: Stage,
    /// Ejections that did not help yet.
    ejections: u32,
    /// How long the last one lasted, and when the replica was back.
    last: Option<(Duration, Instant)>,
    /// Why; empty while all is well.
    reason: String,
    /// When an ejection was refused last, and when that was told.
    refused: Option<(Instant, Instant)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Good,
    Ejected {
        until: Instant,
    },
    HalfOpen {
        passed: u32,
    },
}

/// What follows from a request of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterTrial {
    /// It was not on trial.
    Nothing,
    /// Another one decides.
    Again,
    /// It is back.
    Back,
    /// It has to wait for so long.
    Ejected(Duration),
}

impl Outlier {
    /// What the data plane is to do with it.
    pub(in crate::control::pool) fn standing(&self) -> Standing {
        match self.stage {
            Stage::Good => Standing::Good,
            Stage::Ejected { .. } => Standing::Ejected,
            Stage::HalfOpen { .. } => Standing::HalfOpen,
        }
    }

    /// Why it gets no requests, or few; empty if it gets all.
    pub(in crate::control::pool) fn note(&self) -> String {
        match self.stage {
            Stage::Good => String::new(),
            Stage::Ejected { .. } => self.reason.clone(),
            Stage::HalfOpen { .. } => format!("half-open; ejected before: {}", self.reason),
        }
    }

    /// When its trial begins.
    fn until(&self) -> Option<Instant> {
        let Stage::Ejected { until } = self.stage else { return None };
        Some(until)
    }

    /// It is ejected now; returns for how long. One that was back for as long as it had been ejected
    /// begins anew.
    fn eject(&mut self, reason: String, config: &OutlierConfig, now: Instant) -> Duration {
        if self.stage == Stage::Good && self.last.is_some_and(|(lasted, back)| now >= back + lasted) {
            self.ejections = 0;
        }
        let doubled = 1_u32.checked_shl(self.ejections).unwrap_or(u32::MAX);
        let pause = config.base_ejection_time.saturating_mul(doubled);
        let pause = pause.min(config.max_ejection_time.max(config.base_ejection_time));
        self.ejections = (self.ejections + 1).min(31);
        self.last = Some((pause, now));
        self.reason = reason;
        self.refused = None;
        self.stage = Stage::Ejected { until: now + pause };
        pause
    }

    fn begin_trial(&mut self) {
        self.stage = Stage::HalfOpen { passed: 0 };
    }

    fn tried(&mut self, went_well: bool, config: &OutlierConfig, now: Instant) -> AfterTrial {
        match self.stage {
            Stage::HalfOpen { passed } if went_well && passed + 1 < TRIALS => {
                self.stage = Stage::HalfOpen { passed: passed + 1 };
                AfterTrial::Again
            }
            Stage::HalfOpen { .. } if went_well => {
                self.back(now);
                AfterTrial::Back
            }
            Stage::HalfOpen { .. } => {
                AfterTrial::Ejected(self.eject("a request of its trial failed".to_owned(), config, now))
            }
            Stage::Good | Stage::Ejected { .. } => AfterTrial::Nothing,
        }
    }

    /// It takes requests as others do.
    fn back(&mut self, now: Instant) {
        self.stage = Stage::Good;
        self.reason.clear();
        if let Some((_, back)) = &mut self.last {
            *back = now;
        }
    }

    /// It cannot be ejected; returns whether that is to be told.
    fn refuse(&mut self, now: Instant) -> bool {
        let told = self.refused.map(|(_, told)| told).filter(|&told| now < told + REFUSAL_TOLD_AGAIN);
        self.refused = Some((now, told.unwrap_or(now)));
        told.is_none()
    }

    fn was_refused_just_now(&self, now: Instant) -> bool {
        self.refused.is_some_and(|(at, _)| now < at + REFUSED_PAUSE)
    }
}

/// Who can be ejected, and who is. Kept up to date with the members that were touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outliers {
    /// On the ring, with weight, and their heartbeats are good.
    healthy: FxHashSet<u32>,
    /// Those of them that do not take requests as others do.
    out: BTreeSet<u32>,
}

impl Outliers {
    /// Takes in how a member is now.
    fn renew(&mut self, number: u32, member: Option<&Member>) {
        let is_in_force = |member: &Member| member.listed.as_ref().is_some_and(|listed| listed.in_force);
        let is_healthy = |member: &&Member| member.is_listed() && is_in_force(member) && member.is_ready();
        let healthy = member.filter(is_healthy).filter(|member| member.weight > 0);
        if healthy.is_some() {
            self.healthy.insert(number);
        } else {
            self.healthy.remove(&number);
        }
        if healthy.is_some_and(|member| member.standing() != Standing::Good) {
            self.out.insert(number);
        } else {
            self.out.remove(&number);
        }
    }

    /// How many there may be that do not take requests.
    fn allowed(&self, config: &OutlierConfig) -> usize {
        self.healthy.len() * config.max_ejection_percent as usize / 100
    }
}

impl Pool {
    /// Takes in how a member is now that was touched.
    pub(super) fn renew_outlier(&mut self, number: u32) {
        self.outliers.renew(number, self.members.get(number));
    }

    /// When the ejection of a member ends. While its heartbeats are bad nothing follows from that.
    pub(super) fn trial_deadline(member: &Member) -> Option<Instant> {
        let instance = member.instance().filter(|instance| matches!(instance.phase, Phase::Ready(_)))?;
        instance.outlier.until()
    }

    /// So many requests in a row have failed at a replica, the last of them like that.
    pub(super) fn requests_failed(&mut self, id: ReplicaId, streak: u32, last: &str, now: Instant) {
        let limit = self.config.outliers.consecutive_failures;
        if limit == 0 || streak < limit {
            return;
        }
        let reason = || format!("{streak} requests in a row failed; the last: {last}");
        self.eject_outlier(id, EjectionCause::Consecutive, reason, now);
    }

    /// How requests went at all replicas over the last window.
    pub(super) fn compare_success_rates(&mut self, samples: &[Sample], now: Instant) {
        for (id, reason) in success_rate::outliers(samples, &self.config.outliers) {
            self.eject_outlier(id, EjectionCause::SuccessRate, || reason, now);
        }
    }

    fn eject_outlier(
        &mut self,
        id: ReplicaId,
        cause: EjectionCause,
        reason: impl FnOnce() -> String,
        now: Instant,
    ) {
        let Some(number) = self.members.number_of(id) else { return };
        let Some(instance) = self.members.get(number).and_then(Member::instance) else { return };
        if instance.outlier.standing() != Standing::Good || instance.outlier.was_refused_just_now(now) {
            return;
        }
        self.renew_deadlines();
        if !self.outliers.healthy.contains(&number) {
            return;
        }
        // Whether it may be ejected or not: it does not do as well as the one before.
        let reason = reason();
        self.fails_deploy(number, &reason);
        let is_allowed = self.outliers.out.len() < self.outliers.allowed(&self.config.outliers);
        let config = self.config.outliers.clone();
        let Some(member) = self.members.get_mut(number) else { return };
        let name = member.name().to_owned();
        let Some(instance) = member.instance_mut() else { return };
        if !is_allowed {
            let is_news = instance.outlier.refuse(now);
            self.out.push(Action::EjectionRefused { name, reason, is_news });
            return;
        }
        let pause = instance.outlier.eject(reason, &config, now);
        let words = instance.outlier.note();
        self.out.push(Action::SetStanding(id, Standing::Ejected));
        self.note_ejected(number, cause, &words, pause);
    }

    fn note_ejected(&mut self, number: u32, cause: EjectionCause, reason: &str, pause: Duration) {
        let reason = format!("{reason}; it gets its next request in {}", in_words(pause));
        self.note_member(number, Transition::Outlier(cause), &reason);
    }

    /// The time of a member's ejection may be over.
    pub(super) fn expire_outlier(&mut self, number: u32, now: Instant) {
        let due = self.members.get(number).and_then(Self::trial_deadline).is_some_and(|at| at <= now);
        if due {
            self.begin_trial(number);
        }
    }

    /// Real requests are to show how an ejected member is.
    fn begin_trial(&mut self, number: u32) {
        let Some(instance) = self.members.get_mut(number).and_then(|member| member.instance_mut()) else {
            return;
        };
        instance.outlier.begin_trial();
        let id = instance.id();
        self.members.show(number);
        self.out.push(Action::SetStanding(id, Standing::HalfOpen));
    }

    /// A request of a trial has ended.
    pub(super) fn trial_ended(&mut self, id: ReplicaId, went_well: bool, now: Instant) {
        let config = self.config.outliers.clone();
        let Some((number, member)) = self.members.of_mut(id) else { return };
        let Some(instance) = member.instance_mut() else { return };
        match instance.outlier.tried(went_well, &config, now) {
            AfterTrial::Nothing | AfterTrial::Again => {}
            AfterTrial::Back => {
                self.out.push(Action::SetStanding(id, Standing::Good));
                self.note_member(number, Transition::Recovered, "requests of its trial went well");
            }
            AfterTrial::Ejected(pause) => {
                let reason = instance.outlier.note();
                self.out.push(Action::SetStanding(id, Standing::Ejected));
                self.note_ejected(number, EjectionCause::Trial, &reason, pause);
            }
        }
    }

    /// The heartbeats of a member are good again: whatever it was, it may be over.
    pub(super) fn hurry_trial(&mut self, number: u32) {
        let standing = self.members.get(number).map(Member::standing);
        if standing == Some(Standing::Ejected) {
            self.begin_trial(number);
        }
    }

    /// A member has moved: what failed was at another address. Its new endpoint knows nothing of it.
    pub(super) fn forget_outlier(&mut self, number: u32) {
        let Some(instance) = self.members.get_mut(number).and_then(|member| member.instance_mut()) else {
            return;
        };
        if std::mem::take(&mut instance.outlier).standing() != Standing::Good {
            let id = instance.id();
            self.members.show(number);
            self.out.push(Action::SetStanding(id, Standing::Good));
        }
    }

    /// Lets requests go to ejected members as long as too many of the healthy ones are ejected: others
    /// have fallen ill meanwhile, or have left. Those whose time is over first are first.
    pub(super) fn limit_ejections(&mut self, now: Instant) -> bool {
        let allowed = self.outliers.allowed(&self.config.outliers);
        if self.outliers.out.len() <= allowed {
            return false;
        }
        let until = |number: &u32| self.members.get(*number).and_then(Self::trial_deadline);
        let Some(number) = self.outliers.out.iter().copied().min_by_key(until) else { return false };
        let Some(member) = self.members.get_mut(number) else { return false };
        let Some(instance) = member.instance_mut() else { return false };
        instance.outlier.back(now);
        let id = instance.id();
        self.out.push(Action::SetStanding(id, Standing::Good));
        self.note_member(number, Transition::Recovered, "too few others take requests");
        true
    }

    /// Asserts that what is kept up to date is what a scan finds, and that there are not too many.
    #[cfg(any(test, feature = "test-util"))]
    pub(in crate::control) fn check_outliers(&self) {
        let mut scanned = Outliers::default();
        self.members.iter().for_each(|(number, member)| scanned.renew(number, Some(member)));
        assert_eq!(self.outliers, scanned);
        let allowed = self.outliers.allowed(&self.config.outliers);
        assert!(self.outliers.out.len() <= allowed, "{} ejected, {allowed} may be", self.outliers.out.len());
    }

    /// How many are ejected or half-open, of how many healthy ones.
    #[cfg(any(test, feature = "test-util"))]
    pub(in crate::control) fn count_outliers(&self) -> (usize, usize) {
        (self.outliers.out.len(), self.outliers.healthy.len())
    }
}
