//! The replicas of one pool, as requests see them: members, ring and routing rules at one moment.

use std::sync::Arc;

use super::load::RetryPermit;
use super::{Endpoint, InFlight, KeySource, Load};
use crate::ring::Ring;

/// How requests become keys and how much of the load one replica may take.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Routing {
    /// What is hashed.
    pub key: KeySource,
    /// Factor `c` of bounded load (at least 1), or `None` for no bound.
    pub bounded_load: Option<f64>,
    /// Most requests in flight at one replica, or `None` for no cap.
    pub max_requests: Option<u64>,
}

/// An endpoint and its share of the bound.
#[derive(Clone, Debug)]
pub struct BoundedEndpoint {
    /// The replica.
    pub endpoint: Arc<Endpoint>,
    /// `c · weight / total weight`; infinite without a bound.
    bound_per_request: f64,
}

impl BoundedEndpoint {
    /// Whether one more request keeps it within its bound: `⌈c·(total + 1)·weight/total weight⌉`.
    fn has_room(&self) -> bool {
        if self.bound_per_request == f64::INFINITY {
            return true;
        }
        let in_flight = self.endpoint.in_flight();
        // The bound is at least 1, so an idle replica needs no arithmetic.
        in_flight == 0
            || (in_flight as f64)
                < (self.bound_per_request * (self.endpoint.total_in_flight() + 1) as f64).ceil()
    }
}

/// Members, ring and routing rules of a pool at one moment.
#[derive(Clone, Debug)]
pub struct PoolSnapshot {
    version: u64,
    ring: Arc<Ring>,
    members: Vec<BoundedEndpoint>,
    /// Most requests in flight at one replica.
    cap: u64,
    routing: Routing,
}

/// Where a request goes.
#[derive(Debug)]
pub struct Picked {
    /// Counts the request on its endpoint.
    pub in_flight: InFlight,
    /// The key's slot.
    pub slot: u32,
    /// Why another replica than the slot's owner was taken, if one was.
    pub detour: Option<Detour>,
}

/// Why a request does not go to the owner of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detour {
    /// The owner has its share of the load (bounded load).
    Full,
    /// The owner is down, or was tried already.
    Down,
    /// The owner has just come, and does not take this key yet (slow start).
    Warming,
}

impl PoolSnapshot {
    /// Puts a ring and its endpoints together.
    ///
    /// # Panics
    /// When `endpoints` are not those of `ring.nodes()`, in that order: both come from the
    /// supervisor, which builds them from one list.
    pub fn new(version: u64, ring: Arc<Ring>, endpoints: Vec<Arc<Endpoint>>, routing: Routing) -> Self {
        assert!(
            ring.nodes().iter().map(|node| node.number).eq(endpoints.iter().map(|e| e.number)),
            "the endpoints of a snapshot are the nodes of its ring"
        );
        let total: f64 = ring.nodes().iter().map(|node| f64::from(node.weight)).sum();
        let members = std::iter::zip(ring.nodes(), endpoints)
            .map(|(node, endpoint)| BoundedEndpoint {
                endpoint,
                bound_per_request: routing
                    .bounded_load
                    .map_or(f64::INFINITY, |c| c * f64::from(node.weight) / total),
            })
            .collect();
        Self { version, ring, members, cap: routing.max_requests.unwrap_or(u64::MAX), routing }
    }

    /// Grows by one with each publication of this pool.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The ring, with nodes in the order of [`PoolSnapshot::members`].
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// The replicas on the ring, in ascending number.
    pub fn members(&self) -> &[BoundedEndpoint] {
        &self.members
    }

    /// Key and bound in force.
    pub fn routing(&self) -> &Routing {
        &self.routing
    }

    /// The replica for request id `request`: the slot's owner if it is up and has room, else
    /// the first such in preference order, else the first that is up at all (the bound alone
    /// never refuses). `None` when every replica is down, in `tried` (endpoint ids) or at the cap. One that is
    /// half-open gets a request whose slot it owns, if it has no other of its trial.
    #[inline]
    pub fn pick(&self, request: u64, tried: &[u64]) -> Option<Picked> {
        let slot = self.ring.slot_of(request);
        let owner = &self.members[self.ring.owner_at(slot)?];
        if owner.endpoint.is_open()
            && owner.has_room()
            && !tried.contains(&owner.endpoint.id)
            && let Some(in_flight) = owner.endpoint.begin_below(self.cap)
        {
            return Some(Picked { in_flight, slot, detour: None });
        }
        self.pick_next(request, slot, tried)
    }

    /// How often one of those that share the members' load was taken out of the choice.
    pub fn ejections(&self) -> u64 {
        self.members.first().map_or(0, |member| member.endpoint.ejections())
    }

    /// Whether another member than those in `tried` (endpoint ids) may be picked.
    pub fn has_other(&self, tried: &[u64]) -> bool {
        self.members.iter().any(|member| member.endpoint.is_up() && !tried.contains(&member.endpoint.id))
    }

    /// Whether there is a cap of requests for each member.
    #[inline]
    pub fn is_capped(&self) -> bool {
        self.cap != u64::MAX
    }

    /// Where none can be picked: whether that is for want of room, at others than those in `tried`
    /// (endpoint ids).
    pub fn is_full(&self, tried: &[u64]) -> bool {
        let has_weight = |index: usize| self.ring.nodes().get(index).is_some_and(|node| node.weight > 0);
        let is_up = |(index, member): (usize, &BoundedEndpoint)| {
            member.endpoint.is_up() && has_weight(index) && !tried.contains(&member.endpoint.id)
        };
        self.is_capped() && self.members.iter().enumerate().any(is_up)
    }

    /// What the members count together; `None` if there are none.
    pub fn load(&self) -> Option<&Arc<Load>> {
        self.members.first().map(|member| member.endpoint.load())
    }

    /// Takes a retry out of the budget that the members share, if one is left.
    pub fn try_retry(&self) -> Option<RetryPermit> {
        self.members.first()?.endpoint.try_retry()
    }

    #[cold]
    fn pick_next(&self, request: u64, slot: u32, tried: &[u64]) -> Option<Picked> {
        let mut over_bound = Vec::new();
        let mut owner_was = Detour::Full;
        for (rank, index) in self.ring.preference(slot).enumerate() {
            let member = &self.members[index];
            if !member.endpoint.is_up() || tried.contains(&member.endpoint.id) {
                if rank == 0 {
                    let untried = !tried.contains(&member.endpoint.id);
                    if let Some(in_flight) = untried.then(|| member.endpoint.begin_trial(self.cap)).flatten()
                    {
                        return Some(Picked { in_flight, slot, detour: None });
                    }
                    owner_was = Detour::Down;
                }
                continue;
            }
            let detour = (rank > 0).then_some(owner_was);
            let takes = member.endpoint.takes(request);
            if takes
                && member.has_room()
                && let Some(in_flight) = member.endpoint.begin_below(self.cap)
            {
                return Some(Picked { in_flight, slot, detour });
            }
            if rank == 0 && !takes {
                owner_was = Detour::Warming;
            }
            over_bound.push((detour, member));
        }
        // The bound refuses nobody, nor does a slow start; the cap does.
        over_bound.into_iter().find_map(|(detour, member)| {
            let in_flight = member.endpoint.begin_below(self.cap)?;
            Some(Picked { in_flight, slot, detour })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::cluster::Standing;
    use crate::ring::{Node, Params};

    /// A snapshot of `replicas` endpoints with these rules.
    fn snapshot(replicas: u32, routing: Routing) -> PoolSnapshot {
        weighted(replicas, 100, routing)
    }

    fn weighted(replicas: u32, weight: u8, routing: Routing) -> PoolSnapshot {
        let load = Arc::<Load>::default();
        let nodes: Vec<_> = (1..=replicas).map(|number| Node { number, weight }).collect();
        let ring = Ring::build(&Params::default(), &nodes).expect("they fit");
        let endpoint = |number: u32| {
            let address = ([127, 0, 0, 1], number as u16).into();
            Arc::new(Endpoint::new(format!("S{number}"), number, address, Arc::clone(&load)))
        };
        PoolSnapshot::new(1, Arc::new(ring), (1..=replicas).map(endpoint).collect(), routing)
    }

    fn number(picked: Option<&Picked>) -> Option<u32> {
        picked.map(|picked| picked.in_flight.endpoint().number)
    }

    #[test]
    fn a_cap_is_never_exceeded_and_the_next_replica_helps_out() {
        for bounded_load in [None, Some(1.0)] {
            let snapshot = snapshot(3, Routing { max_requests: Some(2), bounded_load, ..Routing::default() });
            let held: Vec<_> = (0..6).map(|_| snapshot.pick(7, &[]).expect("room")).collect();
            assert!(snapshot.members().iter().all(|member| member.endpoint.in_flight() == 2));
            assert!(snapshot.pick(7, &[]).is_none() && snapshot.is_full(&[]), "all are full");
            let all: Vec<_> = snapshot.members().iter().map(|member| member.endpoint.id).collect();
            assert!(!snapshot.is_full(&all), "all were tried");
            let freed = held.into_iter().next_back().map(|picked| picked.in_flight.endpoint().id);
            assert!(freed.is_some() && snapshot.pick(7, &[]).is_some());
        }
    }

    #[test]
    fn without_weight_or_without_a_cap_nothing_is_full() {
        let drained = weighted(2, 0, Routing { max_requests: Some(1), ..Routing::default() });
        assert!(drained.pick(7, &[]).is_none() && !drained.is_full(&[]));
        let uncapped = snapshot(2, Routing::default());
        assert!(!uncapped.is_full(&[]) && !uncapped.is_capped());
    }

    #[test]
    fn a_cap_holds_over_threads() {
        const CAP: u64 = 3;
        let snapshot = snapshot(1, Routing { max_requests: Some(CAP), ..Routing::default() });
        let endpoint = &snapshot.members()[0].endpoint;
        let held = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        // What the endpoint says of itself meanwhile may be too much, never too little.
                        if let Some(picked) = snapshot.pick(7, &[]) {
                            assert!(held.fetch_add(1, Ordering::SeqCst) < CAP);
                            held.fetch_sub(1, Ordering::SeqCst);
                            drop(picked);
                        }
                    }
                });
            }
        });
        assert_eq!(endpoint.in_flight(), 0);
    }

    #[test]
    fn a_replica_that_warms_up_takes_a_part_of_its_keys_and_no_other_key_moves() {
        let snapshot = snapshot(3, Routing::default());
        let homes: Vec<_> = (0..2000).map(|key| number(snapshot.pick(key, &[]).as_ref())).collect();
        let hour = Duration::from_secs(3600);
        snapshot.members()[1].endpoint.warm_up(hour, hour / 2);
        let mut taken = 0;
        for (key, &home) in (0..).zip(&homes) {
            let picked = snapshot.pick(key, &[]);
            if number(picked.as_ref()) != home {
                assert_eq!(home, Some(2));
                assert_eq!(picked.and_then(|picked| picked.detour), Some(Detour::Warming));
            } else if home == Some(2) {
                taken += 1;
            }
        }
        let of_it = homes.iter().filter(|&&home| home == Some(2)).count();
        assert!((of_it * 2 / 5..of_it * 3 / 5).contains(&taken), "{taken} of {of_it}");

        // All alike: nobody spares anybody, and each key is at home.
        snapshot.members().iter().for_each(|member| member.endpoint.warm_up(hour, Duration::ZERO));
        assert!((0..).zip(&homes).all(|(key, &home)| number(snapshot.pick(key, &[]).as_ref()) == home));
        let others = [snapshot.members()[0].endpoint.id, snapshot.members()[2].endpoint.id];
        assert!((0..2000).all(|key| number(snapshot.pick(key, &others).as_ref()) == Some(2)), "it is up");
    }

    #[test]
    fn a_half_open_owner_gets_one_request_at_a_time() {
        let snapshot = snapshot(3, Routing::default());
        let owner = number(snapshot.pick(7, &[]).as_ref()).expect("one is up");
        let endpoint = Arc::clone(&snapshot.members()[owner as usize - 1].endpoint);
        endpoint.set_standing(Standing::Ejected);
        assert_ne!(number(snapshot.pick(7, &[]).as_ref()), Some(owner));
        endpoint.set_standing(Standing::HalfOpen);
        let first = snapshot.pick(7, &[]).expect("the trial");
        assert!(first.in_flight.is_trial() && number(Some(&first)) == Some(owner));
        let second = snapshot.pick(7, &[]).expect("another replica");
        assert!(!second.in_flight.is_trial() && number(Some(&second)) != Some(owner));
        drop(first);
        assert_ne!(number(snapshot.pick(7, &[endpoint.id]).as_ref()), Some(owner), "it was tried");
        assert!(snapshot.pick(7, &[]).expect("the next trial").in_flight.is_trial());
        endpoint.set_up(false);
        assert_ne!(number(snapshot.pick(7, &[]).as_ref()), Some(owner), "its heartbeats are bad");
    }
}
