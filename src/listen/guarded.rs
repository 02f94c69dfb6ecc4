//! A stream whose bytes are looked at on their way to hyper: request lines pass a
//! [`TargetGuard`], their targets are encoded where they need it, and the end of the stream is noted. Works
//! on tokio's traits, which give a look at the bytes without a copy; below it may be TCP, TLS or memory.
//!
//! Where HTTP/2 may be spoken, what could be the beginning of its preface is held back until it is clear,
//! so that a client that sends it byte by byte is understood too.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::TargetGuard;
use super::preface::Opening;
use super::target_encoder::TargetEncoder;

/// A stream with a guard on what is read.
#[derive(Debug)]
pub struct Guarded<S> {
    stream: S,
    /// `None` where no request is answered by its path.
    guard: Option<TargetGuard>,
    encoder: TargetEncoder,
    /// Whether the first bytes are still to come, or to be passed on.
    is_opening: bool,
    /// Whether they may be the preface of HTTP/2.
    awaits_preface: bool,
    /// The first bytes, as long as they are held back or not yet passed on.
    held: Vec<u8>,
    state: ReadState,
}

/// What a [`Guarded`] stream has seen. Clones show the same stream.
#[derive(Clone, Debug, Default)]
pub struct ReadState(Rc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// The first bytes, as far as they tell what is spoken.
    first: Cell<Option<[u8; 2]>>,
    speaks_http2: Cell<bool>,
    invalid_target: Cell<bool>,
    at_end: Cell<bool>,
    request_expected: Cell<bool>,
    /// Bytes that came behind the head of the message under way; `None` where that is not known.
    behind: Cell<Option<u64>>,
    /// Whether it is not known where messages begin.
    is_lost: Cell<bool>,
    /// Whether what comes is HTTP no more.
    is_tunnel: Cell<bool>,
}

impl ReadState {
    /// Whether a request line came that is not valid, see [`TargetGuard`].
    pub fn has_invalid_target(&self) -> bool {
        self.0.invalid_target.get()
    }

    /// Whether the stream began as TLS does: with a record of a handshake (RFC 8446, section 5.1).
    pub fn began_with_tls(&self) -> bool {
        self.0.first.get() == Some([0x16, 3])
    }

    /// Whether the stream began as a header of the PROXY protocol may.
    pub fn began_like_proxy_header(&self) -> bool {
        matches!(self.0.first.get(), Some([b'P', b'R'] | [b'\r', b'\n']))
    }

    /// Whether the stream began with the preface of HTTP/2. Then nothing was passed on yet; from now on
    /// the bytes are, as they come.
    pub fn speaks_http2(&self) -> bool {
        self.0.speaks_http2.get()
    }

    /// A message has ended whose body, as it is on the wire, has so many bytes, where that is known.
    /// Returns whether something that came behind it waits.
    pub fn message_ended(&self, body: Option<u64>) -> bool {
        let behind = self.0.behind.get();
        if behind.is_some() && behind == body {
            self.0.request_expected.set(true);
            return false;
        }
        // From here on it is not known where messages begin.
        self.0.is_lost.set(true);
        behind > body && body.is_some()
    }

    /// From now on what comes is HTTP no more, and is not looked at.
    pub fn becomes_tunnel(&self) {
        self.0.is_tunnel.set(true);
    }

    /// Whether the other side has sent all it will send.
    pub fn is_at_end(&self) -> bool {
        self.0.at_end.get()
    }
}

impl<S> Guarded<S> {
    /// Watches `stream`, and its request lines if `guards_target`.
    pub fn new(stream: S, guards_target: bool) -> (Self, ReadState) {
        let state = ReadState::default();
        let guard = guards_target.then(TargetGuard::default);
        let guarded = Self {
            stream,
            guard,
            encoder: TargetEncoder::default(),
            is_opening: false,
            awaits_preface: false,
            held: Vec::new(),
            state: state.clone(),
        };
        (guarded, state)
    }

    /// The same, where the client may also speak HTTP/2 if `awaits_preface`: see
    /// [`ReadState::speaks_http2`].
    pub fn or_http2(stream: S, guards_target: bool, awaits_preface: bool) -> (Self, ReadState) {
        let (mut guarded, state) = Self::new(stream, guards_target);
        (guarded.is_opening, guarded.awaits_preface) = (awaits_preface, awaits_preface);
        (guarded, state)
    }

    /// A stream that speaks HTTP/2, as is known already: its bytes pass as they come.
    pub fn http2(stream: S) -> (Self, ReadState) {
        let (mut guarded, state) = Self::new(stream, false);
        guarded.pass_all();
        (guarded, state)
    }

    /// From now on there are no request lines.
    fn pass_all(&mut self) {
        self.awaits_preface = false;
        self.guard = None;
        self.encoder.pass_all();
        // So that no end of a message makes the encoder expect the next one.
        self.state.0.is_lost.set(true);
        self.state.0.speaks_http2.set(true);
    }
}

impl<S: AsyncRead + Unpin> Guarded<S> {
    /// Reads the beginning: on while what has come may be the preface, and then what was held back. Pending
    /// also when it is the preface: nobody who reads HTTP/1 gets any of it.
    #[cold]
    fn poll_opening(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.awaits_preface && self.held.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
            let read = &buf.filled()[before..];
            if read.is_empty() || Opening::of(read) == Opening::Other {
                self.is_opening = false;
                return Poll::Ready(Ok(()));
            }
            self.held.extend_from_slice(read);
            buf.set_filled(before);
        }
        while self.awaits_preface
            && let Opening::Unclear(missing) = Opening::of(&self.held)
        {
            let mut space = [0; 24];
            let mut read = ReadBuf::new(&mut space[..missing]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                break;
            }
            self.held.extend_from_slice(read.filled());
        }
        if std::mem::take(&mut self.awaits_preface) && Opening::of(&self.held) == Opening::Http2 {
            self.pass_all();
            return Poll::Pending;
        }
        let passed = buf.remaining().min(self.held.len());
        buf.put_slice(&self.held[..passed]);
        self.held.drain(..passed);
        self.is_opening = !self.held.is_empty();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if this.encoder.refill(buf) {
            return Poll::Ready(Ok(()));
        }
        let outcome = if this.is_opening {
            this.poll_opening(cx, buf)
        } else {
            Pin::new(&mut this.stream).poll_read(cx, buf)
        };
        if this.state.0.is_tunnel.get() {
            // With what it keeps of the last line.
            this.guard = None;
            return outcome;
        }
        let read = &buf.filled()[before..];
        if read.is_empty() {
            if matches!(outcome, Poll::Ready(Ok(()))) {
                this.state.0.at_end.set(true);
            }
        } else if let Some(guard) = &mut this.guard {
            guard.inspect(read);
            if guard.is_flawed() {
                this.state.0.invalid_target.set(true);
            }
        }
        if buf.filled().len() > before {
            if this.state.0.first.get().is_none() {
                let read = &buf.filled()[before..];
                this.state.0.first.set(Some([read[0], read.get(1).copied().unwrap_or(0)]));
            }
            if this.state.0.request_expected.take() {
                this.encoder.expect_request();
            }
            this.encoder.pass(buf, before);
            let is_known = !this.state.0.is_lost.get();
            this.state.0.behind.set(this.encoder.behind().filter(|_| is_known));
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// A stream that comes in parts, with a pause behind each, and then ends.
    struct Parts {
        left: VecDeque<Vec<u8>>,
        pauses: bool,
    }

    impl AsyncRead for Parts {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if std::mem::take(&mut self.pauses) {
                return Poll::Pending;
            }
            if let Some(mut part) = self.left.pop_front() {
                let rest = part.split_off(part.len().min(buf.remaining()));
                buf.put_slice(&part);
                self.pauses = rest.is_empty();
                if !rest.is_empty() {
                    self.left.push_front(rest);
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    /// What a reader gets that reads `room` bytes at a time, and whether it was to hand over to one of
    /// HTTP/2 on the way.
    fn read(parts: Vec<Vec<u8>>, room: usize, awaits_preface: bool) -> (Vec<u8>, bool) {
        let mut pauses = parts.len() + 1;
        let stream = Parts { left: parts.into(), pauses: false };
        let (mut guarded, state) = Guarded::or_http2(stream, true, awaits_preface);
        let (mut got, mut space) = (Vec::new(), vec![0; room]);
        loop {
            let mut buf = ReadBuf::new(&mut space);
            match Pin::new(&mut guarded).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf) {
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return (got, state.speaks_http2()),
                Poll::Ready(outcome) => {
                    outcome.expect("no error");
                    got.extend_from_slice(buf.filled());
                }
                // One for each part, and one more where HTTP/2 begins.
                Poll::Pending => pauses = pauses.checked_sub(1).expect("it goes on"),
            }
        }
    }

    proptest! {
        #[test]
        fn all_bytes_pass_whatever_they_begin_like(
            same in 0usize..=24, rest in prop::collection::vec(any::<u8>(), 0..40),
            cuts in prop::collection::vec(0usize..64, 0..8), room in 1usize..40,
        ) {
            let stream = [&PREFACE[..same], &rest].concat();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let parts = cuts.windows(2).map(|pair| stream[pair[0]..pair[1]].to_vec());
            let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
            let (got, is_http2) = read(parts.clone(), room, true);
            prop_assert_eq!(is_http2, stream.starts_with(PREFACE));
            if is_http2 {
                prop_assert_eq!(got, stream);
            } else {
                // As it would without a look for the preface: a target may be encoded.
                prop_assert_eq!(got, read(parts, room, false).0);
            }
        }
    }
}
