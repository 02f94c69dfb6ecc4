//! WebSocket over HTTP/2: tunnels on streams, over real sockets, and what does not end them.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::Request;
use rustix::process::Signal;
use serde_json::Value;
use socket2::SockRef;

use super::openings::secure;
use crate::common::http2::{Client, get, reset_by, run, send, until};
use crate::common::scrape::Scrape;
use crate::common::taken::{Taken, switch, taken_replica};
use crate::common::{Balancer, request};
use crate::tunnels::changes_elsewhere;

fn start(replicas: &[&Taken], args: &[&str]) -> Balancer {
    let mut all = args.to_vec();
    all.extend(replicas.iter().flat_map(|replica| ["--upstream", &replica.address]));
    let balancer = Balancer::start(&all);
    balancer.wait_until_ready(replicas.len());
    balancer
}

/// Both ends of a tunnel.
struct Tunnel {
    send: SendStream<Bytes>,
    receive: RecvStream,
    replica: TcpStream,
}

impl Tunnel {
    /// One whose replica sends back what it gets.
    async fn open(client: &Client, host: &str, replicas: &[&Taken]) -> (usize, Self) {
        let (at, tunnel) = Self::silent(client, host, replicas).await;
        let mut echo = tunnel.replica.try_clone().expect("a descriptor");
        std::thread::spawn(move || {
            let mut buffer = [0; 10_000];
            while let Ok(read @ 1..) = echo.read(&mut buffer) {
                if echo.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            let _ = echo.shutdown(Shutdown::Write);
        });
        (at, tunnel)
    }

    /// One to whichever of the replicas gets it, and which that is.
    async fn silent(client: &Client, host: &str, replicas: &[&Taken]) -> (usize, Self) {
        until("it is announced", || client.may_connect().then_some(())).await;
        let mut request = Request::connect(format!("https://{host}/chat"))
            .header("sec-websocket-version", "13")
            .body(())
            .expect("a request");
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        let (send, response) = client.begin(request, true).await.expect("a stream");
        let poll = || replicas.iter().enumerate().find_map(|(at, replica)| Some((at, replica.poll()?)));
        let (at, (asked, mut replica)) = until("the handshake has reached one", poll).await;
        replica.write_all(switch(&asked).as_bytes()).expect("it reads");
        let response = response.await.expect("a response");
        assert_eq!(response.status(), 200);
        (at, Self { send, receive: response.into_body(), replica })
    }

    /// Whether what is sent comes back.
    async fn is_open(&mut self) -> bool {
        send(&mut self.send, Bytes::from_static(b"ping")).await.is_ok()
            && self.read(4).await == Ok("ping".into())
    }

    /// What comes up to the end or so many bytes.
    async fn read(&mut self, at_most: usize) -> Result<String, Option<Reason>> {
        let mut read = Vec::new();
        while read.len() < at_most
            && let Some(part) = self.receive.data().await
        {
            let part = part.map_err(|error| error.reason())?;
            self.receive.flow_control().release_capacity(part.len()).expect("a window");
            read.extend_from_slice(&part);
        }
        Ok(String::from_utf8(read).expect("text"))
    }
}

#[test]
fn a_tunnel_on_a_stream_is_counted_and_logged() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("websocket-over-http2");
    fs::create_dir_all(&folder).expect("a folder");
    let log = folder.join("access.log");
    let _ = fs::remove_file(&log);
    let replica = taken_replica();
    let balancer = start(&[&replica], &["--access-log", log.to_str().expect("text")]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let (_, mut tunnel) = Tunnel::open(&client, "a.example", &[&replica]).await;
        assert!(tunnel.is_open().await);
        let passed =
            || Scrape::of(&balancer).value("ringherd_tunnel_bytes_total", &[("to", "client")]) as u64 == 4;
        until("all is counted", || passed().then_some(())).await;
        assert_eq!(Scrape::of(&balancer).value("ringherd_tunnels", &[]) as u64, 1);
        tunnel.send.send_data(Bytes::new(), true).expect("it is open");
        assert_eq!(tunnel.read(usize::MAX).await, Ok(String::new()), "the other end, and no reset");
        let written = || fs::read_to_string(&log).ok().filter(|text| text.ends_with('\n'));
        let line: Value = serde_json::from_str(until("the line", written).await.trim_end()).expect("JSON");
        let is = |field: &str, value: Value| assert_eq!(line[field], value, "{line}");
        is("method", "CONNECT".into());
        is("path", "/chat".into());
        is("status", 200.into());
        is("bytes", 4.into());
        is("sent", 4.into());
        is("reason", Value::Null);
        let scrape = Scrape::of(&balancer);
        assert_eq!(scrape.value("ringherd_tunnels", &[]) as u64, 0);
        assert_eq!(scrape.value("ringherd_tunnels_opened_total", &[]) as u64, 1);
    });
}

#[test]
fn much_data_passes_both_ways_while_other_streams_go_on() {
    const LENGTH: usize = 4_000_000;
    let replica = taken_replica();
    let balancer = start(&[&replica], &["--workers", "1"]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let (_, Tunnel { send: mut up, mut receive, replica: _there }) =
            Tunnel::open(&client, "a.example", &[&replica]).await;
        let (_, mut other) = Tunnel::open(&client, "a.example", &[&replica]).await;
        let bytes: Vec<u8> = (0..LENGTH).map(|at| (at % 253) as u8).collect();
        let content = Bytes::from(bytes.clone());
        let sending = tokio::spawn(async move {
            send(&mut up, content).await.expect("it is read");
            up.send_data(Bytes::new(), true).expect("it is open");
        });
        // It is not read yet.
        assert!(other.is_open().await);
        let (_body, response) = client.begin(get("/x"), false).await.expect("a stream");
        let (_, mut there) = until("a request has come too", || replica.poll()).await;
        there.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("it reads");
        assert_eq!(response.await.expect("a response").status(), 200);
        let mut read = Vec::new();
        while let Some(part) = receive.data().await {
            let part = part.expect("all of it");
            receive.flow_control().release_capacity(part.len()).expect("a window");
            read.extend_from_slice(&part);
        }
        sending.await.expect("no panic");
        assert!(read == bytes, "{} of {LENGTH} bytes", read.len());
    });
}

#[test]
fn a_reset_passes_either_way() {
    let replica = taken_replica();
    let balancer = start(&[&replica], &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let (_, mut ours) = Tunnel::open(&client, "a.example", &[&replica]).await;
        let (_, mut theirs) = Tunnel::silent(&client, "a.example", &[&replica]).await;
        let (_, mut other) = Tunnel::open(&client, "a.example", &[&replica]).await;
        ours.send.send_reset(Reason::CANCEL);
        // Which a linger of no time makes of a close.
        SockRef::from(&theirs.replica).set_linger(Some(Duration::ZERO)).expect("a socket");
        drop(theirs.replica);
        let ended = async {
            while let Some(part) = theirs.receive.data().await {
                part?;
            }
            Ok(())
        };
        assert_eq!(reset_by(ended.await), Some(Reason::CANCEL));
        let open = || Scrape::of(&balancer).value("ringherd_tunnels", &[]) as u64;
        until("two have ended", || (open() == 1).then_some(())).await;
        assert!(other.is_open().await);
    });
}

#[test]
fn changes_elsewhere_leave_tunnels_alone_and_a_removal_resets_them() {
    let (one, two, third) = (taken_replica(), taken_replica(), taken_replica());
    let tls = ["--tls-listen", "127.0.0.1:0", "--tls-self-signed", "on", "--drain-timeout", "2s"];
    let mut balancer = start(&[&one, &two], &tls);
    let names = balancer.replicas();
    run(async {
        let (client, _) = Client::over(secure(&mut balancer, "localhost", &["h2"]).await).await;
        let mut open = [Vec::new(), Vec::new()];
        while open.iter().any(|open| open.len() < 5) {
            let (at, tunnel) = Tunnel::open(&client, "localhost", &[&one, &two]).await;
            open[at].push(tunnel);
        }
        let [mut first, mut second] = open;
        for (method, path, body) in changes_elsewhere(&third) {
            assert_eq!(request(balancer.admin, method, path, Some(&body)).status, 200, "{method} {path}");
            for tunnel in first.iter_mut().chain(&mut second) {
                assert!(tunnel.is_open().await, "{method} {path}");
            }
        }
        balancer.signal(Signal::HUP);
        balancer.wait_for_log("configuration reloaded");
        for tunnel in first.iter_mut().chain(&mut second) {
            assert!(tunnel.is_open().await);
        }
        let remove = format!(r#"{{"n":1,"hostnames":["{}"]}}"#, names[0]);
        assert_eq!(request(balancer.admin, "DELETE", "/rm", Some(&remove)).status, 200);
        for tunnel in &mut first {
            assert_eq!(tunnel.read(usize::MAX).await, Err(Some(Reason::CANCEL)));
        }
        for tunnel in &mut second {
            assert!(tunnel.is_open().await, "those of the other replica go on");
        }
        println!("{} tunnels over TLS and HTTP/2: none lost at the replica that stayed", second.len());
    });
}

#[test]
fn a_stop_tells_the_client_and_ends_tunnels_when_its_time_is_over() {
    let replica = taken_replica();
    let mut balancer = start(&[&replica], &["--grace", "5s"]);
    run(async {
        let (client, ending) = Client::connect(balancer.public).await;
        let (_, mut tunnel) = Tunnel::open(&client, "a.example", &[&replica]).await;
        balancer.signal(Signal::TERM);
        client.until_refused().await;
        assert!(tunnel.is_open().await);
        assert!(tunnel.read(usize::MAX).await.is_err(), "no end of its own");
        let _ = ending.await;
    });
    assert_eq!(balancer.wait().code(), Some(0));
}
