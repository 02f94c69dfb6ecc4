//! One connection: what is under way on it, what has come and what is being sent.
//!
//! **Reading.** While somebody waits for data, one receive is queued, without a buffer of its own: the kernel
//! takes one when data comes. What did not fit is read directly, in the same call, into the reader's memory.
//! So a connection holds one buffer at most, and only until it is read. Where more came than a buffer holds,
//! only the news of the next data is queued, and all of it is read directly: one call for a large part, and not
//! two. That a direct read cannot overtake the queued one has two reasons: there is none while a receive is
//! queued, and the kernel receives within [`Ring::enter`] alone.
//!
//! **Writing.** What is small is copied and queued, and counts as written, as if the socket's buffer were that
//! much larger. What is large is sent directly. There is one queued send at most, and nothing is sent
//! directly while there is one. If the kernel does not take a queued send at once, a flush waits for it: so
//! who writes learns of a peer that does not read.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::task::{Context, Poll, Waker};

use io_uring::{opcode, squeue, types};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags};
use tokio::io::ReadBuf;

use crate::buffers::{GROUP, Held, SIZE};
use crate::ring::{Completion, Ring};

/// Up to this many bytes are copied to be sent later.
const COPIED: usize = 4096;

/// Buffers for them that are kept for the next ones.
const SPARE: usize = 64;

/// Wait until there is something before trying (`IORING_RECVSEND_POLL_FIRST`).
const POLL_FIRST: u16 = 1;

/// What the sockets of a thread share.
pub(crate) struct Queue {
    pub(crate) ring: Ring,
    spare: Vec<Vec<u8>>,
    /// Sockets with a send that the kernel has not seen.
    pub(crate) sends: Vec<usize>,
}

impl Queue {
    pub(crate) fn new(ring: Ring) -> Self {
        Self { ring, spare: Vec::new(), sends: Vec::new() }
    }

    fn recycle(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARE {
            self.spare.push(buffer);
        }
    }
}

/// Which operation of a socket a completion is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Receive,
    Send,
    /// Nobody waits for it.
    Other,
}

/// What names an operation to the kernel.
pub(crate) fn user_data(index: usize, kind: Kind) -> u64 {
    (index as u64) << 2 | kind as u64
}

/// The inverse.
pub(crate) fn operation(user_data: u64) -> (usize, Kind) {
    let kind = match user_data & 3 {
        0 => Kind::Receive,
        1 => Kind::Send,
        _ => Kind::Other,
    };
    ((user_data >> 2) as usize, kind)
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Socket {
    /// `None` when it is closed and something is still under way.
    tcp: Option<TcpStream>,
    /// Its place among those of the thread.
    index: usize,
    read: Read,
    write: Write,
}

#[derive(Debug, Default)]
struct Read {
    /// What is queued, if anything is.
    queued: Option<Awaits>,
    /// Whether none was before.
    is_first: bool,
    /// What has come and was not read.
    held: Option<Held>,
    /// Whether the socket may have something now.
    has_more: bool,
    /// Whether more came the last time than a buffer holds: then only the news of it is awaited.
    is_large: bool,
    end: Option<End>,
    waker: Option<Waker>,
}

/// What is queued for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    /// A receive into a buffer.
    Data,
    /// That there is something to read.
    News,
}

#[derive(Debug)]
enum End {
    Eof,
    Error(Errno),
}

#[derive(Debug, Default)]
struct Write {
    flight: Option<Flight>,
    written: Written,
    /// Whether the end follows what is queued.
    is_last: bool,
    /// What came of a send that counted as written.
    error: Option<Errno>,
    waker: Option<Waker>,
    /// Whether a flush, a write or a shutdown waits.
    is_waiting: bool,
}

/// How much was ever written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Written {
    #[default]
    Nothing,
    /// One part, so small that it was queued.
    Once,
    More,
}

/// What is queued.
#[derive(Debug)]
enum Flight {
    /// A send that the kernel has not seen.
    Queued(Vec<u8>),
    /// One that it could not do at once.
    Stuck(Vec<u8>),
    /// A wait until there is room.
    Room,
}

/// Whether the kernel has to be called before an operation can go on.
pub(crate) enum Step<T> {
    Done(T),
    Enter,
}

fn set(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => *slot = Some(cx.waker().clone()),
    }
}

impl Socket {
    pub(crate) fn new(index: usize, tcp: TcpStream) -> Self {
        let read = Read { is_first: true, ..Read::default() };
        Self { tcp: Some(tcp), index, read, write: Write::default() }
    }

    pub(crate) fn tcp(&self) -> io::Result<&TcpStream> {
        self.tcp.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Whether it can be forgotten.
    pub(crate) fn is_over(&self) -> bool {
        self.tcp.is_none() && self.read.queued.is_none() && self.write.flight.is_none()
    }

    pub(crate) fn poll_read(
        &mut self,
        queue: &mut Queue,
        cx: &Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if let Some(mut held) = self.read.held.take() {
            let data = queue.ring.buffers().data(&held);
            let taken = data.len().min(buf.remaining());
            buf.put_slice(&data[..taken]);
            held.advance(taken);
            if held.len() > 0 {
                self.read.held = Some(held);
                return Poll::Ready(Ok(()));
            }
            queue.ring.buffers().give_back(held);
        }
        if self.read.has_more && self.read.end.is_none() && buf.remaining() > 0 {
            self.receive(buf, buf.filled().len() > before);
        }
        if buf.filled().len() > before {
            return Poll::Ready(Ok(()));
        }
        match self.read.end {
            Some(End::Eof) => Poll::Ready(Ok(())),
            Some(End::Error(error)) => {
                self.read.end = Some(End::Eof);
                Poll::Ready(Err(error.into()))
            }
            None => {
                self.wait_for_data(queue, cx)?;
                Poll::Pending
            }
        }
    }

    /// Looks at what comes, without reading it.
    pub(crate) fn poll_peek(
        &mut self,
        queue: &mut Queue,
        cx: &Context<'_>,
        space: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.read.held.is_none() && self.read.has_more && self.read.end.is_none() {
            match net::recv(self.tcp()?, &mut *space, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
                Ok((_, seen)) => return Poll::Ready(Ok(seen)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        if let Some(held) = &self.read.held {
            let data = queue.ring.buffers().data(held);
            let seen = data.len().min(space.len());
            space[..seen].copy_from_slice(&data[..seen]);
            return Poll::Ready(Ok(seen));
        }
        match self.read.end {
            Some(End::Eof) => Poll::Ready(Ok(0)),
            Some(End::Error(error)) => Poll::Ready(Err(error.into())),
            None => {
                self.wait_for_data(queue, cx)?;
                Poll::Pending
            }
        }
    }

    /// Reads what the socket has.
    fn receive(&mut self, buf: &mut ReadBuf<'_>, has_begun: bool) {
        let Some(tcp) = &self.tcp else { return };
        // SAFETY: nothing that is initialised becomes uninitialised: the kernel only writes bytes.
        let space = unsafe { buf.unfilled_mut() };
        let room = space.len();
        let received = loop {
            match net::recv(tcp, &mut *space, RecvFlags::DONTWAIT) {
                Err(Errno::INTR) => {}
                received => break received.map(|(_, received)| received.min(room)),
            }
        };
        self.read.has_more = matches!(received, Ok(received) if received == room);
        if matches!(received, Ok(received) if received <= SIZE && received < room) {
            self.read.is_large = self.read.is_large && has_begun;
        }
        match received {
            Ok(0) => self.read.end = Some(End::Eof),
            Ok(received) => {
                // SAFETY: so many were written to the beginning of the space.
                unsafe { buf.assume_init(received) };
                buf.advance(received);
            }
            Err(Errno::AGAIN) => {}
            Err(error) => self.read.end = Some(End::Error(error)),
        }
    }

    fn wait_for_data(&mut self, queue: &mut Queue, cx: &Context<'_>) -> io::Result<()> {
        set(&mut self.read.waker, cx);
        if self.read.queued.is_none() {
            let fd = types::Fd(self.tcp()?.as_raw_fd());
            let first = std::mem::take(&mut self.read.is_first);
            let (operation, awaits) = if self.read.is_large {
                (opcode::PollAdd::new(fd, POLL_IN).build(), Awaits::News)
            } else {
                let receive = opcode::Recv::new(fd, std::ptr::null_mut(), SIZE as u32)
                    .buf_group(GROUP)
                    .ioprio(if first { 0 } else { POLL_FIRST })
                    .build()
                    .flags(squeue::Flags::BUFFER_SELECT);
                (receive, Awaits::Data)
            };
            // SAFETY: it points to nothing: the kernel takes one of its buffers, which live as long as the ring.
            unsafe { queue.ring.push(operation.user_data(user_data(self.index, Kind::Receive))) };
            self.read.queued = Some(awaits);
        }
        Ok(())
    }

    pub(crate) fn poll_write(
        &mut self,
        queue: &mut Queue,
        cx: &Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Step<Poll<io::Result<usize>>> {
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        if total == 0 {
            return Step::Done(Poll::Ready(Ok(0)));
        }
        match self.room(cx) {
            Step::Enter => return Step::Enter,
            Step::Done(Poll::Pending) => return Step::Done(Poll::Pending),
            Step::Done(Poll::Ready(Err(error))) => return Step::Done(Poll::Ready(Err(error))),
            Step::Done(Poll::Ready(Ok(()))) => {}
        }
        let tcp = match self.tcp() {
            Ok(tcp) => tcp,
            Err(error) => return Step::Done(Poll::Ready(Err(error))),
        };
        if total <= COPIED {
            let mut buffer = queue.spare.pop().unwrap_or_else(|| Vec::with_capacity(COPIED));
            buffer.clear();
            for buf in bufs {
                buffer.extend_from_slice(buf);
            }
            let flags = (SendFlags::NOSIGNAL.bits() | RecvFlags::WAITALL.bits()).cast_signed();
            let send = opcode::Send::new(types::Fd(tcp.as_raw_fd()), buffer.as_ptr(), total as u32)
                .flags(flags)
                .build()
                .user_data(user_data(self.index, Kind::Send));
            self.write.flight = Some(Flight::Queued(buffer));
            self.write.written = match self.write.written {
                Written::Nothing => Written::Once,
                _ => Written::More,
            };
            // SAFETY: the bytes are on the heap, and `flight` keeps them unchanged until the completion.
            unsafe { queue.ring.push(send) };
            queue.sends.push(self.index);
            return Step::Done(Poll::Ready(Ok(total)));
        }
        self.write.written = Written::More;
        let tcp = self.tcp.as_ref().expect("it was there");
        loop {
            let mut control = SendAncillaryBuffer::default();
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let sent = match bufs {
                [only] => net::send(tcp, only, flags),
                _ => net::sendmsg(tcp, bufs, &mut control, flags),
            };
            match sent {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                sent => return Step::Done(Poll::Ready(sent.map_err(Into::into))),
            }
        }
        let wait = opcode::PollAdd::new(types::Fd(tcp.as_raw_fd()), POLL_OUT)
            .build()
            .user_data(user_data(self.index, Kind::Send));
        // SAFETY: it points to nothing.
        unsafe { queue.ring.push(wait) };
        self.write.flight = Some(Flight::Room);
        Step::Done(self.wait_for_room(cx))
    }

    /// Ready when nothing is queued.
    fn room(&mut self, cx: &Context<'_>) -> Step<Poll<io::Result<()>>> {
        if let Some(error) = self.write.error.take() {
            return Step::Done(Poll::Ready(Err(error.into())));
        }
        match self.write.flight {
            None => Step::Done(Poll::Ready(Ok(()))),
            Some(Flight::Queued(_)) => Step::Enter,
            Some(Flight::Stuck(_) | Flight::Room) => Step::Done(self.wait_for_room(cx)),
        }
    }

    fn wait_for_room<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        set(&mut self.write.waker, cx);
        self.write.is_waiting = true;
        Poll::Pending
    }

    pub(crate) fn poll_flush(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.write.error.take() {
            return Poll::Ready(Err(error.into()));
        }
        match self.write.flight {
            None | Some(Flight::Room) => Poll::Ready(Ok(())),
            Some(Flight::Stuck(_)) => self.wait_for_room(cx),
            Some(Flight::Queued(_)) => {
                // To be woken should it not go at once.
                set(&mut self.write.waker, cx);
                Poll::Ready(Ok(()))
            }
        }
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &Context<'_>) -> Step<Poll<io::Result<()>>> {
        match self.write.flight {
            // What waits for room was not accepted.
            Some(Flight::Room) => {}
            // The kernel takes the first bytes of a connection at once, so nobody has to wait for it. If the socket is
            // closed by then, that is its end.
            Some(Flight::Queued(_)) if self.write.written == Written::Once => {
                self.write.is_last = true;
                return Step::Done(Poll::Ready(Ok(())));
            }
            _ => match self.room(cx) {
                Step::Done(Poll::Ready(Ok(()))) => {}
                step => return step,
            },
        }
        let outcome = self.tcp().and_then(|tcp| match net::shutdown(tcp, net::Shutdown::Write) {
            // It was shut down from the other side.
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        });
        Step::Done(Poll::Ready(outcome))
    }

    /// Takes in what came of an operation; whoever is to be woken goes to `wakes`.
    pub(crate) fn complete(
        &mut self,
        kind: Kind,
        completion: Completion,
        queue: &mut Queue,
        wakes: &mut Vec<Waker>,
    ) {
        match kind {
            Kind::Receive => self.received(completion, queue, wakes),
            Kind::Send => self.sent(completion, queue, wakes),
            Kind::Other => {}
        }
    }

    fn received(&mut self, completion: Completion, queue: &mut Queue, wakes: &mut Vec<Waker>) {
        let read = &mut self.read;
        let awaited = read.queued.take();
        let result = completion.result;
        if let Some(id) = completion.buffer {
            let held = queue.ring.buffers().take(id, usize::try_from(result).unwrap_or(0));
            if held.len() > 0 && self.tcp.is_some() {
                // The kernel does not always know of more.
                read.is_large = held.len() == SIZE;
                read.has_more = completion.has_more || read.is_large;
                read.held = Some(held);
            } else {
                queue.ring.buffers().give_back(held);
            }
        }
        if awaited == Some(Awaits::News) && result >= 0 {
            read.has_more = true;
        } else if result == 0 {
            read.end = Some(End::Eof);
        } else if result < 0 {
            match Errno::from_raw_os_error(-result) {
                // All buffers are in use, but there is something.
                Errno::NOBUFS => read.has_more = true,
                Errno::AGAIN | Errno::INTR | Errno::CANCELED => {}
                error => read.end = Some(End::Error(error)),
            }
        }
        wakes.extend(read.waker.take());
    }

    fn sent(&mut self, completion: Completion, queue: &mut Queue, wakes: &mut Vec<Waker>) {
        let write = &mut self.write;
        match write.flight.take() {
            Some(Flight::Queued(buffer) | Flight::Stuck(buffer)) => {
                match usize::try_from(completion.result) {
                    Ok(sent) if sent == buffer.len() => {}
                    // The kernel goes on until it has sent all, unless the connection is gone.
                    Ok(_) => write.error = Some(Errno::PIPE),
                    Err(_) => write.error = Some(Errno::from_raw_os_error(-completion.result)),
                }
                queue.recycle(buffer);
            }
            Some(Flight::Room) | None => {}
        }
        if std::mem::take(&mut write.is_last)
            && let Some(tcp) = &self.tcp
        {
            // Who reads learns of what is wrong with it.
            let _ = net::shutdown(tcp, net::Shutdown::Write);
        }
        if std::mem::take(&mut write.is_waiting) || write.error.is_some() {
            wakes.extend(write.waker.take());
        }
    }

    /// The kernel has seen all that was queued, and has reported what it has done.
    pub(crate) fn submitted(&mut self, queue: &mut Queue, wakes: &mut Vec<Waker>) {
        if let Some(Flight::Queued(buffer)) = &mut self.write.flight {
            self.write.flight = Some(Flight::Stuck(std::mem::take(buffer)));
            wakes.extend(self.write.waker.take());
            // What was said to be the end is sent whole, also by a kernel that is short of memory.
            if self.tcp.is_none() && !self.write.is_last {
                self.cancel(queue, Kind::Send);
            }
        }
    }

    fn cancel(&self, queue: &mut Queue, kind: Kind) {
        let cancel = opcode::AsyncCancel::new(user_data(self.index, kind)).build();
        let cancel = cancel.flags(squeue::Flags::SKIP_SUCCESS).user_data(user_data(self.index, Kind::Other));
        // SAFETY: it points to nothing.
        unsafe { queue.ring.push(cancel) };
    }

    /// Closes it: cancels what is under way, but not before a queued send has had its chance. What comes
    /// back is to be dropped when nothing is borrowed.
    pub(crate) fn close(&mut self, queue: &mut Queue) -> [Option<Waker>; 2] {
        let Some(tcp) = self.tcp.take() else { return [None, None] };
        if let Some(held) = self.read.held.take() {
            queue.ring.buffers().give_back(held);
        }
        if self.read.queued.is_some() {
            self.cancel(queue, Kind::Receive);
        }
        // One that is queued is most often done by then: see `submitted`.
        if matches!(self.write.flight, Some(Flight::Stuck(_) | Flight::Room)) {
            self.cancel(queue, Kind::Send);
        }
        let skip = squeue::Flags::SKIP_SUCCESS;
        // In the queue behind all that names the descriptor, so that none of it can mean another file.
        let close = opcode::Close::new(types::Fd(tcp.into_raw_fd())).build().flags(skip);
        // SAFETY: it points to nothing.
        unsafe { queue.ring.push(close.user_data(user_data(self.index, Kind::Other))) };
        [self.read.waker.take(), self.write.waker.take()]
    }
}

/// `POLLIN` and `POLLOUT`, which are the same on all architectures that Linux has but two, of which Rust supports
/// none here.
const POLL_IN: u32 = rustix::event::PollFlags::IN.bits() as u32;
const POLL_OUT: u32 = rustix::event::PollFlags::OUT.bits() as u32;
