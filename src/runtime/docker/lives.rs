//! The lives of single replicas: started, taken over, told to end, dead, stopped.

use tokio::time::Instant;

use super::actor::{Actor, Phase};
use super::hint::{self, Hint, What};
use super::replica::{Ending, Replica, Stage, Wish};
use super::report::{Report, Running};
use super::seen::Seen;
use super::task::{adopt, create, examine, stop};
use crate::runtime::engine::naming;
use crate::runtime::engine::raw::CallError;
use crate::runtime::process::exit;
use crate::runtime::{Launch, ReplicaId, RuntimeEvent};

impl Actor {
    /// The pool wants a replica.
    pub(super) fn start(&mut self, launch: Launch) {
        let id = launch.id;
        if let Some(key) = launch.existing.as_ref().filter(|key| self.guests.knows(key)) {
            self.guests.join(id, key.clone());
            self.welcome(id, key.clone());
            return;
        }
        let mut replica = Replica::new(launch);
        match replica.container.as_ref().map(|key| self.offers.remove(key).is_some()) {
            Some(false) => {
                let reason = "its container is gone, or was told to end".to_owned();
                self.tell(RuntimeEvent::StartFailed { id, reason });
                return;
            }
            None if self.phase == Phase::Down => replica.stage = Stage::Absent,
            Some(true) | None => {}
        }
        self.replicas.insert(id, replica);
        self.go_on(id);
    }

    /// Does what a replica's stage asks for, if the engine is there.
    pub(super) fn go_on(&mut self, id: ReplicaId) {
        if self.phase == Phase::Down {
            return;
        }
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        let container = replica.container.clone();
        match (replica.stage, container) {
            (Stage::Starting, _) => {
                let launch = replica.launch.clone();
                self.spawn(|place, reporter| create::run(place, launch, reporter));
            }
            (Stage::Adopting, Some(key)) => {
                self.spawn(|place, reporter| adopt::run(place, id, key, reporter));
            }
            (Stage::Stopping, Some(key)) => {
                let told = replica.ending != Ending::Unasked;
                self.spawn(|place, reporter| async move {
                    let end = stop::run(&place, &key, told).await?;
                    let reason = end.unwrap_or_else(|| stop::REMOVED.to_owned());
                    reporter.send(Report::Ended { id, reason });
                    Ok(())
                });
            }
            (Stage::Running, Some(key)) if !replica.examined => {
                (replica.examined, replica.doubtful) = (true, false);
                self.spawn(|place, reporter| examine::run(place, id, key, reporter));
            }
            _ => {}
        }
    }

    /// Takes up a container of others.
    pub(super) fn welcome(&mut self, id: ReplicaId, key: String) {
        if self.phase != Phase::Down {
            self.spawn(|place, reporter| adopt::guest(place, id, key, reporter));
        }
    }

    /// The pool will not want one much longer.
    pub(super) fn retire(&mut self, id: ReplicaId) {
        if let Some(replica) = self.replicas.get_mut(&id) {
            replica.wish = Wish::Retire;
        }
    }

    /// The pool wants one no longer.
    pub(super) fn stop(&mut self, id: ReplicaId) {
        if self.guests.forget(id) {
            return;
        }
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        match replica.stage {
            Stage::Absent | Stage::Starting | Stage::Adopting | Stage::Gone => replica.wish = Wish::Stop,
            Stage::Running => {
                replica.stage = Stage::Stopping;
                self.go_on(id);
            }
            Stage::Stopping => {}
        }
    }

    /// Sends SIGKILL to the container of one that runs; its end is seen as that of any other.
    pub(super) fn kill(&mut self, id: ReplicaId) {
        let running = self.replicas.get(&id).filter(|replica| replica.stage == Stage::Running);
        let Some((container, name)) = running.and_then(|replica| {
            replica.container.clone().map(|container| (container, replica.launch.name.clone()))
        }) else {
            return;
        };
        self.spawn(|place, _| async move {
            let container = place.engine.docker().containers().get(container);
            match place.engine.call(container.kill(Some("SIGKILL"))).await {
                // Refused if it has ended already, which is all that was asked for.
                Err(error @ CallError::Unreachable(_)) => Err(error),
                Err(error) => {
                    tracing::warn!(replica = name, %error, "a container was not killed");
                    Ok(())
                }
                Ok(()) => Ok(()),
            }
        });
    }

    pub(super) fn made(&mut self, id: ReplicaId, container: String) {
        if let Some(replica) = self.replicas.get_mut(&id) {
            replica.container = Some(container);
        }
    }

    /// Whether a replica that is about to be made is still wanted.
    pub(super) fn wants(&self, id: ReplicaId) -> bool {
        self.replicas.get(&id).is_some_and(|replica| replica.wish != Wish::Stop)
    }

    /// Whether a container of ours may give away its name: it is not one that is wanted.
    pub(super) fn may_move(&self, holder: &Seen) -> bool {
        let wanted = |replica: &Replica| {
            let ends = replica.stage == Stage::Stopping || replica.ending != Ending::Unasked;
            !ends && replica.wish == Wish::Keep
        };
        let held = self.replica_of(&holder.id).and_then(|id| self.replicas.get(&id));
        let offered = self.offers.contains_key(&holder.id);
        let theirs = self.place.as_ref().is_some_and(|place| self.rivals.made(holder, place));
        match held {
            Some(replica) => !wanted(replica),
            None => !offered && !theirs,
        }
    }

    pub(super) fn is_up(&mut self, id: ReplicaId, running: Running) {
        let instance = format!("container {}", naming::short(&running.container));
        let address = running.address;
        if self.guests.is_up(id, &running) {
            self.tell(RuntimeEvent::Started { id, address, instance });
            return;
        }
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        replica.container = Some(running.container);
        replica.stop_signal = running.stop_signal;
        if replica.wish == Wish::Stop {
            replica.stage = Stage::Stopping;
            return self.go_on(id);
        }
        replica.stage = Stage::Running;
        let doubtful = replica.doubtful;
        self.tell(RuntimeEvent::Started { id, address, instance });
        self.tell_ending(id);
        if doubtful {
            self.go_on(id);
        }
    }

    pub(super) fn failed(&mut self, id: ReplicaId, reason: String) {
        if self.guests.forget(id) {
            return self.tell(RuntimeEvent::StartFailed { id, reason });
        }
        self.leave(RuntimeEvent::StartFailed { id, reason }, id);
    }

    /// One was stopped.
    pub(super) fn ended(&mut self, id: ReplicaId, reason: String) {
        self.leave(RuntimeEvent::Exited { id, reason }, id);
    }

    /// One has ended by itself. That is told before what is left of it is removed, since the pool
    /// waits to replace it.
    pub(super) fn died(&mut self, id: ReplicaId, reason: String) {
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        // Whoever stops it will tell.
        if matches!(replica.stage, Stage::Stopping | Stage::Gone) {
            return;
        }
        let container = replica.container.take();
        self.leave(RuntimeEvent::Exited { id, reason }, id);
        if let Some(container) = container {
            self.remove(container, true, None);
        }
    }

    /// It was looked at for nothing; or not, if something has happened since.
    pub(super) fn alive(&mut self, id: ReplicaId) {
        if let Some(replica) = self.replicas.get_mut(&id) {
            replica.examined = false;
            if replica.doubtful && replica.stage == Stage::Running {
                return self.go_on(id);
            }
        }
        self.recovered(id);
    }

    /// Looks at a replica, now or as soon as it has come up or has been looked at.
    pub(super) fn doubt(&mut self, id: ReplicaId) {
        if let Some(replica) = self.replicas.get_mut(&id) {
            replica.doubtful = true;
            if replica.stage == Stage::Running {
                self.go_on(id);
            }
        }
    }

    /// Something may have happened to a container.
    pub(super) fn hinted(&mut self, hint: &Hint) {
        let Some(id) = self.replica_of(&hint.container) else { return self.guest_hinted(hint) };
        match hint.what {
            What::Died { .. } => self.doubt(id),
            What::Suspect if self.replicas[&id].stage == Stage::Running => {
                self.tell(RuntimeEvent::Suspect(id));
            }
            What::Signalled(signal) => self.signalled(id, signal),
            What::Suspect | What::Started { .. } => {}
        }
    }

    /// A signal, which is our own if the replica is being stopped.
    fn signalled(&mut self, id: ReplicaId, signal: i32) {
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        let others = matches!(replica.stage, Stage::Running | Stage::Adopting);
        if !others || replica.ending != Ending::Unasked || !hint::ends(signal, replica.stop_signal) {
            return;
        }
        let reason = match exit::name(signal) {
            Some(name) => format!("others sent {name} to its container"),
            None => format!("others sent signal {signal} to its container"),
        };
        replica.ending = Ending::Asked(reason);
        self.tell_ending(id);
    }

    /// Passes on that a replica was told to end, once the pool can do something about it.
    pub(super) fn tell_ending(&mut self, id: ReplicaId) {
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        if self.phase != Phase::Up || replica.stage != Stage::Running {
            return;
        }
        if let Ending::Asked(reason) = &replica.ending {
            let reason = reason.clone();
            replica.ending = Ending::Told;
            self.tell(RuntimeEvent::Ending { id, reason });
        }
    }

    fn guest_hinted(&mut self, hint: &Hint) {
        match hint.what {
            What::Started { discovered: true } => self.list(),
            What::Started { .. } => {}
            What::Suspect => {
                for id in self.guests.members(&hint.container) {
                    self.tell(RuntimeEvent::Suspect(id));
                }
            }
            What::Died { discovered } => {
                if discovered && self.guests.died(&hint.container) {
                    self.tell_inventory();
                }
            }
            What::Signalled(signal) => {
                let (ids, changed) = self.guests.signalled(&hint.container, signal, Instant::now());
                let unknown = ids.is_empty();
                for id in ids {
                    let name = exit::name(signal).unwrap_or("a signal");
                    let reason = format!("others sent {name} to its container");
                    self.tell(RuntimeEvent::Ending { id, reason });
                }
                if changed && unknown {
                    self.tell_inventory();
                }
            }
        }
    }
}
