//! Tunnels over TLS, of HTTP/1.1 and on streams of HTTP/2, while replicas that are not theirs die, come and go
//! under load: none of them ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use bytes::{Bytes, BytesMut};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::Request;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{CLIENTS, ENOUGH, RATE, alone, kill_one, wait_for_requests};
use crate::common::http2::{Client, send, until};
use crate::common::load::{Load, Wire};
use crate::common::taken::switch;
use crate::common::tls::{Pair, TlsClient};
use crate::common::{Balancer, PATIENCE, request};

const HOST: &str = "t.test";

/// Tunnels of each kind to each replica, at least.
const EACH: usize = 3;

const UPGRADE: &str = "GET /echo HTTP/1.1\r\nHost: t.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// No test of its own: the program of the replicas, which is this one with a port in its environment.
#[test]
fn replica() {
    let Ok(port) = std::env::var("REPLICA_PORT") else { return };
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).expect("a free port");
    for stream in listener.incoming().map_while(Result::ok) {
        let port = port.clone();
        std::thread::spawn(move || serve(stream, &port));
    }
}

/// Answers requests with its port. A tunnel tells that first, and then sends back what it gets.
fn serve(stream: TcpStream, port: &str) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            (reader.read_line(&mut head).ok()? > 0).then_some(())?;
        }
        if head.contains("\r\nupgrade: websocket\r\n") {
            write!(reader.get_mut(), "{}{port:>5}", switch(&head)).ok()?;
            let mut buffer = [0; 1000];
            loop {
                let read = reader.read(&mut buffer).ok().filter(|read| *read > 0)?;
                reader.get_mut().write_all(&buffer[..read]).ok()?;
            }
        }
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{port}", port.len());
        reader.get_mut().write_all(answer.as_bytes()).ok()?;
    }
}

/// The client's end of a tunnel.
struct Tunnel {
    /// The port of its replica.
    port: u16,
    wire: End,
}

enum End {
    Http1(Box<TlsStream<tokio::net::TcpStream>>),
    /// With what was read too early.
    Http2(SendStream<Bytes>, RecvStream, BytesMut),
}

impl End {
    /// Sends and reads back; whether that went well.
    async fn echoes(&mut self) -> bool {
        const WORD: &[u8] = b"ping";
        let is_sent = match self {
            Self::Http1(stream) => stream.write_all(WORD).await.is_ok(),
            Self::Http2(stream, ..) => send(stream, Bytes::from_static(WORD)).await.is_ok(),
        };
        is_sent && self.read(WORD.len()).await.is_some_and(|read| read == WORD)
    }

    /// So many bytes; `None` if the end comes before, however it comes.
    async fn read(&mut self, count: usize) -> Option<Vec<u8>> {
        match self {
            Self::Http1(stream) => {
                let mut read = vec![0; count];
                stream.read_exact(&mut read).await.ok().map(|_| read)
            }
            Self::Http2(_, stream, early) => {
                while early.len() < count {
                    let part = stream.data().await?.ok()?;
                    stream.flow_control().release_capacity(part.len()).ok()?;
                    early.extend_from_slice(&part);
                }
                Some(early.split_to(count).to_vec())
            }
        }
    }
}

/// All tunnels, and what keeps them going.
struct Tunnels {
    runtime: Runtime,
    open: Vec<Tunnel>,
}

impl Tunnels {
    /// Some of each kind to each of the replicas at these ports.
    fn open(address: SocketAddr, client: &TlsClient, ports: &[u16]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let opening = async {
            let session = session(address, &client.offering(&["h2"])).await;
            let (connection, _ending) = Client::over(session).await;
            until("it may open WebSockets", || connection.may_connect().then_some(())).await;
            let (mut first, mut second) = (Vec::new(), Vec::new());
            while !ports.iter().all(|port| at(&first, *port) >= EACH && at(&second, *port) >= EACH) {
                first.push(http1(address, &client.offering(&["http/1.1"])).await);
                second.push(http2(&connection).await);
            }
            first.append(&mut second);
            first
        };
        let open = runtime.block_on(async { tokio::time::timeout(PATIENCE, opening).await });
        Self { runtime, open: open.expect("they open in time") }
    }

    /// All of them are as they were.
    fn all_echo(&mut self, when: &str) {
        let Self { runtime, open } = self;
        let echoing = async {
            for tunnel in open {
                assert!(tunnel.wire.echoes().await, "lost {when}, at the replica of port {}", tunnel.port);
            }
        };
        let in_time = runtime.block_on(async { tokio::time::timeout(PATIENCE, echoing).await });
        in_time.expect("echoes come in time");
    }

    /// Those of the replica at `port` end, and no others do.
    fn end_at(&mut self, port: u16, when: &str) {
        let (theirs, others) = std::mem::take(&mut self.open).into_iter().partition(|t| t.port == port);
        self.open = others;
        let mut theirs: Vec<Tunnel> = theirs;
        let ending = async {
            for tunnel in &mut theirs {
                assert!(tunnel.wire.read(1).await.is_none(), "nothing comes any more");
            }
        };
        let in_time = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, ending).await });
        in_time.expect("they end in time");
        self.all_echo(when);
    }
}

fn at(tunnels: &[Tunnel], port: u16) -> usize {
    tunnels.iter().filter(|tunnel| tunnel.port == port).count()
}

async fn session(address: SocketAddr, client: &TlsClient) -> TlsStream<tokio::net::TcpStream> {
    let tcp = tokio::net::TcpStream::connect(address).await.expect("it listens");
    tcp.set_nodelay(true).expect("a socket");
    let name = HOST.try_into().expect("a name");
    TlsConnector::from(client.config()).connect(name, tcp).await.expect("a session")
}

async fn http1(address: SocketAddr, client: &TlsClient) -> Tunnel {
    let mut stream = session(address, client).await;
    stream.write_all(UPGRADE.as_bytes()).await.expect("it reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    greeted(End::Http1(Box::new(stream))).await
}

async fn http2(connection: &Client) -> Tunnel {
    let mut request = Request::connect(format!("https://{HOST}/echo"))
        .header("sec-websocket-version", "13")
        .body(())
        .expect("a request");
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let (send, response) = connection.begin(request, true).await.expect("a stream");
    let response = response.await.expect("a response");
    assert_eq!(response.status(), 200);
    greeted(End::Http2(send, response.into_body(), BytesMut::new())).await
}

async fn greeted(mut wire: End) -> Tunnel {
    let port = String::from_utf8(wire.read(5).await.expect("a greeting")).expect("text");
    Tunnel { port: port.trim().parse().expect("a port"), wire }
}

/// The ports of the replicas on the ring.
fn ports(balancer: &Balancer) -> Vec<u16> {
    let port = |replica: serde_json::Value| {
        replica["address"].as_str().expect("an address").parse::<SocketAddr>().expect("an address").port()
    };
    balancer.ring().into_iter().map(port).collect()
}

#[test]
fn nothing_fails_and_no_tunnel_to_another_replica_ends() {
    let _alone = alone();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failover-tunnels");
    std::fs::create_dir_all(&folder).expect("a folder");
    let pair = Pair::write(&folder, "t", &[HOST], 30);
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let (cert, key) = (text(&pair.cert), text(&pair.key));
    let program = std::env::current_exe().expect("a path");
    let command =
        format!("env REPLICA_PORT={{port}} '{}' --exact tunnels::replica --nocapture", program.display());
    let mut balancer = Balancer::start(&[
        "--replica-command",
        &command,
        "--tls-listen",
        "127.0.0.1:0",
        "--tls-certificate",
        &cert,
        "--tls-key",
        &key,
        "--drain-timeout",
        "2s",
    ]);
    balancer.wait_until_ready(3);
    let event = balancer.find_log("it listens for TLS", |event| event["message"] == "listening for TLS");
    let address = event["address"].as_str().expect("an address").parse().expect("an address");
    let client = TlsClient::trusting([&pair.der]);
    let loads = [(Wire::Tls(client.clone(), HOST), address), (Wire::Http2, balancer.public)]
        .map(|(wire, address)| Load::over(&wire, address, CLIENTS / 2, RATE / 2, "GET"));
    let [first, second, _] = ports(&balancer)[..] else { panic!("three replicas") };
    let mut tunnels = Tunnels::open(address, &client, &ports(&balancer));
    let all = tunnels.open.len();
    wait_for_requests(&balancer, ENOUGH);

    kill_one(&balancer);
    wait_for_requests(&balancer, ENOUGH);
    tunnels.end_at(second, "by a kill");

    let body = Some(r#"{"n":1,"hostnames":["Came"]}"#);
    assert_eq!(request(balancer.admin, "POST", "/add", body).status, 200);
    wait_for_requests(&balancer, ENOUGH);
    tunnels.all_echo("by /add");

    balancer.signal(Signal::HUP);
    balancer.wait_for_log("configuration reloaded");
    wait_for_requests(&balancer, ENOUGH);
    tunnels.all_echo("by a reload");

    let body = Some(r#"{"n":1,"hostnames":["Server 1"]}"#);
    assert_eq!(request(balancer.admin, "DELETE", "/rm", body).status, 200);
    tunnels.end_at(first, "by a drain");
    wait_for_requests(&balancer, ENOUGH);
    tunnels.all_echo("behind a drain");

    let reports = loads.map(Load::stop);
    println!(
        "kill -9, /add, reload and drain under {RATE} GET/s, half over TLS and half over HTTP/2: {} good, {} failed; \
         {all} tunnels over TLS, half of them on streams of HTTP/2: {} at other replicas, none of them lost",
        reports.iter().map(|report| report.good.len()).sum::<usize>(),
        reports.iter().map(|report| report.failed.len()).sum::<usize>(),
        tunnels.open.len(),
    );
    for report in reports {
        assert_eq!(report.failed, []);
    }
}
