//! `GET /metrics`: all counters, in the text format of `OpenMetrics` if the client accepts it, else in
//! that of Prometheus.
//!
//! Built for each scrape from the counters of the planes, so that the series of a replica are gone as
//! soon as the replica is.

mod classic;
mod cluster;
mod page;
mod process;
mod requests;
mod upkeep;

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use http::header::ACCEPT;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::Sources;
use super::error::{Reason, Refusal};
use super::response::{self, AdminResponse};
use crate::control::View;
use classic::CLASSIC;
use page::Page;

/// Media type of the `OpenMetrics` format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The sources of one scrape.
#[derive(Debug)]
struct Scrape {
    view: Arc<View>,
    sources: Sources,
}

/// The response with the current metrics, in a format that the client accepts.
pub(super) fn response(view: &Arc<View>, sources: &Sources, headers: &HeaderMap) -> AdminResponse {
    match text(view, sources) {
        Ok(text) if accepts_open_metrics(headers) => response::with_type(OPEN_METRICS, text),
        Ok(text) => response::with_type(CLASSIC, classic::from_open_metrics(&text)),
        // Writing to a string fails only through a defect of ours.
        Err(error) => {
            Refusal::new(Reason::Internal, format!("the metrics cannot be written: {error}")).into_response()
        }
    }
}

/// Whether `Accept` names the format. Weights are not compared.
fn accepts_open_metrics(headers: &HeaderMap) -> bool {
    let ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    ranges.flat_map(|value| value.split(',')).any(|range| {
        let kind = range.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/openmetrics-text")
    })
}

fn text(view: &Arc<View>, sources: &Sources) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    let scrape = Scrape { view: Arc::clone(view), sources: sources.clone() };
    registry.register_collector(Box::new(scrape));
    let mut text = String::with_capacity(16 * 1024);
    encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::new(encoder);
        let traffic = &self.sources.traffic;
        requests::write(&mut page, &traffic.totals(), traffic.connection_limit(), &self.view)?;
        cluster::write(&mut page, &self.view)?;
        upkeep::write(&mut page, &self.sources)?;
        process::write(&mut page)
    }
}
