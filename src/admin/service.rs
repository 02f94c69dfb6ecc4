//! The admin service: from a request to its response, on both listeners.
//!
//! The order of the checks is part of the interface: host, origin, token, path and method, content
//! type, body. A client without the token learns nothing but the dashboard's page, which is the same
//! for every client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Request, Response, Version};
use http_body::Body as HttpBody;
use tokio_util::sync::CancellationToken;

use super::access::{self, Target};
use super::audit::AuditRecord;
use super::change::{self, InWords};
use super::error::{Reason, Refusal};
use super::log::Followers;
use super::pools::{PoolHandle, Pools};
use super::request_body::{self, RequestBody};
use super::response::{self, AdminResponse};
use super::response_body::Body;
use super::route::{self, Found, Listener, Read, Route, Write};
use super::statistics::History;
use super::{AdminConfig, Sources, dashboard, deploy, metrics, openapi, statistics};
use crate::control;
use crate::telemetry::journal::MAX_READERS;

/// Most pools that a refusal names.
const MAX_NAMED: usize = 10;

/// What the connection layer knows of a request.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The listener it was received on.
    pub listener: Listener,
    /// Address of the client.
    pub peer: SocketAddr,
    /// Whether it came over TLS.
    pub is_secure: bool,
    /// Whether the request line was invalid although it was parsed: the parser of URIs silently drops a
    /// fragment. Such a request is refused with 400, and the connection closed.
    pub flawed_target: bool,
}

/// The admin service. Clones share their state.
#[derive(Clone, Debug)]
pub struct Admin {
    config: Arc<ArcSwap<AdminConfig>>,
    pools: Pools,
    stopping: Arc<AtomicBool>,
    sources: Arc<Sources>,
    history: History,
    followers: Followers,
    /// Cancelled when streams are to end.
    end_of_streams: CancellationToken,
}

impl Admin {
    /// A service that shows and changes `pools`.
    pub fn new(config: AdminConfig, pools: Pools) -> Self {
        Self {
            config: Arc::new(ArcSwap::from_pointee(config)),
            pools,
            stopping: Arc::default(),
            sources: Arc::default(),
            history: History::default(),
            followers: Followers::default(),
            end_of_streams: CancellationToken::new(),
        }
    }

    /// The same service with these sources of metrics and events.
    #[must_use]
    pub fn with_sources(mut self, sources: Sources) -> Self {
        self.sources = Arc::new(sources);
        self
    }

    /// From now on does what `config` allows. Requests that were let in go on.
    pub fn reconfigure(&self, config: AdminConfig) {
        self.config.store(Arc::new(config));
    }

    /// Ends the streams of events and output; one of the last steps of a stop.
    pub fn end_streams(&self) {
        self.end_of_streams.cancel();
    }

    /// Sends statistics to the readers of events once a second, and keeps those of the last two minutes,
    /// while it is polled.
    pub async fn publish_statistics(&self) {
        statistics::publish(&self.pools, &self.sources, &self.history).await;
    }

    /// From now on the balancer is not ready and refuses changes; the first step of a stop, while
    /// requests in flight are finished.
    pub fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Handles a request. The response to a `HEAD` has the body of the `GET`, which the server must not
    /// send, as hyper does. Needs a runtime with timers. A change goes on if the client leaves.
    pub async fn handle<B>(&self, request: Request<B>, context: Context) -> Response<Body>
    where
        B: HttpBody<Data = Bytes>,
    {
        let (head, body) = request.into_parts();
        let mut body = RequestBody::new(body);
        let route = route::find(context.listener, &head.method, head.uri.path());
        let mut record = matches!(&route, Ok(Found { route: Route::Write(_), .. }))
            .then(|| AuditRecord::begin(context.peer, &head, self.sources.journal.clone()));
        let response = self.respond(route, &head, &mut body, &context, record.as_mut()).await;
        let mut response = response.unwrap_or_else(Refusal::into_response);
        if let Some(record) = record {
            record.finish(response.status());
        }
        let close = context.flawed_target || body.is_unread();
        if close && head.version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Makes the access checks, then serves the route.
    async fn respond<B: HttpBody<Data = Bytes>>(
        &self,
        found: Result<Found, Refusal>,
        head: &Parts,
        body: &mut RequestBody<B>,
        context: &Context,
        mut record: Option<&mut AuditRecord>,
    ) -> Result<AdminResponse, Refusal> {
        if context.flawed_target {
            return Err(Refusal::new(Reason::BadRequest, "the request line has no valid target"));
        }
        match &found {
            Ok(Found { route: Route::Read(read), .. }) if read.is_probe() => {
                return self.read(read, None, head).await;
            }
            // It has no secret, and pages of other origins may link to it. Its own requests pass all
            // checks.
            Ok(Found { route: Route::Read(Read::Page), .. }) => {
                self.admit_host(head)?;
                return self.read(&Read::Page, None, head).await;
            }
            _ => self.admit(head, context)?,
        }
        if let Some(record) = &mut record {
            record.admit();
        }
        let Found { pool, route } = found?;
        match route {
            Route::Read(read) => self.read(&read, pool.as_deref(), head).await,
            Route::Write(write) => self.write(&write, pool.as_deref(), head, body, record).await,
        }
    }

    /// Checks that the request is for this balancer.
    fn admit_host<'a>(&self, head: &'a Parts) -> Result<Target<'a>, Refusal> {
        let target = access::target(head)?;
        access::check_host(&target, &self.config.load())?;
        Ok(target)
    }

    /// Makes all access checks.
    fn admit(&self, head: &Parts, context: &Context) -> Result<(), Refusal> {
        let target = self.admit_host(head)?;
        let config = self.config.load();
        access::check_origin(&head.headers, &target, context.is_secure, &config)?;
        access::check_token(&head.headers, config.token.as_deref())
    }

    async fn read(&self, read: &Read, named: Option<&str>, head: &Parts) -> Result<AdminResponse, Refusal> {
        let pool = self.pool(named)?;
        let view = pool.control.view();
        match read {
            Read::Page => Ok(dashboard::page()),
            Read::Pools => Ok(response::pools(&self.pools.views())),
            Read::Replicas => Ok(response::replicas(&view)),
            Read::Ring => Ok(response::ring(&view)),
            Read::Sectors => Ok(response::sectors(&view)),
            Read::Deploy => deploy::response(&view),
            Read::Statistics => Ok(response::statistics(&self.history.seconds(named))),
            Read::Version => Ok(response::version()),
            Read::Document => Ok(openapi::response(self.pools.names())),
            Read::Metrics => Ok(metrics::response(self.pools.views(), &self.sources, &head.headers)),
            Read::Events => self.events(head),
            Read::Log(name) => {
                self.followers.respond(pool, name, head.uri.query(), &self.end_of_streams).await
            }
            Read::Alive => Ok(response::success("alive")),
            Read::Ready => self.readiness(),
        }
    }

    /// The stream of the journal, from the entry after the last one that the client has seen.
    fn events(&self, head: &Parts) -> Result<AdminResponse, Refusal> {
        let after = last_event_id(head)?;
        let reader = self.sources.journal.read(after).ok_or_else(|| {
            Refusal::new(
                Reason::Busy,
                format!("{MAX_READERS} clients read events already, which is the limit"),
            )
        })?;
        Ok(response::events(reader, self.end_of_streams.clone()))
    }

    async fn write<B: HttpBody<Data = Bytes>>(
        &self,
        write: &Write,
        pool: Option<&str>,
        head: &Parts,
        body: &mut RequestBody<B>,
        record: Option<&mut AuditRecord>,
    ) -> Result<AdminResponse, Refusal> {
        if head.uri.query().is_some() {
            return Err(Refusal::new(Reason::BadRequest, "a change takes no query; send it as a JSON body"));
        }
        let control = &self.pool(pool)?.control;
        self.refuse_if_stopping()?;
        let is_bare = write.needs_no_body() && !head.headers.contains_key(CONTENT_TYPE);
        if !is_bare {
            request_body::check_type(&head.headers)?;
        }
        let request = change::parse(write, &body.read().await?)?;
        if let Some(record) = record {
            record.set_change(InWords(&request).to_string());
        }
        if let control::Request::Deploy(deploy) = &request
            && deploy.names_image()
            && self.config.load().token.is_none()
        {
            let what = "an image is deployed by request only where the admin API has a token (--admin-token-file): whoever \
                        may do that chooses what runs on the machine";
            return Err(Refusal::new(Reason::Conflict, what));
        }
        let view = control.request(request).await;
        let view = view.map_err(|error| Refusal::of_control(&error, write.names_replica()))?;
        change::response(write, &view)
    }

    /// The pool that a path names.
    fn pool(&self, name: Option<&str>) -> Result<&PoolHandle, Refusal> {
        self.pools.find(name).ok_or_else(|| {
            let names: Vec<_> = self.pools.names().take(MAX_NAMED).collect();
            let name = name.unwrap_or_default();
            let what = format!("there is no pool '{name}'; there are: {}", names.join(", "));
            Refusal::new(Reason::NotFound, what)
        })
    }

    fn readiness(&self) -> Result<AdminResponse, Refusal> {
        self.refuse_if_stopping()?;
        // What one pool lacks is no reason to keep requests from the others.
        if self.pools.views().iter().all(|pool| pool.view.ready() == 0) {
            return Err(Refusal::new(Reason::NotReady, "no replica is ready"));
        }
        Ok(response::success("ready"))
    }

    fn refuse_if_stopping(&self) -> Result<(), Refusal> {
        let is_stopping = self.pools.views().iter().any(|pool| pool.view.stopping);
        if self.stopping.load(Ordering::Relaxed) || is_stopping {
            return Err(Refusal::new(Reason::Stopping, "the balancer is stopping"));
        }
        Ok(())
    }
}

/// The number of the last entry that a client has seen: `Last-Event-ID`, or `after` in the query for
/// clients that cannot set headers.
fn last_event_id(head: &Parts) -> Result<Option<u64>, Refusal> {
    let query = head.uri.query().and_then(|query| query.strip_prefix("after="));
    let header = head.headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?"));
    match header.filter(|id| !id.is_empty()).or(query) {
        None if head.uri.query().is_some_and(|query| query.strip_prefix("after=").is_none()) => {
            Err(Refusal::new(Reason::BadRequest, "the only query understood here is after=NUMBER"))
        }
        None => Ok(None),
        Some(id) => id.parse().map(Some).map_err(|_| {
            Refusal::new(Reason::BadRequest, "the number of the last event must be a whole number")
        }),
    }
}
