//! The engine comes and goes; what a list of its containers changes in what was known.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::actor::{Actor, MAX_PAUSE, MIN_PAUSE, Phase, STEADY};
use super::place::Place;
use super::replica::{Stage, Wish};
use super::seen::{Seen, State};
use super::survey::{self, Listing};
use super::task::list;
use crate::runtime::engine::labels;
use crate::runtime::{Found, Owner, ReplicaId, RuntimeEvent};

impl Actor {
    /// The engine does not answer: nothing is under way any more, and nothing is known.
    pub(super) fn lost(&mut self, reason: String) {
        self.disconnect();
        self.phase = Phase::Down;
        self.swept.clear();
        (self.listing, self.list_again) = (false, false);
        for replica in self.replicas.values_mut() {
            replica.examined = false;
            if replica.stage == Stage::Starting {
                replica.stage = Stage::Absent;
            }
        }
        if !self.told_unavailable {
            self.told_unavailable = true;
            self.tell(RuntimeEvent::Unavailable { reason });
        }
        if self.connected.take().is_some_and(|since| since.elapsed() >= STEADY) {
            self.pause = MIN_PAUSE;
        }
        self.connect_after(self.pause);
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }

    /// The engine answers: makes up for what was missed, then says so.
    pub(super) fn connected(&mut self, place: Arc<Place>, listing: Listing) {
        self.connected = Some(Instant::now());
        let first = self.place.is_none();
        if first {
            tracing::info!(
                instance = place.instance,
                pool = place.config.spec.pool,
                engine = %place.engine.host(),
                network = place.network().name,
                "found the engine"
            );
        }
        self.place = Some(place);
        self.phase = Phase::Recovering(HashSet::new());
        let Listing { mut own, others, .. } = listing;
        if first {
            self.rivals.inherit(&own);
            let (offers, rest) = survey::sort(own);
            let offers = offers.into_iter().map(|offer| (offer.container.clone(), offer));
            self.offers = offers.collect::<HashMap<_, _>>();
            own = rest;
        }
        let _ = self.update_guests(others);
        let doubtful = self.catch_up(&own);
        self.sweep(own);
        for (id, key) in self.guests.waiting() {
            self.welcome(id, key);
        }
        self.phase = Phase::Recovering(doubtful.clone());
        if doubtful.is_empty() {
            self.up();
        }
    }

    /// Goes on with each replica where it was. Returns those whose end has to be looked into.
    fn catch_up(&mut self, own: &[Seen]) -> HashSet<ReplicaId> {
        let mut doubtful = HashSet::new();
        let ids: Vec<_> = self.replicas.keys().copied().collect();
        for id in ids {
            let replica = self.replicas.get_mut(&id).expect("taken from the map");
            let seen = own.iter().find(|seen| replica.has(&seen.id));
            match (replica.stage, seen.map(|seen| seen.state)) {
                (Stage::Absent, _) => self.not_made(id, own),
                (Stage::Gone, _) => self.take_leave(id),
                (Stage::Starting, _) | (Stage::Running, Some(State::Running)) => {}
                (Stage::Running, Some(_)) => {
                    doubtful.insert(id);
                    self.go_on(id);
                }
                (Stage::Adopting, Some(_)) => {
                    if replica.wish == Wish::Stop {
                        replica.stage = Stage::Stopping;
                    }
                    self.go_on(id);
                }
                (Stage::Stopping, Some(_)) => self.go_on(id),
                (Stage::Adopting | Stage::Running | Stage::Stopping, None) => {
                    let reason = "its container was removed while the engine was away".to_owned();
                    self.leave(RuntimeEvent::Exited { id, reason }, id);
                }
            }
        }
        doubtful
    }

    /// One whose making the engine's absence has ended. What there is of it goes: before it is told
    /// where the pool waits for its end, else as the containers of nobody do.
    fn not_made(&mut self, id: ReplicaId, own: &[Seen]) {
        let Some(replica) = self.replicas.get(&id) else { return };
        if replica.wish != Wish::Stop {
            let reason = "the engine went away while it was being made".to_owned();
            return self.leave(RuntimeEvent::StartFailed { id, reason }, id);
        }
        // The engine may have made it without being heard.
        let run = self.place.as_ref().map(|place| &place.run);
        let unheard = |seen: &&Seen| {
            seen.labels.get(labels::NAME) == Some(&replica.launch.name)
                && seen.labels.get(labels::RUN) == run
                && self.replica_of(&seen.id).is_none()
        };
        let heard = own.iter().find(|seen| replica.has(&seen.id));
        let Some(made) = heard.or_else(|| own.iter().find(unheard)) else {
            let reason = "it was never started".to_owned();
            return self.leave(RuntimeEvent::Exited { id, reason }, id);
        };
        let replica = self.replicas.get_mut(&id).expect("it was there");
        (replica.stage, replica.container) = (Stage::Stopping, Some(made.id.clone()));
        self.go_on(id);
    }

    /// What a replica's end was is known; the last one ends the recovery.
    pub(super) fn recovered(&mut self, id: ReplicaId) {
        if let Phase::Recovering(doubtful) = &mut self.phase
            && doubtful.remove(&id)
            && doubtful.is_empty()
        {
            self.up();
        }
    }

    fn up(&mut self) {
        self.phase = Phase::Up;
        self.tell_inventory();
        if self.told_unavailable {
            self.told_unavailable = false;
            self.tell(RuntimeEvent::Available);
        }
        let ids: Vec<_> = self.replicas.keys().copied().collect();
        for id in ids {
            self.tell_ending(id);
        }
    }

    /// Asks for a list, one at a time.
    pub(super) fn list(&mut self) {
        if self.listing {
            self.list_again = true;
            return;
        }
        (self.listing, self.list_again) = (true, false);
        let revision = self.guests.revision();
        self.spawn(|place, reporter| list::run(place, revision, reporter));
    }

    /// A list while all is well.
    pub(super) fn listed(&mut self, listing: Listing) {
        let Listing { own, others, revision } = listing;
        self.listing = false;
        if revision == self.guests.revision() {
            if self.update_guests(others) && self.phase == Phase::Up {
                self.tell_inventory();
            }
        } else {
            // One of them has ended since; the list may still show it.
            self.list_again = true;
        }
        if self.list_again {
            self.list();
        }
        let running = self.replicas.iter().filter(|(_, replica)| replica.stage == Stage::Running);
        let states: HashMap<_, _> = own.iter().map(|seen| (seen.id.as_str(), seen.state)).collect();
        let lives =
            |key: Option<&String>| key.is_some_and(|key| states.get(key.as_str()) == Some(&State::Running));
        let doubtful: Vec<_> =
            running.filter(|(_, replica)| !lives(replica.container.as_ref())).map(|(id, _)| *id).collect();
        // One that has come up since the list was asked for is found well.
        for id in doubtful {
            self.doubt(id);
        }
        self.rivals.keep(&own);
        self.sweep(own);
    }

    /// Removes the containers of ours that nobody here knows.
    fn sweep(&mut self, own: Vec<Seen>) {
        let Some(place) = self.place.clone() else { return };
        for seen in own {
            if self.is_known(&seen) {
                continue;
            }
            if self.rivals.made(&seen, &place) {
                self.rivals.tell(&seen, &place);
                continue;
            }
            self.remove(seen.id, seen.state == State::Ended, Some(seen.name));
        }
    }

    /// Whether a container is a replica or may be one that is being started just now.
    fn is_known(&self, seen: &Seen) -> bool {
        let name = seen.labels.get(labels::NAME);
        self.offers.contains_key(&seen.id)
            || self.replicas.values().any(|replica| {
                let starting = replica.stage == Stage::Starting && replica.container.is_none();
                replica.has(&seen.id) || (starting && name == Some(&replica.launch.name))
            })
    }

    /// Takes in the containers of others. Whether the pool has to be told.
    fn update_guests(&mut self, others: Vec<Seen>) -> bool {
        let Some(place) = &self.place else { return false };
        let (networks, port) = (place.networks(), self.config.spec.port);
        let mut steps = self.guests.update(others, &networks, port, Instant::now());
        let changed = steps.pop().is_some();
        for step in steps {
            let all = self.own_found().chain(step).collect();
            self.tell(RuntimeEvent::Inventory(all));
        }
        changed
    }

    pub(super) fn tell_inventory(&self) {
        let all = self.own_found().chain(self.guests.found()).collect();
        self.tell(RuntimeEvent::Inventory(all));
    }

    fn own_found(&self) -> impl Iterator<Item = Found> {
        let offers = self.offers.values().map(|offer| Found {
            key: offer.container.clone(),
            name: offer.replica.name.clone(),
            number: Some(offer.replica.number),
            owner: Owner::Balancer,
        });
        let mut found: Vec<_> = offers.collect();
        found.extend(self.replicas.values().filter_map(super::replica::Replica::found));
        found.sort_by_key(|found| found.number);
        found.into_iter()
    }
}
