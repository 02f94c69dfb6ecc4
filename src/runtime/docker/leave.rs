//! How replicas leave: told to the pool, what is left of them removed, the network with the last.

use super::actor::{Actor, Phase};
use super::replica::{Stage, Wish};
use super::report::Report;
use super::task::{network, stop};
use crate::runtime::{ReplicaId, RuntimeEvent};

impl Actor {
    /// A replica is no more, which `farewell` says.
    ///
    /// The last one that goes as it was asked to, or could not be made, takes the network with it
    /// before that is told: whoever waits for that may end next. One that died is likely to be
    /// replaced, and the pool must know soon.
    pub(super) fn leave(&mut self, farewell: RuntimeEvent, id: ReplicaId) {
        let last = self.replicas.len() == 1 && self.offers.is_empty();
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        let died = matches!(replica.stage, Stage::Running | Stage::Adopting) && replica.wish != Wish::Stop;
        replica.farewell = Some(farewell);
        if last && !died && self.phase == Phase::Up {
            (replica.stage, replica.container) = (Stage::Gone, None);
            self.spawn(|place, reporter| async move {
                network::remove(&place, &reporter).await?;
                reporter.send(Report::NetworkGone(id));
                Ok(())
            });
            return;
        }
        self.take_leave(id);
        if last {
            self.spawn(|place, reporter| async move { network::remove(&place, &reporter).await });
        }
    }

    /// Tells that a replica is no more, and forgets it.
    pub(super) fn take_leave(&mut self, id: ReplicaId) {
        let Some(replica) = self.replicas.remove(&id) else { return };
        match replica.farewell {
            // Once asked to stop it, the pool waits for its end.
            Some(RuntimeEvent::StartFailed { id, reason }) if replica.wish == Wish::Stop => {
                let reason = format!("it was not started: {reason}");
                self.tell(RuntimeEvent::Exited { id, reason });
            }
            Some(farewell) => self.tell(farewell),
            None => {}
        }
        self.recovered(id);
    }

    /// Whether no replica is left that needs a network.
    pub(super) fn is_idle(&self) -> bool {
        self.offers.is_empty() && self.replicas.values().all(|replica| replica.stage == Stage::Gone)
    }

    /// Removes a container that is no replica's any more, which has `ended` or not. One that was
    /// `left_behind` under a name is told of.
    pub(super) fn remove(&mut self, container: String, ended: bool, left_behind: Option<String>) {
        if !self.swept.insert(container.clone()) {
            return;
        }
        self.spawn(|place, reporter| async move {
            let end = stop::run(&place, &container, ended).await?;
            if let (Some(end), Some(name)) = (end, left_behind) {
                tracing::info!(container = name, end, "removed a container of ours that was no replica's");
            }
            reporter.send(Report::Swept(container));
            Ok(())
        });
    }
}
