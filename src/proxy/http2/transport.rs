//! The stream of bytes under a connection of HTTP/2. Tells the connection what happens on it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

use crate::proxy::connection::Connection;
use crate::proxy::transport::{Gathering, Transport, WriteWatch};

/// Like [`crate::proxy::transport::ClientStream`], for a protocol in which what is read need not be part of a
/// request, hyper's refusals are no responses, and the end of what the client sends is its end.
#[derive(Debug)]
pub(super) struct Http2Transport<T> {
    io: Gathering<T>,
    connection: Rc<Connection>,
    watch: WriteWatch,
}

impl<T> Http2Transport<T> {
    pub(super) fn new(io: T, connection: Rc<Connection>) -> Self {
        Self { io: Gathering(io), connection, watch: WriteWatch::default() }
    }

    fn wrote<R>(&self, outcome: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        self.watch.wrote(outcome, &self.connection)
    }
}

impl<T: Transport> Read for Http2Transport<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_read(cx, buf);
        if let Poll::Ready(outcome) = &outcome
            && (outcome.is_err() || self.connection.is_at_end())
        {
            self.connection.reset();
        }
        outcome
    }
}

impl<T: Transport> Write for Http2Transport<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What TLS has taken may wait here as well.
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        self.wrote(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
        self.wrote(outcome)
    }
}
