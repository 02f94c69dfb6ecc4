//! How a deploy is shown.

use std::sync::Arc;
use std::time::Instant;

use super::{Deploy, Stage};
use crate::control::pool::Pool;
use crate::control::pool::members::{BESIDE, Member, Phase};
use crate::control::{DeployState, DeployStep, DeployView, DeployedNumber};

impl Pool {
    /// The deploy under way, or the last one.
    pub fn deploy(&self) -> Option<Arc<DeployView>> {
        self.view_of_deploy(None).map(Arc::new).or_else(|| self.deploys.last.clone())
    }

    /// The deploy under way, which has just ended if that is given.
    pub(super) fn view_of_deploy(&self, end: Option<(DeployState, Instant)>) -> Option<DeployView> {
        let deploy = self.deploys.under_way.as_ref()?;
        let state = end.map_or_else(|| deploy.state(), |(state, _)| state);
        let failure = deploy.failure.as_ref();
        let (old, new) = deploy.judge.experience();
        let all = [&deploy.pending, &deploy.batch, &deploy.passed, &deploy.reverted, &deploy.kept];
        let mut numbers: Vec<_> =
            all.into_iter().flatten().map(|&number| self.view_of_number(deploy, number)).collect();
        numbers.sort_by_key(|number| number.number);
        Some(DeployView {
            id: self.deploys.count,
            from: deploy.from.shown().to_owned(),
            to: deploy.to.shown().to_owned(),
            order: deploy.order,
            state,
            reason: failure.map_or_else(String::new, |failure| failure.reason.clone()),
            failed: failure.and_then(|failure| failure.replica.clone()),
            canary: deploy.canary.map(|canary| canary as u32),
            numbers,
            old,
            new,
            began: deploy.began,
            ended: end.map(|(_, now)| now),
        })
    }

    fn view_of_number(&self, deploy: &Deploy, number: u32) -> DeployedNumber {
        let name = |number| self.members.get(number).map(Member::name).map(str::to_owned);
        let instance = self.members.get(number).and_then(Member::instance);
        let is_starting = instance.is_none_or(|instance| instance.phase == Phase::Starting);
        let step = deploy.step(number, is_starting);
        // Those beside that are about to be let go of are shown no more.
        let beside = name(BESIDE + number).filter(|_| step != DeployStep::Reverted);
        DeployedNumber { number, step, serving: name(number).unwrap_or_default(), beside }
    }
}

impl Deploy {
    fn state(&self) -> DeployState {
        match self.stage {
            Stage::Preparing => DeployState::Preparing,
            Stage::Starting => DeployState::Starting,
            Stage::Judging(_) => DeployState::Judging,
            Stage::Waiting => DeployState::Waiting,
            Stage::Reverting => DeployState::Reverting,
        }
    }

    /// How far a number has come. `is_starting` says whether its replica is not ready yet.
    fn step(&self, number: u32, is_starting: bool) -> DeployStep {
        if self.pending.contains(&number) {
            DeployStep::Pending
        } else if self.passed.contains(&number) || self.kept.contains(&number) {
            DeployStep::Passed
        } else if self.reverted.contains(&number) {
            DeployStep::Reverted
        } else if self.stage == Stage::Starting || is_starting {
            DeployStep::Starting
        } else {
            DeployStep::Judging
        }
    }
}
