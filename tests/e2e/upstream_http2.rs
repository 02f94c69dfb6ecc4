//! Replicas that speak HTTP/2: by prior knowledge, and over TLS.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::common::client::raw;
use crate::common::http2::{Client, get, reset_by, run, until, url, whole};
use crate::common::tls::Pair;
use crate::common::upstream::{Body, Speaks, Upstream, body};
use crate::common::{Balancer, request};

/// A balancer with one worker before this replica.
fn start(replica: &Upstream, args: &[&str]) -> Balancer {
    let address = format!("localhost:{}", replica.address.port());
    let upstream = ["--upstream", &address, "--upstream-http", "h2", "--workers", "1"];
    let balancer = Balancer::start(&[&upstream, args].concat());
    balancer.wait_until_ready(1);
    balancer
}

/// Says what it was asked, and how.
async fn tell(request: Request<Incoming>) -> Response<Body> {
    let (head, upload) = request.into_parts();
    let upload = upload.collect().await.expect("a whole body");
    let field =
        |name: &str| head.headers.get(name).map_or("-", |value| value.to_str().expect("text")).to_owned();
    let text = format!(
        "{:?} {} {} te={} connection={} host={} cookie={}",
        head.version,
        head.method,
        head.uri,
        field("te"),
        field("connection"),
        field("host"),
        field("cookie"),
    );
    let length = upload.to_bytes().len();
    Response::new(body(format!("{text} length={length}")))
}

#[test]
fn a_request_of_either_version_is_one_of_http2() {
    let replica = Upstream::start(Speaks::h2c(), tell);
    let balancer = start(&replica, &[]);
    let head = "POST /a?b=c HTTP/1.1\r\nHost: web.test\r\nConnection: close, te\r\nTE: gzip, trailers\r\nCookie: a=1\r\n";
    let answer = raw(balancer.public, &format!("{head}Content-Length: 5\r\n\r\nhello"));
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        "HTTP/2.0 POST http://web.test/a?b=c te=trailers connection=- host=- cookie=a=1 length=5"
    );
    let answer =
        raw(balancer.public, &format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
    assert!(answer.body.ends_with("length=5"), "{answer:?}");
    let answer = raw(balancer.public, "GET /x HTTP/1.0\r\n\r\n");
    assert!(
        answer.body.starts_with(&format!("HTTP/2.0 GET http://localhost:{}/x te=-", replica.address.port()))
    );
    let answer = raw(balancer.public, "GET / HTTP/1.1\r\nHost: a:b:c\r\nConnection: close\r\n\r\n");
    assert_eq!((answer.status, answer.header("x-ringherd-error")), (400, Some("bad-request")));
    // An upgrade is not offered, and the request is answered like any.
    let upgrade = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let answer = raw(balancer.public, upgrade);
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let request = Request::get("http://web.test/z").header("te", "trailers").header("cookie", "a=1");
        let request = request.header("cookie", "b=2").body(()).expect("a request");
        let answer = client.ask(request).await.expect("a response");
        let text = String::from_utf8(answer.body.to_vec()).expect("text");
        assert!(
            text.starts_with(
                "HTTP/2.0 GET http://web.test/z te=trailers connection=- host=- cookie=a=1; b=2"
            ),
            "{text}"
        );
    });
    // One for heartbeats, one for all requests.
    assert_eq!(replica.accepted(), 2);
}

#[test]
fn over_tls_it_is_agreed_on() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("upstream-http2-tls");
    std::fs::create_dir_all(&folder).expect("a folder");
    let pair = Pair::write(&folder, "localhost", &["localhost"], 30);
    let ca = ["--upstream-tls", "on", "--upstream-ca", pair.cert.to_str().expect("text")];
    let replica = Upstream::start(Speaks::tls(true, &pair, &[]), tell);
    let balancer = start(&replica, &ca);
    let answer = request(balancer.public, "GET", "/", None);
    assert!(answer.body.starts_with("HTTP/2.0 GET https://"), "{answer:?}");
    // One that speaks HTTP/1.1 alone is told apart.
    let replica = Upstream::start(Speaks::tls(false, &pair, &[]), tell);
    let upstream = format!("localhost:{}", replica.address.port());
    let mut balancer =
        Balancer::start(&[&["--upstream", &upstream, "--upstream-http", "h2"], &ca[..]].concat());
    let event = balancer.find_log("it is told", |event| event["message"] == "replica is not ready");
    let reason = event["reason"].as_str().expect("text");
    assert!(reason.contains("does not agree on HTTP/2 over TLS (--upstream-http h2)"), "{reason}");
}

/// Trailers, both ways.
#[test]
fn trailers_pass() {
    let replica = Upstream::start(Speaks::h2c(), |request: Request<Incoming>| async move {
        let upload = request.into_body().collect().await.expect("a whole body");
        let mut trailers = upload.trailers().cloned().unwrap_or_default();
        trailers.insert("x-size", "y".repeat(48_000).parse().expect("a value"));
        let frames = vec![Ok::<_, Infallible>(Frame::data(upload.to_bytes())), Ok(Frame::trailers(trailers))];
        Response::new(
            StreamBody::new(futures_util::stream::iter(frames))
                .map_err(|never| match never {})
                .boxed_unsync(),
        )
    });
    let balancer = start(&replica, &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let request = Request::post(url("/")).body(()).expect("a request");
        let (mut upload, response) = client.begin(request, true).await.expect("a stream");
        upload.send_data(Bytes::from("hello"), false).expect("open");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-end", "1".parse().expect("a value"));
        upload.send_trailers(trailers).expect("open");
        let answer = whole(response.await.expect("a response")).await.expect("a whole response");
        assert_eq!(answer.body, "hello");
        assert_eq!(
            (answer.trailers["x-end"].as_bytes(), answer.trailers["x-size"].len()),
            (&b"1"[..], 48_000)
        );
    });
}

/// A replica that holds `/held` until it is let go.
struct Held {
    replica: Upstream,
    under_way: Arc<AtomicUsize>,
    gate: Arc<Notify>,
}

fn held(speaks: Speaks) -> Held {
    let (under_way, gate) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
    let (count, wait) = (Arc::clone(&under_way), Arc::clone(&gate));
    let replica = Upstream::start(speaks, move |request: Request<Incoming>| {
        let (count, wait) = (Arc::clone(&count), Arc::clone(&wait));
        async move {
            if request.uri().path() == "/held" {
                let let_go = wait.notified();
                count.fetch_add(1, Ordering::SeqCst);
                let_go.await;
                count.fetch_sub(1, Ordering::SeqCst);
            }
            let upload = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
            Response::new(body(upload.unwrap_or_default()))
        }
    });
    Held { replica, under_way, gate }
}

#[test]
fn streams_share_connections_which_close_when_idle() {
    let held = held(Speaks::h2c());
    let balancer = start(&held.replica, &["--upstream-keep-alive", "300ms"]);
    run(async {
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(Client::connect(balancer.public).await.0);
        }
        let asking: Vec<_> = (0..240)
            .map(|number: usize| {
                let client = clients[number % 3].clone();
                tokio::spawn(async move { client.ask(get("/held")).await.map(|answer| answer.status()) })
            })
            .collect();
        until("all are under way", || (held.under_way.load(Ordering::SeqCst) == 240).then_some(())).await;
        // 240 streams of at most 100 on each, one that is made ahead, and that of heartbeats.
        let open = held.replica.open();
        assert!((4..=6).contains(&open), "{open}");
        held.gate.notify_waiters();
        for asked in asking {
            assert_eq!(asked.await.expect("no panic").expect("a response"), 200);
        }
        until("the idle ones close", || (held.replica.open() == 1).then_some(())).await;
    });
}

#[test]
fn a_replica_says_how_many_streams_it_takes() {
    let held = held(Speaks { max_streams: 2, ..Speaks::h2c() });
    let balancer = start(&held.replica, &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        client.get("/first").await;
        let asking: Vec<_> = (0..10)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.ask(get("/held")).await.map(|answer| answer.status()) })
            })
            .collect();
        until("all are under way", || {
            held.gate.notify_one();
            asking.iter().all(tokio::task::JoinHandle::is_finished).then_some(())
        })
        .await;
        for asked in asking {
            assert_eq!(asked.await.expect("no panic").expect("a response"), 200);
        }
    });
}

/// With GOAWAY each moment, whatever the method and with bodies.
#[test]
fn a_replica_that_renews_its_connections_loses_no_request() {
    let held = held(Speaks::h2c());
    let balancer = start(&held.replica, &[]);
    run(async {
        let mut working = Vec::new();
        for _ in 0..4 {
            let (client, _) = Client::connect(balancer.public).await;
            for _ in 0..4 {
                let client = client.clone();
                working.push(tokio::spawn(async move {
                    for number in 0..100 {
                        let sent = format!("body {number}");
                        let answer = client.post("/echo", sent.clone().into()).await.expect("a response");
                        assert_eq!((answer.status(), &answer.body[..]), (200, sent.as_bytes()), "{answer:?}");
                        client.get("/").await;
                    }
                }));
            }
        }
        while !working.iter().all(tokio::task::JoinHandle::is_finished) {
            held.replica.renew_connections();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for worked in working {
            worked.await.expect("no request is lost");
        }
    });
    assert!(held.replica.accepted() > 5, "connections were renewed: {}", held.replica.accepted());
}

/// A replica on the h2 crate, which does with each stream what `serve` says. Heartbeats are good.
async fn by_hand<S, F>(serve: S) -> std::net::SocketAddr
where
    S: Fn(Request<h2::RecvStream>, h2::server::SendResponse<Bytes>) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(connection_by_hand(tcp, serve.clone()));
        }
    });
    address
}

async fn connection_by_hand<S, F>(tcp: TcpStream, serve: S)
where
    S: Fn(Request<h2::RecvStream>, h2::server::SendResponse<Bytes>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(mut connection) = h2::server::handshake(tcp).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if request.uri().path() == "/heartbeat" {
            let _ = respond.send_response(Response::new(()), true);
        } else {
            tokio::spawn(serve(request, respond));
        }
    }
}

/// A balancer before a replica that runs on this thread.
async fn before(address: std::net::SocketAddr, args: &[&str]) -> Balancer {
    let upstream = address.to_string();
    let args = [&["--upstream", &upstream, "--upstream-http", "h2", "--workers", "1"], args].concat();
    let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
    let starting = tokio::task::spawn_blocking(move || {
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let balancer = Balancer::start(&args);
        balancer.wait_until_ready(1);
        balancer
    });
    starting.await.expect("it starts")
}

#[test]
fn a_refused_stream_is_sent_again_with_its_body() {
    run(async {
        let refused = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&refused);
        let address = by_hand(move |request: Request<h2::RecvStream>, mut respond| {
            let count = Arc::clone(&count);
            async move {
                let mut upload = request.into_body();
                let first = upload.data().await.map(|data| data.expect("a part"));
                // Each request is refused twice, after its body has come.
                if count.fetch_add(1, Ordering::SeqCst) % 3 < 2 {
                    return respond.send_reset(Reason::REFUSED_STREAM);
                }
                let mut out = respond.send_response(Response::new(()), false).expect("open");
                let _ = out.send_data(first.unwrap_or_default(), true);
            }
        })
        .await;
        let balancer = before(address, &[]).await;
        let (client, _) = Client::connect(balancer.public).await;
        for text in ["one", "two"] {
            let answer = client.post("/", Bytes::from(text)).await.expect("a response");
            assert_eq!((answer.status(), &answer.body[..]), (200, text.as_bytes()));
        }
        client.get("/").await;
        assert_eq!(refused.load(Ordering::SeqCst), 9);
    });
}

#[test]
fn one_that_refuses_all_streams_is_told_apart() {
    run(async {
        let address =
            by_hand(|_, mut respond| async move { respond.send_reset(Reason::REFUSED_STREAM) }).await;
        let balancer = before(address, &[]).await;
        let (client, _) = Client::connect(balancer.public).await;
        let answer = client.ask(get("/")).await.expect("a response");
        assert_eq!((answer.status(), answer.header("x-ringherd-error")), (503, "upstream-refused"));
    });
}

/// Whatever the reason of the reset: `NO_ERROR` in the middle is no end either.
#[test]
fn a_response_cut_in_its_middle_is_no_whole_one() {
    run(async {
        let address = by_hand(|request: Request<h2::RecvStream>, mut respond| async move {
            let reason = if request.uri().path() == "/none" { Reason::NO_ERROR } else { Reason::CANCEL };
            let mut out = respond.send_response(Response::new(()), false).expect("open");
            out.send_data(Bytes::from("begun"), false).expect("open");
            // The part is on its way before the reset.
            tokio::time::sleep(Duration::from_millis(50)).await;
            out.send_reset(reason);
        })
        .await;
        let balancer = before(address, &[]).await;
        let (client, _) = Client::connect(balancer.public).await;
        for path in ["/none", "/cancel"] {
            reset_by(client.ask(get(path)).await);
        }
        let public = balancer.public;
        let reading = tokio::task::spawn_blocking(move || {
            use std::io::{Read, Write};
            let mut stream = std::net::TcpStream::connect(public).expect("it listens");
            stream.write_all(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text);
            text
        });
        let text = reading.await.expect("no panic");
        assert!(text.contains("begun") && !text.ends_with("0\r\n\r\n"), "{text}");
    });
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Answers each request with 200: those that are `cut` with a head, a part of a body and a reset, all at once.
async fn answer_at_once(mut tcp: TcpStream, cut: Arc<AtomicBool>) -> std::io::Result<()> {
    const STATUS_200: &[u8] = &[0x88];
    let (data, headers, reset, settings, ping) = (0, 1, 3, 4, 6);
    let (ack, end_stream, end_headers) = (1, 1, 4);
    tcp.write_all(&frame(settings, 0, 0, &[])).await?;
    tcp.read_exact(&mut [0; 24]).await?;
    loop {
        let mut head = [0; 9];
        tcp.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        tcp.read_exact(&mut payload).await?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let answer = match (head[3], head[4] & ack) {
            (kind, _) if kind == headers && cut.load(Ordering::SeqCst) => [
                frame(headers, end_headers, stream, STATUS_200),
                frame(data, 0, stream, b"begun"),
                frame(reset, 0, stream, &8_u32.to_be_bytes()),
            ]
            .concat(),
            (kind, _) if kind == headers => frame(headers, end_headers | end_stream, stream, STATUS_200),
            (kind, 0) if kind == settings => frame(settings, ack, 0, &[]),
            (kind, 0) if kind == ping => frame(ping, ack, 0, &payload),
            _ => continue,
        };
        tcp.write_all(&answer).await?;
    }
}

/// What has come is passed on, and then the connection ends.
#[test]
fn a_part_that_comes_together_with_a_reset_reaches_a_client_of_http1() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let cut = Arc::<AtomicBool>::default();
        let will_cut = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(answer_at_once(tcp, Arc::clone(&will_cut)));
            }
        });
        let balancer = before(address, &["--health-interval", "1h"]).await;
        cut.store(true, Ordering::SeqCst);
        let public = balancer.public;
        let asking = move || request(public, "GET", "/", None);
        let answer = tokio::task::spawn_blocking(asking).await.expect("an answer");
        assert_eq!((answer.status, answer.body.contains("begun")), (200, true), "{answer:?}");
        assert!(!answer.body.ends_with("0\r\n\r\n"), "it is no whole one: {answer:?}");
    });
}

#[test]
fn a_client_that_leaves_takes_its_stream_back_and_no_other() {
    run(async {
        let (arrivals, resets) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (arrived, count) = (Arc::clone(&arrivals), Arc::clone(&resets));
        let address = by_hand(move |request: Request<h2::RecvStream>, mut respond| {
            let (arrived, count) = (Arc::clone(&arrived), Arc::clone(&count));
            async move {
                if request.uri().path() == "/held" {
                    arrived.fetch_add(1, Ordering::SeqCst);
                    let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                    assert_eq!(reason.ok(), Some(Reason::CANCEL));
                    count.fetch_add(1, Ordering::SeqCst);
                } else {
                    let _ = respond.send_response(Response::new(()), true);
                }
            }
        })
        .await;
        let balancer = before(address, &[]).await;
        let (client, _) = Client::connect(balancer.public).await;
        let (stays, _) = Client::connect(balancer.public).await;
        let (mut body, response) = client.begin(get("/held"), false).await.expect("a stream");
        until("it has arrived", || (arrivals.load(Ordering::SeqCst) == 1).then_some(())).await;
        stays.get("/").await;
        body.send_reset(Reason::CANCEL);
        drop(response);
        until("it is taken back", || (resets.load(Ordering::SeqCst) == 1).then_some(())).await;
        stays.get("/").await;
        // Over HTTP/1.
        let tcp = TcpStream::connect(balancer.public).await.expect("it listens");
        tcp.try_write(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").expect("room");
        until("it has arrived", || (arrivals.load(Ordering::SeqCst) == 2).then_some(())).await;
        drop(tcp);
        until("it is taken back", || (resets.load(Ordering::SeqCst) == 2).then_some(())).await;
    });
}

/// Fifty responses that nobody reads are more than the windows of hyper's defaults.
#[test]
fn clients_that_do_not_read_do_not_hold_up_others() {
    let replica = Upstream::start(Speaks::h2c(), |request: Request<Incoming>| async move {
        let large = request.uri().path() == "/large";
        Response::new(body(if large { vec![b'x'; 4 << 20] } else { b"small".to_vec() }))
    });
    let balancer = start(&replica, &[]);
    run(async {
        let (idle, _) = Client::connect(balancer.public).await;
        let mut unread = Vec::new();
        for _ in 0..50 {
            let (_, response) = idle.begin(get("/large"), false).await.expect("a stream");
            unread.push(response.await.expect("a response"));
        }
        let (client, _) = Client::connect(balancer.public).await;
        for _ in 0..20 {
            assert_eq!(client.get("/small").await.body, "small");
        }
        assert_eq!(client.get("/large").await.body.len(), 4 << 20);
        drop(unread);
    });
}

#[test]
fn the_connections_of_a_removed_replica_close_behind_their_streams() {
    let held = held(Speaks::h2c());
    let balancer = start(&held.replica, &["--upstream-keep-alive", "1h", "--drain-timeout", "1m"]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let asking = client.clone();
        let asked = tokio::spawn(async move { asking.ask(get("/held")).await });
        until("it is under way", || (held.under_way.load(Ordering::SeqCst) == 1).then_some(())).await;
        let admin = balancer.admin;
        let removed =
            tokio::task::spawn_blocking(move || request(admin, "DELETE", "/rm", Some(r#"{"n":1}"#)).status);
        assert_eq!(removed.await.expect("no panic"), 200);
        held.gate.notify_waiters();
        assert_eq!(asked.await.expect("no panic").expect("a response").status(), 200);
        until("all close", || (held.replica.open() == 0).then_some(())).await;
    });
}

#[test]
fn a_replica_that_does_not_respond_in_time() {
    let held = held(Speaks::h2c());
    let balancer = start(&held.replica, &["--response-timeout", "200ms"]);
    let answer = request(balancer.public, "GET", "/held", None);
    assert_eq!((answer.status, answer.header("x-ringherd-error")), (504, Some("response-timeout")));
    assert_eq!(request(balancer.public, "GET", "/", None).status, 200);
}

/// What is beyond the limits of heads.
#[test]
fn heads_of_responses_have_limits() {
    let replica = Upstream::start(Speaks::h2c(), |request: Request<Incoming>| async move {
        let mut response = Response::new(body("x"));
        match request.uri().path() {
            "/large" => {
                response.headers_mut().insert("x", "y".repeat(5000).parse().expect("a value"));
            }
            "/many" => (0..50).for_each(|_| {
                response.headers_mut().append("x", "y".parse().expect("a value"));
            }),
            _ => {}
        }
        assert_eq!(request.version(), Version::HTTP_2);
        response
    });
    let balancer = start(&replica, &["--max-response-header-bytes", "4096", "--max-response-headers", "32"]);
    for path in ["/large", "/many"] {
        let answer = request(balancer.public, "GET", path, None);
        assert_eq!(
            (answer.status, answer.header("x-ringherd-error")),
            (502, Some("response-head-too-large")),
            "{path}"
        );
    }
    assert_eq!(request(balancer.public, "GET", "/", None).status, 200);
}
