//! From a request to its answer, on whichever listener it came.
//!
//! The order of the checks is part of the interface: host, origin, token, path and method,
//! content type, body. Who has no token learns nothing about what is here but the dashboard's
//! page, which is the same for everybody.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderValue, Request, Response, Version};
use http_body::Body as HttpBody;
use tokio_util::sync::CancellationToken;

use super::answer::{self, Answer};
use super::audit::Attempt;
use super::body::{self, Input};
use super::change::{self, Change};
use super::error::{Reason, Refusal};
use super::route::{self, Read, Route, Write};
use super::{
    AdminConfig, Body, Sources, auth, dashboard, document, host, metrics, origin, reply, statistics,
};
use crate::control::{Control, View};
use crate::telemetry::journal::MAX_READERS;

/// The listener that a request came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// That of the data plane: [`is_public_route`](super::is_public_route) and no more.
    Public,
    /// That of the admin API.
    Admin,
}

/// What the connection layer knows of a request.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Where it came in.
    pub listener: Listener,
    /// Who sent it.
    pub peer: SocketAddr,
    /// Whether the request line was not a valid one although it was parsed: a fragment, for
    /// one, is dropped without a word by the parser of URIs. Answered with 400 and a close.
    pub flawed_target: bool,
}

/// The admin service. Clones share everything.
#[derive(Clone, Debug)]
pub struct Admin {
    config: Arc<ArcSwap<AdminConfig>>,
    control: Control,
    stopping: Arc<AtomicBool>,
    sources: Arc<Sources>,
    /// Cancelled when streams are to end.
    end_of_streams: CancellationToken,
}

impl Admin {
    /// A service that does through `control` what `config` allows.
    pub fn new(config: AdminConfig, control: Control) -> Self {
        Self {
            config: Arc::new(ArcSwap::from_pointee(config)),
            control,
            stopping: Arc::default(),
            sources: Arc::default(),
            end_of_streams: CancellationToken::new(),
        }
    }

    /// The same, which tells what it finds in `sources`.
    #[must_use]
    pub fn telling(mut self, sources: Sources) -> Self {
        self.sources = Arc::new(sources);
        self
    }

    /// From now on does what `config` allows. Requests that were let in go on.
    pub fn reconfigure(&self, config: AdminConfig) {
        self.config.store(Arc::new(config));
    }

    /// Ends the streams of events: one of the last steps of a stop.
    pub fn end_streams(&self) {
        self.end_of_streams.cancel();
    }

    /// Tells statistics once a second, for as long as it is polled.
    pub async fn tell_statistics(&self) {
        statistics::tell(&self.control, &self.sources).await;
    }

    /// From now on the balancer is not ready and takes no changes: the first step of a stop,
    /// while requests in flight are still being answered.
    pub fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Answers a request. The answer to a `HEAD` has the body of the `GET`, which the server
    /// must leave out, as hyper does. Needs a runtime with timers. A client that leaves does not
    /// take back what it asked for.
    pub async fn handle<B>(&self, request: Request<B>, context: Context) -> Response<Body>
    where
        B: HttpBody<Data = Bytes>,
    {
        let (head, body) = request.into_parts();
        let mut body = Input::new(body);
        let route = route::find(context.listener, &head.method, head.uri.path());
        let mut attempt = matches!(route, Ok(Route::Write(_)))
            .then(|| Attempt::begin(context.peer, &head, self.sources.observer.journal.clone()));
        let answer = self.answer(route, &head, &mut body, &context, attempt.as_mut()).await;
        let mut answer = answer.unwrap_or_else(Refusal::into_answer);
        if let Some(attempt) = attempt {
            attempt.end(answer.status());
        }
        let close = context.flawed_target || body.is_unread();
        if close && head.version < Version::HTTP_2 {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    /// The checks that come before what is asked for, then that.
    async fn answer<B: HttpBody<Data = Bytes>>(
        &self,
        route: Result<Route, Refusal>,
        head: &Parts,
        body: &mut Input<B>,
        context: &Context,
        attempt: Option<&mut Attempt>,
    ) -> Result<Answer, Refusal> {
        if context.flawed_target {
            return Err(Refusal::new(Reason::BadRequest, "the request line has no valid target"));
        }
        match route {
            Ok(Route::Read(read)) if read.is_probe() => return self.read(read, head),
            // It holds no secret, and a link on any page may lead to it. What it then asks for
            // passes all checks.
            Ok(Route::Read(Read::Page)) => {
                self.admit_host(head)?;
                return self.read(Read::Page, head);
            }
            _ => self.admit(head)?,
        }
        let mut attempt = attempt;
        if let Some(attempt) = &mut attempt {
            attempt.admit();
        }
        match route? {
            Route::Read(read) => self.read(read, head),
            Route::Write(write) => self.write(&write, head, body, attempt).await,
        }
    }

    /// Whether the request is for this balancer.
    fn admit_host<'a>(&self, head: &'a Parts) -> Result<host::Target<'a>, Refusal> {
        let target = host::target(head)?;
        host::check(&target, &self.config.load().hosts)?;
        Ok(target)
    }

    /// Whether the sender may ask anything.
    fn admit(&self, head: &Parts) -> Result<(), Refusal> {
        let target = self.admit_host(head)?;
        origin::check(&head.headers, &target)?;
        auth::check(&head.headers, self.config.load().token.as_deref())
    }

    fn read(&self, read: Read, head: &Parts) -> Result<Answer, Refusal> {
        let view = self.control.view();
        match read {
            Read::Page => Ok(dashboard::page()),
            Read::Replicas => Ok(answer::replicas(&view)),
            Read::Ring => Ok(answer::ring(&view)),
            Read::Sectors => Ok(answer::sectors(&view)),
            Read::Version => Ok(answer::version()),
            Read::Document => Ok(document::answer()),
            Read::Metrics => Ok(metrics::answer(&view, &self.sources, &head.headers)),
            Read::Events => self.events(head),
            Read::Alive => Ok(answer::success("alive")),
            Read::Ready => self.readiness(&view),
        }
    }

    /// The journal, after the entry that the client knows already.
    fn events(&self, head: &Parts) -> Result<Answer, Refusal> {
        let after = reply::known_entry(head)?;
        let reader = self.sources.observer.journal.read(after).ok_or_else(|| {
            Refusal::new(
                Reason::Busy,
                format!("{MAX_READERS} clients read events already, which is the limit"),
            )
        })?;
        Ok(answer::events(reader, self.end_of_streams.clone()))
    }

    async fn write<B: HttpBody<Data = Bytes>>(
        &self,
        write: &Write,
        head: &Parts,
        body: &mut Input<B>,
        attempt: Option<&mut Attempt>,
    ) -> Result<Answer, Refusal> {
        if head.uri.query().is_some() {
            return Err(Refusal::new(Reason::BadRequest, "a change takes no query; send it as a JSON body"));
        }
        self.refuse_if_stopping()?;
        body::check_type(&head.headers)?;
        let change = Change::parse(write, &body.read().await?)?;
        if let Some(attempt) = attempt {
            attempt.asks_for(change.to_string());
        }
        let view = change.perform(&self.control).await.map_err(|error| Refusal::of_control(&error, write))?;
        change::answer(write, &view)
    }

    fn readiness(&self, view: &View) -> Result<Answer, Refusal> {
        self.refuse_if_stopping()?;
        if view.ready() == 0 {
            return Err(Refusal::new(Reason::NotReady, "no replica is ready"));
        }
        Ok(answer::success("ready"))
    }

    fn refuse_if_stopping(&self) -> Result<(), Refusal> {
        if self.stopping.load(Ordering::Relaxed) || self.control.view().stopping {
            return Err(Refusal::new(Reason::Stopping, "the balancer is stopping"));
        }
        Ok(())
    }
}
