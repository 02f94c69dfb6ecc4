//! Replicas that exist without this process having started them: those of the balancer before
//! it, those that an orchestrator keeps for several balancers, and those that others run.

use std::collections::BTreeSet;
use std::time::Instant;

use super::admit::check_capacity;
use super::members::{self, BESIDE, Member};
use super::{Action, Pool, name};
use crate::runtime::{Found, Owner, Place, ReplicaId};

/// What was found, and could not be taken over yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Inventory {
    /// Whether the runtime has yet to tell which replicas there are.
    pub(super) unlisted: bool,
    /// Found, but there is no room for them yet.
    waiting: Vec<Found>,
    /// What decided that, when last looked at: members, departures, and the limit.
    room: (usize, usize, u32),
    /// Keys of those that cannot be taken over, to tell once.
    ignored: BTreeSet<String>,
}

impl Inventory {
    pub(super) fn new(unlisted: bool) -> Self {
        Self { unlisted, ..Self::default() }
    }
}

impl Pool {
    /// Takes over what there is and lets go of what is not there any more. The first inventory
    /// ends the wait: replicas that are missing are started.
    pub(super) fn take_inventory(&mut self, found: Vec<Found>, now: Instant) {
        let first = std::mem::take(&mut self.inventory.unlisted);
        if self.is_stopping() {
            if first {
                self.stop_found(found, now);
            }
            return;
        }
        // What only this balancer keeps, it knows from then on.
        let news = |found: &Found| first || !found.owner.is_balancer();
        let found: Vec<_> = found.into_iter().filter(news).collect();
        self.release_deployed(&found, now);
        self.note_claims(&found);
        self.let_go(&found, now);
        self.renumber(&found, now);
        // What has a number keeps it, and new ones of ours have theirs before those of others
        // take any.
        let (theirs, ours): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|found| found.owner == Owner::Discovered);
        self.take_over(ours.clone(), now);
        if first {
            self.changed = true;
            self.take_up_revisions();
            self.fill_up(now);
        }
        self.follow_others(&ours, now);
        self.take_over(theirs, now);
    }

    /// The runtime gave a replica another number than it was launched with.
    pub(super) fn numbered(&mut self, id: ReplicaId, number: u32) {
        if let Some(from) = self.members.number_of(id) {
            self.move_members(&[(from, number)]);
        }
    }

    /// Takes over those that had to wait for room, or for the end of a drain, once there may be
    /// some. Returns whether there may.
    pub(super) fn take_over_waiting(&mut self, now: Instant) -> bool {
        let room = (self.members.len(), self.departures.len(), self.config.max_replicas);
        let changed = std::mem::replace(&mut self.inventory.room, room) != room;
        if changed && !self.is_stopping() {
            let waiting = std::mem::take(&mut self.inventory.waiting);
            self.take_over(waiting, now);
        }
        changed
    }

    /// Lets members go whose replicas are gone, or were removed by another balancer. Those whose numbers others have stay
    /// until these are there.
    fn let_go(&mut self, found: &[Found], now: Instant) {
        let present = members::identities(found);
        let is_gone = |member: &Member| {
            let shared = matches!(member.owner(), Owner::Orchestrator | Owner::Discovered);
            shared && member.is_full() && member.existing().is_some() && !member.is_among(&present)
        };
        let gone = self.members.iter().filter(|(_, member)| is_gone(member)).map(|(number, _)| number);
        let gone: Vec<_> = gone.filter(|number| !self.is_claimed(*number)).collect();
        for number in &gone {
            self.drop_from_deploy(*number, now);
        }
        self.take_out(gone, "it is gone, or was removed elsewhere", now);
        self.inventory.waiting.clear();
        let keys: BTreeSet<_> = found.iter().map(|found| found.key.as_str()).collect();
        self.departures.note_listed(&keys);
        self.inventory.ignored.retain(|key| keys.contains(key.as_str()));
    }

    /// Gives replicas the numbers that are kept with them.
    fn renumber(&mut self, found: &[Found], now: Instant) {
        let own_number = |found: &Found| {
            let from = self.members.number_of_found(found)?;
            self.members.get(from).filter(|member| member.is_full())?;
            Some((from, found.number?)).filter(|(from, to)| from != to)
        };
        let moves: Vec<_> = found.iter().filter_map(own_number).collect();
        for (from, _) in &moves {
            if self.is_of_deploy(*from) {
                self.fail_deploy("another balancer of this pool has given a replica another number");
                self.drop_from_deploy(*from, now);
            }
        }
        self.move_members(&moves);
    }

    /// Moves members to other numbers, all at once. A move onto one that is on the ring or about
    /// to be is left out: the inventory that solves it will come.
    fn move_members(&mut self, moves: &[(u32, u32)]) {
        let mut taken = Vec::new();
        for &(from, to) in moves.iter().filter(|(from, to)| from != to) {
            let Some(member) = self.members.remove(from) else { continue };
            // Somebody else of the same `/add` may get that number before it has another.
            if let Some(ticket) = member.addition {
                self.additions.renumber(ticket, from, BESIDE + from);
            }
            taken.push((from, to, member));
        }
        let mut listed_moved = false;
        for (from, to, member) in taken {
            let to = if self.make_room(to) { to } else { self.members.free_number_from(from) };
            listed_moved |= from != to && member.listed.is_some();
            self.put(BESIDE + from, to, member);
        }
        if listed_moved {
            self.publish();
        }
    }

    /// Frees a number if its member is that of an unfinished `/add`, which has no right to it yet.
    fn make_room(&mut self, number: u32) -> bool {
        let Some(occupant) = self.members.get(number) else { return true };
        if occupant.is_full() {
            return false;
        }
        let to = self.members.free_number();
        if let Some(member) = self.members.remove(number) {
            self.put(number, to, member);
        }
        true
    }

    fn put(&mut self, from: u32, to: u32, member: Member) {
        if let Some(ticket) = member.addition {
            self.additions.renumber(ticket, from, to);
        }
        self.members.insert(to, member);
        self.follow_waiting(to);
    }

    /// Makes members of what is none.
    fn take_over(&mut self, found: Vec<Found>, now: Instant) {
        for found in found {
            if let Some(number) = self.members.number_of_found(&found) {
                // Another balancer has made what this one was about to make.
                let orchestrated =
                    |member: &Member| member.is_full() && member.owner() == Owner::Orchestrator;
                if self.members.get(number).is_some_and(orchestrated) {
                    self.members.set_existing(number, Some(found.key));
                }
            } else if found.place == Place::Beside {
                // It has no number, and is another balancer's to judge.
            } else if found.owner == Owner::Orchestrator && self.departures.is_still_listed(&found.key) {
                // It has just been removed here: what was there was looked at before that.
            } else if self.departures.contains_key(&found.key) {
                // It comes back before it is let go of.
                self.inventory.waiting.push(found);
            } else {
                self.join(found, now);
            }
        }
    }

    fn join(&mut self, found: Found, now: Instant) {
        if self.has_claim(&found) {
            return;
        }
        if let Some(reason) = self.no_room_for(&found) {
            if self.inventory.ignored.insert(found.key.clone()) {
                self.out.push(Action::Ignored { name: found.name.clone(), reason });
            }
            return self.inventory.waiting.push(found);
        }
        let wanted = found.number.unwrap_or(1);
        if found.owner == Owner::Orchestrator && !self.make_room(wanted) {
            return self.inventory.waiting.push(found);
        }
        let number = self.members.free_number_from(wanted);
        self.inventory.ignored.remove(&found.key);
        let name = self.free_name_like(&found.name);
        let mut member = Member::new(name, found.owner, Some(found.key), None, now);
        member.revision = self.revision_of_found(&found.revision);
        self.members.insert(number, member);
    }

    /// Why a replica cannot be taken over. What the balancer owns counts even beyond the limit
    /// on new ones: it is there already.
    fn no_room_for(&self, found: &Found) -> Option<String> {
        let present = self.members.len();
        if found.owner == Owner::Discovered && present >= self.config.max_replicas as usize {
            return Some(format!("there are {present} replicas already (--max-replicas)"));
        }
        check_capacity(&self.config.ring, present + 1).err().map(|error| error.to_string())
    }

    /// `wanted`, with a number behind it if it is taken.
    pub(super) fn free_name_like(&self, wanted: &str) -> String {
        let numbered = |count: u32| {
            let tail = format!("-{count}");
            let room = name::MAX_LENGTH - tail.len();
            format!("{}{tail}", wanted.chars().take(room).collect::<String>())
        };
        let mut names = std::iter::once(wanted.to_owned()).chain((2..).map(numbered));
        names.find(|name| !self.is_taken(name)).expect("there are fewer members than numbers")
    }

    /// Brings the replicas up to as many as there should be at first. An orchestrator's pool is
    /// filled by the balancer that finds it empty; what the others find is how it is wanted.
    fn fill_up(&mut self, now: Instant) {
        let owner = self.runtime.owner;
        let present = self.members.iter().filter(|(_, member)| member.owner() == owner).count() as u32;
        let wanted = match owner {
            Owner::Balancer => self.config.replicas,
            Owner::Orchestrator if present == 0 => self.config.replicas,
            Owner::Orchestrator | Owner::Others | Owner::Discovered => 0,
        };
        for _ in present..wanted {
            let number = self.members.free_number();
            let usual = format!("Server {number}");
            let name = if self.is_taken(&usual) { self.new_name() } else { usual };
            let member = self.new_member(name, None, None, now);
            self.members.insert(number, member);
        }
    }
}
