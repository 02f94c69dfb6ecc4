//! The data plane over in-memory streams on both sides: a client and a replica that a test plays
//! byte by byte, and a clock in its hands.

mod connect;
mod dormant;
mod http2;
mod interim;
mod stories;
mod tunnels;
mod waiting;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::{JoinHandle, LocalSet};

use super::clock::TICK;
use super::lab::Lab;
use super::pool::Pool;
use super::{HalfClose, PoolConfig, ProxyConfig};
use crate::cluster::{Endpoint, FailureKind};
use crate::telemetry::Reason;

/// Long enough for any machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// The test's end of a stream.
struct Peer(DuplexStream);

impl Lab {
    fn new() -> Self {
        Self::with(ProxyConfig::default())
    }

    fn with(config: ProxyConfig) -> Self {
        Self::of(1, config, PoolConfig::default())
    }

    fn with_pool(config: PoolConfig) -> Self {
        Self::of(1, ProxyConfig::default(), config)
    }

    /// The pool.
    fn pool(&self) -> &Pool {
        self.worker.pool(0)
    }

    /// Lets time pass, in ticks.
    async fn pass(&self, time: Duration) {
        self.settle().await;
        let until = self.now.get() + time;
        while self.now.get() < until {
            self.now.set(self.now.get() + TICK);
            self.worker.tick(self.start + self.now.get());
            self.settle().await;
        }
    }

    /// A client's connection, of which `buffer` bytes may be on their way, and what serves it.
    fn client(&self, buffer: usize) -> (Peer, JoinHandle<()>) {
        let (stream, serving) = self.connect(buffer);
        (Peer(stream), serving)
    }

    /// The replica's end of the next connection to it.
    async fn replica(&mut self) -> Peer {
        let dialled = tokio::time::timeout(PATIENCE, self.dialled.recv()).await;
        Peer(dialled.expect("a connection in time").expect("a worker"))
    }

    fn failed(&self, reason: Reason) -> u64 {
        self.totals().reasons[reason as usize]
    }

    /// The replica that has a request.
    fn busy(&self) -> Arc<Endpoint> {
        let busy = self.endpoints.iter().find(|endpoint| endpoint.in_flight() > 0);
        Arc::clone(busy.expect("one has a request"))
    }

    /// A client whose [`GET`] has reached a replica, on a new connection to it.
    async fn asked(&mut self) -> (Peer, JoinHandle<()>, Peer) {
        let (mut client, serving) = self.client(4096);
        client.send(GET).await;
        let mut replica = self.replica().await;
        replica.read_to("\r\n\r\n").await;
        (client, serving, replica)
    }
}

impl Peer {
    async fn send(&mut self, text: &str) {
        let sent = tokio::time::timeout(PATIENCE, self.0.write_all(text.as_bytes())).await;
        sent.expect("room in time").expect("somebody who reads");
    }

    /// Reads until what came ends with `end`.
    async fn read_to(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        let reading = async {
            while !read.ends_with(end.as_bytes()) {
                let byte = self.0.read_u8().await;
                let byte =
                    byte.unwrap_or_else(|_| panic!("the end after {:?}", String::from_utf8_lossy(&read)));
                read.push(byte);
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("in time");
        String::from_utf8(read).expect("text")
    }

    /// Reads to the end of the stream.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let reading = self.0.read_to_end(&mut rest);
        tokio::time::timeout(PATIENCE, reading).await.expect("in time").expect("the end");
        String::from_utf8(rest).expect("text")
    }
}

/// Runs a test on a thread that runs local tasks.
async fn local<F: Future>(test: F) -> F::Output {
    LocalSet::new().run_until(test).await
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\nX-Request-Id: 7\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A request with a body of four bytes, of which `sent` come with it.
fn post(sent: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: a\r\nX-Request-Id: 7\r\nContent-Length: 4\r\n\r\n{sent}")
}
