//! What clients and replicas can make the balancer hold if they do not read: no more than `docs/limits.md`
//! says.

use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::common::http2::{Client, get, run_within, until, url};
use crate::common::taken::switch;
use crate::common::tls::{Pair, TlsClient};
use crate::common::{Balancer, PATIENCE};

const KIB: u64 = 1024;

/// What the formula of `docs/limits.md` counts, with the settings as they are by default.
const CONNECTION: u64 = 32 * KIB;
const SESSION: u64 = 48 * KIB;
const HTTP2: u64 = 1280 * KIB;
const ONE_WAY: u64 = 6 * 80 * KIB;
const STREAM_TUNNEL: u64 = 224 * KIB;

/// Bytes of the balancer that are in memory.
fn resident(balancer: &Balancer) -> u64 {
    let path = format!("/proc/{}/status", balancer.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(path).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux");
    line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * KIB
}

/// What has passed between a test and its replica.
#[derive(Default)]
struct Passed {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Passed {
    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn now(&self) -> (u64, u64) {
        (self.requests.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// A replica that answers `/big` for as long as anybody reads, and reads nothing of any body.
async fn endless(passed: Arc<Passed>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&passed)));
        }
    });
    address
}

async fn answer(mut stream: TcpStream, passed: Arc<Passed>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    if head.starts_with(b"GET /heartbeat") {
        return stream
            .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .await
            .ok();
    }
    passed.requests.fetch_add(1, Ordering::Relaxed);
    if head.starts_with(b"POST /sink") {
        return std::future::pending().await;
    }
    let text = String::from_utf8(head).ok()?;
    let good = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_owned();
    let answer = if text.contains("\r\nupgrade: ") { switch(&text) } else { good };
    stream.write_all(answer.as_bytes()).await.ok()?;
    if text.starts_with("GET /idle") {
        return std::future::pending().await;
    }
    stream.set_nodelay(true).ok()?;
    let part = [b'x'; 16 * 1024];
    let size = if text.starts_with("GET /events") { 100 } else { part.len() };
    loop {
        passed.add(stream.write(&part[..size]).await.ok()?);
        tokio::task::yield_now().await;
    }
}

/// The same replica over HTTP/2.
async fn endless_http2(passed: Arc<Passed>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let passed = Arc::clone(&passed);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.ok()?;
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(answer_http2(request, respond, Arc::clone(&passed)));
                }
                Some(())
            });
        }
    });
    address
}

async fn answer_http2(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    passed: Arc<Passed>,
) -> Option<()> {
    let response = http::Response::new(());
    if request.uri().path() == "/heartbeat" {
        return respond.send_response(response, true).ok().map(drop);
    }
    passed.requests.fetch_add(1, Ordering::Relaxed);
    if request.uri().path() == "/sink" {
        let _unread = request;
        return std::future::pending().await;
    }
    let mut body = respond.send_response(response, false).ok()?;
    loop {
        body.reserve_capacity(16 * 1024);
        let room = std::future::poll_fn(|cx| body.poll_capacity(cx)).await?.ok()?;
        body.send_data(Bytes::from(vec![b'x'; room]), false).ok()?;
        passed.add(room);
        tokio::task::yield_now().await;
    }
}

/// Until all buffers are full, some 50 MB move through the one thread of replica and clients.
const MUCH_PATIENCE: Duration = PATIENCE.saturating_mul(6);

/// Waits until so many requests have come to the replica, and nothing moves any more.
async fn until_stalled(passed: &Passed, requests: u64) {
    let end = Instant::now() + PATIENCE * 5;
    let mut before = (passed.now(), Instant::now());
    while before.0.0 < requests || before.1.elapsed() < Duration::from_secs(1) {
        assert!(Instant::now() < end, "{:?} of {requests}", passed.now());
        tokio::time::sleep(Duration::from_millis(20)).await;
        if passed.now() != before.0 {
            before = (passed.now(), Instant::now());
        }
    }
}

/// What a balancer holds more than at its start when `begin` has begun `requests` that stall.
fn held<T>(requests: u64, begin: impl AsyncFnOnce(&Stage) -> T) -> u64 {
    held_before("h1", requests, begin)
}

/// The same before a replica that speaks this version.
fn held_before<T>(http: &'static str, requests: u64, begin: impl AsyncFnOnce(&Stage) -> T) -> u64 {
    run_within(MUCH_PATIENCE, async {
        let passed = Arc::<Passed>::default();
        let upstream = match http {
            "h2" => endless_http2(Arc::clone(&passed)).await,
            _ => endless(Arc::clone(&passed)).await,
        };
        let upstream = format!("localhost:{}", upstream.port());
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("memory-{upstream}").replace(':', "-"));
        std::fs::create_dir_all(&folder).expect("a folder");
        let pair = Pair::write(&folder, "a", &["a.test"], 30);
        let file = |path: &Path| path.to_str().expect("text").to_owned();
        // Blocking calls of the helpers must not stop the replica of this thread.
        let (cert, key) = (file(&pair.cert), file(&pair.key));
        let started = tokio::task::spawn_blocking(move || {
            let mut balancer = Balancer::start(&[
                "--upstream",
                &upstream,
                "--upstream-http",
                http,
                "--tls-listen",
                "127.0.0.1:0",
                "--tls-certificate",
                &cert,
                "--tls-key",
                &key,
                "--workers",
                "2",
                "--health-interval",
                "1h",
                // The replica is this thread, which has others to play too.
                "--connect-timeout",
                "1m",
            ]);
            balancer.wait_until_ready(1);
            let event =
                balancer.find_log("it listens for TLS", |event| event["message"] == "listening for TLS");
            let tls = event["address"].as_str().expect("an address").parse().expect("an address");
            (balancer, tls)
        });
        let (balancer, tls) = started.await.expect("it starts");
        let client = TlsClient::trusting([&pair.der]);
        let stage = Stage { balancer, tls, client, passed };
        let before = resident(&stage.balancer);
        let kept = begin(&stage).await;
        until_stalled(&stage.passed, requests).await;
        let held = resident(&stage.balancer).saturating_sub(before);
        drop(kept);
        let _ = std::fs::remove_dir_all(&folder);
        held
    })
}

struct Stage {
    balancer: Balancer,
    tls: SocketAddr,
    client: TlsClient,
    passed: Arc<Passed>,
}

impl Stage {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.balancer.public).await.expect("it listens")
    }

    async fn connect_tls(&self) -> tokio_rustls::client::TlsStream<TcpStream> {
        let tcp = TcpStream::connect(self.tls).await.expect("it listens");
        let name = "a.test".try_into().expect("a name");
        TlsConnector::from(self.client.config()).connect(name, tcp).await.expect("a session")
    }
}

const BIG: &[u8] = b"GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Sends a body for as long as it is taken.
async fn upload(mut stream: TcpStream, path: &str, passed: Arc<Passed>) {
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("it reads");
    let part = [b'x'; 16 * 1024];
    while let Ok(sent) = stream.write(&part).await {
        passed.add(sent);
    }
}

fn assert_within(what: &str, held: u64, count: u64, allowed: u64) {
    println!("{what}: {held} bytes, {} for each of {count}; {allowed} allowed", held / count);
    assert!(held <= allowed, "{what}: {held} bytes are held, more than {allowed}");
}

#[test]
fn clients_of_http1_that_do_not_read() {
    const COUNT: u64 = 300;
    for http in ["h1", "h2"] {
        let held = held_before(http, COUNT, async |stage| {
            let mut streams = Vec::new();
            for _ in 0..COUNT {
                let mut stream = stage.connect().await;
                stream.write_all(BIG).await.expect("it reads");
                streams.push(stream);
            }
            streams
        });
        let what = format!("downloads over HTTP/1, {http} to the replica");
        assert_within(&what, held, COUNT, COUNT * (CONNECTION + ONE_WAY));
    }
}

#[test]
fn replicas_that_do_not_read() {
    const COUNT: u64 = 300;
    for http in ["h1", "h2"] {
        let held = held_before(http, COUNT, async |stage| {
            for _ in 0..COUNT {
                let stream = stage.connect().await;
                tokio::spawn(upload(stream, "/sink", Arc::clone(&stage.passed)));
            }
        });
        let what = format!("uploads over HTTP/1, {http} to the replica");
        assert_within(&what, held, COUNT, COUNT * (CONNECTION + ONE_WAY));
    }
}

#[test]
fn neither_side_reads() {
    const COUNT: u64 = 150;
    let held = held(COUNT, async |stage| {
        for _ in 0..COUNT {
            let stream = stage.connect().await;
            tokio::spawn(upload(stream, "/big", Arc::clone(&stage.passed)));
        }
    });
    assert_within("both ways over HTTP/1", held, COUNT, COUNT * (CONNECTION + 2 * ONE_WAY));
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A client of HTTP/2 that takes nothing from its socket, with windows for all there is. It sends `head` on
/// so many streams, and then `content` on each.
async fn deaf(stage: &Stage, streams: u64, head: &[u8], content: &[u8]) -> TcpStream {
    const WINDOW: [u8; 4] = 0x3fff_0000_u32.to_be_bytes();
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a socket");
    let mut stream = socket.connect(stage.balancer.public).await.expect("it listens");
    let goal = stage.passed.now().0 + streams;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[&[0, 4][..], &WINDOW].concat()));
    bytes.extend(frame(8, 0, 0, &WINDOW));
    let numbers = (0..streams as u32).map(|number| 2 * number + 1);
    let ends = u8::from(content.is_empty());
    numbers.clone().for_each(|number| bytes.extend(frame(1, 4 | ends, number, head)));
    stream.write_all(&bytes).await.expect("it reads");
    // Before that the window of the connection is a smaller one.
    let have_come = || (content.is_empty() || stage.passed.now().0 == goal).then_some(());
    until("they have come", have_come).await;
    for part in content.chunks(16 * 1024) {
        for number in numbers.clone() {
            stream.write_all(&frame(0, 0, number, part)).await.expect("it reads");
        }
    }
    stream
}

/// Each part that h2 keeps has a frame of its own.
#[test]
fn small_parts_for_a_client_of_http2_that_takes_none_from_its_socket() {
    const STREAMS: u64 = 20;
    // GET, http, the path and the authority, with the indices of RFC 7541.
    let asked = [&[0x82, 0x86, 0x04, 7][..], b"/events", &[0x01, 1], b"a"].concat();
    let held = held(STREAMS, async |stage| deaf(stage, STREAMS, &asked, &[]).await);
    let allowed = CONNECTION + HTTP2 + 2 * STREAMS * ONE_WAY;
    assert_within("small parts over HTTP/2", held, STREAMS, allowed);
}

#[test]
fn tunnels_on_streams_of_a_client_that_takes_nothing_from_its_socket() {
    // So many that all their windows fit into that of the connection.
    const STREAMS: u64 = 15;
    const CONNECTIONS: u64 = 8;
    for path in ["/tunnel/", "/events/"] {
        let field = |name: &str, value: &str| {
            [&[0, name.len() as u8][..], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
        };
        let asked = [
            &[0x02, 7][..],
            b"CONNECT",
            &[0x86, 0x04, path.len() as u8],
            path.as_bytes(),
            &[0x01, 1],
            b"a",
            &field(":protocol", "websocket"),
            &field("sec-websocket-version", "13"),
        ];
        let (asked, content) = (asked.concat(), vec![b'x'; 64 * 1024 - 1]);
        let held = held(CONNECTIONS * STREAMS, async |stage| {
            let mut streams = Vec::new();
            for _ in 0..CONNECTIONS {
                streams.push(deaf(stage, STREAMS, &asked, &content).await);
            }
            streams
        });
        let allowed = CONNECTIONS * (CONNECTION + HTTP2 + STREAMS * STREAM_TUNNEL);
        assert_within(
            &format!("tunnels on streams, {path} to a deaf client"),
            held,
            CONNECTIONS * STREAMS,
            allowed,
        );
    }
}

#[test]
fn clients_of_tls_that_do_not_read() {
    const COUNT: u64 = 150;
    let held = held(COUNT, async |stage| {
        let mut streams = Vec::new();
        for _ in 0..COUNT {
            let mut stream = stage.connect_tls().await;
            stream.write_all(BIG).await.expect("it reads");
            streams.push(stream);
        }
        streams
    });
    assert_within("downloads over TLS", held, COUNT, COUNT * (CONNECTION + SESSION + ONE_WAY));
}

#[test]
fn streams_of_http2_that_are_not_read() {
    const CONNECTIONS: u64 = 4;
    const STREAMS: u64 = 100;
    for http in ["h1", "h2"] {
        let held = held_before(http, CONNECTIONS * STREAMS, async |stage| {
            let mut kept = Vec::new();
            for _ in 0..CONNECTIONS {
                let (client, _) = Client::over(stage.connect().await).await;
                for _ in 0..STREAMS {
                    let (body, response) = client.begin(get("/big"), false).await.expect("it begins");
                    kept.push((body, tokio::spawn(response)));
                }
            }
            kept
        });
        let allowed = CONNECTIONS * (CONNECTION + HTTP2 + STREAMS * ONE_WAY);
        let what = format!("downloads over HTTP/2, {http} to the replica");
        assert_within(&what, held, CONNECTIONS * STREAMS, allowed);
    }
}

#[test]
fn streams_of_http2_whose_bodies_are_not_read() {
    const CONNECTIONS: u64 = 4;
    const STREAMS: u64 = 100;
    let held = held(CONNECTIONS * STREAMS, async |stage| {
        let kept = Rc::new(());
        for _ in 0..CONNECTIONS {
            let (client, _) = Client::over(stage.connect().await).await;
            for _ in 0..STREAMS {
                let request = http::Request::post(url("/sink")).body(()).expect("a request");
                let (mut body, response) = client.begin(request, true).await.expect("it begins");
                // All that its window may ever have.
                body.send_data(Bytes::from(vec![b'x'; 256 * 1024]), false).expect("it is kept");
                tokio::spawn(async move {
                    let _ = response.await;
                    drop(body);
                });
            }
        }
        kept
    });
    let allowed = CONNECTIONS * (CONNECTION + HTTP2 + STREAMS * ONE_WAY);
    assert_within("uploads over HTTP/2", held, CONNECTIONS * STREAMS, allowed);
}

/// Begins tunnels on streams of some connections, and sends on each what its window may ever have.
async fn tunnels_on_streams(
    stage: &Stage,
    connections: u64,
    path: &str,
    content: usize,
) -> Vec<(h2::SendStream<Bytes>, JoinHandle<Option<h2::RecvStream>>)> {
    let mut kept = Vec::new();
    for _ in 0..connections {
        let (client, _) = Client::over(stage.connect().await).await;
        until("it may open WebSockets", || client.may_connect().then_some(())).await;
        for _ in 0..100 {
            let connect = http::Request::connect(url(path)).header("sec-websocket-version", "13");
            let mut request = connect.body(()).expect("a request");
            request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
            let (mut send, response) = client.begin(request, true).await.expect("it begins");
            send.send_data(Bytes::from(vec![b'x'; content]), false).expect("it is kept");
            // Who drops the body gives its window back.
            kept.push((send, tokio::spawn(async { response.await.ok().map(http::Response::into_body) })));
        }
    }
    kept
}

#[test]
fn tunnels_on_streams_whose_sides_do_not_read() {
    const CONNECTIONS: u64 = 4;
    const STREAMS: u64 = 100;
    for (what, path, content) in [("idle", "/idle", 0), ("full both ways", "/tunnel", 1024 * 1024)] {
        let held = held(CONNECTIONS * STREAMS, async |stage| {
            tunnels_on_streams(stage, CONNECTIONS, path, content).await
        });
        let allowed = CONNECTIONS * (CONNECTION + HTTP2 + STREAMS * STREAM_TUNNEL);
        assert_within(&format!("tunnels on streams, {what}"), held, CONNECTIONS * STREAMS, allowed);
    }
}

#[test]
fn connections_that_are_idle() {
    const COUNT: u64 = 1000;
    let held = held(0, async |stage| {
        let mut streams = Vec::new();
        for _ in 0..COUNT {
            streams.push(stage.connect().await);
        }
        streams
    });
    assert_within("idle connections", held, COUNT, COUNT * CONNECTION);
}

#[test]
fn sessions_of_tls_that_are_idle() {
    const COUNT: u64 = 300;
    let held = held(0, async |stage| {
        let mut streams = Vec::new();
        for _ in 0..COUNT {
            streams.push(stage.connect_tls().await);
        }
        streams
    });
    assert_within("idle sessions of TLS", held, COUNT, COUNT * (CONNECTION + SESSION));
}
