//! WebSocket and other upgrades: tunnels over real sockets, and what does not end them.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::scrape::Scrape;
use crate::common::taken::{Taken, read_head, taken_replica};
use crate::common::tls::{Pair, TlsClient};
use crate::common::{Balancer, PATIENCE, connect, metric, request, wait_until};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzhZRbK+xOo=\r\n\r\n";

fn start(replicas: &[&Taken], args: &[&str]) -> Balancer {
    let mut all = args.to_vec();
    all.extend(replicas.iter().flat_map(|replica| ["--upstream", &replica.address]));
    let balancer = Balancer::start(&all);
    balancer.wait_until_ready(replicas.len());
    balancer
}

/// A client that has sent `text`.
fn client(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(text.as_bytes()).expect("it reads");
    stream
}

/// Both ends of a tunnel, whose client may speak TLS.
struct Tunnel<C = TcpStream> {
    client: C,
    replica: TcpStream,
}

impl Tunnel {
    fn open(balancer: &Balancer, replica: &Taken) -> Self {
        let client = client(balancer.public, UPGRADE);
        let (_, mut replica) = replica.next();
        replica.write_all(SWITCH.as_bytes()).expect("it reads");
        assert!(read_head(&client).starts_with("HTTP/1.1 101 "));
        Self { client, replica }
    }
}

impl<C: Read + Write> Tunnel<C> {
    /// Whether bytes pass both ways.
    fn is_open(&mut self) -> bool {
        pass(&mut self.client, &mut self.replica, b"ping")
            && pass(&mut self.replica, &mut self.client, b"pong")
    }
}

/// Whether what is written at one end comes out at the other.
fn pass(from: &mut impl Write, to: &mut impl Read, bytes: &[u8]) -> bool {
    let mut read = vec![0; bytes.len()];
    from.write_all(bytes).is_ok() && to.read_exact(&mut read).is_ok() && read == bytes
}

/// What comes until the end, which may be a reset.
fn rest(stream: &mut impl Read) -> String {
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        // A session of TLS that breaks off ends without the word of its end.
        let ends = [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof];
        assert!(ends.contains(&error.kind()), "an end in time, not {error}");
    }
    String::from_utf8(rest).expect("text")
}

#[test]
fn a_tunnel_passes_bytes_both_ways_and_is_counted_and_logged() {
    let folder = std::env::temp_dir().join(format!("ringherd-tunnels-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let log: PathBuf = folder.join("access.log");
    let replica = taken_replica();
    let balancer = start(&[&replica], &["--access-log", log.to_str().expect("text")]);
    let mut client = client(balancer.public, UPGRADE);
    let (asked, mut there) = replica.next();
    for line in ["connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"] {
        assert!(asked.contains(&format!("\r\n{line}\r\n")), "{asked}");
    }
    there.write_all(format!("{SWITCH}hello").as_bytes()).expect("it reads");
    let head = read_head(&client);
    for line in
        ["connection: upgrade", "upgrade: websocket", "sec-websocket-accept: s3pPLMBiTxaQ9kYGzhZRbK+xOo="]
    {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
    }
    let mut read = [0; 5];
    client.read_exact(&mut read).expect("what came with the head");
    assert_eq!(&read, b"hello");
    let mut tunnel = Tunnel { client, replica: there };
    assert!(tunnel.is_open());
    // Counted when they have passed.
    let scrape = wait_until("all is counted", || {
        let scrape = Scrape::of(&balancer);
        (scrape.sum("ringherd_tunnel_bytes_total", &[]) as u64 == 13).then_some(scrape)
    });
    let count = |scrape: &Scrape, name: &str, labels: &[(&str, &str)]| scrape.value(name, labels) as u64;
    assert_eq!(count(&scrape, "ringherd_tunnels", &[]), 1);
    assert_eq!(count(&scrape, "ringherd_requests_in_flight", &[]), 1);
    assert_eq!(count(&scrape, "ringherd_tunnel_bytes_total", &[("to", "replica")]), 4);
    drop(tunnel.client);
    assert_eq!(rest(&mut tunnel.replica), "");
    drop(tunnel.replica);
    let line = wait_until("the line is written", || {
        fs::read_to_string(&log).ok().filter(|text| text.ends_with('\n'))
    });
    let line: Value = serde_json::from_str(line.trim_end()).expect("JSON, one line");
    assert_eq!(
        (&line["status"], &line["bytes"], &line["sent"]),
        (&101.into(), &9.into(), &4.into()),
        "{line}"
    );
    assert_eq!((&line["path"], &line["reason"]), (&"/chat".into(), &Value::Null), "{line}");
    let scrape = wait_until("no request is in flight", || {
        let scrape = Scrape::of(&balancer);
        (count(&scrape, "ringherd_requests_in_flight", &[]) == 0).then_some(scrape)
    });
    assert_eq!(count(&scrape, "ringherd_tunnels", &[]), 0);
    assert_eq!(count(&scrape, "ringherd_tunnels_opened_total", &[]), 1);
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn what_comes_early_arrives_in_order_or_not_at_all() {
    let replica = taken_replica();
    let balancer = start(&[&replica], &["--workers", "1"]);
    let mut early = client(balancer.public, &format!("{UPGRADE}one"));
    let (_, mut there) = replica.next();
    early.write_all(b"two").expect("it reads");
    // Another request, so that the worker has seen what came before.
    let mut other = client(balancer.public, "GET /other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (_, mut there_too) = replica.next();
    there_too.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("it reads");
    assert!(rest(&mut other).starts_with("HTTP/1.1 200 "));
    there.set_nonblocking(true).expect("a socket");
    let nothing = there.read(&mut [0]).expect_err("nothing is sent before the answer");
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    there.set_nonblocking(false).expect("a socket");
    there.write_all(SWITCH.as_bytes()).expect("it reads");
    read_head(&early);
    early.write_all(b"three").expect("it reads");
    let mut read = [0; 11];
    there.read_exact(&mut read).expect("all of it");
    assert_eq!(&read, b"onetwothree");

    // What is sent behind an upgrade that is refused looks like a request, and is none.
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for later in [false, true] {
        let text = if later { UPGRADE.to_owned() } else { format!("{UPGRADE}{smuggled}") };
        let mut client = client(balancer.public, &text);
        let (_, mut there) = replica.next();
        if later {
            client.write_all(smuggled.as_bytes()).expect("it reads");
        }
        there.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").expect("it reads");
        let answer = rest(&mut client);
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("\r\n\r\nno"), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    assert!(replica.poll().is_none(), "there was no other request");
}

#[test]
fn an_upgrade_that_may_not_be_is_none() {
    let replica = taken_replica();
    let balancer = start(&[&replica], &[]);
    let of = |fields: &str| format!("GET /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    for (text, is_offered) in [
        (
            of(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
            ),
            false,
        ),
        (of("Connection: close"), false),
        (UPGRADE.to_owned(), true),
    ] {
        let mut client = client(balancer.public, &text);
        let (asked, mut there) = replica.next();
        assert_eq!(asked.contains("upgrade"), is_offered, "{asked}");
        assert!(!asked.contains("http2-settings"), "{asked}");
        // Nobody asked for this one.
        there.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\nxyz").expect("it reads");
        let head = read_head(&client);
        assert!(
            head.starts_with("HTTP/1.1 502 ") && head.contains("x-ringherd-error: bad-response"),
            "{head}"
        );
        client.shutdown(Shutdown::Write).expect("a socket");
        assert!(!rest(&mut client).contains("xyz"));
    }
}

#[test]
fn each_direction_ends_for_itself() {
    let replica = taken_replica();
    let balancer = start(&[&replica], &[]);
    for client_first in [true, false] {
        let Tunnel { client, replica } = Tunnel::open(&balancer, &replica);
        let (mut first, mut last) = if client_first { (client, replica) } else { (replica, client) };
        first.write_all(b"the end").expect("it reads");
        first.shutdown(Shutdown::Write).expect("a socket");
        assert_eq!(rest(&mut last), "the end");
        assert!(pass(&mut last, &mut first, b"not of this one"));
        drop(last);
        assert_eq!(rest(&mut first), "");
    }
    wait_until("no tunnel is open", || (metric(&balancer, "ringherd_tunnels", &[]) == 0).then_some(()));
}

#[test]
fn much_data_passes_both_ways_at_the_pace_of_its_reader() {
    const LENGTH: usize = 8_000_000;
    let replica = taken_replica();
    let balancer = start(&[&replica], &[]);
    let Tunnel { mut client, mut replica } = Tunnel::open(&balancer, &replica);
    let bytes: Vec<u8> = (0..LENGTH).map(|at| (at % 253) as u8).collect();
    // Nobody reads at first: it takes what buffers there are, and then no more.
    client.set_nonblocking(true).expect("a socket");
    let (mut written, mut refused) = (0, 0);
    while refused < 100 {
        match client.write(&bytes[written..]) {
            Ok(taken) => (written, refused) = (written + taken, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                refused += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => panic!("{error}"),
        }
        if written == LENGTH {
            break;
        }
    }
    client.set_nonblocking(false).expect("a socket");
    let echo = std::thread::spawn(move || {
        let mut buffer = [0; 10_000];
        while let Ok(read) = replica.read(&mut buffer) {
            if read == 0 || replica.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
    });
    let mut sending = client.try_clone().expect("a descriptor");
    let rest_of_it = bytes[written..].to_vec();
    let sender = std::thread::spawn(move || {
        sending.write_all(&rest_of_it).expect("it is read");
        sending.shutdown(Shutdown::Write).expect("a socket");
    });
    let mut read = Vec::new();
    client.read_to_end(&mut read).expect("all, and the end");
    sender.join().expect("no panic");
    echo.join().expect("no panic");
    assert!(read == bytes, "{} of {LENGTH} bytes", read.len());
}

#[test]
fn a_replica_that_is_killed_ends_its_tunnels() {
    // A process of its own: it opens the tunnel, and echoes.
    let program = "import socket, sys, threading\n\
                   s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n\
                   def serve(c):\n\
                   \x20   b = c.recv(65536)\n\
                   \x20   if b'upgrade: x' not in b:\n\
                   \x20       c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n'); c.close(); return\n\
                   \x20   c.sendall(b'HTTP/1.1 101 Switching Protocols\\r\\nConnection: upgrade\\r\\nUpgrade: x\\r\\n\\r\\n')\n\
                   \x20   while b := c.recv(65536): c.sendall(b)\n\
                   while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()\n";
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: no python3");
        return;
    }
    let file = std::env::temp_dir().join(format!("ringherd-tunnels-{}.py", std::process::id()));
    fs::write(&file, program).expect("a file");
    let command = format!("python3 {} {{port}}", file.display());
    let balancer = Balancer::start(&["--replicas", "1", "--replica-command", &command]);
    balancer.wait_until_ready(1);
    let mut stream =
        client(balancer.public, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert!(read_head(&stream).starts_with("HTTP/1.1 101 "));
    stream.write_all(b"echo").expect("it reads");
    let mut read = [0; 4];
    stream.read_exact(&mut read).expect("an echo");
    let name = balancer.replicas().remove(0);
    rustix::process::kill_process(balancer.replica_pid(&name), Signal::KILL).expect("it runs");
    assert_eq!(rest(&mut stream), "");
    let _ = fs::remove_file(file);
}

/// Tunnels to both replicas, six at least to each, of clients that `connect` makes; the first replica's come
/// first.
fn tunnels<C: Read + Write>(connect: impl Fn() -> C, replicas: [&Taken; 2]) -> [Vec<Tunnel<C>>; 2] {
    let mut open = [Vec::new(), Vec::new()];
    wait_until("both have tunnels", || {
        let mut client = connect();
        client.write_all(UPGRADE.as_bytes()).expect("it reads");
        let (at, (_, mut replica)) = wait_until("the upgrade has reached one", || {
            let polled = |at: usize| replicas[at].poll().map(|arrived| (at, arrived));
            polled(0).or_else(|| polled(1))
        });
        replica.write_all(SWITCH.as_bytes()).expect("it reads");
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            client.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        open[at].push(Tunnel { client, replica });
        open.iter().all(|open| open.len() >= 6).then_some(())
    });
    open
}

/// Requests of the admin API that add `third`, change the ring and remove it again.
pub(crate) fn changes_elsewhere(third: &Taken) -> [(&'static str, &'static str, String); 3] {
    [
        ("POST", "/add", format!(r#"{{"n":1,"hostnames":["Third"],"endpoints":["{}"]}}"#, third.address)),
        ("PUT", "/ring", r#"{"virtual_nodes":77,"key":"path"}"#.to_owned()),
        ("DELETE", "/rm", r#"{"n":1,"hostnames":["Third"]}"#.to_owned()),
    ]
}

/// Changes all that may change elsewhere under tunnels to both replicas, then removes the first one. `renew`
/// changes what only some have.
fn disturb<C: Read + Write + Send + 'static>(
    mut balancer: Balancer,
    replicas: [&Taken; 2],
    connect: impl Fn() -> C,
    renew: impl FnOnce(&mut Balancer),
) {
    let third = taken_replica();
    let names = balancer.replicas();
    let [first, second] = &mut tunnels(connect, replicas);
    for (method, path, body) in changes_elsewhere(&third) {
        let answer = request(balancer.admin, method, path, Some(&body));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(first.iter_mut().chain(&mut *second).all(Tunnel::is_open), "{method} {path}");
    }
    balancer.signal(Signal::HUP);
    balancer.wait_for_log("configuration reloaded");
    assert!(first.iter_mut().chain(&mut *second).all(Tunnel::is_open));
    renew(&mut balancer);
    assert!(first.iter_mut().chain(&mut *second).all(Tunnel::is_open));

    let began = Instant::now();
    let remove = format!(r#"{{"n":1,"hostnames":["{}"]}}"#, names[0]);
    assert_eq!(request(balancer.admin, "DELETE", "/rm", Some(&remove)).status, 200);
    assert!(first.iter_mut().all(Tunnel::is_open), "there is time");
    let waiting: Vec<_> = first
        .drain(..)
        .map(|mut tunnel| {
            std::thread::spawn(move || {
                let Tunnel { client, replica } = &mut tunnel;
                assert_eq!((rest(client), rest(replica)), (String::new(), String::new()));
                began.elapsed()
            })
        })
        .collect();
    let ends: Vec<_> = waiting.into_iter().map(|waiting| waiting.join().expect("no panic")).collect();
    let (earliest, latest) = (ends.iter().min().expect("some"), ends.iter().max().expect("some"));
    assert!(*earliest >= Duration::from_secs(3), "the first half is theirs: {ends:?}");
    assert!(latest.saturating_sub(*earliest) >= Duration::from_millis(50), "not all at once: {ends:?}");
    assert!(second.iter_mut().all(Tunnel::is_open), "those of the other replica go on");
}

const PATIENT: [&str; 4] = ["--drain-timeout", "6s", "--stream-timeout", "1h"];

#[test]
fn changes_elsewhere_leave_a_tunnel_alone_and_a_removal_ends_them_spread_over_time() {
    let (one, two) = (taken_replica(), taken_replica());
    let balancer = start(&[&one, &two], &PATIENT);
    let public = balancer.public;
    disturb(balancer, [&one, &two], || connect(public), |_| ());
}

#[test]
fn the_same_over_tls_where_the_certificate_is_renewed_too() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tunnels-tls");
    fs::create_dir_all(&folder).expect("a folder");
    let pair = Pair::write(&folder, "t", &["a"], 30);
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let (cert, key) = (text(&pair.cert), text(&pair.key));
    let tls = ["--tls-listen", "127.0.0.1:0", "--tls-certificate", &cert, "--tls-key", &key];
    let (one, two) = (taken_replica(), taken_replica());
    let mut balancer = start(&[&one, &two], &[&PATIENT[..], &tls].concat());
    let event = balancer.find_log("it listens for TLS", |event| event["message"] == "listening for TLS");
    let address: SocketAddr = event["address"].as_str().expect("an address").parse().expect("an address");
    let client = TlsClient::trusting([&pair.der]);
    let connect = || client.connect(address, "a").expect("a session");
    disturb(balancer, [&one, &two], connect, |balancer| {
        let renewed = Pair::write(&folder, "t", &["a"], 60);
        balancer.signal(Signal::HUP);
        wait_until("the new certificate is presented", || {
            TlsClient::trusting([&renewed.der]).connect(address, "a").ok().map(drop)
        });
    });
}

#[test]
fn a_stop_ends_tunnels_when_its_time_is_over() {
    let replica = taken_replica();
    let mut balancer = start(&[&replica], &["--grace", "5s"]);
    let mut tunnel = Tunnel::open(&balancer, &replica);
    balancer.signal(Signal::TERM);
    wait_until("nobody listens any more", || TcpStream::connect(balancer.public).is_err().then_some(()));
    assert!(tunnel.is_open());
    assert_eq!((rest(&mut tunnel.client), rest(&mut tunnel.replica)), (String::new(), String::new()));
    assert_eq!(balancer.wait().code(), Some(0));
}
