//! The bodies of answers. Knows the view of the cluster, and nothing of requests.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use crate::control::{ReplicaView, View};

/// An answer of the admin API.
pub(super) type Answer = Response<Full<Bytes>>;

/// The shape that all answers of the first interface share.
#[derive(Serialize)]
struct Envelope<T> {
    message: T,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Replicas<'a> {
    n: usize,
    #[serde(rename = "replicas")]
    names: Vec<&'a str>,
}

#[derive(Serialize)]
struct Ring<'a> {
    family: String,
    probing: String,
    slots: u32,
    virtual_nodes: u32,
    placement: String,
    version: u64,
    peak_to_average: f64,
    key: String,
    /// The factor, or null for no bound.
    bounded_load: Option<f64>,
    /// Why replicas can neither be added nor removed at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    outage: Option<&'a str>,
    replicas: Vec<Replica<'a>>,
}

#[derive(Serialize)]
struct Replica<'a> {
    number: u32,
    name: &'a str,
    /// Null until it is known.
    address: Option<SocketAddr>,
    state: &'static str,
    weight: u8,
    slots: u32,
    share: f64,
    in_flight: u64,
    requests: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    instance: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
}

#[derive(Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
}

/// Names and number of the replicas.
pub(super) fn replicas(view: &View) -> Answer {
    let names: Vec<_> = view.replicas.iter().map(|replica| replica.name.as_str()).collect();
    json(StatusCode::OK, &Envelope { message: Replicas { n: names.len(), names }, status: "successful" })
}

/// A word on how things are.
pub(super) fn success(message: &str) -> Answer {
    json(StatusCode::OK, &Envelope { message, status: "successful" })
}

/// An error in the form that clients of the first interface look for.
pub(super) fn failure(status: StatusCode, message: &str) -> Answer {
    json(status, &Envelope { message: format!("<Error> {message}"), status: "failure" })
}

/// The ring and its replicas.
pub(super) fn ring(view: &View) -> Answer {
    let params = view.ring.params();
    let ring = Ring {
        family: params.family().to_string(),
        probing: params.probing().to_string(),
        slots: params.slots(),
        virtual_nodes: params.virtual_nodes(),
        placement: params.placement().to_string(),
        version: view.version,
        peak_to_average: view.ring.peak_to_average(),
        key: view.routing.key.to_string(),
        bounded_load: view.routing.bounded_load,
        outage: view.outage.as_deref(),
        replicas: view.replicas.iter().map(Replica::from).collect(),
    };
    json(StatusCode::OK, &ring)
}

/// One replica, as in the array of [`ring`].
pub(super) fn replica(replica: &ReplicaView) -> Answer {
    json(StatusCode::OK, &Replica::from(replica))
}

/// What is running.
pub(super) fn version() -> Answer {
    let version = Version { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };
    json(StatusCode::OK, &version)
}

impl<'a> From<&'a ReplicaView> for Replica<'a> {
    fn from(view: &'a ReplicaView) -> Self {
        Self {
            number: view.number,
            name: &view.name,
            address: view.address,
            state: view.state.as_str(),
            weight: view.weight,
            slots: view.slots,
            share: view.share,
            in_flight: view.endpoint.as_ref().map_or(0, |endpoint| endpoint.in_flight()),
            requests: view.endpoint.as_ref().map_or(0, |endpoint| endpoint.requests()),
            instance: view.instance.as_deref().unwrap_or_default(),
            note: &view.note,
        }
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(body).expect("numbers and strings under string keys are JSON");
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
