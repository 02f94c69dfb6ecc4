//! The pool that the experiments run on: the number of its replicas, its ring, and how it is restored.
//!
//! All changes go through the admin API. In a pool that was not started for the experiments, replicas
//! of others are never removed: if there are too many, they get weight 0, which has the same effect on
//! the ring.

mod own_replicas;
mod restore;

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::own_replicas::OwnReplicas;
use super::error::Error;
use super::options::Target;
use crate::client::{self, Client, ReplicaReport, RingReport, Url};
use crate::ring::{BuildError, MAX_WEIGHT, Node, Params, Ring};

/// A key without bounded load, so that requests go to the owner on the ring. As with `request-id`, it
/// is the value of `X-Request-Id`; but keys chosen for affinity have no bound unless one is set.
pub(super) const PLAIN_KEY: &str = "header:x-request-id";

/// The key with bounded load, unless that is turned off.
pub(super) const BOUNDED_KEY: &str = "request-id";

/// The pool of a running balancer.
pub(super) struct TargetPool {
    client: Rc<Client>,
    /// Public address.
    public: Url,
    /// The ring before the experiments.
    before: RingReport,
    /// Prefix of the names of added replicas; a number follows.
    prefix: &'static str,
    /// The replicas that may be removed.
    own: RefCell<OwnReplicas>,
    /// The change that is under way. It is not aborted with the experiment, because its outcome would
    /// not be known.
    pending: RefCell<Option<JoinHandle<()>>>,
}

impl TargetPool {
    /// Connects to the pool of a running balancer. `own` says whether it was started for the
    /// experiments.
    pub(super) async fn connect(target: &Target, own: bool) -> Result<Self, Error> {
        let client = Client::new(target.admin.clone(), target.token.clone());
        let before = client.ring().await?;
        Ok(Self {
            client: Rc::new(client),
            public: target.public.clone(),
            prefix: if own { "Server" } else { "Experiment" },
            own: RefCell::new(OwnReplicas::new(own, &before.replicas)),
            before,
            pending: RefCell::default(),
        })
    }

    /// Public address.
    pub(super) fn public(&self) -> &Url {
        &self.public
    }

    /// Client of the admin API.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The ring before the experiments.
    pub(super) fn before(&self) -> &RingReport {
        &self.before
    }

    /// The ring now.
    pub(super) async fn ring(&self) -> Result<RingReport, Error> {
        let ring = self.client.ring().await?;
        self.own.borrow_mut().update(&ring.replicas);
        Ok(ring)
    }

    /// Makes a change and waits for it. The change goes on if this future is dropped.
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

    /// Waits for the change that is under way, if there is one. Cancel-safe: the change goes on.
    #[expect(clippy::await_holding_refcell_ref, reason = "taken by one task, which waits here")]
    async fn settle(&self) {
        let mut pending = self.pending.borrow_mut();
        if let Some(task) = pending.as_mut() {
            // The outcome comes through its channel.
            let _ = task.await;
        }
        *pending = None;
    }

    /// Sets the parameters of the ring and the key.
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

    /// Changes the ring: `change` is the body of `PUT /ring`.
    async fn put_ring(&self, change: Value) -> Result<(), Error> {
        self.change(|client| async move { client.change_ring(&change).await.map(drop) }).await
    }

    async fn set_weight(&self, name: &str, weight: u8) -> Result<(), Error> {
        let name = name.to_owned();
        self.change(|client| async move { client.set_weight(&name, weight).await.map(drop) }).await
    }

    /// Records names of replicas before they are added: even if the response is lost, they may exist.
    pub(super) fn claim(&self, names: &[String]) {
        self.own.borrow_mut().claim(names);
    }

    /// Records that replicas of these names were not added, or are removed.
    pub(super) fn unclaim(&self, names: &[String]) {
        self.own.borrow_mut().unclaim(names);
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
        self.own.borrow_mut().removed(&numbers);
        Ok(())
    }

    /// Kills the replica of this name.
    pub(super) async fn kill(&self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        self.change(|client| async move { client.kill(&name).await.map(drop) }).await
    }

    fn is_own(&self, replica: &ReplicaReport) -> bool {
        self.own.borrow().has(replica)
    }

    /// Changes the pool so that exactly `count` replicas take requests, each with full weight. Returns
    /// the new ring.
    pub(super) async fn resize(&self, count: usize) -> Result<RingReport, Error> {
        let ring = self.ring().await?;
        let keep = self.kept(&ring.replicas, count);
        let leave: Vec<_> = ring.replicas.iter().filter(|replica| !keep.contains(&replica.number)).collect();
        let (gone, drained): (Vec<_>, Vec<_>) = leave.into_iter().partition(|replica| self.is_own(replica));
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

    /// The numbers of the replicas that stay: first those of others, then by number.
    fn kept(&self, replicas: &[ReplicaReport], count: usize) -> Vec<u32> {
        let mut order: Vec<_> =
            replicas.iter().map(|replica| (self.is_own(replica), replica.number)).collect();
        order.sort_unstable();
        order.into_iter().take(count).map(|(_, number)| number).collect()
    }

    fn new_names(&self, replicas: &[ReplicaReport], count: usize) -> Vec<String> {
        let mut names = (1_u32..).map(|number| format!("{} {number}", self.prefix));
        std::iter::from_fn(|| own_replicas::free(replicas, &mut names)).take(count).collect()
    }

    /// Names based on `names` that no replica of `ring` has, with a number if needed.
    pub(super) fn free_names<const N: usize>(ring: &RingReport, names: [&str; N]) -> [String; N] {
        names.map(|name| {
            let numbered = (2_u32..).map(|number| format!("{name} {number}"));
            let wanted = std::iter::once(name.to_owned()).chain(numbered);
            own_replicas::free(&ring.replicas, wanted).unwrap_or_default()
        })
    }
}

/// Builds the ring of a report.
pub(super) fn rebuilt(report: &RingReport) -> Result<Ring, Error> {
    let node = |replica: &ReplicaReport| Node { number: replica.number, weight: replica.weight };
    let nodes: Vec<Node> = report.replicas.iter().map(node).collect();
    Ring::build(&params(report)?, &nodes).map_err(|error: BuildError| Error::Unfit(error.to_string()))
}

/// The parameters of the ring of a report.
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
