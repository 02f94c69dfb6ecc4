//! A runtime whose work is done by a task of its own: the handle that the pool holds, and the
//! orders it passes on. Knows neither the task nor what becomes of an order.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Launch, Owner, ReplicaId, Runtime};

/// What the pool wants.
#[derive(Debug)]
pub(super) enum Order {
    /// A replica more.
    Start(Launch),
    /// One that has left the ring, and will be stopped soon.
    Retire(ReplicaId),
    /// One less.
    Stop(ReplicaId),
    /// One that is to end at once.
    Kill(ReplicaId),
}

/// The handle. Dropping it ends the task, and leaves what it has made as it is.
#[derive(Debug)]
pub struct Remote {
    kind: &'static str,
    owner: Owner,
    orders: UnboundedSender<Order>,
}

impl Remote {
    /// A handle on a runtime called `kind`, whose replicas `owner` keeps, and the orders that its
    /// task is to carry out.
    pub(super) fn new(kind: &'static str, owner: Owner) -> (Self, UnboundedReceiver<Order>) {
        // Bounded by the pool, which has a limit of replicas and sends one order of each kind.
        let (orders, inbox) = unbounded_channel();
        (Self { kind, owner, orders }, inbox)
    }

    fn order(&self, order: Order) {
        // The task lives as long as this sender, unless the tokio runtime is ending.
        let _ = self.orders.send(order);
    }
}

impl Runtime for Remote {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn owner(&self) -> Owner {
        self.owner
    }

    fn lists(&self) -> bool {
        true
    }

    fn start(&self, launch: Launch) {
        self.order(Order::Start(launch));
    }

    fn retire(&self, id: ReplicaId) {
        self.order(Order::Retire(id));
    }

    fn stop(&self, id: ReplicaId) {
        self.order(Order::Stop(id));
    }

    fn kill(&self, id: ReplicaId) {
        self.order(Order::Kill(id));
    }
}
