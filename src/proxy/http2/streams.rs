//! The tasks of one connection's streams. They end with it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use hyper::rt::Executor;
use tokio::task::JoinSet;

use crate::proxy::request::RequestState;
use crate::proxy::timeline::{Expiry, Input};

/// Runs the streams of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Rc<Tasks>);

/// Requests that a client may take back without more ado.
const MAX_TAKEN_BACK: u32 = 100;

#[derive(Debug, Default)]
struct Tasks {
    /// How many there were, and how many of them their client has reset.
    begun: Cell<u32>,
    taken_back: Cell<u32>,
    running: RefCell<JoinSet<()>>,
    /// The request whose stream is about to be run.
    next: RefCell<Option<Rc<RequestState>>>,
}

impl Streams {
    /// The stream that is run next is that of this request: hyper runs it as soon as it has called the
    /// service.
    pub(super) fn comes_next(&self, request: &Rc<RequestState>) {
        self.0.begun.set(self.0.begun.get().saturating_add(1));
        self.0.next.replace(Some(Rc::clone(request)));
    }

    /// Whether the client asks in order to take back: more than half of many requests. Each costs a
    /// connection to a replica, which has begun to work.
    pub(super) fn are_taken_back(&self) -> bool {
        let taken_back = self.0.taken_back.get();
        taken_back > MAX_TAKEN_BACK && taken_back > self.0.begun.get() / 2
    }

    /// Whether any goes on: its request may be over, and the end of its response wait for the client's window.
    pub(super) fn go_on(&self) -> bool {
        let mut running = self.0.running.borrow_mut();
        while running.try_join_next().is_some() {}
        !running.is_empty()
    }

    /// Ends all of them.
    pub(super) async fn end(&self) {
        let mut running = self.0.running.take();
        running.shutdown().await;
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let mut running = self.0.running.borrow_mut();
        // Those that have ended meanwhile.
        while running.try_join_next().is_some() {}
        running.spawn_local(run(stream, self.0.next.take(), Rc::clone(&self.0)));
    }
}

/// Runs a stream to its end. It is dropped, which resets it, if its client does not take what there is
/// for it; hyper itself would wait for ever. The other streams of the connection go on.
async fn run(stream: impl Future<Output = ()>, request: Option<Rc<RequestState>>, tasks: Rc<Tasks>) {
    let mut stream = pin!(stream);
    poll_fn(|cx| {
        let is_over = stream.as_mut().poll(cx).is_ready();
        let Some(request) = &request else { return if is_over { Poll::Ready(()) } else { Poll::Pending } };
        if is_over {
            // If the request is not over, its client has reset it.
            request.on(Input::ClientReset);
            return Poll::Ready(());
        }
        if request.is_client_gone() {
            return Poll::Ready(());
        }
        if request.is_client_blocked() {
            request.register(cx.waker());
            if matches!(request.expired(), Some(Expiry::ClientBlocked | Expiry::Call)) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    })
    .await;
    if request.is_some_and(|request| request.is_client_gone()) {
        tasks.taken_back.set(tasks.taken_back.get().saturating_add(1));
    }
}
