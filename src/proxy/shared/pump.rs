//! The body of a request, to a stream. What was sent is kept as long as it may have to be sent again.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::{Body, Frame};

use crate::proxy::upload::RequestBody;

/// Most bytes of a body that are kept to be sent again.
const MAX_KEPT: usize = 64 * 1024;

/// Most parts that are kept: each costs something, however small it is.
const MAX_PARTS: usize = 1024;

/// Parts below this are gathered, in bytes.
const SMALL: usize = 1024;

/// Up to so many bytes.
const GATHERED: usize = 16 * 1024;

/// A body on its way.
#[derive(Debug)]
pub(super) struct Upload {
    body: RefCell<Option<RequestBody>>,
    /// What was taken of it; `None` where that is no longer needed, or too much.
    kept: RefCell<Option<Kept>>,
    /// Whether it broke off.
    failed: Cell<bool>,
}

/// What was taken of a body.
#[derive(Debug, Default)]
struct Kept {
    parts: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    bytes: usize,
}

/// What comes next.
enum Next {
    Part(Bytes, bool),
    Trailers(HeaderMap),
    End,
    /// The client broke its body off.
    Broken,
    /// The replica wants no more of it.
    Reset,
}

impl Upload {
    pub(super) fn new(body: RequestBody) -> Self {
        Self {
            body: RefCell::new(Some(body)),
            kept: RefCell::new(Some(Kept::default())),
            failed: Cell::new(false),
        }
    }

    /// Whether the client broke it off.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.get()
    }

    /// A response has begun: it is not sent again.
    pub(super) fn is_heard(&self) {
        self.kept.replace(None);
    }

    /// The whole body once more, if all that was taken of it was kept. Nobody must pump any more.
    pub(super) fn take_back(&self) -> Option<RequestBody> {
        let kept = self.kept.take()?;
        Some(self.body.take()?.preceded_by(kept.parts, kept.trailers))
    }

    fn keep(&self, frame: &Frame<Bytes>) {
        let mut slot = self.kept.borrow_mut();
        let Some(kept) = slot.as_mut() else { return };
        if let Some(data) = frame.data_ref() {
            kept.bytes += data.len();
            kept.parts.push(data.clone());
        } else {
            kept.trailers = frame.trailers_ref().cloned();
        }
        if kept.bytes > MAX_KEPT || kept.parts.len() > MAX_PARTS {
            *slot = None;
        }
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut slot = self.body.borrow_mut();
        let Some(body) = slot.as_mut() else { return Poll::Ready(Next::Reset) };
        Pin::new(&mut *body).poll_frame(cx).map(|frame| match frame {
            Some(Ok(frame)) => {
                self.keep(&frame);
                match frame.into_data() {
                    Ok(data) => Next::Part(data, body.is_end_stream()),
                    Err(frame) => frame.into_trailers().map_or(Next::End, Next::Trailers),
                }
            }
            Some(Err(_)) => Next::Broken,
            None => Next::End,
        })
    }

    /// `first` with those small parts behind it that have come already, as far as there is `room` to send
    /// them at once; whether they end the body, and what comes behind them if that has come too. Servers take
    /// many small frames for a flood.
    async fn gather(&self, first: Bytes, room: usize) -> (Bytes, bool, Option<Next>) {
        let mut gathered = BytesMut::from(&first[..]);
        while gathered.len() < room {
            match poll_fn(|cx| Poll::Ready(self.poll_next(cx))).await {
                Poll::Ready(Next::Part(part, is_last)) => {
                    gathered.extend_from_slice(&part);
                    if is_last {
                        return (gathered.freeze(), true, None);
                    }
                }
                Poll::Ready(other) => return (gathered.freeze(), false, Some(other)),
                Poll::Pending => break,
            }
        }
        (gathered.freeze(), false, None)
    }

    /// Sends all of it. Ends early if the replica wants no more, or the client breaks it off.
    pub(super) async fn pump(&self, mut stream: SendStream<Bytes>) {
        let mut came = None;
        loop {
            let next = poll_fn(|cx| {
                if let Some(next) = came.take() {
                    return Poll::Ready(next);
                }
                if stream.poll_reset(cx).is_ready() { Poll::Ready(Next::Reset) } else { self.poll_next(cx) }
            });
            // An error of any of these means that the stream has ended, which its response tells too.
            let goes_on = match next.await {
                Next::Part(data, false) if !data.is_empty() && data.len() < SMALL => {
                    stream.reserve_capacity(GATHERED);
                    let room = stream.capacity().min(GATHERED);
                    let (data, is_last, behind) = self.gather(data, room).await;
                    came = behind;
                    send(&mut stream, data, is_last).await && !is_last
                }
                Next::Part(data, is_last) => send(&mut stream, data, is_last).await && !is_last,
                Next::Trailers(trailers) => {
                    let _ = stream.send_trailers(trailers);
                    false
                }
                Next::End => {
                    let _ = stream.send_data(Bytes::new(), true);
                    false
                }
                Next::Broken => {
                    self.failed.set(true);
                    stream.send_reset(Reason::CANCEL);
                    false
                }
                Next::Reset => false,
            };
            if !goes_on {
                return;
            }
        }
    }
}

/// Sends a part as the window opens for it; whether the stream goes on.
async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes, is_last: bool) -> bool {
    if data.is_empty() {
        return !is_last || stream.send_data(data, true).is_ok();
    }
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = poll_fn(|cx| {
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(0);
            }
            loop {
                match stream.capacity() {
                    0 => match stream.poll_capacity(cx) {
                        Poll::Ready(Some(Ok(_))) => {}
                        Poll::Ready(_) => return Poll::Ready(0),
                        Poll::Pending => return Poll::Pending,
                    },
                    room => return Poll::Ready(room),
                }
            }
        });
        let room = room.await;
        if room == 0 {
            return false;
        }
        let part = data.split_to(room.min(data.len()));
        if stream.send_data(part, is_last && data.is_empty()).is_err() {
            return false;
        }
    }
    true
}
