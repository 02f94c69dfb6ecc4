//! Replicas that exist without this process having started them: those of the balancer before
//! it, those that an orchestrator keeps for several balancers, and those that others run.

use std::time::Instant;

use super::admit::check_capacity;
use super::seat::Seat;
use super::{Action, Pool, name};
use crate::runtime::{Found, Owner, ReplicaId};

impl Pool {
    /// Takes over what there is and lets go of what is not there any more. The first inventory
    /// ends the wait: replicas that are missing are started.
    pub(super) fn take_inventory(&mut self, found: Vec<Found>, now: Instant) {
        let first = std::mem::take(&mut self.unlisted);
        if self.is_stopping() {
            if first {
                self.stop_found(found, now);
            }
            return;
        }
        // What only this balancer keeps, it knows from then on.
        let news = |found: &Found| first || !found.owner.is_balancer();
        let found: Vec<_> = found.into_iter().filter(news).collect();
        self.let_go(&found, now);
        self.renumber(&found);
        // What has a number keeps it, and new ones of ours have theirs before guests take any.
        let (guests, ours): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|found| found.owner == Owner::Discovered);
        self.take_over(ours, now);
        if first {
            self.changed = true;
            self.fill_up(now);
        }
        self.take_over(guests, now);
    }

    /// The runtime gave a replica another number than it was launched with.
    pub(super) fn numbered(&mut self, id: ReplicaId, number: u32) {
        if let Some((from, _)) = self.seat_of(id) {
            self.move_seats(&[(from, number)]);
        }
    }

    /// Seats those that had to wait for room, or for the end of a drain, once there may be some.
    pub(super) fn seat_waiting(&mut self, now: Instant) {
        let room = (self.seats.len(), self.leaving.len(), self.config.max_replicas);
        let changed = std::mem::replace(&mut self.room, room) != room;
        if changed && !self.is_stopping() {
            let waiting = std::mem::take(&mut self.waiting);
            self.take_over(waiting, now);
        }
    }

    /// Removes the seats of replicas that are gone, or that another balancer has removed.
    fn let_go(&mut self, found: &[Found], now: Instant) {
        let is_gone = |seat: &Seat| {
            let shared = matches!(seat.owner, Owner::Orchestrator | Owner::Discovered);
            let known = shared && seat.is_member() && seat.existing.is_some();
            known && !found.iter().any(|found| seat.is_of(found))
        };
        let gone: Vec<_> =
            self.seats.iter().filter(|(_, seat)| is_gone(seat)).map(|(&number, _)| number).collect();
        self.take_out(gone, "it is gone, or was removed elsewhere", now);
        self.waiting.clear();
        self.ignored.retain(|key| found.iter().any(|found| found.key == *key));
    }

    /// Gives replicas the numbers that are kept with them.
    fn renumber(&mut self, found: &[Found]) {
        let own_number = |found: &Found| {
            let (&from, _) = self.seats.iter().find(|(_, seat)| seat.is_member() && seat.is_of(found))?;
            Some((from, found.number?)).filter(|(from, to)| from != to)
        };
        let moves: Vec<_> = found.iter().filter_map(own_number).collect();
        self.move_seats(&moves);
    }

    /// Moves seats to other numbers, all at once. A move onto one that is on the ring or about to
    /// be is left out: the inventory that solves it will come.
    fn move_seats(&mut self, moves: &[(u32, u32)]) {
        let before = self.publication();
        let taken: Vec<_> = moves
            .iter()
            .filter(|(from, to)| from != to)
            .filter_map(|&(from, to)| Some((from, to, self.seats.remove(&from)?)))
            .collect();
        for (from, to, seat) in taken {
            let to = if self.make_room(to) { to } else { self.free_number_from(from) };
            self.put(from, to, seat);
        }
        if self.publication() != before {
            self.publish();
        }
    }

    /// Frees a number if its seat is that of an unfinished `/add`, which has no right to it yet.
    fn make_room(&mut self, number: u32) -> bool {
        let Some(occupant) = self.seats.get(&number) else { return true };
        if occupant.is_member() {
            return false;
        }
        let to = self.free_number_from(1);
        if let Some(seat) = self.seats.remove(&number) {
            self.put(number, to, seat);
        }
        true
    }

    fn put(&mut self, from: u32, to: u32, seat: Seat) {
        for batch in &mut self.batches {
            batch.renumber(from, to, seat.batch);
        }
        self.seats.insert(to, seat);
        self.changed = true;
    }

    /// Makes seats for what has none.
    fn take_over(&mut self, found: Vec<Found>, now: Instant) {
        for found in found {
            if let Some(seat) = self.seats.values_mut().find(|seat| seat.is_of(&found)) {
                // Another balancer has made what this one was about to make.
                if seat.is_member() && seat.owner == Owner::Orchestrator {
                    seat.existing = Some(found.key);
                }
            } else if self.leaving.values().any(|leaving| leaving.key.as_deref() == Some(&found.key)) {
                // It has just been removed here, or comes back before it is let go of.
                self.waiting.push(found);
            } else {
                self.seat_found(found, now);
            }
        }
    }

    fn seat_found(&mut self, found: Found, now: Instant) {
        if let Some(reason) = self.no_room_for(&found) {
            if self.ignored.insert(found.key.clone()) {
                self.out.push(Action::Ignored { name: found.name.clone(), reason });
            }
            return self.waiting.push(found);
        }
        let wanted = found.number.unwrap_or(1);
        if found.owner == Owner::Orchestrator && !self.make_room(wanted) {
            return self.waiting.push(found);
        }
        let number = self.free_number_from(wanted);
        self.ignored.remove(&found.key);
        let mut seat = Seat::new(self.free_name_like(&found.name), found.owner, Some(found.key), None);
        seat.retry_at = Some(now);
        self.seats.insert(number, seat);
        self.changed = true;
    }

    /// Why a replica cannot be taken over. What the balancer owns counts even beyond the limit
    /// on new ones: it is there already.
    fn no_room_for(&self, found: &Found) -> Option<String> {
        let total = self.seats.len() + 1;
        if found.owner == Owner::Discovered && total > self.config.max_replicas as usize {
            return Some(format!("there are {} replicas already (--max-replicas)", self.seats.len()));
        }
        check_capacity(&self.config.ring, total).err().map(|error| error.to_string())
    }

    /// The smallest free number from `wanted` on.
    fn free_number_from(&self, wanted: u32) -> u32 {
        let free = |number: &u32| !self.seats.contains_key(number);
        (wanted..=u32::MAX).chain(1..wanted).find(free).expect("there are fewer seats than numbers")
    }

    /// `wanted`, with a number behind it if it is taken.
    fn free_name_like(&self, wanted: &str) -> String {
        let numbered = |count: u32| {
            let tail = format!("-{count}");
            let room = name::MAX_LENGTH - tail.len();
            format!("{}{tail}", wanted.chars().take(room).collect::<String>())
        };
        let mut names = std::iter::once(wanted.to_owned()).chain((2..).map(numbered));
        names.find(|name| !self.is_taken(name)).expect("there are fewer seats than numbers")
    }

    /// Brings the replicas up to as many as there should be at first. An orchestrator's pool is
    /// filled by the balancer that finds it empty; what the others find is how it is wanted.
    fn fill_up(&mut self, now: Instant) {
        let owner = self.runtime.owner;
        let present = self.seats.values().filter(|seat| seat.owner == owner).count() as u32;
        let wanted = match owner {
            Owner::Balancer => self.config.replicas,
            Owner::Orchestrator if present == 0 => self.config.replicas,
            Owner::Orchestrator | Owner::Others | Owner::Discovered => 0,
        };
        for _ in present..wanted {
            let number = self.free_number_from(1);
            let usual = format!("Server {number}");
            let name = if self.is_taken(&usual) { self.new_name() } else { usual };
            let mut seat = Seat::new(name, owner, None, None);
            seat.retry_at = Some(now);
            self.seats.insert(number, seat);
        }
    }
}
