//! The lingering close of a connection (RFC 9112, section 9.6).
//!
//! A response may be complete before its request is: a body that is too large is refused at its
//! beginning. To close such a connection at once would reset it, and the reset takes the response
//! away from the client before it was read. So what still comes is read and thrown away, within
//! limits, until the client has closed too.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBuf, Write};

/// Most bytes that are thrown away on a connection. A client that sends more has had the time to
/// read its response.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Bytes that are read at once.
const READ_SIZE: usize = 16 * 1024;

/// A connection that is being closed, with its own limit on bytes; that on time is its owner's.
#[derive(Debug)]
pub struct Linger<S> {
    stream: S,
    /// Whether the client was told that nothing more comes.
    is_shut_down: bool,
    left: usize,
    buffer: Box<[MaybeUninit<u8>]>,
}

impl<S: Read + Write + Unpin> Linger<S> {
    /// Begins to close `stream`.
    pub fn new(stream: S) -> Self {
        Self { stream, is_shut_down: false, left: MAX_BYTES, buffer: Box::new_uninit_slice(READ_SIZE) }
    }

    /// Reads on; ready when the stream may be dropped.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_shut_down {
            match Pin::new(&mut self.stream).poll_shutdown(cx) {
                Poll::Ready(Ok(())) => self.is_shut_down = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        loop {
            let mut buffer = ReadBuf::uninit(&mut self.buffer);
            match Pin::new(&mut self.stream).poll_read(cx, buffer.unfilled()) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.left = self.left.saturating_sub(buffer.filled().len());
                    if self.left == 0 {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn it_ends_with_the_client_or_when_that_sends_too_much() {
        let (ours, mut theirs) = duplex(1024);
        let mut linger = Linger::new(TokioIo::new(ours));
        let client = async {
            theirs.write_all(&[0; 5000]).await.expect("it is read");
            assert_eq!(theirs.read(&mut [0]).await.expect("an end"), 0, "nothing more comes");
            drop(theirs);
        };
        tokio::join!(poll_fn(|cx| linger.poll(cx)), client);

        let (ours, mut theirs) = duplex(1024 * 1024);
        let mut linger = Linger::new(TokioIo::new(ours));
        let client = async { while theirs.write_all(&[0; 64 * 1024]).await.is_ok() {} };
        let end = async {
            poll_fn(|cx| linger.poll(cx)).await;
            drop(linger);
        };
        tokio::join!(end, client);
    }
}
