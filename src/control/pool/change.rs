//! Changes of what is there: weights, the ring, the configuration, and a replica that is killed.

use std::time::Instant;

use super::action::Ticket;
use super::admit::check_capacity;
use super::members::Member;
use super::publishing::After;
use super::{Action, Pool};
use crate::control::{ControlConfig, ControlError, RingChange};
use crate::ring::{MAX_WEIGHT, Params};
use crate::runtime::Owner;

/// What is to leave and to come.
#[derive(Debug, Default)]
struct Difference {
    /// Numbers of members.
    leave: Vec<u32>,
    /// Of each that comes, where others run it.
    endpoints: Vec<Option<String>>,
}

impl Pool {
    /// Responds to a request that was done, once what it changes is in force; or says why not.
    fn conclude(&mut self, ticket: Ticket, result: Result<(), ControlError>, now: Instant) {
        match result {
            Ok(()) => self.after_publication(After::Reply(ticket), now),
            Err(refused) => self.reply(ticket, Err(refused)),
        }
    }

    pub(super) fn set_weight(&mut self, ticket: Ticket, name: &str, weight: u8, now: Instant) {
        let result = self.try_set_weight(name, weight);
        self.conclude(ticket, result, now);
    }

    fn try_set_weight(&mut self, name: &str, weight: u8) -> Result<(), ControlError> {
        self.refuse_while_stopping()?;
        self.refuse_if_shared("a weight")?;
        self.refuse_during_deploy()?;
        if weight > MAX_WEIGHT {
            return Err(ControlError::BadWeight(u64::from(weight)));
        }
        let unknown = || ControlError::UnknownName(name.to_owned());
        let number = self.member_named(name).ok_or_else(unknown)?;
        let member = self.members.get_mut(number).ok_or_else(unknown)?;
        if member.weight == weight {
            return Ok(());
        }
        let before = std::mem::replace(&mut member.weight, weight);
        member.drained_from = (weight == 0).then_some(before);
        if member.listed.is_some() {
            self.publish();
        }
        self.members.show(number);
        Ok(())
    }

    pub(super) fn kill(&mut self, ticket: Ticket, name: &str) {
        let result = self.try_kill(name);
        self.reply(ticket, result);
    }

    fn try_kill(&mut self, name: &str) -> Result<(), ControlError> {
        self.refuse_while_stopping()?;
        self.refuse_during_outage()?;
        let unknown = || ControlError::UnknownName(name.to_owned());
        let number = self.member_named(name).ok_or_else(unknown)?;
        let member = self.members.get(number).ok_or_else(unknown)?;
        let name = || member.name().to_owned();
        if !member.owner().is_balancer() {
            return Err(ControlError::NotKept(name()));
        }
        let running = member.instance().filter(|instance| instance.address.is_some());
        let id = running.ok_or_else(|| ControlError::NotRunning(name()))?.id();
        self.out.push(Action::Kill(id));
        Ok(())
    }

    pub(super) fn change_ring(&mut self, ticket: Ticket, change: RingChange, now: Instant) {
        let result = self.try_change_ring(change);
        self.conclude(ticket, result, now);
    }

    fn try_change_ring(&mut self, change: RingChange) -> Result<(), ControlError> {
        self.refuse_while_stopping()?;
        self.refuse_if_shared("another ring")?;
        self.refuse_during_deploy()?;
        let now = &self.config.ring;
        let ring = Params::new(
            change.family.unwrap_or(now.family()),
            change.probing.unwrap_or(now.probing()),
            change.placement.unwrap_or(now.placement()),
            change.slots.unwrap_or(now.slots()),
            change.virtual_nodes.unwrap_or(now.virtual_nodes()),
        )
        .map_err(|error| ControlError::Ring(error.to_string()))?;
        let key = change.key.unwrap_or_else(|| self.config.key.clone());
        self.apply(ControlConfig { ring, key, ..self.config.clone() }, self.members.len())
    }

    pub(super) fn reload(&mut self, ticket: Ticket, config: ControlConfig, now: Instant) {
        let mut removed = Vec::new();
        let result = self.refuse_while_stopping().and_then(|()| {
            removed = self.reconfigure(config, now)?;
            Ok(())
        });
        // Heartbeats that are due by a longer interval do not wait for that to end.
        let latest = now + self.config.health.interval;
        for number in self.members.numbers() {
            if let Some(instance) = self.members.get_mut(number).and_then(|member| member.instance_mut()) {
                instance.checks.not_after(latest);
            }
        }
        self.locate_all(now);
        self.conclude(ticket, result, now);
        self.retire_all(removed, "not configured any more", now);
    }

    /// Makes `config` the one in force, and has as many replicas or those upstreams that it says, where
    /// it says something else than before. Returns those that leave.
    fn reconfigure(
        &mut self,
        config: ControlConfig,
        now: Instant,
    ) -> Result<Vec<(u32, Member)>, ControlError> {
        let Difference { leave, endpoints } = self.difference(&config);
        let asked = endpoints.len() as u32;
        if asked > 0 || !leave.is_empty() {
            self.refuse_during_outage()?;
        }
        if asked > 0 || !leave.is_empty() || config.ring != self.config.ring {
            self.refuse_during_deploy()?;
        }
        let total = self.members.len() + endpoints.len() - leave.len();
        if asked > 0 && total > config.max_replicas as usize {
            return Err(ControlError::TooMany { asked, total: total as u64, max: config.max_replicas });
        }
        self.apply(config, total)?;
        let removed = self.take_members(leave);
        for endpoint in endpoints {
            let number = self.members.free_number();
            let name = Some(format!("Server {number}")).filter(|name| !self.is_taken(name));
            let name = name.unwrap_or_else(|| self.new_name());
            let member = self.new_member(name, endpoint, None, now);
            self.members.insert(number, member);
        }
        Ok(removed
            .into_iter()
            .map(|(number, member)| (number, self.take_hold(number, member, now)))
            .collect())
    }

    /// What is to leave and to come for another configuration to hold. What `/add` brought stays, except
    /// where a number of replicas says otherwise.
    fn difference(&mut self, config: &ControlConfig) -> Difference {
        let before = &self.config;
        if !self.runtime.owner.makes_replicas() {
            let number = |endpoint: &String| self.members.number_of_key(Owner::Others, endpoint);
            let gone = before.upstreams.iter().filter(|endpoint| !config.upstreams.contains(endpoint));
            let come = config.upstreams.iter().filter(|endpoint| !before.upstreams.contains(endpoint));
            let new = come.filter(|endpoint| number(endpoint).is_none()).cloned().map(Some);
            return Difference { leave: gone.filter_map(number).collect(), endpoints: new.collect() };
        }
        // Before the first inventory it is not known how many there are; it is compared with the number.
        if before.replicas == config.replicas || self.inventory.unlisted {
            return Difference::default();
        }
        let ours = |member: &Member| member.is_full() && member.owner() != Owner::Discovered;
        let members = self.members.iter().filter(|(_, member)| ours(member));
        let mut ours: Vec<_> = members.map(|(number, member)| (member.is_ready(), number)).collect();
        let wanted = config.replicas as usize;
        let missing = wanted.saturating_sub(ours.len());
        // Those that are not ready first, else any.
        self.rng.shuffle(&mut ours);
        ours.sort_by_key(|(ready, _)| *ready);
        let surplus = ours.len().saturating_sub(wanted);
        let leave = ours.into_iter().take(surplus).map(|(_, number)| number).collect();
        Difference { leave, endpoints: vec![None; missing] }
    }

    /// Makes `config` the one in force, for `total` replicas. Published if requests are affected.
    fn apply(&mut self, config: ControlConfig, total: usize) -> Result<(), ControlError> {
        check_capacity(&config.ring, total)?;
        let routing = self.routing();
        let before = std::mem::replace(&mut self.config, config);
        self.members.touch_all();
        self.recall_revisions();
        if self.config.ring != before.ring || self.routing() != routing {
            self.publish();
        }
        Ok(())
    }

    /// The balancers of a pool route alike because each reads the same from the orchestrator; what
    /// only one is told would part them.
    fn refuse_if_shared(&self, what: &'static str) -> Result<(), ControlError> {
        let shared = self.runtime.owner == Owner::Orchestrator;
        if shared { Err(ControlError::Shared(what)) } else { Ok(()) }
    }

    pub(super) fn refuse_while_stopping(&self) -> Result<(), ControlError> {
        if self.end.refuses() { Err(ControlError::Stopping) } else { Ok(()) }
    }
}
