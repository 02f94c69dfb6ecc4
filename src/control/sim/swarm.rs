//! A simulated Swarm: the services of a pool, as their labels say, which two balancers change: the one whose pool is
//! simulated, and another one that does as it likes, in single steps.

use std::collections::{BTreeMap, BTreeSet};

use crate::runtime::{Found, Launch, Owner, Place, Revision};

/// What names of replicas begin with that the other balancer has created.
pub(super) const OTHER: &str = "Other ";

/// What the other balancer has replicas run that it changes.
pub(super) const ELSEWHERE: &str = "elsewhere";

/// The service of a replica.
#[expect(clippy::struct_excessive_bools, reason = "each may be so without the others")]
#[derive(Clone, Debug)]
struct Service {
    /// Tells it from others that have had its name.
    id: u64,
    number: u32,
    revision: String,
    /// The service beside which it was created.
    beside: Option<String>,
    /// Whether it has taken the number from that one.
    is_over: bool,
    is_vacant: bool,
    is_leaving: bool,
    /// Whether the other balancer has created it beside, or vacated it.
    is_others: bool,
}

/// All services, by the names of replicas.
#[derive(Clone, Debug, Default)]
pub(super) struct Swarm {
    services: BTreeMap<String, Service>,
    /// How many the other balancer has created.
    created: u32,
    /// The last id.
    last_id: u64,
}

/// What the other balancer has done that the pool has to follow, beyond labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Nothing that changes how many there are.
    None,
    /// It has added a number.
    Added,
    /// It has removed one.
    Removed,
}

impl Swarm {
    /// One with replicas of these revisions.
    pub(super) fn with(revisions: &[&str]) -> Self {
        let mut swarm = Self::default();
        for (index, revision) in revisions.iter().enumerate() {
            swarm.put(format!("Found {index}"), index as u32 + 1, revision, None);
        }
        swarm
    }

    fn put(&mut self, name: String, number: u32, revision: &str, beside: Option<String>) {
        self.last_id += 1;
        let service = Service {
            id: self.last_id,
            number,
            revision: revision.to_owned(),
            beside,
            is_over: false,
            is_vacant: false,
            is_leaving: false,
            is_others: false,
        };
        self.services.insert(name, service);
    }

    fn stays(&self, name: &str) -> bool {
        self.services.get(name).is_some_and(|service| !service.is_leaving)
    }

    fn place(&self, name: &str, service: &Service) -> Place {
        let stands_over =
            |other: &Service| !other.is_leaving && other.is_over && other.beside.as_deref() == Some(name);
        if service.beside.is_some() && !service.is_over || self.services.values().any(stands_over) {
            Place::Beside
        } else if service.is_vacant {
            Place::Vacant
        } else {
            Place::Holder
        }
    }

    /// What a balancer finds.
    pub(super) fn inventory(&self) -> Vec<Found> {
        let staying = self.services.iter().filter(|(_, service)| !service.is_leaving);
        let found = staying.map(|(name, service)| {
            let place = self.place(name, service);
            Found {
                key: name.clone(),
                name: name.clone(),
                number: (place != Place::Beside).then_some(service.number),
                owner: Owner::Orchestrator,
                revision: service.revision.clone(),
                place,
            }
        });
        found.collect()
    }

    /// Numbers and names of those that have one.
    pub(super) fn holders(&self) -> BTreeMap<u32, String> {
        let holders = self.inventory().into_iter();
        holders.filter_map(|found| Some((found.number?, found.key))).collect()
    }

    /// Whether no deploy is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.inventory().iter().all(|found| found.place == Place::Holder)
    }

    /// Does what a launch asks for. Returns the number that the replica has, if that works.
    pub(super) fn launch(&mut self, launch: &Launch) -> Option<u32> {
        match (&launch.existing, &launch.replaces) {
            (Some(name), replaces) => {
                let service = self.services.get_mut(name).filter(|service| !service.is_leaving)?;
                if replaces.is_some() {
                    // Who vacated it has nothing more to do with it.
                    service.is_others &= !service.is_vacant;
                    service.revision.clone_from(&launch.revision.name);
                    service.is_vacant = false;
                }
                // Finding it ends a vacancy of this balancer.
                service.is_vacant &= service.is_others;
                Some(service.number)
            }
            (None, Some(_)) => {
                let incumbent = self.holders().get(&launch.number)?.clone();
                self.put(launch.name.clone(), launch.number, &launch.revision.name, Some(incumbent));
                Some(launch.number)
            }
            (None, None) => {
                let taken: BTreeSet<_> = self.holders().into_keys().collect();
                let mut numbers = std::iter::once(launch.number).chain(1..);
                let number = numbers.find(|number| !taken.contains(number))?;
                self.put(launch.name.clone(), number, &launch.revision.name, None);
                Some(number)
            }
        }
    }

    /// A service is being removed.
    pub(super) fn leave(&mut self, name: &str) {
        if let Some(service) = self.services.get_mut(name) {
            service.is_leaving = true;
        }
    }

    fn is_leaving(&self, name: &str) -> bool {
        self.services.get(name).is_some_and(|service| service.is_leaving)
    }

    /// Whether there is a service of this name, which no other may have then.
    pub(super) fn has(&self, name: &str) -> bool {
        self.services.contains_key(name)
    }

    /// The id of the service that has this name.
    pub(super) fn id(&self, name: &str) -> Option<u64> {
        self.services.get(name).map(|service| service.id)
    }

    /// One that was being removed is gone.
    pub(super) fn end_leaving(&mut self, name: &str) {
        if self.is_leaving(name) {
            self.remove(name);
        }
    }

    fn remove(&mut self, name: &str) {
        self.services.remove(name);
        // Another one of this name is another service.
        for service in self.services.values_mut().filter(|service| service.beside.as_deref() == Some(name)) {
            service.beside = (!service.is_over).then(|| format!("{name}, which is gone"));
            service.is_over = false;
        }
    }

    pub(super) fn vacate(&mut self, name: &str) {
        if let Some(service) = self.services.get_mut(name) {
            service.is_vacant = true;
            service.is_others &= service.beside.is_some();
        }
    }

    /// This one has the number that it shares.
    pub(super) fn take_number(&mut self, name: &str) {
        let incumbent = self.services.get(name).and_then(|service| service.beside.clone());
        if incumbent.is_some_and(|incumbent| self.stays(&incumbent)) {
            self.services.get_mut(name).expect("just found").is_over = true;
            return;
        }
        let is_successor = |service: &&mut Service| service.beside.as_deref() == Some(name);
        for successor in self.services.values_mut().filter(is_successor) {
            successor.is_over = false;
        }
    }

    /// One step of the other balancer. It leaves what is no member of the pool, because that is being removed there, and
    /// begins nothing while a deploy is under way: of two at the same time both are taken back, which stories tell.
    pub(super) fn act(&mut self, choice: u8, members: &BTreeSet<String>, is_deploying: bool) -> Deed {
        let pick = |names: Vec<String>| {
            let index = usize::from(choice / 8) % names.len().max(1);
            names.get(index).cloned()
        };
        let others: Vec<_> = self.services.iter().filter(|(_, service)| service.is_others).collect();
        let names = |wanted: &dyn Fn(&Service) -> bool| -> Vec<String> {
            let names = others.iter().filter(|(_, service)| wanted(service) && !service.is_leaving);
            names.map(|(name, _)| (*name).clone()).collect()
        };
        let beside = pick(names(&|service| service.beside.is_some() && !service.is_over));
        let has_incumbent = |service: &Service| service.beside.as_ref().is_some_and(|name| self.stays(name));
        let over = pick(names(&|service| service.is_over && has_incumbent(service)));
        let vacant = pick(names(&|service| service.is_vacant));
        let may_begin = self.is_quiet() && !is_deploying;
        let known = self.holders().into_values().filter(|name| members.contains(name));
        let holder = pick(known.collect()).filter(|_| may_begin);
        match choice % 8 {
            0 | 1 => {
                if let Some(holder) = holder {
                    self.begin(&holder);
                }
            }
            2 => {
                if let Some(name) = beside.filter(|name| self.has_incumbent(name)) {
                    self.take_number(&name);
                }
            }
            3 => {
                if let Some(service) = over.and_then(|name| self.services.get_mut(&name)) {
                    service.is_over = false;
                }
            }
            4 => self.end(beside, over),
            5 => match (vacant, holder) {
                (Some(name), _) => self.change(&name),
                (None, Some(name)) => {
                    let service = self.services.get_mut(&name).expect("just found");
                    (service.is_vacant, service.is_others) = (true, true);
                }
                (None, _) => {}
            },
            6 if may_begin && self.holders().len() < 8 => {
                let taken = self.holders();
                let number = (1..=8).find(|number| !taken.contains_key(number)).expect("there are fewer");
                let name = self.new_name();
                self.put(name, number, "v1", None);
                return Deed::Added;
            }
            7 if choice > 128 && may_begin && self.holders().len() > 1 => {
                if let Some(name) = holder {
                    self.remove(&name);
                    return Deed::Removed;
                }
            }
            _ => {}
        }
        Deed::None
    }

    fn new_name(&mut self) -> String {
        self.created += 1;
        format!("{OTHER}{}", self.created)
    }

    fn has_incumbent(&self, successor: &str) -> bool {
        let beside = self.services.get(successor).and_then(|service| service.beside.as_deref());
        beside.is_some_and(|incumbent| self.stays(incumbent))
    }

    /// The other balancer creates a successor.
    fn begin(&mut self, incumbent: &str) {
        let (number, name) = (self.services[incumbent].number, self.new_name());
        self.put(name.clone(), number, "v2", Some(incumbent.to_owned()));
        self.services.get_mut(&name).expect("just put").is_others = true;
    }

    /// It ends its deploy: what has the number stays.
    fn end(&mut self, beside: Option<String>, over: Option<String>) {
        let incumbent = over.as_ref().and_then(|name| self.services[name].beside.clone());
        if let (Some(name), Some(incumbent)) = (over, incumbent) {
            self.remove(&incumbent);
            let service = self.services.get_mut(&name).expect("just found");
            (service.beside, service.is_over, service.is_others) = (None, false, false);
        } else if let Some(name) = beside {
            self.remove(&name);
        }
    }

    /// It has changed what it vacated.
    fn change(&mut self, name: &str) {
        let service = self.services.get_mut(name).expect("just found");
        (service.is_vacant, service.is_others) = (false, false);
        ELSEWHERE.clone_into(&mut service.revision);
    }

    /// The other balancer ends all that it has begun.
    pub(super) fn calm(&mut self) {
        let names: Vec<_> = self.services.iter().filter(|(_, service)| service.is_others).collect();
        let names: Vec<_> = names.into_iter().map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(service) = self.services.get(&name) else { continue };
            match (service.is_vacant, service.is_over && self.has_incumbent(&name)) {
                (true, _) => self.change(&name),
                (false, true) => self.end(None, Some(name)),
                (false, false) => self.end(Some(name), None),
            }
        }
    }

    /// Whether a service is being removed.
    pub(super) fn has_leaving(&self) -> bool {
        self.services.values().any(|service| service.is_leaving)
    }

    /// The revision that a replica runs.
    pub(super) fn revision(&self, name: &str) -> &str {
        let revision = self.services.get(name).map_or("", |service| &service.revision);
        if revision.is_empty() { Revision::BASE } else { revision }
    }
}
