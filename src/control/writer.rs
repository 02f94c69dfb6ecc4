//! Publishes snapshots of the cluster, and shows what it published.
//! Decides nothing but what to publish while a ring is being built.
//!
//! A ring is built elsewhere, one at a time: [`Writer::update`] gives out the [`Build`] that is
//! needed, and [`Writer::built`] takes the ring. What was asked for meanwhile is one more build.
//! A change that leaves the ring as it is (healing above all) is published at once, also while
//! another ring is being built: the snapshot then has the ring in force, with the replicas that
//! hold its numbers now.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use fxhash::{FxHashMap, FxHashSet};

use super::drain::Drains;
use super::observer::Published;
use super::pool::{DeploySample, MemberReport, MemberSpec, Pool, Publication, Sample, Version};
use super::view::ReplicaViews;
use super::{ControlError, ReplicaView, State, View};
use crate::cluster::{Endpoint, Load, PoolPublisher, PoolSnapshot, Routing, Standing};
use crate::ring::{BuildError, Node, Params, Ring, slots_moved};
use crate::runtime::ReplicaId;

/// Which of the classes of [`Endpoint::responses`] are errors of the server.
const SERVER_ERRORS: usize = 4;

/// Owns the publishing end of the pool.
#[derive(Debug)]
pub(super) struct Writer {
    publisher: PoolPublisher,
    /// Of the snapshot in force.
    version: u64,
    /// What the pool has asked for that is in force.
    in_force: Version,
    ring: Arc<Ring>,
    routing: Routing,
    load: Arc<Load>,
    /// Whom the snapshot in force lists, in ascending number.
    listed: Vec<MemberSpec>,
    /// Of all that are or were in a snapshot, or will be, as long as somebody may ask for them.
    endpoints: FxHashMap<ReplicaId, Arc<Endpoint>>,
    /// Those that replicas had before they moved or got another number. They are there as long as a snapshot lists them
    /// or a request is under way at them.
    former: Vec<(ReplicaId, Weak<Endpoint>)>,
    /// The replica that each of these is, by the id of the endpoint.
    replicas: FxHashMap<u64, ReplicaId>,
    began: Instant,
    /// Whether all replicas of the start have come.
    is_complete: bool,
    /// Requests and failures of each endpoint when they were last compared.
    sampled: FxHashMap<u64, (u64, u64)>,
    /// Whether the times of responses are counted.
    is_measuring: bool,
    /// Endpoints that were published; others have just come.
    served: FxHashSet<u64>,
    /// The publication whose ring is being built.
    building: Option<Publication>,
    pub(super) drains: Drains,
    shown: ReplicaViews,
    /// Numbers that are shown because the ring in force has them, though their members left.
    leaving: BTreeSet<u32>,
    /// Whether the ring is another than the one that was shown.
    ring_changed: bool,
}

/// A ring to build.
#[derive(Debug)]
pub(super) struct Build {
    params: Params,
    nodes: Vec<Node>,
    before: Arc<Ring>,
}

/// A ring that was built.
#[derive(Debug)]
pub(super) struct Built {
    ring: Ring,
    slots_moved: Option<u32>,
    took: Duration,
}

impl Build {
    /// Builds it. This may take seconds.
    pub(super) fn run(self) -> Result<Built, BuildError> {
        let began = Instant::now();
        let ring = self.before.rebuild(&self.params, &self.nodes)?;
        let took = began.elapsed();
        let slots_moved = slots_moved(&self.before, &ring);
        Ok(Built { ring, slots_moved, took })
    }
}

impl Writer {
    /// What a pool begins with: a publication that has no members yet.
    pub(super) fn first(publication: &Publication) -> Result<PoolSnapshot, ControlError> {
        let ring = Ring::build(&publication.params, &publication.nodes().collect::<Vec<_>>())
            .map_err(|error| ControlError::Ring(error.to_string()))?;
        Ok(PoolSnapshot::new(0, Arc::new(ring), Vec::new(), publication.routing.clone()))
    }

    /// Publishes what comes after `first`, which is published.
    pub(super) fn new(publication: Publication, first: &PoolSnapshot, publisher: PoolPublisher) -> Self {
        Self {
            publisher,
            version: 0,
            in_force: publication.version,
            ring: Arc::clone(first.ring()),
            routing: publication.routing,
            load: Arc::default(),
            listed: Vec::new(),
            endpoints: FxHashMap::default(),
            former: Vec::new(),
            replicas: FxHashMap::default(),
            began: Instant::now(),
            is_complete: false,
            sampled: FxHashMap::default(),
            is_measuring: false,
            served: FxHashSet::default(),
            building: None,
            drains: Drains::default(),
            shown: ReplicaViews::default(),
            leaving: BTreeSet::new(),
            ring_changed: false,
        }
    }

    /// What the pool has asked for that is in force.
    pub(super) fn in_force(&self) -> Version {
        self.in_force
    }

    /// The pool has asked for a publication: publishes what can be at once, and returns the ring
    /// to build, if one is needed and none is being built. Its result goes to [`Writer::built`].
    pub(super) fn update(&mut self, pool: &Pool) -> (Option<Published>, Option<Build>) {
        let wanted = pool.publication();
        if is_of(&self.ring, &wanted) {
            self.in_force = wanted.version;
            return (Some(self.publish(wanted.members, wanted.routing, Some(0), None, pool)), None);
        }
        let build = self.building.is_none().then(|| {
            // A request may fail, or a heartbeat, while the ring is being built.
            wanted.members.iter().for_each(|member| _ = self.endpoint(member));
            self.building = Some(wanted.clone());
            let nodes = wanted.nodes().collect();
            Build { params: wanted.params.clone(), nodes, before: Arc::clone(&self.ring) }
        });
        let healed = newest(&self.listed, &wanted.members);
        let differs = |(new, old): (&MemberSpec, &MemberSpec)| new.id != old.id || new.address != old.address;
        let news = std::iter::zip(&healed, &self.listed).any(differs);
        let routing = self.routing.clone();
        (news.then(|| self.publish(healed, routing, Some(0), None, pool)), build)
    }

    /// The ring that was given out is built, and published. Where [`Writer::in_force`] is not what
    /// the pool has asked for after that, [`Writer::update`] is to be called.
    pub(super) fn built(&mut self, built: Result<Built, BuildError>, pool: &Pool) -> Option<Published> {
        let captured = self.building.take()?;
        let Built { ring, slots_moved, took } = match built {
            Ok(built) => built,
            // The pool checks the capacity before anything changes, so this is a defect; the ring
            // in force keeps working meanwhile, and nobody waits for another.
            Err(error) => {
                tracing::error!(%error, "the ring could not be built; nothing is published");
                self.in_force = self.in_force.max(captured.version);
                return None;
            }
        };
        let wanted = pool.publication();
        let (version, members, routing) = if is_of(&ring, &wanted) {
            (wanted.version, wanted.members, wanted.routing)
        } else if captured.version > self.in_force {
            (captured.version, newest(&captured.members, &wanted.members), captured.routing)
        } else {
            // A change that took the one before it back needed no ring and is in force.
            return None;
        };
        self.in_force = version;
        self.ring = Arc::new(ring);
        self.ring_changed = true;
        Some(self.publish(members, routing, slots_moved, Some(took), pool))
    }

    /// Publishes `members` on the ring, which is theirs. A replica that was listed before keeps
    /// its endpoint and with it its counters.
    fn publish(
        &mut self,
        members: Vec<MemberSpec>,
        routing: Routing,
        slots_moved: Option<u32>,
        built_in: Option<Duration>,
        pool: &Pool,
    ) -> Published {
        let endpoints: Vec<_> = members.iter().map(|member| self.endpoint(member)).collect();
        self.warm_up(&endpoints, pool);
        self.version += 1;
        let snapshot = PoolSnapshot::new(self.version, Arc::clone(&self.ring), endpoints, routing.clone());
        self.drains.retire(self.publisher.publish(snapshot));
        let same_keys = self.routing.key == routing.key;
        let keys_moved = slots_moved.filter(|_| same_keys);
        self.routing = routing;
        self.listed = members;
        self.forget_endpoints(pool);
        Published {
            version: self.version,
            replicas: self.listed.len(),
            slots_moved,
            keys_moved: keys_moved.map(|moved| f64::from(moved) / f64::from(self.ring.params().slots())),
            peak_to_average: self.ring.peak_to_average(),
            build_seconds: built_in.map(|took| took.as_secs_f64()),
        }
    }

    /// Lets those of `endpoints` begin slowly that join others, unless they had a place before. Those from the start
    /// come one after the other and have run for long, perhaps: until all of them were there, or could have been,
    /// nobody does.
    fn warm_up(&mut self, endpoints: &[Arc<Endpoint>], pool: &Pool) {
        let slow_start = pool.config().slow_start;
        let was_complete = self.is_complete;
        if !was_complete {
            let is_late = self.began.elapsed() >= pool.config().start_timeout;
            self.is_complete = is_late || endpoints.len() >= pool.numbers().len();
        }
        for endpoint in endpoints {
            if self.served.insert(endpoint.id) && was_complete && !slow_start.is_zero() {
                endpoint.warm_up(slow_start, Duration::ZERO);
            }
        }
    }

    /// The endpoint of a replica, with its counters; a new one if it has moved, or has another number.
    fn endpoint(&mut self, member: &MemberSpec) -> Arc<Endpoint> {
        let is_same =
            |known: &&Arc<Endpoint>| (known.address, known.number) == (member.address, member.number);
        if let Some(known) = self.endpoints.get(&member.id).filter(is_same) {
            return Arc::clone(known);
        }
        let load = Arc::clone(&self.load);
        let endpoint = Endpoint::new(member.name.clone(), member.number, member.address, load)
            .called(Arc::clone(&member.host));
        endpoint.set_up(member.up);
        endpoint.measure(self.is_measuring);
        self.replicas.insert(endpoint.id, member.id);
        let endpoint = Arc::new(endpoint);
        let before = self.endpoints.insert(member.id, Arc::clone(&endpoint));
        self.former.extend(before.map(|before| (member.id, Arc::downgrade(&before))));
        endpoint
    }

    /// Lets go of endpoints that are in no snapshot, will be in none, and do not drain.
    fn forget_endpoints(&mut self, pool: &Pool) {
        let building = self.building.iter().flat_map(|publication| &publication.members);
        let needed: FxHashSet<_> = self.listed.iter().chain(building).map(|member| member.id).collect();
        self.endpoints.retain(|id, _| needed.contains(id) || pool.is_departing(*id) || pool.is_beside(*id));
        self.former.retain(|(_, endpoint)| endpoint.strong_count() > 0);
        let former = self.former.iter().filter_map(|(_, endpoint)| endpoint.upgrade());
        let endpoints = self.endpoints.values().cloned().chain(former);
        let kept: FxHashSet<_> = endpoints.map(|endpoint| endpoint.id).collect();
        self.replicas.retain(|id, _| kept.contains(id));
        self.served.retain(|id| kept.contains(id));
    }

    /// The endpoint of a replica, and those that it has had.
    fn endpoints_of(&self, id: ReplicaId) -> impl Iterator<Item = Arc<Endpoint>> {
        let former = self.former.iter().filter(move |(of, _)| *of == id);
        let former = former.filter_map(|(_, endpoint)| endpoint.upgrade());
        self.endpoints.get(&id).cloned().into_iter().chain(former)
    }

    /// Lets requests go to a replica on the ring, or not.
    pub(super) fn set_up(&self, id: ReplicaId, up: bool, slow_start: Duration) {
        // Without an endpoint it will have one, which begins as it is then.
        for endpoint in self.endpoints_of(id) {
            if up {
                endpoint.warm_up(slow_start, Duration::ZERO);
            }
            endpoint.set_up(up);
        }
    }

    /// What real requests say of a replica on the ring.
    pub(super) fn set_standing(&self, id: ReplicaId, standing: Standing, slow_start: Duration) {
        for endpoint in self.endpoints_of(id) {
            // One that comes back because too few are left is needed at once.
            if standing == Standing::Good && endpoint.standing() == Standing::HalfOpen {
                endpoint.warm_up(slow_start, Duration::ZERO);
            }
            endpoint.set_standing(standing);
        }
    }

    /// Failures in a row at a replica, which are looked at with this.
    pub(super) fn take_streak(&self, id: ReplicaId) -> u32 {
        self.endpoints.get(&id).map_or(0, |endpoint| endpoint.take_streak())
    }

    /// How requests went at each replica on the ring since the last call.
    pub(super) fn samples(&mut self) -> Vec<Sample> {
        let before = std::mem::take(&mut self.sampled);
        let mut samples = Vec::with_capacity(self.listed.len());
        for MemberSpec { id, .. } in &self.listed {
            let Some(endpoint) = self.endpoints.get(id) else { continue };
            let (requests, failures) = endpoint.experience();
            let (old_requests, old_failures) = before.get(&endpoint.id).copied().unwrap_or_default();
            self.sampled.insert(endpoint.id, (requests, failures));
            samples.push(Sample {
                id: *id,
                requests: requests - old_requests,
                failures: failures - old_failures,
            });
        }
        samples
    }

    /// Has the times of responses counted, or not any more, at all replicas on the ring.
    pub(super) fn measure(&mut self, whether: bool) {
        self.is_measuring = whether;
        self.endpoints.values().for_each(|endpoint| endpoint.measure(whether));
    }

    /// What was counted at each replica on the ring since it came.
    pub(super) fn deploy_samples(&self) -> Vec<(ReplicaId, DeploySample)> {
        let sample = |endpoint: &Endpoint| {
            let (responses, failures) = (endpoint.responses(), endpoint.failures());
            DeploySample {
                requests: endpoint.experience().0,
                errors: failures + responses[SERVER_ERRORS],
                latencies: endpoint.latencies(),
                begun: endpoint.requests(),
                answered: failures + responses.iter().sum::<u64>(),
                in_flight: endpoint.in_flight(),
            }
        };
        let of_member = |member: &MemberSpec| Some((member.id, sample(self.endpoints.get(&member.id)?)));
        self.listed.iter().filter_map(of_member).collect()
    }

    /// The replica that an endpoint is.
    pub(super) fn replica_of(&self, endpoint: u64) -> Option<ReplicaId> {
        self.replicas.get(&endpoint).copied()
    }

    /// Watches a replica that is in no snapshot any more, and is stopped `until` then.
    pub(super) fn drain(&mut self, id: ReplicaId, until: Instant) {
        let endpoints: Vec<_> = self.endpoints_of(id).collect();
        if !endpoints.is_empty() {
            for endpoint in &endpoints {
                endpoint.leave(until);
            }
            self.drains.watch(id, endpoints);
        }
    }

    /// The cluster as it is, with what the pool tells about the members of the numbers that
    /// `changed`. A member that left is shown until the ring in force is without it.
    pub(super) fn view(&mut self, pool: &Pool, changed: &[u32]) -> View {
        let mut numbers = std::mem::take(&mut self.leaving);
        numbers.extend(changed);
        if std::mem::take(&mut self.ring_changed) {
            numbers.extend(pool.numbers());
            numbers.extend(self.listed.iter().map(|member| member.number));
        }
        for number in numbers {
            self.renew(pool, number);
        }
        View {
            present: pool.present(),
            version: self.version,
            ring: Arc::clone(&self.ring),
            routing: self.routing.clone(),
            replicas: self.shown.clone(),
            stopping: pool.is_stopping(),
            outage: pool.outage(),
            load: Arc::clone(&self.load),
            deploy: pool.deploy(),
        }
    }

    /// Shows what the pool tells about a number, or who has it on the ring in force.
    fn renew(&mut self, pool: &Pool, number: u32) {
        let mut member = pool.member(number);
        if member.is_none() && !pool.is_stopping() {
            member = self.leaving_member(number);
            self.leaving.extend(member.is_some().then_some(number));
        }
        let shown = member.map(|member| self.show(member));
        self.shown.set(number, shown);
    }

    /// Who has a number on the ring in force, though its member has left.
    fn leaving_member(&self, number: u32) -> Option<MemberReport> {
        let index = self.listed.binary_search_by_key(&number, |member| member.number).ok()?;
        let MemberSpec { id, name, weight, address, .. } = self.listed[index].clone();
        let is_up = self.endpoints.get(&id).is_some_and(|endpoint| endpoint.is_up());
        Some(MemberReport {
            number,
            name,
            state: if is_up { State::Ready } else { State::Ejected },
            note: String::new(),
            failures: 0,
            weight,
            drained_from: None,
            revision: Arc::default(),
            id: Some(id),
            address: Some(address),
            label: None,
        })
    }

    fn show(&self, member: MemberReport) -> ReplicaView {
        // A member that waits for its instance has its slots all the same.
        let index = self.ring.nodes().binary_search_by_key(&member.number, |node| node.number).ok();
        ReplicaView {
            number: member.number,
            name: member.name,
            address: member.address,
            instance: member.label,
            state: member.state,
            note: member.note,
            failures: member.failures,
            weight: member.weight,
            drained_from: member.drained_from,
            revision: member.revision,
            slots: index.map_or(0, |index| self.ring.slots_owned()[index]),
            share: index.map_or(0.0, |index| self.ring.share(index)),
            endpoint: member.id.and_then(|id| self.endpoints.get(&id)).cloned(),
        }
    }
}

/// Whether a ring is that of a publication.
fn is_of(ring: &Ring, publication: &Publication) -> bool {
    *ring.params() == publication.params && publication.nodes().eq(ring.nodes().iter().copied())
}

/// `members`, with those in their place that hold their numbers in `newer`; both are in ascending
/// number.
fn newest(members: &[MemberSpec], newer: &[MemberSpec]) -> Vec<MemberSpec> {
    let mut newer = newer.iter().peekable();
    let current = |member: &MemberSpec| {
        while newer.next_if(|new| new.number < member.number).is_some() {}
        newer.next_if(|new| new.number == member.number).unwrap_or(member).clone()
    };
    members.iter().map(current).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::cluster;

    /// As on a Swarm, where two balancers may give one number to two replicas.
    #[test]
    fn a_replica_that_gets_another_number_is_drained_of_what_began_before() {
        let publication = Publication {
            version: Version::default(),
            params: Params::default(),
            routing: Routing::default(),
            members: Vec::new(),
        };
        let first = Writer::first(&publication).expect("it fits");
        let publisher = cluster(vec![first.clone()]).0.split().1.remove(0);
        let mut writer = Writer::new(publication, &first, publisher);
        let member = MemberSpec {
            id: ReplicaId(1),
            name: "S1".to_owned(),
            number: 1,
            weight: 100,
            address: ([127, 0, 0, 1], 1).into(),
            host: "127.0.0.1:1".into(),
            up: true,
        };
        let before = writer.endpoint(&member);
        let request = before.begin();
        let after = writer.endpoint(&MemberSpec { number: 2, ..member.clone() });
        writer.set_up(member.id, false, Duration::ZERO);
        assert!(!before.is_up() && !after.is_up());
        let until = Instant::now();
        writer.drain(member.id, until);
        assert_eq!((before.leaves(), after.leaves()), (Some(until), Some(until)));
        assert_eq!(writer.drains.poll(), None, "a request is in flight");
        drop(request);
        assert_eq!(writer.drains.poll(), Some(member.id));
    }
}
