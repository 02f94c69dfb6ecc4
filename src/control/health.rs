//! Heartbeats on the wire: `GET path` or a call of gRPC, over a connection that is kept between them where
//! the replica allows it. Knows nothing of states or schedules.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fxhash::{FxHashMap, FxHashSet};
use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::lag::{Allowance, Expiry, Lag};
use super::pool::{Probe, Verdict};
use super::probe::{self, ProbeConnection, ProbeError, ResponseHead};
use super::probe_http2::{Http2Error, Http2Probe, Serving};
use super::reach::{Reach, ReachedStream, Unreached};
use super::{HealthCheck, HealthConfig};
use crate::listen::{is_exhaustion, proxy_protocol};
use crate::runtime::ReplicaId;
use crate::tls::ConnectorError;

/// Time to read the body of a response, to use its connection again: the verdict waits for it.
const BODY_TIME: Duration = Duration::from_millis(100);

/// A heartbeat that has ended, and its connection if that can be used again.
type Ended = (ReplicaId, Verdict, Option<(SocketAddr, Connection)>);

/// A connection to send heartbeats on.
#[derive(Debug)]
enum Connection {
    Http1(ProbeConnection),
    Http2(Box<Http2Probe>),
}

impl Connection {
    fn opened(&self) -> Instant {
        match self {
            Self::Http1(connection) => connection.opened(),
            Self::Http2(connection) => connection.opened(),
        }
    }
}

/// What came of a heartbeat.
enum Answer {
    /// The head of a response of HTTP/1, whose body is to come.
    Http1(ResponseHead),
    Status(u16),
    Grpc(Serving),
}

/// How long a connection is kept. A server that closes its listener, or a name that leads elsewhere by
/// now, is noticed by a new one.
const MAX_AGE: Duration = Duration::from_secs(15);

/// Sends heartbeats and keeps the connections between them.
#[derive(Debug, Default)]
pub(super) struct Checker {
    reach: Reach,
    lag: Lag,
    /// Idle connections, one for each replica, and where they lead.
    kept: FxHashMap<ReplicaId, (SocketAddr, Connection)>,
    /// Replicas with a heartbeat under way whose connection may be kept.
    wanted: FxHashSet<ReplicaId>,
    /// Heartbeats under way. Dropping it ends them.
    under_way: JoinSet<Ended>,
    /// What measures the lag.
    measuring: JoinSet<()>,
}

impl Checker {
    /// From now on speaks to replicas like this.
    pub(super) fn set_reach(&mut self, reach: Reach) {
        self.reach = reach;
    }

    /// Sends a heartbeat. Has to be called on a tokio runtime with I/O and time.
    pub(super) fn send(&mut self, probe: Probe, config: &HealthConfig) {
        if self.measuring.is_empty() {
            self.measuring.spawn(self.lag.clone().measure());
        }
        let allowance = Allowance::new(config.timeout, &self.lag);
        let service = match &config.check {
            HealthCheck::Http => None,
            HealthCheck::Grpc(service) => Some(service.as_str().into()),
        };
        let check = Check {
            probe,
            reach: self.reach.clone(),
            path: config.path.as_str().into(),
            service,
            timeout: config.timeout,
            proxy_protocol: config.proxy_protocol,
        };
        let kept = self.kept.remove(&check.probe.id).filter(|(address, connection)| {
            *address == check.probe.address && connection.opened().elapsed() < MAX_AGE
        });
        self.wanted.insert(check.probe.id);
        self.under_way.spawn(async move {
            let (verdict, connection) = check.run(kept.map(|(_, connection)| connection), &allowance).await;
            (check.probe.id, verdict, connection.map(|connection| (check.probe.address, connection)))
        });
    }

    /// Closes the connection to a replica: one that is not asked any more may wait for that to end, and
    /// one at which a request failed may take no new connections.
    pub(super) fn forget(&mut self, id: ReplicaId) {
        self.kept.remove(&id);
        self.wanted.remove(&id);
    }

    /// Waits for a heartbeat to end; pends while none is under way. Cancel safe.
    pub(super) async fn next(&mut self) -> (ReplicaId, Verdict) {
        match self.under_way.join_next().await {
            Some(ended) => self.end(ended),
            None => std::future::pending().await,
        }
    }

    /// One that has ended already.
    pub(super) fn try_next(&mut self) -> Option<(ReplicaId, Verdict)> {
        let ended = self.under_way.try_join_next()?;
        Some(self.end(ended))
    }

    fn end(&mut self, ended: Result<Ended, tokio::task::JoinError>) -> (ReplicaId, Verdict) {
        // None is ever cancelled, so an error is a panic: a defect, which must not leave a
        // replica without heartbeats for good.
        let (id, verdict, connection) =
            ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        if let (true, Some(connection)) = (self.wanted.remove(&id), connection) {
            self.kept.insert(id, connection);
        }
        (id, verdict)
    }
}

/// One heartbeat.
struct Check {
    probe: Probe,
    reach: Reach,
    path: Arc<str>,
    /// The service that gRPC is asked for, in place of the path.
    service: Option<Arc<str>>,
    timeout: Duration,
    proxy_protocol: Option<proxy_protocol::Version>,
}

/// Why there is no response.
#[derive(Debug)]
enum Failure {
    /// No connection can be made.
    Connect(io::Error),
    /// Who responds cannot show to be the replica.
    Tls(ConnectorError),
    /// The connection broke, or what came is not HTTP.
    Http(ProbeError),
    /// The same of HTTP/2.
    Http2(h2::Error),
    /// Path and host make no request.
    Request,
}

impl Check {
    /// Any 2xx response within the time-out (connecting included) is good. Time in which this
    /// thread stood still does not count.
    async fn run(&self, kept: Option<Connection>, allowance: &Allowance) -> (Verdict, Option<Connection>) {
        let asked = self.ask(kept);
        tokio::pin!(asked);
        let mut ends = allowance.ends();
        let response = loop {
            tokio::select! {
                biased;
                response = &mut asked => break response,
                () = tokio::time::sleep_until(ends) => {}
            }
            // A standstill is measured by another task, which may be due as well.
            tokio::task::yield_now().await;
            match allowance.expires(ends, Instant::now()) {
                Expiry::At(later) => ends = later,
                Expiry::TimedOut => return (self.timed_out(), None),
                Expiry::Unknown => return (self.unknown("the balancer did not look at it in time"), None),
            }
        };
        match response {
            Ok((Answer::Http1(head), Connection::Http1(mut connection))) => {
                let reusable = match connection.try_finish(head) {
                    Some(reusable) => reusable,
                    None => tokio::time::timeout(BODY_TIME, connection.finish(head)).await.unwrap_or(false),
                };
                (self.judge(head.status), reusable.then_some(Connection::Http1(connection)))
            }
            Ok((Answer::Http1(head), connection)) => (self.judge(head.status), Some(connection)),
            Ok((Answer::Status(status), connection)) => (self.judge(status), Some(connection)),
            Ok((Answer::Grpc(serving), connection)) => (self.judge_grpc(serving), Some(connection)),
            Err(failure) => (self.failed(&failure, allowance), None),
        }
    }

    /// Asks on the connection that was kept, and on a new one if that was closed meanwhile.
    async fn ask(&self, kept: Option<Connection>) -> Result<(Answer, Connection), Failure> {
        if self.reach.http2 {
            return self.ask_http2(kept).await;
        }
        let request = probe::request(&self.path, &self.probe.host).ok_or(Failure::Request)?;
        if let Some(Connection::Http1(mut connection)) = kept
            && connection.is_quiet()
            && let Ok(head) = connection.send(&request).await
        {
            return Ok((Answer::Http1(head), Connection::Http1(connection)));
        }
        let mut connection = ProbeConnection::new(self.open().await?);
        let head = connection.send(&request).await.map_err(Failure::Http)?;
        Ok((Answer::Http1(head), Connection::Http1(connection)))
    }

    /// The same over HTTP/2.
    async fn ask_http2(&self, kept: Option<Connection>) -> Result<(Answer, Connection), Failure> {
        if let Some(Connection::Http2(mut connection)) = kept
            && connection.is_open()
            && let Ok(answer) = self.ask_on(&mut connection).await
        {
            return Ok((answer, Connection::Http2(connection)));
        }
        let mut connection = Box::new(Http2Probe::over(self.open().await?).await.map_err(Failure::Http2)?);
        let answer = self.ask_on(&mut connection).await.map_err(|error| match error {
            Http2Error::Broken(error) => Failure::Http2(error),
            Http2Error::Request => Failure::Request,
        })?;
        Ok((answer, Connection::Http2(connection)))
    }

    async fn ask_on(&self, connection: &mut Http2Probe) -> Result<Answer, Http2Error> {
        let host = &self.probe.host;
        match &self.service {
            None => connection.get(host, &self.path).await.map(Answer::Status),
            Some(service) => connection.check(host, service).await.map(Answer::Grpc),
        }
    }

    async fn open(&self) -> Result<ReachedStream, Failure> {
        let Probe { address, host, .. } = &self.probe;
        let opened = self.reach.open(*address, host, self.proxy_protocol).await;
        opened.map_err(|unreached| match unreached {
            Unreached::Connect(error) => Failure::Connect(error),
            Unreached::Tls(error) => Failure::Tls(error),
        })
    }

    fn judge(&self, code: u16) -> Verdict {
        let (address, path) = (self.probe.address, &self.path);
        if (200..300).contains(&code) {
            Verdict::Good
        } else {
            let status =
                StatusCode::from_u16(code).map_or_else(|_| code.to_string(), |status| status.to_string());
            // A server that is not well says 5xx; one that has no such path says one of these.
            let hint = if (300..500).contains(&code) {
                ": set --health-path to a path that it answers with 2xx"
            } else {
                ""
            };
            Verdict::Bad(format!("{address} responds, but GET {path} gives {status}{hint}"))
        }
    }

    fn judge_grpc(&self, serving: Serving) -> Verdict {
        const NOT_FOUND: u16 = 5;
        const UNIMPLEMENTED: u16 = 12;
        let (address, service) = (self.probe.address, self.service.as_deref().unwrap_or_default());
        Verdict::Bad(match serving {
            Serving::Yes => return Verdict::Good,
            Serving::No(state) => {
                let state = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"].get(state as usize);
                format!("{address} says that '{service}' is {}", state.unwrap_or(&"in no known state"))
            }
            Serving::Status(NOT_FOUND) => {
                format!("{address} does not know the service '{service}': check --health")
            }
            Serving::Status(UNIMPLEMENTED) => {
                format!("{address} has no health service (grpc.health.v1): use --health http, or add it")
            }
            Serving::Status(status) => format!("{address} answered with grpc-status {status}"),
            Serving::Http(status) => format!("{address} answered {status} and no gRPC: check --health"),
            Serving::NotGrpc => format!("the answer of {address} is not that of grpc.health.v1"),
        })
    }

    fn timed_out(&self) -> Verdict {
        let limit = humantime::format_duration(self.timeout);
        Verdict::NoAnswer(format!("no answer from {} within {limit}", self.probe.address))
    }

    fn failed(&self, failure: &Failure, allowance: &Allowance) -> Verdict {
        let address = self.probe.address;
        match failure {
            Failure::Connect(error) if is_exhaustion(error) => {
                self.unknown(&format!("cannot connect to {address}: {error}"))
            }
            Failure::Connect(error) => Verdict::NoAnswer(format!("cannot connect to {address}: {error}")),
            Failure::Tls(_) if allowance.is_lost() => self.unknown("the balancer did not look at it in time"),
            Failure::Tls(error) => Verdict::Bad(format!("{address}: {error}")),
            // It may have tired of waiting for the request.
            Failure::Http(_) | Failure::Http2(_) if allowance.is_lost() => {
                self.unknown("the balancer did not send it in time")
            }
            Failure::Http2(error) => {
                let of_tls = error.get_io().and_then(ConnectorError::of_stream);
                Verdict::Bad(of_tls.map_or_else(
                    || format!("no HTTP/2 answer from {address}: {error}; check --upstream-http"),
                    |error| format!("{address}: {error}"),
                ))
            }
            Failure::Http(error) => Verdict::Bad(match error.of_tls() {
                Some(error) => format!("{address}: {error}"),
                None => format!("no HTTP answer from {address}: {error}"),
            }),
            Failure::Request => Verdict::Bad(format!(
                "'{}' cannot be asked of '{}': check --health-path",
                self.path, self.probe.host
            )),
        }
    }

    fn unknown(&self, reason: &str) -> Verdict {
        tracing::warn!(address = %self.probe.address, reason, "a heartbeat says nothing of its replica");
        Verdict::Unknown(reason.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const ID: ReplicaId = ReplicaId(1);
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

    /// One heartbeat of `checker`.
    async fn checked(checker: &mut Checker, address: SocketAddr, timeout: Duration) -> Verdict {
        let config = HealthConfig { timeout, ..HealthConfig::default() };
        checker.send(Probe { id: ID, address, host: "web:80".into() }, &config);
        checker.next().await.1
    }

    /// Reads one request from `stream` and answers it.
    async fn answer(stream: &mut TcpStream, answer: &str) -> io::Result<String> {
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(stream.read_u8().await?);
        }
        stream.write_all(answer.as_bytes()).await?;
        Ok(String::from_utf8(asked).unwrap())
    }

    /// The verdict on one answer, after which the connection is closed; and what was asked.
    async fn judged(text: &'static str) -> (Verdict, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream, text).await.unwrap()
        };
        let mut checker = Checker::default();
        tokio::join!(checked(&mut checker, address, LONG), server)
    }

    #[tokio::test]
    async fn any_2xx_is_good() {
        for answer in [OK, "HTTP/1.0 204 No Content\r\n\r\n"] {
            let (verdict, asked) = judged(answer).await;
            assert_eq!(verdict, Verdict::Good);
            assert!(asked.starts_with("GET /heartbeat HTTP/1.1\r\n"), "{asked}");
            assert!(asked.contains("host: web:80\r\n") && !asked.contains("connection:"), "{asked}");
        }
    }

    #[tokio::test]
    async fn anything_else_is_bad_and_says_why() {
        for (answer, why) in [
            (
                "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
                "responds, but GET /heartbeat gives 503 Service Unavailable",
            ),
            (
                "HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n",
                "GET /heartbeat gives 302 Found: set --health-path to a path that it answers with 2xx",
            ),
            ("nonsense\r\n\r\n", "no HTTP answer"),
            ("", "no HTTP answer"),
        ] {
            let (verdict, _) = judged(answer).await;
            assert!(
                matches!(&verdict, Verdict::Bad(reason) if reason.contains(why)),
                "{answer:?}: {verdict:?}"
            );
        }
    }

    #[tokio::test]
    async fn silence_ends_with_the_time_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let verdict = checked(&mut Checker::default(), address, Duration::from_millis(200)).await;
        assert_eq!(verdict, Verdict::NoAnswer(format!("no answer from {address} within 200ms")));
    }

    #[tokio::test]
    async fn nobody_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let verdict = checked(&mut Checker::default(), address, LONG).await;
        assert!(matches!(verdict, Verdict::NoAnswer(reason) if reason.starts_with("cannot connect")));
    }

    /// The second is on the connection of the first; then the replica closes it, as it may at any
    /// time, and the third finds that out and comes again.
    #[tokio::test]
    async fn a_connection_is_used_again_and_one_that_was_closed_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let close = tokio::sync::Notify::new();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await.unwrap();
            answer(&mut stream, OK).await.unwrap();
            close.notified().await;
            drop(stream);
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await.unwrap();
        };
        let mut checker = Checker::default();
        let checks = async {
            for _ in 0..2 {
                assert_eq!(checked(&mut checker, address, LONG).await, Verdict::Good);
                assert!(checker.kept.contains_key(&ID));
            }
            close.notify_one();
            assert_eq!(checked(&mut checker, address, LONG).await, Verdict::Good);
            assert!(!checker.kept.contains_key(&ID));
        };
        tokio::join!(checks, server);
    }

    #[tokio::test]
    async fn a_replica_that_is_not_asked_any_more_has_its_connection_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut checker = Checker::default();
        let accepted = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream, OK).await.unwrap();
            stream
        };
        let (_, mut stream) = tokio::join!(checked(&mut checker, address, LONG), accepted);
        checker.forget(ID);
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "closed");
        // Also if one is under way at that time.
        checker.send(Probe { id: ID, address, host: "web".into() }, &HealthConfig::default());
        checker.forget(ID);
        let accepted = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream, OK).await.unwrap();
        };
        tokio::join!(checker.next(), accepted);
        assert!(checker.kept.is_empty());
    }

    /// The replica answers at once, but this thread stands still for longer than the time-out:
    /// whenever that begins, the replica is not to blame.
    #[tokio::test]
    async fn a_heartbeat_that_was_looked_at_late_is_not_bad() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // A server of its own thread.
        std::thread::spawn(move || {
            for stream in listener.incoming().take(6) {
                use std::io::{Read, Write};
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(OK.as_bytes());
            }
        });
        let timeout = Duration::from_millis(200);
        for polls in 0..5 {
            let mut checker = Checker::default();
            let config = HealthConfig { timeout, ..HealthConfig::default() };
            checker.send(Probe { id: ID, address, host: "web".into() }, &config);
            for _ in 0..polls {
                tokio::task::yield_now().await;
            }
            std::thread::sleep(timeout * 2);
            let (_, verdict) = checker.next().await;
            assert!(
                matches!(verdict, Verdict::Good | Verdict::Unknown(_)),
                "after {polls} polls: {verdict:?}"
            );
        }
    }
}
