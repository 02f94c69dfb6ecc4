//! What is let in: names, endpoints and limits, checked before anything changes.

use std::collections::HashSet;

use super::{Pool, name};
use crate::control::{Add, ControlError};
use crate::names::HostPort;
use crate::ring::{BuildError, Params};
use crate::runtime::Owner;

impl Pool {
    /// Whether an `/add` may begin.
    pub(super) fn check_add(&self, add: &Add) -> Result<(), ControlError> {
        if self.end.refuses() {
            return Err(ControlError::Stopping);
        }
        self.refuse_during_outage()?;
        self.refuse_during_deploy()?;
        if add.count == 0 {
            return Err(ControlError::Zero);
        }
        if add.names.len() > add.count as usize {
            return Err(ControlError::MoreNamesThanAdded);
        }
        self.check_new_names(&add.names)?;
        self.check_endpoints(
            &add.endpoints,
            if self.runtime.owner.makes_replicas() { 0 } else { add.count },
        )?;
        self.check_room(add.count)
    }

    fn check_new_names(&self, names: &[String]) -> Result<(), ControlError> {
        let mut seen = HashSet::new();
        for given in names {
            name::check(given)?;
            if !seen.insert(name::fold(given)) {
                return Err(ControlError::NameTwice(given.clone()));
            }
            if self.is_discovered(given) {
                return Err(ControlError::Discovered(given.clone()));
            }
            if self.is_taken(given) {
                return Err(ControlError::NameTaken(given.clone()));
            }
        }
        Ok(())
    }

    /// Whether `name` is that of a container that others run.
    pub(super) fn is_discovered(&self, name: &str) -> bool {
        let member = self.member_named(name).and_then(|number| self.members.get(number));
        member.is_some_and(|member| member.owner() == Owner::Discovered)
    }

    /// Whether `endpoints` are `wanted` distinct new addresses.
    pub(super) fn check_endpoints(&self, endpoints: &[String], wanted: u32) -> Result<(), ControlError> {
        if self.runtime.owner.makes_replicas() && !endpoints.is_empty() {
            return Err(ControlError::EndpointsNotTaken(self.runtime.kind));
        }
        if endpoints.len() != wanted as usize {
            return Err(ControlError::EndpointsNeeded(wanted));
        }
        let mut seen = HashSet::new();
        for endpoint in endpoints {
            let Ok(host_port) = endpoint.parse::<HostPort>() else {
                return Err(ControlError::BadEndpoint(endpoint.clone()));
            };
            if self.config.own_addresses.iter().any(|own| host_port.leads_to(*own)) {
                return Err(ControlError::OwnEndpoint(endpoint.clone()));
            }
            let taken = self.members.number_of_key(Owner::Others, endpoint).is_some();
            if taken || !seen.insert(endpoint.to_ascii_lowercase()) {
                return Err(ControlError::EndpointTaken(endpoint.clone()));
            }
        }
        Ok(())
    }

    /// Whether `count` more replicas are within the limits, those on their way included.
    pub(super) fn check_room(&self, count: u32) -> Result<(), ControlError> {
        let max = self.config.max_replicas;
        let total = self.members.len() as u64 + u64::from(count);
        if total > u64::from(max) {
            return Err(ControlError::TooMany { asked: count, total, max });
        }
        // Those that leave take no place on the ring, but each is a process.
        if total + self.departures.len() as u64 > 2 * u64::from(max) {
            return Err(ControlError::Busy);
        }
        check_capacity(&self.config.ring, total as usize)
    }
}

/// Whether a ring has places for `total` replicas; refused in the words of the ring.
pub(super) fn check_capacity(params: &Params, total: usize) -> Result<(), ControlError> {
    let capacity = params.capacity();
    if total <= capacity as usize {
        return Ok(());
    }
    let full = BuildError::Full {
        nodes: total,
        capacity,
        placement: params.placement(),
        slots: params.slots(),
        virtual_nodes: params.virtual_nodes(),
    };
    Err(ControlError::Ring(full.to_string()))
}
