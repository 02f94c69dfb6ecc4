//! The life of single replicas: started, adopted, attached, asked to end, dead, stopped, removed.

use tokio::time::Instant;

use super::actor::{Actor, Phase};
use super::container::{Container, RunningContainer};
use super::events::{EngineEvent, EventKind};
use super::managed::{Desired, ManagedReplica, Stage, Termination};
use super::messages::ActorMessage;
use super::signals;
use super::task::{adopt, create, inspect, leave, network, stop};
use crate::runtime::engine::{CallError, naming};
use crate::runtime::exit;
use crate::runtime::output::Run;
use crate::runtime::{Launch, ReplicaId, RuntimeEvent};

impl Actor {
    /// The pool wants a replica.
    pub(super) fn start(&mut self, launch: Launch) {
        let id = launch.id;
        if let Some(container) = launch.existing.as_ref().filter(|id| self.discovered.contains(id)) {
            self.discovered.attach(id, container.clone());
            self.attach(id, container.clone());
            return;
        }
        let mut replica = ManagedReplica::new(launch);
        match replica.container.as_ref().map(|id| self.adoptable.remove(id)) {
            Some(None) => {
                let reason = "its container is gone, or was told to end".to_owned();
                self.report(RuntimeEvent::StartFailed { id, reason });
                return;
            }
            None if self.phase == Phase::Down => replica.stage = Stage::Unknown,
            Some(Some(adopted)) => {
                // Its container tells what it runs.
                replica.revision = adopted.replica.revision;
                if let Some(context) = &self.context {
                    replica.output = Some(context.output(&replica.launch.name, &adopted.container));
                }
            }
            None => {}
        }
        self.replicas.insert(id, replica);
        self.advance(id);
    }

    /// Starts the task that a replica's stage asks for, if the engine answers.
    pub(super) fn advance(&mut self, id: ReplicaId) {
        if self.phase == Phase::Down {
            return;
        }
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        let (container, last) = (replica.container.clone(), replica.last_lines());
        match (replica.stage, container) {
            (Stage::Starting, _) => {
                let launch = replica.launch.clone();
                self.spawn(|context, actor| create::run(context, launch, actor));
            }
            (Stage::Adopting, Some(container)) => {
                self.spawn(|context, actor| adopt::own(context, id, container, last, actor));
            }
            (Stage::Stopping, Some(container)) => {
                let requested = replica.termination != Termination::NotRequested;
                self.spawn(|context, actor| async move {
                    let exit = stop::run(&context, &container, requested, last).await?;
                    let reason = exit.unwrap_or_else(|| stop::REMOVED.to_owned());
                    actor.send(ActorMessage::Stopped { id, reason });
                    Ok(())
                });
            }
            (Stage::Running, Some(container)) if !replica.inspecting => {
                (replica.inspecting, replica.needs_inspection) = (true, false);
                self.spawn(|context, actor| inspect::run(context, id, container, last, actor));
            }
            _ => {}
        }
    }

    /// Starts the task that attaches a discovered container, if the engine answers.
    pub(super) fn attach(&mut self, id: ReplicaId, container: String) {
        if self.phase != Phase::Down {
            self.spawn(|context, actor| adopt::discovered(context, id, container, actor));
        }
    }

    /// A replica has left the ring; the pool will stop it soon.
    pub(super) fn retire(&mut self, id: ReplicaId) {
        if let Some(replica) = self.replicas.get_mut(&id) {
            replica.desired = Desired::Retired;
        }
        self.mark_leaving(id);
    }

    /// Has the container of a replica that has left the ring say so, to a balancer that finds it after a crash
    /// of this one. Labels cannot be changed, so its name does.
    pub(super) fn mark_leaving(&mut self, id: ReplicaId) {
        let Some(replica) = self.replicas.get(&id) else { return };
        if self.phase == Phase::Down || (replica.stage, replica.desired) != (Stage::Running, Desired::Retired)
        {
            return;
        }
        if let Some(container) = replica.container.clone() {
            self.spawn(|context, _| async move { leave::run(&context, &container).await });
        }
    }

    /// The pool stops a replica.
    pub(super) fn stop(&mut self, id: ReplicaId) {
        if self.discovered.detach(id) {
            return;
        }
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        match replica.stage {
            Stage::Running => {
                replica.stage = Stage::Stopping;
                self.advance(id);
            }
            // One that is stopped already may be one that could not be started.
            Stage::Unknown | Stage::Starting | Stage::Adopting | Stage::Stopping | Stage::RemovingNetwork => {
                replica.desired = Desired::Stopped;
            }
        }
    }

    /// Sends SIGKILL to the container of a replica that runs. Its end is noticed as any other.
    pub(super) fn kill(&mut self, id: ReplicaId) {
        let running = self.replicas.get(&id).filter(|replica| replica.stage == Stage::Running);
        let Some((container, name)) = running.and_then(|replica| {
            replica.container.clone().map(|container| (container, replica.launch.name.clone()))
        }) else {
            return;
        };
        self.spawn(|context, _| async move {
            let container = context.engine.docker().containers().get(container);
            match context.engine.heavy(container.kill(Some("SIGKILL"))).await {
                Err(error @ CallError::Unreachable(_)) => Err(error),
                // The engine refuses if the container has ended already, which is what was wanted.
                Err(error) => {
                    tracing::warn!(replica = name, %error, "a container was not killed");
                    Ok(())
                }
                Ok(()) => Ok(()),
            }
        });
    }

    /// The container of a replica has been created.
    pub(super) fn created(&mut self, id: ReplicaId, container: String, output: Run) {
        if let Some(replica) = self.replicas.get_mut(&id) {
            (replica.container, replica.output) = (Some(container), Some(output));
        }
    }

    /// Whether a replica whose container is about to be created is still wanted.
    pub(super) fn is_wanted(&self, id: ReplicaId) -> bool {
        self.replicas.get(&id).is_some_and(|replica| replica.desired != Desired::Stopped)
    }

    /// Whether a container of ours may be renamed so that another gets its name: it is not that of
    /// a replica which is wanted.
    pub(super) fn may_rename(&self, holder: &Container) -> bool {
        let wanted = |replica: &ManagedReplica| {
            let ends = replica.stage == Stage::Stopping || replica.termination != Termination::NotRequested;
            !ends && replica.desired == Desired::Running
        };
        let replica = self.replica_of(&holder.id).and_then(|id| self.replicas.get(&id));
        let adoptable = self.adoptable.contains_key(&holder.id);
        let foreign = self.context.as_ref().is_some_and(|context| self.conflicts.is_foreign(holder, context));
        match replica {
            Some(replica) => !wanted(replica),
            None => !adoptable && !foreign,
        }
    }

    /// The container of a replica runs.
    pub(super) fn started(&mut self, id: ReplicaId, running: RunningContainer) {
        let instance = format!("container {}", naming::short(&running.container));
        let address = running.address;
        if self.discovered.started(id, &running) {
            self.report(RuntimeEvent::Started { id, address, instance });
            return;
        }
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        replica.container = Some(running.container);
        replica.stop_signal = running.stop_signal;
        if replica.desired == Desired::Stopped {
            replica.stage = Stage::Stopping;
            return self.advance(id);
        }
        replica.stage = Stage::Running;
        let needs_inspection = replica.needs_inspection;
        self.report(RuntimeEvent::Started { id, address, instance });
        self.report_ending(id);
        if needs_inspection {
            self.advance(id);
        }
    }

    /// A replica could not be started. What is `left` of it is stopped first: the pool may start another of its number
    /// as soon as it knows.
    pub(super) fn start_failed(&mut self, id: ReplicaId, reason: String, left: Option<String>) {
        if self.discovered.detach(id) {
            return self.report(RuntimeEvent::StartFailed { id, reason });
        }
        match (left, self.replicas.get_mut(&id)) {
            (Some(container), Some(replica)) => {
                (replica.stage, replica.container) = (Stage::Stopping, Some(container));
                replica.failure = Some(reason);
                self.advance(id);
            }
            _ => self.remove(id, RuntimeEvent::StartFailed { id, reason }),
        }
    }

    /// A replica was stopped, or its container is gone.
    pub(super) fn stopped(&mut self, id: ReplicaId, reason: String) {
        let failure = self.replicas.get_mut(&id).and_then(|replica| replica.failure.take());
        self.remove(
            id,
            match failure {
                Some(reason) => RuntimeEvent::StartFailed { id, reason },
                None => RuntimeEvent::Exited { id, reason },
            },
        );
    }

    /// The container of a replica has exited by itself. That is reported before the container is
    /// removed, because the pool waits for it to replace the replica.
    pub(super) fn exited(&mut self, id: ReplicaId, reason: String) {
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        // The task that stops it reports its end.
        if matches!(replica.stage, Stage::Stopping | Stage::RemovingNetwork) {
            return;
        }
        let container = replica.container.take();
        self.remove(id, RuntimeEvent::Exited { id, reason });
        if let Some(container) = container {
            self.remove_container(container, true, None);
        }
    }

    /// An inspection found that the container runs. It is repeated if there was an event meanwhile.
    pub(super) fn still_running(&mut self, id: ReplicaId) {
        if let Some(replica) = self.replicas.get_mut(&id) {
            replica.inspecting = false;
            if replica.needs_inspection && replica.stage == Stage::Running {
                return self.advance(id);
            }
        }
        self.resolved(id);
    }

    /// Inspects the container of a replica, now or as soon as the replica runs or the inspection
    /// under way has ended.
    pub(super) fn inspect(&mut self, id: ReplicaId) {
        if let Some(replica) = self.replicas.get_mut(&id) {
            replica.needs_inspection = true;
            if replica.stage == Stage::Running {
                self.advance(id);
            }
        }
    }

    /// The engine sent an event.
    pub(super) fn event(&mut self, event: &EngineEvent) {
        let Some(id) = self.replica_of(&event.container) else { return self.event_of_discovered(event) };
        match event.kind {
            EventKind::Exited { .. } => self.inspect(id),
            EventKind::Suspect if self.replicas[&id].stage == Stage::Running => {
                self.report(RuntimeEvent::Suspect(id));
            }
            EventKind::Signalled(signal) => self.signalled(id, signal),
            EventKind::Suspect | EventKind::Started { .. } => {}
        }
    }

    /// A replica's container was sent a signal, by this balancer if the replica is being stopped.
    fn signalled(&mut self, id: ReplicaId, signal: i32) {
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        let by_others = matches!(replica.stage, Stage::Running | Stage::Adopting);
        if !by_others
            || replica.termination != Termination::NotRequested
            || !signals::is_stop(signal, replica.stop_signal)
        {
            return;
        }
        let reason = match exit::signal_name(signal) {
            Some(name) => format!("others sent {name} to its container"),
            None => format!("others sent signal {signal} to its container"),
        };
        replica.termination = Termination::Requested(reason);
        self.report_ending(id);
    }

    /// Reports that a replica was asked to end, once the pool can act on it.
    pub(super) fn report_ending(&mut self, id: ReplicaId) {
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        if self.phase != Phase::Up || replica.stage != Stage::Running {
            return;
        }
        if let Termination::Requested(reason) = &replica.termination {
            let reason = reason.clone();
            replica.termination = Termination::Reported;
            self.report(RuntimeEvent::Ending { id, reason });
        }
    }

    fn event_of_discovered(&mut self, event: &EngineEvent) {
        match event.kind {
            EventKind::Started { discovered: true } => self.list(),
            EventKind::Started { .. } => {}
            EventKind::Suspect => {
                for id in self.discovered.replicas_of(&event.container) {
                    self.report(RuntimeEvent::Suspect(id));
                }
            }
            EventKind::Exited { discovered } => {
                if discovered && self.discovered.exited(&event.container) {
                    self.report_inventory();
                }
            }
            EventKind::Signalled(signal) => {
                let (ids, changed) = self.discovered.signalled(&event.container, signal, Instant::now());
                let unattached = ids.is_empty();
                for id in ids {
                    let name = exit::signal_name(signal).unwrap_or("a signal");
                    let reason = format!("others sent {name} to its container");
                    self.report(RuntimeEvent::Ending { id, reason });
                }
                if changed && unattached {
                    self.report_inventory();
                }
            }
        }
    }

    /// A replica is gone. Reports `final_event` and forgets the replica; if it was the last one,
    /// removes the network.
    ///
    /// The network goes before the report if the replica was stopped or could not be started: who
    /// waits for that report may end next. It goes after the report if the replica died: the pool
    /// is about to replace it, and must know soon.
    pub(super) fn remove(&mut self, id: ReplicaId, final_event: RuntimeEvent) {
        let last = self.replicas.len() == 1 && self.adoptable.is_empty();
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        let died =
            matches!(replica.stage, Stage::Running | Stage::Adopting) && replica.desired != Desired::Stopped;
        replica.final_event = Some(final_event);
        if last && !died && self.phase == Phase::Up {
            (replica.stage, replica.container) = (Stage::RemovingNetwork, None);
            self.spawn(|context, actor| async move {
                network::remove(&context, &actor).await?;
                actor.send(ActorMessage::NetworkRemoved(id));
                Ok(())
            });
            return;
        }
        self.finish_removal(id);
        if last {
            self.spawn(|context, actor| async move { network::remove(&context, &actor).await });
        }
    }

    /// Reports that a replica is gone, and forgets it.
    pub(super) fn finish_removal(&mut self, id: ReplicaId) {
        let Some(replica) = self.replicas.remove(&id) else { return };
        match replica.final_event {
            // Once the pool has stopped a replica, it waits for `Exited`.
            Some(RuntimeEvent::StartFailed { id, reason }) if replica.desired == Desired::Stopped => {
                let reason = format!("it was not started: {reason}");
                self.report(RuntimeEvent::Exited { id, reason });
            }
            Some(event) => self.report(event),
            None => {}
        }
        self.resolved(id);
    }

    /// Whether no replica is left that needs a network.
    pub(super) fn is_idle(&self) -> bool {
        self.adoptable.is_empty()
            && self.replicas.values().all(|replica| replica.stage == Stage::RemovingNetwork)
    }

    /// Removes a container that is no replica's any more; `exited` says whether its program has
    /// ended. The removal of an orphan with a name is logged.
    pub(super) fn remove_container(&mut self, container: String, exited: bool, orphan: Option<String>) {
        if !self.removing.insert(container.clone()) {
            return;
        }
        self.spawn(|context, actor| async move {
            let end = stop::run(&context, &container, exited, None).await?;
            if let (Some(end), Some(name)) = (end, orphan) {
                tracing::info!(container = name, end, "removed a container of ours that was no replica's");
            }
            actor.send(ActorMessage::OrphanRemoved(container));
            Ok(())
        });
    }
}
