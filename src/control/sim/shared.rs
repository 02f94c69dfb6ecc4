//! What a world does whose Swarm another balancer changes as well.

use super::laws;
use super::swarm::{Deed, Swarm};
use super::world::{Happening, World};
use crate::control::pool::Event;
use crate::runtime::{ReplicaId, RuntimeEvent};

impl World {
    /// Whether another balancer changes the same pool.
    pub(super) fn is_shared(&self) -> bool {
        self.swarm.is_some()
    }

    /// The other balancer does something, which the pool is told of.
    pub(super) fn act_elsewhere(&mut self, choice: u8) {
        let members = self.pool.members().map(|member| member.name).collect();
        let is_deploying = self.pool.deploy().is_some_and(|deploy| !deploy.state.has_ended());
        let Some(swarm) = &mut self.swarm else { return };
        match swarm.act(choice, &members, is_deploying) {
            Deed::None => {}
            Deed::Added => self.laws.others_change(1),
            Deed::Removed => self.laws.others_change(-1),
        }
        self.list();
    }

    /// The runtime tells what there is, where it is shared.
    pub(super) fn list(&mut self) {
        if let Some(found) = self.swarm.as_ref().map(Swarm::inventory) {
            self.feed(Event::Runtime(RuntimeEvent::Inventory(found)));
        }
    }

    /// Changes what the orchestrator has of a replica, and has the pool told of it.
    pub(super) fn change(&mut self, id: ReplicaId, change: impl FnOnce(&mut Swarm, &str)) {
        let Some(name) = self.name_of_service(id) else { return };
        let Some(swarm) = &mut self.swarm else { return };
        // Its name may be that of another one by now.
        if self.services.get(&id).is_some_and(|&service| swarm.id(&name) == Some(service)) {
            change(swarm, &name);
            self.later(500, Happening::Listed);
        }
    }

    fn name_of_service(&self, id: ReplicaId) -> Option<String> {
        self.launches.get(&id).map(|launch| launch.existing.as_ref().unwrap_or(&launch.name).clone())
    }

    /// Notes which service a replica is that was made or found.
    pub(super) fn bind(&mut self, id: ReplicaId) {
        let name = self.name_of_service(id);
        let service = name.and_then(|name| self.swarm.as_ref()?.id(&name));
        self.services.extend(service.map(|service| (id, service)));
    }

    /// A service is made, changed or found, and its task runs.
    pub(super) fn start_shared(&mut self, id: ReplicaId) {
        let is_wanted = self.living.contains_key(&id) && !self.removing.contains(&id);
        let Some(launch) = self.launches.get(&id).filter(|_| is_wanted).cloned() else { return };
        if laws::is_app(&launch.name) {
            return self.feed_of(Happening::Started(id));
        }
        if launch.existing.is_none() && self.swarm.as_ref().is_some_and(|swarm| swarm.has(&launch.name)) {
            // Its name is not free yet.
            return self.later(500, Happening::Started(id));
        }
        let made = self.swarm.as_mut().and_then(|swarm| swarm.launch(&launch));
        let Some(number) = made else { return self.feed_of(Happening::StartFailed(id)) };
        self.bind(id);
        self.living.get_mut(&id).expect("just found").runs = true;
        self.list();
        if launch.existing.is_none() && number != launch.number {
            self.feed(Event::Runtime(RuntimeEvent::Numbered { id, number }));
        }
        self.feed_of(Happening::Started(id));
    }

    /// Whether the pool has what the orchestrator has, and nothing of a deploy is left there.
    pub(super) fn is_as_shared(&self) -> bool {
        let Some(swarm) = &self.swarm else { return true };
        let members = || self.pool.members().filter(|member| !laws::is_app(&member.name));
        let numbers = members().map(|member| (member.number, member.name)).collect();
        let runs = |name: &str, revision: &str| swarm.revision(name) == revision;
        swarm.is_quiet()
            && !swarm.has_leaving()
            && swarm.holders() == numbers
            && self.laws.has_wanted(numbers.len())
            && members().all(|member| runs(&member.name, member.revision.shown()))
    }
}
