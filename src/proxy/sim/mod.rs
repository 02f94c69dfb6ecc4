//! The data plane between a client and replicas that send whatever bytes a test says, when it says, with a
//! clock that only the simulation moves. At the end the laws are asserted:
//!
//! - what a replica got is well-formed requests, by a strict reader that is not hyper's, the last of them
//!   perhaps cut off;
//! - they are requests that the client sent, in order, with the bodies that it gave them, none twice but one
//!   that may be repeated, and none at or behind a request that two parsers may read differently;
//! - every connection ends in bounded time, and no request stays in flight.
//!
//! For the property tests and the fuzz targets.

mod fields;
mod messages;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::task::{LocalSet, coop};

pub use self::fields::fields;
use self::messages::{End, Message};
use super::clock::TICK;
use super::lab::Lab;
use super::{PoolConfig, ProxyConfig};

/// Begins a step of a script; the byte behind it says of which kind.
pub const MARK: u8 = 0x1e;

/// A response where the script gives none.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Bytes that may be on their way to or from the client.
const BUFFER: usize = 4096;

/// Each connection has ended after so much time in which nobody does anything.
const LONGEST: Duration = Duration::from_secs(60);

/// Replays a script with a client that speaks HTTP/1: its bytes, up to the first [`MARK`], then steps of a
/// mark, a letter and bytes. `c` stands for bytes of the client, `r` for a response to a request that has none
/// yet, `u` for what a replica sends unasked, `x` for the end of all connections to replicas, `e` for the end
/// of what the client sends, `t` for half a second that passes. Behind any other letter the bytes are the
/// client's, mark and letter included.
///
/// # Panics
/// When a law is broken.
pub fn http1(script: &[u8]) {
    let sent = run(script, b"", <[u8]>::to_vec);
    assert_passed_on(&sent);
}

/// The same with a client that speaks HTTP/2: behind the preface and its settings, each step `c` is a frame:
/// type, flags, the low byte of its stream, and what it holds.
///
/// # Panics
/// When a law is broken.
pub fn http2(script: &[u8]) {
    let mut opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    opening.extend(frame(&[4, 0, 0]));
    run(script, &opening, frame);
}

/// A frame of HTTP/2.
fn frame(step: &[u8]) -> Vec<u8> {
    let [kind, flags, stream, held @ ..] = step else { return Vec::new() };
    let length = u32::try_from(held.len()).unwrap_or(0).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([*kind, *flags, 0, 0, 0, *stream]);
    frame.extend(held);
    frame
}

/// What went in on one side and came out on the other.
struct Sent {
    /// All bytes of the client.
    client: Vec<u8>,
    /// The requests that replicas got, in order.
    passed_on: Vec<Message>,
}

fn run(script: &[u8], opening: &[u8], of_client: impl Fn(&[u8]) -> Vec<u8>) -> Sent {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let playing = async {
        let mut world = World::new();
        world.to_client.extend(opening);
        for (kind, bytes) in Steps(script) {
            world.act(kind, bytes, &of_client);
            world.settle().await;
        }
        world.finish().await
    };
    LocalSet::new().block_on(&runtime, coop::unconstrained(playing))
}

/// The steps of a script.
struct Steps<'a>(&'a [u8]);

impl<'a> Iterator for Steps<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0;
        if rest.is_empty() {
            return None;
        }
        let kind = match rest {
            [MARK, kind, ..] if b"cruxet".contains(kind) => Some(*kind),
            _ => None,
        };
        let begin = if kind.is_some() { 2 } else { 0 };
        let is_mark = |pair: &[u8]| pair[0] == MARK && b"cruxet".contains(&pair[1]);
        let end = rest[begin..].windows(2).position(is_mark).map_or(rest.len(), |at| begin + at);
        self.0 = &rest[end..];
        Some((kind.unwrap_or(b'c'), &rest[begin..end]))
    }
}

/// A connection to a replica.
struct Replica {
    stream: DuplexStream,
    got: Vec<u8>,
    /// Of `got`, those that are whole.
    requests: usize,
    to_send: VecDeque<u8>,
    /// Whether it speaks another protocol by now.
    is_upgraded: bool,
}

struct World {
    lab: Lab,
    client: Option<DuplexStream>,
    serving: tokio::task::JoinHandle<()>,
    sent: Vec<u8>,
    to_client: VecDeque<u8>,
    ends: bool,
    replicas: Vec<Replica>,
    responses: VecDeque<Vec<u8>>,
    passed_on: Vec<Message>,
}

impl World {
    fn new() -> Self {
        let second = Duration::from_secs(1);
        let lab = Lab::of(
            2,
            ProxyConfig {
                body_timeout: second,
                header_timeout: second,
                keep_alive: second * 2,
                ..ProxyConfig::default()
            },
            PoolConfig {
                response_timeout: second,
                upstream_keep_alive: second * 2,
                stream_timeout: second * 3,
                early_hints: true,
                ..PoolConfig::default()
            },
        );
        let (client, serving) = lab.connect(BUFFER);
        Self {
            lab,
            client: Some(client),
            serving,
            sent: Vec::new(),
            to_client: VecDeque::new(),
            ends: false,
            replicas: Vec::new(),
            responses: VecDeque::new(),
            passed_on: Vec::new(),
        }
    }
}

impl World {
    fn act(&mut self, kind: u8, bytes: &[u8], of_client: impl Fn(&[u8]) -> Vec<u8>) {
        match kind {
            b'r' => self.responses.push_back(bytes.to_vec()),
            b'u' => {
                if let Some(replica) = self.replicas.last_mut() {
                    replica.to_send.extend(bytes);
                }
            }
            b'x' => self.close_replicas(),
            b'e' => self.ends = true,
            b't' => self.tick(10),
            _ => self.to_client.extend(of_client(bytes)),
        }
    }

    fn tick(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.lab.now.set(self.lab.now.get() + TICK);
            self.lab.worker.tick(self.lab.start + self.lab.now.get());
        }
        self.lab.worker.clients.free_buffers();
    }

    fn close_replicas(&mut self) {
        for mut replica in self.replicas.drain(..) {
            // What came just before the end counts.
            read(&mut replica.stream, &mut replica.got);
            replica.note_requests(&mut self.passed_on);
            replica.assert_well_formed();
        }
    }

    /// Moves bytes on both sides until all wait.
    async fn settle(&mut self) {
        loop {
            self.lab.settle().await;
            let mut has_moved = false;
            while let Ok(stream) = self.lab.dialled.try_recv() {
                self.replicas.push(Replica::new(stream));
                has_moved = true;
            }
            if let Some(client) = &mut self.client {
                let before = self.to_client.len();
                write(client, &mut self.to_client, &mut self.sent);
                has_moved |= before != self.to_client.len();
                has_moved |= read(client, &mut Vec::new());
                if self.ends && self.to_client.is_empty() {
                    let _ = Pin::new(client).poll_shutdown(&mut Context::from_waker(Waker::noop()));
                }
            }
            for replica in &mut self.replicas {
                has_moved |= read(&mut replica.stream, &mut replica.got);
                for _ in 0..replica.note_requests(&mut self.passed_on) {
                    let response = self.responses.pop_front();
                    let response = response.as_deref().unwrap_or(OK);
                    replica.is_upgraded |= response.starts_with(b"HTTP/1.1 101");
                    replica.to_send.extend(response);
                }
                let before = replica.to_send.len();
                write(&mut replica.stream, &mut replica.to_send, &mut Vec::new());
                has_moved |= before != replica.to_send.len();
            }
            if !has_moved {
                return;
            }
        }
    }

    /// Lets time pass until all is over.
    async fn finish(mut self) -> Sent {
        let until = self.lab.now.get() + LONGEST;
        while !self.serving.is_finished() {
            assert!(self.lab.now.get() < until, "a connection on which nothing happens does not end");
            self.tick(10);
            self.settle().await;
        }
        self.client = None;
        self.settle().await;
        self.close_replicas();
        (&mut self.serving).await.expect("nothing panics");
        for endpoint in &self.lab.endpoints {
            assert_eq!(endpoint.in_flight(), 0, "a request is in flight on no connection");
        }
        let totals = self.lab.totals();
        let most = totals.total.count() + totals.retries;
        assert!(self.passed_on.len() as u64 <= most, "{} requests of {most}", self.passed_on.len());
        Sent { client: self.sent, passed_on: self.passed_on }
    }
}

impl Replica {
    fn new(stream: DuplexStream) -> Self {
        Self { stream, got: Vec::new(), requests: 0, to_send: VecDeque::new(), is_upgraded: false }
    }

    /// Adds the requests that have become whole; how many there are.
    fn note_requests(&mut self, all: &mut Vec<Message>) -> usize {
        if self.is_upgraded {
            return 0;
        }
        let (mut requests, _) = messages::requests(&self.got);
        let new = requests.split_off(self.requests.min(requests.len()));
        self.requests += new.len();
        let count = new.len();
        all.extend(new);
        count
    }

    fn assert_well_formed(&self) {
        if !self.is_upgraded {
            let (_, end) = messages::requests(&self.got);
            assert_eq!(end, End::Open, "a replica got {:?}", String::from_utf8_lossy(&self.got));
        }
    }
}

/// What replicas got is what the client asked.
fn assert_passed_on(sent: &Sent) {
    let (asked, end) = messages::requests(&sent.client);
    let mut next = asked.iter();
    let mut last = None;
    for message in &sent.passed_on {
        let is_repeated = last.is_some_and(|last| is_same(message, last)) && message.body.is_empty();
        if is_repeated {
            continue;
        }
        match next.find(|asked| is_same(message, asked)) {
            // Behind an upgrade comes what its protocol says.
            Some(asked) if asked.offers_upgrade => return,
            Some(asked) => last = Some(asked),
            // A parser may forgive what it begins with. It must not forgive two meanings.
            None if matches!(end, End::Malformed(_)) => return,
            None => panic!("{message:?} was never asked, only {asked:?}, then {end:?}"),
        }
    }
}

fn is_same(passed_on: &Message, asked: &Message) -> bool {
    passed_on.method == asked.method && passed_on.body == asked.body
}

/// Reads what there is; whether there was anything.
fn read(stream: &mut DuplexStream, into: &mut Vec<u8>) -> bool {
    let mut has_read = false;
    let mut space = [0; BUFFER];
    loop {
        let mut buf = ReadBuf::new(&mut space);
        match Pin::new(&mut *stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf) {
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => into.extend(buf.filled()),
            _ => return has_read,
        }
        has_read = true;
    }
}

/// Sends what there is room for, and notes it.
fn write(stream: &mut DuplexStream, from: &mut VecDeque<u8>, sent: &mut Vec<u8>) {
    while !from.is_empty() {
        let (bytes, _) = from.as_slices();
        match Pin::new(&mut *stream).poll_write(&mut Context::from_waker(Waker::noop()), bytes) {
            Poll::Ready(Ok(count)) => sent.extend(from.drain(..count)),
            // Nobody reads any more.
            Poll::Ready(Err(_)) => from.clear(),
            Poll::Pending => return,
        }
    }
}
