//! `GET /metrics`: all counters, in the text format of `OpenMetrics` if the client accepts it, else in
//! that of Prometheus.
//!
//! Built for each scrape from the counters of the planes, so that the series of a replica are gone as
//! soon as the replica is.

mod balancer;
mod classic;
mod cluster;
mod connections;
mod page;
mod process;
mod requests;
mod tls;
mod upkeep;

use std::fmt;

use http::HeaderMap;
use http::header::ACCEPT;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::Sources;
use super::error::{Reason, Refusal};
use super::pools::PoolView;
use super::response::{self, AdminResponse};
use classic::CLASSIC;
use page::Page;
use requests::Requests;

/// Media type of the `OpenMetrics` format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The sources of one scrape.
#[derive(Debug)]
struct Scrape {
    pools: Vec<PoolView>,
    sources: Sources,
}

/// The response with the current metrics, in a format that the client accepts.
pub(super) fn response(pools: Vec<PoolView>, sources: &Sources, headers: &HeaderMap) -> AdminResponse {
    match text(pools, sources) {
        Ok(text) if accepts_open_metrics(headers) => response::with_type(OPEN_METRICS, text),
        Ok(text) => response::with_type(CLASSIC, classic::from_open_metrics(&text)),
        // Writing to a string fails only through a defect of ours.
        Err(error) => {
            Refusal::new(Reason::Internal, format!("the metrics cannot be written: {error}")).into_response()
        }
    }
}

/// Whether `Accept` names the format, with a weight above 0. The weights of formats are not compared:
/// who accepts both gets the newer one.
fn accepts_open_metrics(headers: &HeaderMap) -> bool {
    let ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    ranges.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named =
            parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
        named && !parts.any(is_weight_of_zero)
    })
}

/// Whether a parameter of a media range refuses it: `q=0`, with up to three zeros behind a point
/// (RFC 9110, section 12.4.2).
fn is_weight_of_zero(parameter: &str) -> bool {
    let Some(weight) = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")) else {
        return false;
    };
    weight.parse().is_ok_and(|weight: f64| weight == 0.0)
}

fn text(pools: Vec<PoolView>, sources: &Sources) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    let scrape = Scrape { pools, sources: sources.clone() };
    registry.register_collector(Box::new(scrape));
    let mut text = String::with_capacity(16 * 1024);
    encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::new(encoder);
        let traffic = &self.sources.traffic;
        let totals = traffic.totals();
        Requests::new(&totals, &self.pools).write(&mut page)?;
        connections::write(&mut page, &totals, traffic.connection_limit())?;
        cluster::write(&mut page, &self.pools)?;
        if let Some(certificates) = &self.sources.certificates {
            tls::write(&mut page, &totals, certificates)?;
        }
        upkeep::write(&mut page, &self.pools)?;
        balancer::write(&mut page, &self.sources)?;
        process::write(&mut page)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_format_is_accepted_unless_its_weight_is_zero() {
        let cases = [
            ("application/openmetrics-text", true),
            ("text/plain, Application/OpenMetrics-Text;version=1.0.0;q=0.5", true),
            ("application/openmetrics-text;q=0.001", true),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text; version=1.0.0; Q=0.000, text/plain", false),
            ("application/openmetrics-text ; q=0. ,*/*", false),
            ("application/openmetrics-text;q=0, application/openmetrics-text;version=1.0.0", true),
            ("text/plain;q=1", false),
            ("*/*", false),
        ];
        for (accept, accepted) in cases {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(accepts_open_metrics(&headers), accepted, "{accept}");
        }
    }
}
