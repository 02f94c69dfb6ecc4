//! One direction of a tunnel: bytes from one stream to another, as they come.
//!
//! Nothing is held while nothing comes: what is read goes through a buffer that all tunnels of a thread
//! share, and is written at once. Only what the other side does not take is kept, and nothing more is
//! read before it has.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBuf, Write};

/// Bytes that are read at once, and so the most that one direction keeps.
const READ_SIZE: usize = 16 * 1024;

/// Reads before others have their turn: the other direction, and the other connections of the thread.
const READS_AT_ONCE: usize = 8;

thread_local! {
    static SCRATCH: RefCell<Box<[MaybeUninit<u8>]>> = RefCell::new(Box::new_uninit_slice(READ_SIZE));
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Pipe {
    stage: Stage,
    /// What was read and the other side has not taken yet.
    rest: Bytes,
    /// Whether something was written that may wait below to be sent.
    unflushed: bool,
    /// Whether anything came or went since it was last asked.
    moved: bool,
    /// Bytes that the other side took, and was not asked about yet.
    passed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Bytes pass.
    Open,
    /// No more will come, which the other side is to be told.
    Closing,
    /// It was told.
    Over,
    /// The other side takes no more.
    Broken,
}

/// How one direction ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The stream that is read was reset.
    Source,
    /// The stream that is written takes no more.
    Target,
}

impl Pipe {
    /// A direction on which `early` came already.
    pub(crate) fn new(early: Bytes) -> Self {
        Self { stage: Stage::Open, rest: early, unflushed: false, moved: false, passed: 0 }
    }

    /// Passes on what there is. Ready when all has been passed on, with the end behind it, or when that
    /// cannot be done any more.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut (impl Read + Unpin + ?Sized),
        target: &mut (impl Write + Unpin + ?Sized),
    ) -> Poll<Result<(), Broken>> {
        if self.stage == Stage::Broken {
            return Poll::Ready(Err(Broken::Target));
        }
        let polled = self.pass_on(cx, source, target);
        if polled == Poll::Ready(Err(Broken::Target)) {
            self.stage = Stage::Broken;
        }
        polled
    }

    fn pass_on(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut (impl Read + Unpin + ?Sized),
        target: &mut (impl Write + Unpin + ?Sized),
    ) -> Poll<Result<(), Broken>> {
        let mut reads = 0;
        while self.stage == Stage::Open {
            if reads == READS_AT_ONCE {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads += 1;
            ready!(self.write_rest(cx, target))?;
            let polled = SCRATCH.with_borrow_mut(|scratch| {
                let mut buffer = ReadBuf::uninit(scratch);
                ready!(Pin::new(&mut *source).poll_read(cx, buffer.unfilled()))
                    .map_err(|_| Broken::Source)?;
                self.moved = true;
                if buffer.filled().is_empty() {
                    self.stage = Stage::Closing;
                    return Poll::Ready(Ok(()));
                }
                let mut read = buffer.filled();
                let outcome = self.write(cx, target, &mut read);
                if outcome.is_pending() {
                    self.rest = Bytes::copy_from_slice(read);
                }
                outcome
            });
            if polled.is_pending() && self.unflushed {
                ready!(Pin::new(&mut *target).poll_flush(cx)).map_err(|_| Broken::Target)?;
                self.unflushed = false;
            }
            ready!(polled)?;
        }
        if self.stage == Stage::Closing {
            ready!(Pin::new(target).poll_shutdown(cx)).map_err(|_| Broken::Target)?;
            self.stage = Stage::Over;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is kept, and lets go of it.
    fn write_rest(
        &mut self,
        cx: &mut Context<'_>,
        target: &mut (impl Write + Unpin + ?Sized),
    ) -> Poll<Result<(), Broken>> {
        if self.rest.is_empty() {
            // Even an empty one may hold the buffer it was cut from.
            self.rest = Bytes::new();
            return Poll::Ready(Ok(()));
        }
        let mut rest = std::mem::take(&mut self.rest);
        let outcome = self.write(cx, target, &mut rest);
        if outcome.is_pending() {
            self.rest = rest;
        }
        outcome
    }

    fn write(
        &mut self,
        cx: &mut Context<'_>,
        target: &mut (impl Write + Unpin + ?Sized),
        bytes: &mut impl Buf,
    ) -> Poll<Result<(), Broken>> {
        while bytes.has_remaining() {
            match ready!(Pin::new(&mut *target).poll_write(cx, bytes.chunk())) {
                Ok(written) if written > 0 => {
                    bytes.advance(written);
                    self.passed += written;
                    (self.unflushed, self.moved) = (true, true);
                }
                _ => return Poll::Ready(Err(Broken::Target)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether anything came or went since this was last asked, and how many bytes were passed on.
    pub(crate) fn progress(&mut self) -> (bool, usize) {
        (std::mem::take(&mut self.moved), std::mem::take(&mut self.passed))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::task::Waker;

    use hyper::rt::ReadBufCursor;
    use proptest::prelude::*;

    use super::*;

    /// Always has bytes, and takes all that there are.
    struct Endless;

    impl Read for Endless {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            mut buffer: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            buffer.put_slice(&[7; 1000]);
            Poll::Ready(Ok(()))
        }
    }

    impl Write for Endless {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn who_never_pauses_leaves_others_their_turn() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut pipe = Pipe::new(Bytes::from_static(b"early"));
        assert_eq!(pipe.poll(&mut cx, &mut Endless, &mut Endless), Poll::Pending);
        assert_eq!(pipe.progress(), (true, 5 + READS_AT_ONCE * 1000));
        assert_eq!(pipe.progress(), (false, 0));
    }

    /// Has these parts to read, and then its end; `None` is a pause.
    struct Parts(VecDeque<Option<Vec<u8>>>);

    impl Read for Parts {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            mut buffer: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            match self.0.pop_front() {
                Some(Some(part)) => buffer.put_slice(&part),
                Some(None) => return Poll::Pending,
                None => {}
            }
            Poll::Ready(Ok(()))
        }
    }

    /// Takes as many bytes at a time as it is told, 0 for none at the moment, and then all.
    struct Taker {
        takes: VecDeque<usize>,
        taken: Vec<u8>,
        is_shut_down: bool,
    }

    impl Write for Taker {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            assert!(!self.is_shut_down && !bytes.is_empty());
            let takes = self.takes.pop_front().unwrap_or(bytes.len()).min(bytes.len());
            self.taken.extend_from_slice(&bytes[..takes]);
            if takes > 0 { Poll::Ready(Ok(takes)) } else { Poll::Pending }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.is_shut_down = true;
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        #[test]
        fn all_bytes_pass_in_order_and_nothing_is_read_ahead(
            early in prop::collection::vec(any::<u8>(), 0..50),
            parts in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 1..50)), 0..30),
            takes in prop::collection::vec(0usize..40, 0..60),
        ) {
            let all = [early.clone(), parts.iter().flatten().flatten().copied().collect()].concat();
            let mut source = Parts(parts.into());
            let mut target = Taker { takes: takes.into(), taken: Vec::new(), is_shut_down: false };
            let mut pipe = Pipe::new(Bytes::from(early));
            let mut passed = 0;
            for _ in 0..200 {
                let (left, is_kept) = (source.0.len(), !pipe.rest.is_empty());
                let polled = pipe.poll(&mut Context::from_waker(Waker::noop()), &mut source, &mut target);
                let (_, taken) = pipe.progress();
                passed += taken;
                prop_assert_eq!(passed, target.taken.len());
                if is_kept && taken == 0 {
                    prop_assert_eq!(source.0.len(), left, "read although nothing was taken");
                }
                if polled.is_ready() {
                    break;
                }
            }
            prop_assert!(target.is_shut_down);
            prop_assert_eq!(target.taken, all);
        }
    }
}
