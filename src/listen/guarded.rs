//! A connection whose requests pass a [`TargetGuard`]. For listeners without a data plane.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::TargetGuard;

/// A TCP connection with a guard on what is read.
#[derive(Debug)]
pub struct Guarded {
    tcp: TcpStream,
    guard: TargetGuard,
    flawed: Arc<AtomicBool>,
}

impl Guarded {
    /// Guards `tcp`; the flag turns true when a flawed request line has come.
    pub fn new(tcp: TcpStream) -> (Self, Arc<AtomicBool>) {
        // Answers are written whole: waiting for more to send would only add delay.
        let _ = tcp.set_nodelay(true);
        let flawed = Arc::new(AtomicBool::new(false));
        (Self { tcp, guard: TargetGuard::default(), flawed: Arc::clone(&flawed) }, flawed)
    }
}

impl AsyncRead for Guarded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.tcp).poll_read(cx, buf);
        this.guard.inspect(&buf.filled()[before..]);
        if this.guard.is_flawed() {
            this.flawed.store(true, Ordering::Relaxed);
        }
        outcome
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}
