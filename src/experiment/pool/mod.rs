//! The pool that is driven: how many replicas take requests, on which ring, and how it is put
//! back as it was.
//!
//! Changes go through the admin API alone. In a pool of others, replicas are never taken away: what
//! is too many is set to weight 0, with which a ring is what it is without them.

mod ours;
mod own;
mod restore;

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::ours::Ours;
pub(super) use self::own::Own;
use super::error::Error;
use super::options::Target;
use crate::client::{self, Client, ReplicaReport, RingReport, Url};
use crate::ring::{BuildError, MAX_WEIGHT, Node, Params, Ring};

/// The key under which a request goes where its ring says. As `request-id` it is the value of
/// `X-Request-Id`, but as a key that is chosen for affinity it has no bound unless one is set.
pub(super) const PLAIN_KEY: &str = "header:x-request-id";

/// The key that has bounded load unless it is set off.
pub(super) const BOUNDED_KEY: &str = "request-id";

/// A pool and its balancer.
pub(super) struct Pool {
    client: Rc<Client>,
    /// Where requests are taken.
    public: Url,
    /// What it was like at first.
    before: RingReport,
    /// How replicas that are added are called, before a number.
    prefix: &'static str,
    /// Replicas that came because of us, and so may go again.
    ours: RefCell<Ours>,
    /// A change under way. It is not cut off when an experiment is: nobody would know what became
    /// of it.
    pending: RefCell<Option<JoinHandle<()>>>,
}

impl Pool {
    /// The pool behind a running balancer; `ours` if it was started for the experiments.
    pub(super) async fn reach(target: &Target, ours: bool) -> Result<Self, Error> {
        let client = Client::new(target.admin.clone(), target.token.clone());
        let before = client.ring().await?;
        Ok(Self {
            client: Rc::new(client),
            public: target.public.clone(),
            prefix: if ours { "Server" } else { "Experiment" },
            ours: RefCell::new(Ours::new(ours, &before.replicas)),
            before,
            pending: RefCell::default(),
        })
    }

    /// Where requests are taken.
    pub(super) fn public(&self) -> &Url {
        &self.public
    }

    /// The admin API.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// What it was like at first.
    pub(super) fn before(&self) -> &RingReport {
        &self.before
    }

    /// What it is like now.
    pub(super) async fn ring(&self) -> Result<RingReport, Error> {
        let ring = self.client.ring().await?;
        self.ours.borrow_mut().look(&ring.replicas);
        Ok(ring)
    }

    /// Has a change done and waits for it, whatever becomes of who asks.
    pub(super) async fn change<T, F>(&self, change: impl FnOnce(Rc<Client>) -> F) -> Result<T, Error>
    where
        T: 'static,
        F: Future<Output = Result<T, client::Error>> + 'static,
    {
        self.settle().await;
        let (send, outcome) = oneshot::channel();
        let change = change(Rc::clone(&self.client));
        let task = async move { drop(send.send(change.await)) };
        *self.pending.borrow_mut() = Some(tokio::task::spawn_local(task));
        self.settle().await;
        Ok(outcome.await.map_err(std::io::Error::other)??)
    }

    /// Waits for the change under way, if there is one. Cancel safe: it stays under way.
    #[expect(clippy::await_holding_refcell_ref, reason = "taken by one task, which waits here")]
    async fn settle(&self) {
        let mut pending = self.pending.borrow_mut();
        if let Some(task) = pending.as_mut() {
            // What became of it is told by its channel.
            let _ = task.await;
        }
        *pending = None;
    }

    /// Gives requests the ring of `params` and the key `key`.
    pub(super) async fn set_ring(&self, params: &Params, key: &str) -> Result<(), Error> {
        self.put_ring(json!({
            "family": params.family().as_str(),
            "probing": params.probing().as_str(),
            "placement": params.placement().as_str(),
            "slots": params.slots(),
            "virtual_nodes": params.virtual_nodes(),
            "key": key,
        }))
        .await
    }

    /// Changes what `change` names of the ring.
    async fn put_ring(&self, change: Value) -> Result<(), Error> {
        self.change(|client| async move { client.change_ring(&change).await.map(drop) }).await
    }

    async fn set_weight(&self, name: &str, weight: u8) -> Result<(), Error> {
        let name = name.to_owned();
        self.change(|client| async move { client.set_weight(&name, weight).await.map(drop) }).await
    }

    /// Notes names of replicas before they are asked for: if the answer is never seen, they are
    /// there all the same.
    pub(super) fn claim(&self, names: &[String]) {
        self.ours.borrow_mut().claim(names);
    }

    /// Notes that replicas of these names did not come, or are gone.
    pub(super) fn unclaim(&self, names: &[String]) {
        self.ours.borrow_mut().unclaim(names);
    }

    /// Adds replicas of these names.
    async fn add(&self, names: &[String]) -> Result<(), Error> {
        self.claim(names);
        let asked = names.to_vec();
        let add = |client: Rc<Client>| async move { client.add(asked.len() as u32, &asked).await.map(drop) };
        let added = self.change(add).await;
        if added.as_ref().is_err_and(Error::is_refusal) {
            self.unclaim(names);
        }
        added
    }

    /// Removes these replicas.
    async fn remove(&self, replicas: &[&ReplicaReport]) -> Result<(), Error> {
        let names: Vec<String> = replicas.iter().map(|replica| replica.name.clone()).collect();
        self.change(|client| async move { client.remove(names.len() as u32, &names).await.map(drop) })
            .await?;
        let numbers: Vec<u32> = replicas.iter().map(|replica| replica.number).collect();
        self.ours.borrow_mut().removed(&numbers);
        Ok(())
    }

    /// Ends the replica of this name as a crash does.
    pub(super) async fn kill(&self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        self.change(|client| async move { client.kill(&name).await.map(drop) }).await
    }

    fn is_ours(&self, replica: &ReplicaReport) -> bool {
        self.ours.borrow().has(replica)
    }

    /// Lets exactly `count` replicas take requests, each with full weight, and returns what the
    /// ring is then.
    pub(super) async fn resize(&self, count: usize) -> Result<RingReport, Error> {
        let ring = self.ring().await?;
        let keep = self.kept(&ring.replicas, count);
        let leave: Vec<_> = ring.replicas.iter().filter(|replica| !keep.contains(&replica.number)).collect();
        let (gone, drained): (Vec<_>, Vec<_>) = leave.into_iter().partition(|replica| self.is_ours(replica));
        if !gone.is_empty() {
            self.remove(&gone).await?;
        }
        for replica in drained.iter().filter(|replica| replica.weight != 0) {
            self.set_weight(&replica.name, 0).await?;
        }
        let kept = ring.replicas.iter().filter(|replica| keep.contains(&replica.number));
        for replica in kept.filter(|replica| replica.weight != MAX_WEIGHT) {
            self.set_weight(&replica.name, MAX_WEIGHT).await?;
        }
        if keep.len() < count {
            self.add(&self.new_names(&ring.replicas, count - keep.len())).await?;
        }
        self.ring().await
    }

    /// The numbers of those that stay: first those that are not ours, then by number.
    fn kept(&self, replicas: &[ReplicaReport], count: usize) -> Vec<u32> {
        let mut order: Vec<_> =
            replicas.iter().map(|replica| (self.is_ours(replica), replica.number)).collect();
        order.sort_unstable();
        order.into_iter().take(count).map(|(_, number)| number).collect()
    }

    fn new_names(&self, replicas: &[ReplicaReport], count: usize) -> Vec<String> {
        let mut names = (1_u32..).map(|number| format!("{} {number}", self.prefix));
        std::iter::from_fn(|| ours::free(replicas, &mut names)).take(count).collect()
    }

    /// Names like these that no replica of `ring` has: with a number if need be.
    pub(super) fn free_names<const N: usize>(ring: &RingReport, names: [&str; N]) -> [String; N] {
        names.map(|name| {
            let numbered = (2_u32..).map(|number| format!("{name} {number}"));
            let wanted = std::iter::once(name.to_owned()).chain(numbered);
            ours::free(&ring.replicas, wanted).unwrap_or_default()
        })
    }
}

/// The ring that a balancer reports, built anew.
pub(super) fn rebuilt(report: &RingReport) -> Result<Ring, Error> {
    let node = |replica: &ReplicaReport| Node { number: replica.number, weight: replica.weight };
    let nodes: Vec<Node> = report.replicas.iter().map(node).collect();
    Ring::build(&params(report)?, &nodes).map_err(|error: BuildError| Error::Unfit(error.to_string()))
}

/// The parameters of that ring.
pub(super) fn params(report: &RingReport) -> Result<Params, Error> {
    let unfit = |error: crate::ring::ParamsError| Error::Unfit(error.to_string());
    Params::new(
        report.family.parse().map_err(unfit)?,
        report.probing.parse().map_err(unfit)?,
        report.placement.parse().map_err(unfit)?,
        report.slots,
        report.virtual_nodes,
    )
    .map_err(unfit)
}
