//! The bodies of answers. Knows the view of the cluster, and nothing of requests.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::reply::{Body, Events};
use crate::control::{ReplicaView, View};
use crate::ring;
use crate::telemetry::journal::Reader;

/// Into how many equal parts `GET /ring/sectors` divides the ring: half a degree each, about
/// what a screen can show.
const SECTORS: u64 = 720;

/// An answer of the admin API.
pub(super) type Answer = Response<Body>;

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
struct Sectors {
    version: u64,
    slots: u32,
    /// Number of the replica that owns the middle of each sector, 0 for nobody.
    #[serde(rename = "sectors")]
    owners: Vec<u32>,
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

/// Who owns which part of the ring, to draw it by.
pub(super) fn sectors(view: &View) -> Answer {
    let slots = view.ring.params().slots();
    let sectors = Sectors { version: view.version, slots, owners: owners(&view.ring) };
    json(StatusCode::OK, &sectors)
}

/// Numbers of the owners of the slots in the middle of the sectors.
fn owners(ring: &ring::Ring) -> Vec<u32> {
    let slots = u64::from(ring.params().slots());
    let middle = |sector: u64| ((2 * sector + 1) * slots / (2 * SECTORS)) as u32;
    (0..SECTORS).map(|sector| ring.owner_number(middle(sector)).unwrap_or(0)).collect()
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
    let mut answer = text_of("application/json", text);
    *answer.status_mut() = status;
    answer
}

/// A text of the media type `kind`, which is not to be kept by whoever gets it.
pub(super) fn text_of(kind: &'static str, text: impl Into<Bytes>) -> Answer {
    answer_of(kind, Body::from(text.into()))
}

/// The journal, as it is read by `reader`, until `end` is cancelled.
pub(super) fn events(reader: Reader, end: CancellationToken) -> Answer {
    answer_of("text/event-stream", Body::from(Events::new(reader, end)))
}

fn answer_of(kind: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
