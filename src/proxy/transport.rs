//! Byte streams under hyper, on both sides. Everything above sees hyper's own traits for them, so
//! that TLS or another I/O engine fits below; of sockets only [`TcpConnector`] knows.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::connection::Connection;
use super::refusal::Refusal;
use crate::cluster::Endpoint;
use crate::listen::{Engine, ReadState, Stream};
use crate::tls::Connector;

/// A byte stream that hyper can read and write.
pub(crate) trait Transport: Read + Write + Unpin {}

impl<T: Read + Write + Unpin> Transport for T {}

/// A connection to be made, and what came of it.
pub(crate) type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Transport>>>>>;

/// Makes connections to replicas.
pub(crate) trait Connect {
    /// Begins one to this endpoint, on which `first` is sent before all else, in clear text.
    fn connect(&self, endpoint: &Endpoint, first: Vec<u8>) -> Connecting;
}

/// Plain TCP.
#[derive(Debug)]
pub(crate) struct TcpConnector(pub(crate) Engine);

impl Connect for TcpConnector {
    fn connect(&self, endpoint: &Endpoint, first: Vec<u8>) -> Connecting {
        let (engine, address) = (self.0, endpoint.address);
        Box::pin(async move {
            let tcp = connect_tcp(engine, address, &first).await?;
            Ok(Box::new(TokioIo::new(tcp)) as Box<dyn Transport>)
        })
    }
}

/// TLS over TCP.
#[derive(Debug)]
pub(crate) struct TlsConnector(pub(crate) Connector, pub(crate) Engine);

impl Connect for TlsConnector {
    fn connect(&self, endpoint: &Endpoint, first: Vec<u8>) -> Connecting {
        let (connector, engine) = (self.0.clone(), self.1);
        let (address, host) = (endpoint.address, Arc::clone(&endpoint.host));
        Box::pin(async move {
            let tcp = connect_tcp(engine, address, &first).await?;
            let stream = connector.connect(&host, tcp).await.map_err(io::Error::other)?;
            Ok(Box::new(TokioIo::new(stream)) as Box<dyn Transport>)
        })
    }
}

async fn connect_tcp(engine: Engine, address: SocketAddr, first: &[u8]) -> io::Result<Stream> {
    let mut tcp = TcpStream::connect(address).await?;
    // Heads and small bodies go out at once instead of waiting for an acknowledgement.
    let _ = tcp.set_nodelay(true);
    if !first.is_empty() {
        tcp.write_all(first).await?;
    }
    Stream::on(engine, tcp)
}

/// Up to this many bytes are gathered into one buffer before they are sent: one `send` of a
/// small message is cheaper than a `writev` of head and body, while large bodies are not copied.
const GATHER: usize = 4096;

thread_local! {
    static GATHERED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(GATHER));
}

/// Sends small slices in one write, and large ones as they are.
#[derive(Debug)]
pub(crate) struct Gathering<T>(pub(crate) T);

impl<T: Transport> Read for Gathering<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: Transport> Write for Gathering<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let inner = Pin::new(&mut self.0);
        if let [only] = bufs {
            return inner.poll_write(cx, only);
        }
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        if total > GATHER {
            return inner.poll_write_vectored(cx, bufs);
        }
        GATHERED.with_borrow_mut(|gathered| {
            gathered.clear();
            for buf in bufs {
                gathered.extend_from_slice(buf);
            }
            inner.poll_write(cx, gathered)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Tells a connection whether its client takes what there is for it, by what writes, flushes and
/// shutdowns come to.
#[derive(Debug, Default)]
pub(crate) struct WriteWatch {
    blocked: Cell<bool>,
}

impl WriteWatch {
    pub(crate) fn wrote<R>(
        &self,
        outcome: Poll<io::Result<R>>,
        connection: &Connection,
    ) -> Poll<io::Result<R>> {
        let blocked = outcome.is_pending();
        if self.blocked.replace(blocked) != blocked {
            connection.write_blocked(blocked);
        }
        if matches!(outcome, Poll::Ready(Err(_))) {
            connection.reset();
        }
        outcome
    }
}

/// The stream of a client: tells its [`Connection`] what happens on it.
#[derive(Debug)]
pub(crate) struct ClientStream<T> {
    io: Gathering<T>,
    connection: Rc<Connection>,
    /// What the layer below has seen of the bytes.
    seen: ReadState,
    watch: WriteWatch,
    /// What was read before, and is read again first.
    back: Bytes,
    /// What is sent in place of hyper's refusal, if it refuses something.
    refusal: Option<Refusal>,
}

impl<T: Transport> ClientStream<T> {
    pub(crate) fn new(io: T, connection: Rc<Connection>, seen: ReadState) -> Self {
        Self {
            io: Gathering(io),
            connection,
            seen,
            watch: WriteWatch::default(),
            back: Bytes::new(),
            refusal: None,
        }
    }

    /// Has `bytes`, which were read from it, read again. All that was put back before must have been.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        debug_assert!(self.back.is_empty(), "bytes are put back in front of others");
        self.back = bytes;
    }

    /// The stream as it was before, for what is HTTP no more.
    pub(crate) fn into_tunnel(self) -> T {
        self.seen.becomes_tunnel();
        self.io.0
    }

    /// What it reads from and writes to.
    pub(crate) fn into_transport(self) -> T {
        self.io.0
    }

    /// Sends our refusal in place of hyper's, which is in `bufs`. Whole or not at all, as hyper sees it.
    #[cold]
    fn poll_refuse(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let total = bufs.iter().map(|buf| buf.len()).sum();
        if self.refusal.is_none() {
            let theirs: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
            self.refusal = Some(Refusal::instead_of(&theirs, &self.connection));
        }
        while let Some(refusal) = self.refusal.as_mut().filter(|refusal| !refusal.rest().is_empty()) {
            let outcome = Pin::new(&mut self.io).poll_write(cx, refusal.rest());
            if let Poll::Ready(Ok(sent)) = outcome {
                refusal.sent(sent);
            } else {
                return self.wrote(outcome);
            }
        }
        self.wrote(Poll::Ready(Ok(total)))
    }

    /// Sends the interim responses that wait, before hyper writes or goes on.
    #[cold]
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut rest = self.connection.outbox.take();
        while !rest.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, &rest) {
                Poll::Ready(Ok(0)) => return self.wrote(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(sent)) => rest.advance(sent),
                not_sent => {
                    self.connection.outbox.put_back(rest);
                    return self.wrote(not_sent.map_ok(drop));
                }
            }
        }
        self.wrote(Poll::Ready(Ok(())))
    }

    /// What is done before hyper's bytes are written.
    fn poll_before_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.outbox.is_due() {
            ready!(self.poll_interim(cx))?;
        }
        self.connection.outbox.hyper_writes();
        Poll::Ready(Ok(()))
    }

    fn wrote<R>(&self, outcome: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        self.watch.wrote(outcome, &self.connection)
    }
}

impl<T: Transport> Read for ClientStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.back.is_empty() {
            let length = self.back.len().min(buf.remaining());
            buf.put_slice(&self.back.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let outcome = Pin::new(&mut self.io).poll_read(cx, buf);
        match &outcome {
            Poll::Pending => {}
            Poll::Ready(Ok(())) if self.seen.is_at_end() => self.connection.half_closed(),
            Poll::Ready(Ok(())) => self.connection.bytes_read(),
            Poll::Ready(Err(_)) => self.connection.reset(),
        }
        outcome
    }
}

impl<T: Transport> Write for ClientStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.connection.is_refusing() {
            return self.poll_refuse(cx, &[IoSlice::new(buf)]);
        }
        ready!(self.poll_before_write(cx))?;
        let outcome = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.connection.is_refusing() {
            return self.poll_refuse(cx, bufs);
        }
        ready!(self.poll_before_write(cx))?;
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when it has written all that it had.
        self.connection.outbox.hyper_has_written();
        if self.connection.outbox.is_due() {
            ready!(self.poll_interim(cx))?;
        }
        // What TLS has taken may wait here as well.
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        if outcome.is_ready() {
            self.connection.flushed();
        }
        self.wrote(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.seen.is_at_end() && self.connection.tls.is_none() {
            // Nobody sends any more, and closing the socket says so as well.
            return Poll::Ready(Ok(()));
        }
        let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
        self.wrote(outcome)
    }
}
