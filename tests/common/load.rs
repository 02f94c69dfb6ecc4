//! Load: keep-alive clients that count every failure, for tests in which something happens
//! meanwhile. Bounded: it ends when it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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
        let stop = Arc::new(AtomicBool::new(false));
        let pause = Duration::from_secs(1) * clients / rate;
        let clients = (0..clients)
            .map(|_| {
                let stop = Arc::clone(&stop);
                std::thread::spawn(move || client(address, method, pause, &stop))
            })
            .collect();
        Self { stop, clients }
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

fn client(address: SocketAddr, method: &str, pause: Duration, stop: &AtomicBool) -> Report {
    let mut report = Report::default();
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        match exchange(&mut connection, address, method) {
            Ok(body) => {
                report.good.push(Instant::now());
                *report.bodies.entry(body).or_default() += 1;
            }
            Err(why) => {
                connection = None;
                report.failed.push((Instant::now(), why));
            }
        }
        std::thread::sleep(pause.saturating_sub(began.elapsed()));
    }
    report
}

fn exchange(
    connection: &mut Option<BufReader<TcpStream>>,
    address: SocketAddr,
    method: &str,
) -> Result<String, String> {
    let text = |error: std::io::Error| error.to_string();
    if connection.is_none() {
        let stream = TcpStream::connect(address).map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(text)?;
        *connection = Some(BufReader::new(stream));
    }
    let Some(reader) = connection else { return Err("no connection".to_owned()) };
    let body = if method == "POST" { "hello" } else { "" };
    let request =
        format!("{method} /home HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    reader.get_mut().write_all(request.as_bytes()).map_err(text)?;
    read_answer(reader)
}

/// Reads one answer: the body of a 200, or what else came.
pub fn read_answer(reader: &mut BufReader<TcpStream>) -> Result<String, String> {
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
