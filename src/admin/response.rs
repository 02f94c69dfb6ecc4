//! The responses of the admin API, as JSON. Knows the view of the cluster, and nothing of requests.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::pools::PoolView;
use super::response_body::{Body, Events};
use super::statistics::Figures;
use crate::control::{ReplicaView, View};
use crate::ring;
use crate::telemetry::journal::Reader;

/// Number of equal parts into which `GET /ring/sectors` divides the ring: half a degree each, about
/// what a screen can show.
const SECTORS: u64 = 720;

/// A response of the admin API.
pub(super) type AdminResponse = Response<Body>;

/// The shape that all responses of `/rep`, `/add` and `/rm`, and all errors, have.
#[derive(Serialize)]
struct Envelope<T> {
    message: T,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ReplicaListJson<'a> {
    n: usize,
    #[serde(rename = "replicas")]
    names: Vec<&'a str>,
}

#[derive(Serialize)]
struct PoolsJson<'a> {
    pools: Vec<PoolJson<'a>>,
}

#[derive(Serialize)]
struct PoolJson<'a> {
    name: &'a str,
    replicas: usize,
    ready: usize,
    /// Version of its published snapshot.
    version: u64,
    slots: u32,
    key: String,
    in_flight: u64,
    queued: u64,
    requests: u64,
    /// Why replicas can neither be added nor removed at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    outage: Option<&'a str>,
}

#[derive(Serialize)]
struct RingJson<'a> {
    family: String,
    probing: String,
    slots: u32,
    virtual_nodes: u32,
    placement: String,
    version: u64,
    peak_to_average: f64,
    key: String,
    /// Factor of bounded load; null for no bound.
    bounded_load: Option<f64>,
    /// Why replicas can neither be added nor removed at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    outage: Option<&'a str>,
    replicas: Vec<ReplicaJson<'a>>,
}

#[derive(Serialize)]
struct ReplicaJson<'a> {
    number: u32,
    name: &'a str,
    /// Where it takes requests; null until that is known.
    address: Option<SocketAddr>,
    state: &'static str,
    weight: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    drained_from: Option<u8>,
    slots: u32,
    share: f64,
    in_flight: u64,
    requests: u64,
    revision: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    instance: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
}

#[derive(Serialize)]
struct SectorsJson {
    version: u64,
    slots: u32,
    /// Number of the owner of each sector's middle slot; 0 if it has none.
    #[serde(rename = "sectors")]
    owners: Vec<u32>,
}

#[derive(Serialize)]
struct StatisticsJson<'a> {
    seconds: &'a [Figures],
}

#[derive(Serialize)]
struct VersionJson {
    name: &'static str,
    version: &'static str,
}

/// The response with the names of the replicas.
pub(super) fn replicas(view: &View) -> AdminResponse {
    let names: Vec<_> = view.replicas.iter().map(|replica| replica.name.as_str()).collect();
    json(
        StatusCode::OK,
        &Envelope { message: ReplicaListJson { n: names.len(), names }, status: "successful" },
    )
}

/// The response with all pools.
pub(super) fn pools(pools: &[PoolView]) -> AdminResponse {
    let pools = pools.iter().map(PoolJson::from).collect();
    json(StatusCode::OK, &PoolsJson { pools })
}

/// A success with a message.
pub(super) fn success(message: &str) -> AdminResponse {
    json(StatusCode::OK, &Envelope { message, status: "successful" })
}

/// An error with a message.
pub(super) fn failure(status: StatusCode, message: &str) -> AdminResponse {
    json(status, &Envelope { message: format!("<Error> {message}"), status: "failure" })
}

/// The response with the ring and its replicas.
pub(super) fn ring(view: &View) -> AdminResponse {
    let params = view.ring.params();
    let ring = RingJson {
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
        replicas: view.replicas.iter().map(|replica| ReplicaJson::from(&**replica)).collect(),
    };
    json(StatusCode::OK, &ring)
}

/// The response with the owners of the ring's sectors, to draw the ring.
pub(super) fn sectors(view: &View) -> AdminResponse {
    let slots = view.ring.params().slots();
    let sectors = SectorsJson { version: view.version, slots, owners: owners(&view.ring) };
    json(StatusCode::OK, &sectors)
}

/// The number of the owner of each sector's middle slot.
fn owners(ring: &ring::Ring) -> Vec<u32> {
    let slots = u64::from(ring.params().slots());
    let middle = |sector: u64| ((2 * sector + 1) * slots / (2 * SECTORS)) as u32;
    (0..SECTORS).map(|sector| ring.owner_number(middle(sector)).unwrap_or(0)).collect()
}

/// The response with one replica, as in the array of [`ring`].
pub(super) fn replica(replica: &ReplicaView) -> AdminResponse {
    json(StatusCode::OK, &ReplicaJson::from(replica))
}

/// The response with the statistics of the last two minutes.
pub(super) fn statistics(seconds: &[Figures]) -> AdminResponse {
    json(StatusCode::OK, &StatisticsJson { seconds })
}

/// The response with the name and version of the program.
pub(super) fn version() -> AdminResponse {
    let version = VersionJson { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };
    json(StatusCode::OK, &version)
}

impl<'a> From<&'a PoolView> for PoolJson<'a> {
    fn from(PoolView { name, view, .. }: &'a PoolView) -> Self {
        let endpoints = view.replicas.iter().filter_map(|replica| replica.endpoint.as_ref());
        Self {
            name,
            replicas: view.replicas.len(),
            ready: view.ready(),
            version: view.version,
            slots: view.ring.params().slots(),
            key: view.routing.key.to_string(),
            in_flight: view.load.in_flight(),
            queued: view.load.queued(),
            requests: endpoints.map(|endpoint| endpoint.requests()).sum(),
            outage: view.outage.as_deref(),
        }
    }
}

impl<'a> From<&'a ReplicaView> for ReplicaJson<'a> {
    fn from(view: &'a ReplicaView) -> Self {
        Self {
            number: view.number,
            name: &view.name,
            address: view.address,
            state: view.state.as_str(),
            weight: view.weight,
            drained_from: view.drained_from,
            slots: view.slots,
            share: view.share,
            in_flight: view.endpoint.as_ref().map_or(0, |endpoint| endpoint.in_flight()),
            requests: view.endpoint.as_ref().map_or(0, |endpoint| endpoint.requests()),
            revision: view.revision.shown(),
            instance: view.instance.as_deref().unwrap_or_default(),
            note: &view.note,
        }
    }
}

/// A response with `body` as JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> AdminResponse {
    let mut text = serde_json::to_vec(body).expect("numbers and strings under string keys are JSON");
    // So that what a terminal shows next begins on a line of its own.
    text.push(b'\n');
    let mut response = with_type("application/json", text);
    *response.status_mut() = status;
    response
}

/// A response with `text` of the media type `kind`, which must not be cached.
pub(super) fn with_type(kind: &'static str, text: impl Into<Bytes>) -> AdminResponse {
    build(kind, Body::from(text.into()))
}

/// The response that streams the entries of `reader`, until `end` is cancelled.
pub(super) fn events(reader: Reader, end: CancellationToken) -> AdminResponse {
    stream(Events::new(reader, end))
}

/// The response that streams `events`.
pub(super) fn stream(events: Events) -> AdminResponse {
    build("text/event-stream", Body::from(events))
}

fn build(kind: &'static str, body: Body) -> AdminResponse {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
