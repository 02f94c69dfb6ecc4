//! Any sequence of reads, writes, flushes and turns at both ends of connections on a ring: each way is a pipe
//! of bytes, and who is dropped with something under way leaves nothing behind.

#![no_main]

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringherd_uring::{Listener, Runtime, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Action {
    Write(u16),
    TheyWrite(u16),
    Read(u16),
    TheyRead(u16),
    Flush,
    Shutdown,
    Turn,
}

/// One of two connections, and what happens on it.
type Step = (bool, Action);

/// All that is ever sent, the same each way.
const ALL: usize = 1 << 21;

struct Pair {
    ours: Stream,
    theirs: TcpStream,
    is_shut: bool,
    sent: usize,
    got: usize,
    their_sent: usize,
    their_got: usize,
}

impl Pair {
    async fn new(listener: &Listener, address: SocketAddr) -> Self {
        let theirs = TcpStream::connect(address).expect("it listens");
        let (ours, _) = poll_fn(|cx| listener.poll_accept(cx)).await.expect("a connection");
        theirs.set_nonblocking(true).expect("an option");
        Self { ours, theirs, is_shut: false, sent: 0, got: 0, their_sent: 0, their_got: 0 }
    }

    fn apply(&mut self, action: Action, all: &[u8]) {
        let cx = &mut Context::from_waker(Waker::noop());
        let part = |from: usize, length: u16| &all[from..(from + usize::from(length)).min(ALL)];
        match action {
            Action::Write(_) if self.is_shut => {}
            Action::Write(length) => {
                if let Poll::Ready(sent) = Pin::new(&mut self.ours).poll_write(cx, part(self.sent, length)) {
                    self.sent += sent.expect("it is open");
                }
            }
            Action::TheyWrite(length) => {
                self.their_sent += self.theirs.write(part(self.their_sent, length)).unwrap_or(0);
            }
            Action::Read(length) => {
                let mut space = vec![0; usize::from(length)];
                let mut buf = ReadBuf::new(&mut space);
                if let Poll::Ready(read) = Pin::new(&mut self.ours).poll_read(cx, &mut buf) {
                    read.expect("it is open");
                    assert!(!buf.filled().is_empty() || length == 0, "no end");
                    assert!(all[self.got..].starts_with(buf.filled()));
                    self.got += buf.filled().len();
                }
            }
            Action::TheyRead(length) => {
                let mut space = vec![0; usize::from(length)];
                let read = self.theirs.read(&mut space).unwrap_or(0);
                assert!(all[self.their_got..].starts_with(&space[..read]));
                self.their_got += read;
            }
            Action::Flush => {
                assert!(!matches!(Pin::new(&mut self.ours).poll_flush(cx), Poll::Ready(Err(_))));
            }
            Action::Shutdown => match Pin::new(&mut self.ours).poll_shutdown(cx) {
                Poll::Ready(outcome) => {
                    outcome.expect("it is open");
                    self.is_shut = true;
                }
                Poll::Pending => {}
            },
            Action::Turn => {}
        }
    }

    /// All that is under way arrives.
    async fn finish(mut self, all: &[u8]) {
        self.theirs.set_nonblocking(false).expect("an option");
        self.theirs.shutdown(Shutdown::Write).expect("it is open");
        let mut theirs = self.theirs;
        let reader = tokio::task::spawn_blocking(move || {
            let mut rest = Vec::new();
            theirs.read_to_end(&mut rest).expect("an end");
            rest
        });
        let mut rest = Vec::new();
        self.ours.read_to_end(&mut rest).await.expect("an end");
        assert!(rest == all[self.got..self.their_sent]);
        self.ours.shutdown().await.expect("it is read");
        assert!(reader.await.expect("it is well") == all[self.their_got..self.sent]);
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let all: Vec<u8> = (0..ALL).map(|at| (at % 251) as u8).collect();
    let runtime = Runtime::new().expect("a kernel with io_uring");
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let listener = Listener::from_std(listener).expect("a runtime");
        let mut kept = Pair::new(&listener, address).await;
        let mut dropped = Pair::new(&listener, address).await;
        for (on_kept, action) in steps.into_iter().take(200) {
            let pair = if on_kept { &mut kept } else { &mut dropped };
            pair.apply(action, &all);
            if matches!(action, Action::Turn) {
                tokio::time::sleep(std::time::Duration::ZERO).await;
            }
        }
        drop(dropped);
        kept.finish(&all).await;
    });
});
