//! A deploy as JSON.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde::Serialize;

use super::error::{Reason, Refusal};
use super::response::{self, AdminResponse};
use crate::control::{DeployView, DeployedNumber, Experience, View};

#[derive(Serialize)]
struct DeployJson<'a> {
    id: u64,
    from: &'a str,
    to: &'a str,
    order: &'static str,
    state: &'static str,
    ended: bool,
    reason: &'a str,
    /// Name of the replica at which the reason was seen.
    failed: Option<&'a str>,
    /// Size of the canary that waits to be promoted.
    canary: Option<u32>,
    numbers: Vec<NumberJson<'a>>,
    old: ExperienceJson,
    new: ExperienceJson,
    took_seconds: f64,
    /// Null while it is under way.
    ended_seconds_ago: Option<f64>,
}

#[derive(Serialize)]
struct NumberJson<'a> {
    number: u32,
    step: &'static str,
    serving: &'a str,
    beside: Option<&'a str>,
}

#[derive(Serialize)]
struct ExperienceJson {
    requests: u64,
    errors: u64,
    p99_seconds: Option<f64>,
}

/// The response with the deploy of a pool that is under way, or the last one.
pub(super) fn response(view: &View) -> Result<AdminResponse, Refusal> {
    let never = || Refusal::new(Reason::NotFound, "nothing has been deployed since the balancer started");
    let deploy = view.deploy.as_deref().ok_or_else(never)?;
    Ok(response::json(StatusCode::OK, &DeployJson::at(Instant::now(), deploy)))
}

impl<'a> DeployJson<'a> {
    fn at(now: Instant, view: &'a DeployView) -> Self {
        let end = view.ended.unwrap_or(now);
        Self {
            id: view.id,
            from: &view.from,
            to: &view.to,
            order: view.order.as_str(),
            state: view.state.as_str(),
            ended: view.state.has_ended(),
            reason: &view.reason,
            failed: view.failed.as_deref(),
            canary: view.canary,
            numbers: view.numbers.iter().map(NumberJson::from).collect(),
            old: (&view.old).into(),
            new: (&view.new).into(),
            took_seconds: seconds(end.saturating_duration_since(view.began)),
            ended_seconds_ago: view.ended.map(|end| seconds(now.saturating_duration_since(end))),
        }
    }
}

impl<'a> From<&'a DeployedNumber> for NumberJson<'a> {
    fn from(number: &'a DeployedNumber) -> Self {
        let DeployedNumber { number, step, serving, beside } = number;
        Self { number: *number, step: step.as_str(), serving, beside: beside.as_deref() }
    }
}

impl From<&Experience> for ExperienceJson {
    fn from(experience: &Experience) -> Self {
        let Experience { requests, errors, p99 } = *experience;
        Self { requests, errors, p99_seconds: p99.map(|p99| p99.as_secs_f64()) }
    }
}

/// Rounded to a thousandth.
fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1e3
}
