//! The tasks of one connection's streams. They end with it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use fxhash::FxHashMap;
use hyper::rt::Executor;
use tokio::task::JoinHandle;

use super::tunnel::{self, Switch};
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
    /// Those that go on, by number.
    running: RefCell<FxHashMap<u64, JoinHandle<()>>>,
    last: Cell<u64>,
    /// The request whose stream is about to be run.
    next: RefCell<Option<Rc<RequestState>>>,
    /// The tunnel that the stream under way becomes when its response is sent.
    switch: RefCell<Option<Box<Switch>>>,
    /// Whether it has become that, and goes on as another task.
    has_switched: Cell<bool>,
}

impl Streams {
    /// The stream that is run next is that of this request: hyper runs it as soon as it has called the
    /// service.
    pub(super) fn comes_next(&self, request: &Rc<RequestState>) {
        self.0.begun.set(self.0.begun.get().saturating_add(1));
        self.0.next.replace(Some(Rc::clone(request)));
    }

    /// The stream under way becomes this tunnel: hyper hands over what sends on it as soon as it has sent the
    /// response.
    pub(super) fn becomes(&self, switch: Switch) {
        self.0.switch.replace(Some(Box::new(switch)));
    }

    /// Whether the client asks in order to take back: more than half of many requests. Each costs a
    /// connection to a replica, which has begun to work.
    pub(super) fn are_taken_back(&self) -> bool {
        let taken_back = self.0.taken_back.get();
        taken_back > MAX_TAKEN_BACK && taken_back > self.0.begun.get() / 2
    }

    /// Whether any goes on: its request may be over, and the end of its response wait for the client's window.
    pub(super) fn go_on(&self) -> bool {
        !self.0.running.borrow().is_empty()
    }

    /// Ends all of them.
    pub(super) async fn end(&self) {
        for ending in self.abort().into_values() {
            // They end by that, if not otherwise.
            let _ = ending.await;
        }
    }

    /// Has all of them end.
    fn abort(&self) -> FxHashMap<u64, JoinHandle<()>> {
        let running = self.0.running.take();
        running.values().for_each(JoinHandle::abort);
        running
    }

    /// Runs a stream as a task. A `JoinSet` would do the same with locks and an allocation for each.
    fn spawn<F: Future<Output = ()> + 'static>(&self, stream: impl FnOnce(Running) -> F) {
        let number = self.0.last.get() + 1;
        self.0.last.set(number);
        let task = tokio::task::spawn_local(stream(Running { number, tasks: Rc::clone(&self.0) }));
        self.0.running.borrow_mut().insert(number, task);
    }
}

/// Has the streams of a connection end that is dropped in its middle.
#[derive(Debug)]
pub(super) struct AbortOnDrop(pub(super) Streams);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A stream goes on until this drops, which its task owns.
#[derive(Debug)]
pub(super) struct Running {
    number: u64,
    tasks: Rc<Tasks>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.running.borrow_mut().remove(&self.number);
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        if let Some(switch) = self.0.switch.take() {
            self.0.has_switched.set(true);
            self.spawn(|running| tunnel::run(*switch, stream, running));
            return;
        }
        let request = self.0.next.take();
        self.spawn(|running| run(stream, request, running));
    }
}

/// Runs a stream to its end. It is dropped, which resets it, if its client does not take what there is
/// for it; hyper itself would wait for ever. The other streams of the connection go on.
async fn run(stream: impl Future<Output = ()>, request: Option<Rc<RequestState>>, running: Running) {
    let (mut stream, tasks) = (pin!(stream), &running.tasks);
    poll_fn(|cx| {
        let is_over = stream.as_mut().poll(cx).is_ready();
        let Some(request) = &request else { return if is_over { Poll::Ready(()) } else { Poll::Pending } };
        if is_over && tasks.has_switched.take() {
            return Poll::Ready(());
        }
        if is_over {
            // If the request is not over, its client has reset it.
            request.on(Input::ClientReset);
            tasks.switch.take();
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
