//! A client of the admin API, for the commands, `top` and the experiments.
//!
//! One connection for each request; no proxies, no redirects, no TLS. Knows the API, and nothing of
//! the balancer behind it.

mod error;
mod event;
mod log;
mod messages;
mod plain;
mod report;
mod sse;
#[cfg(test)]
mod tests;
mod transport;
mod url;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use self::messages::Messages;
pub use error::Error;
pub use event::{
    Event, EventKind, Events, PoolStats, Publication, Rates, ReplicaChange, ReplicaStats, Stats,
};
pub use log::{Log, LogPiece};
pub use plain::{plain, plain_json};
pub use report::{
    DeployReport, DeployedNumber, Experience, PastReport, PastSecond, ReplicaReport, RingReport,
};
pub use url::{BadUrl, Url};

/// Time limit for a response.
const LIMIT: Duration = Duration::from_secs(60);

/// Time limit for the response to `/add`, which waits until the new replicas are ready: the longest
/// possible `--start-timeout`, and a minute.
const ADD_LIMIT: Duration = Duration::from_secs(3600 + 60);

/// A client of one balancer.
#[derive(Clone)]
pub struct Client {
    url: Url,
    token: Option<String>,
    /// What stands in front of paths that are about one pool.
    above: String,
}

/// A response, with its whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status, whatever it is.
    pub status: StatusCode,
    /// Body, at most 16 MiB.
    pub body: Bytes,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the balancer whose admin API is at `url`, with its admin token if it has one.
    pub fn new(url: Url, token: Option<String>) -> Self {
        Self { url, token, above: String::new() }
    }

    /// The same, which asks for the pool of this name, and not for the first one.
    #[must_use]
    pub fn of_pool(self, pool: &str) -> Self {
        Self { above: format!("/pools/{}", url::encode(pool)), ..self }
    }

    /// Where what is at `path` of the first pool is for this one.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.above)
    }

    /// URL of the admin API.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Gets the ring and its replicas.
    pub async fn ring(&self) -> Result<RingReport, Error> {
        self.read(&self.path("/ring")).await
    }

    /// Gets the statistics of the last two minutes.
    pub async fn past(&self) -> Result<PastReport, Error> {
        self.read(&self.path("/statistics")).await
    }

    /// Adds `count` replicas, and names the first of them `names`. Returns the JSON of the response, as
    /// all changes do, once they are ready.
    pub async fn add(&self, count: u32, names: &[String]) -> Result<Value, Error> {
        self.add_as(&json!({"n": count, "hostnames": names})).await
    }

    /// Adds a replica for each of `endpoints` (`HOST:PORT`), and names the first of them `names`.
    pub async fn add_endpoints(&self, endpoints: &[String], names: &[String]) -> Result<Value, Error> {
        let add = json!({"n": endpoints.len(), "hostnames": names, "endpoints": endpoints});
        self.add_as(&add).await
    }

    async fn add_as(&self, body: &Value) -> Result<Value, Error> {
        self.send_within(ADD_LIMIT, Method::POST, &self.path("/add"), Some(body)).await?.success(&self.url)
    }

    /// Removes `count` replicas, `names` among them.
    pub async fn remove(&self, count: u32, names: &[String]) -> Result<Value, Error> {
        self.change(Method::DELETE, "/rm", &json!({"n": count, "hostnames": names})).await
    }

    /// Changes the ring: any of `family`, `probing`, `placement`, `slots`, `virtual_nodes`, `key`.
    pub async fn change_ring(&self, change: &Value) -> Result<Value, Error> {
        self.change(Method::PUT, "/ring", change).await
    }

    /// Sets the weight (0 to 100) of a replica.
    pub async fn set_weight(&self, name: &str, weight: u8) -> Result<Value, Error> {
        let path = format!("/replicas/{}", url::encode(name));
        self.change(Method::PUT, &path, &json!({ "weight": weight })).await
    }

    /// Kills a replica, as a crash would.
    pub async fn kill(&self, name: &str) -> Result<Value, Error> {
        let path = format!("/replicas/{}/kill", url::encode(name));
        self.change(Method::POST, &path, &json!({})).await
    }

    /// Deploys a revision, to all numbers or to `canary` percent of them (1 to 99).
    pub async fn deploy(&self, revision: &str, canary: Option<u32>) -> Result<Value, Error> {
        let mut body = json!({ "revision": revision });
        if let Some(percent) = canary {
            body["canary"] = percent.into();
        }
        self.change(Method::POST, "/deploy", &body).await
    }

    /// Deploys the revision of the canary to all other numbers.
    pub async fn promote(&self) -> Result<Value, Error> {
        self.change(Method::POST, "/deploy/promote", &json!({})).await
    }

    /// Takes the deploy back that is under way.
    pub async fn abort_deploy(&self) -> Result<Value, Error> {
        self.change(Method::DELETE, "/deploy", &json!({})).await
    }

    /// Gets the JSON at `path`.
    pub async fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.send(Method::GET, path, None).await?.success(&self.url)
    }

    /// Streams events: those after number `after`, or from the last 256 on if it is `None`. After the
    /// end of a stream, continue from [`Events::last`].
    pub async fn events(&self, after: Option<u64>) -> Result<Events, Error> {
        let path = after.map_or_else(|| "/events".to_owned(), |after| format!("/events?after={after}"));
        Ok(Events::new(self.stream(&path).await?, after))
    }

    /// Gets the last `lines` lines (1 to 200) that a replica has written.
    pub async fn log(&self, name: &str, lines: u8) -> Result<String, Error> {
        let response = self.send(Method::GET, &self.log_path(name, lines), None).await?;
        if !response.status.is_success() {
            return Err(Error::refused(&self.url, &response));
        }
        Ok(String::from_utf8_lossy(&response.body).into_owned())
    }

    /// Streams the last `lines` lines (1 to 200) that a replica has written, and what follows.
    pub async fn follow_log(&self, name: &str, lines: u8) -> Result<Log, Error> {
        let path = format!("{}&follow=true", self.log_path(name, lines));
        Ok(Log::new(self.stream(&path).await?))
    }

    fn log_path(&self, name: &str, lines: u8) -> String {
        self.path(&format!("/replicas/{}/log?lines={lines}", url::encode(name)))
    }

    /// Begins the stream of server-sent events at `path`.
    async fn stream(&self, path: &str) -> Result<Messages, Error> {
        let request = transport::request(&self.url, self.token.as_deref(), Method::GET, path, None);
        let begun = async { transport::begin(&self.url, request?).await };
        let response = self.in_time(LIMIT, begun).await?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(Messages::new(self.url.clone(), response));
        }
        let body = self.in_time(LIMIT, response.collect(transport::MAX_RESPONSE)).await?;
        Err(Error::refused(&self.url, &Response { status, body }))
    }

    /// A change of the pool.
    async fn change(&self, method: Method, path: &str, body: &Value) -> Result<Value, Error> {
        self.send(method, &self.path(path), Some(body)).await?.success(&self.url)
    }

    /// Sends a request and reads the response, whatever its status.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response, Error> {
        self.send_within(LIMIT, method, path, body).await
    }

    async fn send_within(
        &self,
        limit: Duration,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, Error> {
        let request = transport::request(&self.url, self.token.as_deref(), method, path, body);
        self.in_time(limit, async { transport::run(&self.url, request?).await }).await
    }

    async fn in_time<T>(
        &self,
        limit: Duration,
        response: impl Future<Output = Result<T, transport::BoxError>>,
    ) -> Result<T, Error> {
        let unreachable = |why: String| Error::Unreachable(self.url.clone(), why);
        match tokio::time::timeout(limit, response).await {
            Ok(response) => response.map_err(|error| unreachable(error.to_string())),
            Err(_) => Err(unreachable(format!("no answer within {}", humantime::format_duration(limit)))),
        }
    }
}

impl Response {
    /// The JSON of a 2xx response; otherwise the error.
    fn success<T: serde::de::DeserializeOwned>(self, url: &Url) -> Result<T, Error> {
        if !self.status.is_success() {
            return Err(Error::refused(url, &self));
        }
        serde_json::from_slice(&self.body).map_err(|error| Error::BadResponse(url.clone(), error.to_string()))
    }
}
