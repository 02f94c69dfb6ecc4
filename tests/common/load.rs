//! Load: keep-alive clients that count every failure, for tests in which something happens
//! meanwhile, over each protocol that clients speak. Bounded: it ends when it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use tokio::task::LocalSet;

use super::http2::{Client as Http2Client, send, url, whole};
use super::tls::TlsClient;

/// Clients of HTTP/2 that share a connection.
const STREAMS: u32 = 8;

/// What a client without an answer waits for at most: longer than a time-out of the balancer, which it is told of.
const LONGEST: Duration = Duration::from_secs(30);

/// What clients speak.
#[derive(Clone)]
pub enum Wire {
    /// HTTP/1.1, each over a connection of its own.
    Plain,
    /// The same in TLS, to a host of this name.
    Tls(TlsClient, &'static str),
    /// HTTP/2 by prior knowledge, some of them over one connection.
    Http2,
}

/// A connection of HTTP/1.1.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// What the clients saw.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// When each good answer came.
    pub good: Vec<Instant>,
    /// When each failure came, and what it was.
    pub failed: Vec<(Instant, String)>,
    /// Good answers by their body.
    pub bodies: BTreeMap<String, usize>,
}

impl Report {
    /// Longest time between two good answers after `from`.
    pub fn longest_gap(&self, from: Instant) -> Duration {
        let mut good: Vec<_> = self.good.iter().copied().filter(|at| *at >= from).collect();
        good.sort_unstable();
        good.insert(0, from);
        good.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(Duration::MAX)
    }

    fn add(&mut self, other: Self) {
        self.good.extend(other.good);
        self.failed.extend(other.failed);
        for (body, count) in other.bodies {
            *self.bodies.entry(body).or_default() += count;
        }
    }
}

/// Clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Report>>,
}

impl Load {
    /// `clients` clients that together send about `rate` requests a second.
    pub fn start(address: SocketAddr, clients: u32, rate: u32, method: &'static str) -> Self {
        Self::over(&Wire::Plain, address, clients, rate, method)
    }

    /// The same over any protocol.
    pub fn over(wire: &Wire, address: SocketAddr, clients: u32, rate: u32, method: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let pause = Duration::from_secs(1) * clients / rate;
        let threads = if matches!(wire, Wire::Http2) { clients.div_ceil(STREAMS) } else { clients };
        let clients = (0..threads).map(|_| {
            let (stop, wire) = (Arc::clone(&stop), wire.clone());
            std::thread::spawn(move || match wire {
                Wire::Http2 => http2_clients(address, method, pause, &stop),
                wire => client(&wire, address, method, pause, &stop),
            })
        });
        Self { clients: clients.collect(), stop }
    }

    /// Stops, and reports.
    pub fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut report = Report::default();
        for client in self.clients {
            report.add(client.join().expect("a client does not panic"));
        }
        report
    }
}

impl Report {
    fn note(&mut self, outcome: Result<String, String>) {
        match outcome {
            Ok(body) => {
                self.good.push(Instant::now());
                *self.bodies.entry(body).or_default() += 1;
            }
            Err(why) => self.failed.push((Instant::now(), why)),
        }
    }
}

fn client(wire: &Wire, address: SocketAddr, method: &str, pause: Duration, stop: &AtomicBool) -> Report {
    let mut report = Report::default();
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let outcome = exchange(&mut connection, wire, address, method);
        if outcome.is_err() {
            connection = None;
        }
        report.note(outcome);
        std::thread::sleep(pause.saturating_sub(began.elapsed()));
    }
    report
}

fn connect(wire: &Wire, address: SocketAddr) -> std::io::Result<Box<dyn Stream>> {
    if let Wire::Tls(client, host) = wire {
        let stream = client.connect(address, host)?;
        stream.sock.set_nodelay(true)?;
        stream.sock.set_read_timeout(Some(LONGEST))?;
        return Ok(Box::new(stream));
    }
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LONGEST))?;
    Ok(Box::new(stream))
}

fn exchange(
    connection: &mut Option<BufReader<Box<dyn Stream>>>,
    wire: &Wire,
    address: SocketAddr,
    method: &str,
) -> Result<String, String> {
    let text = |error: std::io::Error| error.to_string();
    if connection.is_none() {
        *connection = Some(BufReader::new(connect(wire, address).map_err(text)?));
    }
    let Some(reader) = connection else { return Err("no connection".to_owned()) };
    let host = if let Wire::Tls(_, host) = wire { host } else { "t" };
    let body = body_of(method);
    let request =
        format!("{method} /home HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    reader.get_mut().write_all(request.as_bytes()).map_err(text)?;
    read_answer(reader)
}

fn body_of(method: &str) -> &'static str {
    if method == "POST" { "hello" } else { "" }
}

/// Clients that share a connection, until they are told to stop.
fn http2_clients(address: SocketAddr, method: &str, pause: Duration, stop: &AtomicBool) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let (connection, _ending) = Http2Client::connect(address).await;
        let clients = (0..STREAMS).map(|_| http2_client(&connection, method, pause, stop));
        let mut report = Report::default();
        futures_util::future::join_all(clients).await.into_iter().for_each(|other| report.add(other));
        report
    })
}

async fn http2_client(connection: &Http2Client, method: &str, pause: Duration, stop: &AtomicBool) -> Report {
    let mut report = Report::default();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let outcome = tokio::time::timeout(LONGEST, http2_exchange(connection, method)).await;
        report.note(outcome.unwrap_or_else(|_| Err("no answer in time".to_owned())));
        tokio::time::sleep(pause.saturating_sub(began.elapsed())).await;
    }
    report
}

async fn http2_exchange(connection: &Http2Client, method: &str) -> Result<String, String> {
    let text = |error: h2::Error| error.to_string();
    let content = body_of(method);
    let request = Request::builder().method(method).uri(url("/home")).body(()).expect("a request");
    let (mut body, response) = connection.begin(request, !content.is_empty()).await.map_err(text)?;
    if !content.is_empty() {
        send(&mut body, Bytes::from_static(content.as_bytes())).await.map_err(text)?;
        body.send_data(Bytes::new(), true).map_err(text)?;
    }
    let answer = whole(response.await.map_err(text)?).await.map_err(text)?;
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    if answer.status() == 200 { Ok(body) } else { Err(format!("{} {body}", answer.status())) }
}

/// Reads one answer: the body of a 200, or what else came.
pub fn read_answer(reader: &mut impl BufRead) -> Result<String, String> {
    let mut line = String::new();
    reader.read_line(&mut line).map_err(|error| error.to_string())?;
    let status = line.split(' ').nth(1).ok_or_else(|| format!("no status: {line:?}"))?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).map_err(|error| error.to_string())?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(|_| format!("bad length: {line:?}"))?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).map_err(|error| error.to_string())?;
    let body = String::from_utf8_lossy(&body).into_owned();
    if status == "200" { Ok(body) } else { Err(format!("{status} {body}")) }
}

/// Which replica answers for each of `count` request ids.
pub fn owners(address: SocketAddr, count: u32) -> BTreeMap<u32, String> {
    let ask = |id: u32| format!("GET /home HTTP/1.1\r\nHost: t\r\nX-Request-Id: {id}\r\n\r\n");
    let requests: Vec<_> = (0..count).map(ask).collect();
    (0..count).zip(read_answers(address, &requests)).collect()
}

/// The bodies of the answers to `requests` over one connection, some at a time.
pub fn read_answers(address: SocketAddr, requests: &[String]) -> Vec<String> {
    const AT_A_TIME: usize = 50;
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(super::PATIENCE)).expect("a time-out");
    let mut reader = BufReader::new(stream);
    let mut bodies = Vec::with_capacity(requests.len());
    for batch in requests.chunks(AT_A_TIME) {
        reader.get_mut().write_all(batch.concat().as_bytes()).expect("it reads");
        bodies.extend(batch.iter().map(|_| read_answer(&mut reader).expect("a good answer")));
    }
    bodies
}
