//! The members of a pool: one for each number in use, with the instances that fill it one after
//! another, and the indexes they are found by. Only records; what happens to them is decided
//! elsewhere.
//!
//! Invariants: an index holds exactly the members that a scan would find. What an index depends
//! on (name, instance, what the runtime knows a replica by) changes through [`Members`] alone.
//! Whoever changes a member leaves its number in the list of those that were touched, from which
//! its deadlines are renewed.

mod member;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use fxhash::{FxHashMap, FxHashSet};

pub(super) use member::{BESIDE, Instance, Member, Phase, identities, of_ring};

use crate::control::name;
use crate::names::FoldedName;
use crate::runtime::{Found, Owner, ReplicaId};
use member::{Identity, identity};

/// All members, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    by_number: BTreeMap<u32, Member>,
    by_instance: FxHashMap<ReplicaId, u32>,
    /// By folded name.
    by_name: FxHashMap<FoldedName, u32>,
    by_identity: FxHashMap<Identity, u32>,
    /// Every number below it is taken.
    first_free: u32,
    /// Numbers whose member may have other deadlines than before.
    touched: Vec<u32>,
    /// Numbers whose member may be shown differently than before.
    changed: FxHashSet<u32>,
}

impl Members {
    /// How many have a number on the ring, or are to.
    pub(super) fn len(&self) -> usize {
        self.by_number.len() - self.beside_len()
    }

    /// How many stand beside those.
    pub(super) fn beside_len(&self) -> usize {
        self.by_number.range(BESIDE..).count()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Member)> {
        self.by_number.iter().map(|(&number, member)| (number, member))
    }

    pub(super) fn numbers(&self) -> Vec<u32> {
        self.by_number.keys().copied().collect()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Member> {
        self.by_number.get(&number)
    }

    /// The member to change; counts as touched.
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Member> {
        let member = self.by_number.get_mut(&number)?;
        self.touched.push(number);
        Some(member)
    }

    /// The number whose living instance is `id`.
    pub(super) fn number_of(&self, id: ReplicaId) -> Option<u32> {
        self.by_instance.get(&id).copied()
    }

    /// The number of the member whose living instance is `id`, and the member to change.
    pub(super) fn of_mut(&mut self, id: ReplicaId) -> Option<(u32, &mut Member)> {
        let number = self.number_of(id)?;
        Some((number, self.get_mut(number)?))
    }

    /// The number called `name`, also one of an unfinished `/add`.
    pub(super) fn named(&self, name: &str) -> Option<u32> {
        self.by_name.get(&name::fold(name)).copied()
    }

    /// The number whose replica was found.
    pub(super) fn number_of_found(&self, found: &Found) -> Option<u32> {
        self.number_of_key(found.owner, &found.key)
    }

    /// The number whose replica the runtime knows by `key`.
    pub(super) fn number_of_key(&self, owner: Owner, key: &str) -> Option<u32> {
        self.by_identity.get(&identity(owner, key)).copied()
    }

    /// The smallest free number.
    pub(super) fn free_number(&mut self) -> u32 {
        self.free_number_from(1)
    }

    /// The smallest free number from `wanted` on.
    pub(super) fn free_number_from(&mut self, wanted: u32) -> u32 {
        let from = wanted.max(self.first_free).max(1);
        let mut free = from;
        for (&number, _) in self.by_number.range(from..) {
            if number != free {
                break;
            }
            free = free.checked_add(1).expect("there are fewer members than numbers");
        }
        if wanted <= self.first_free.max(1) {
            self.first_free = free;
        }
        free
    }

    /// Takes in a member under a free number.
    pub(super) fn insert(&mut self, number: u32, member: Member) {
        self.by_name.insert(name::fold(&member.name), number);
        if let Some(instance) = &member.instance {
            self.by_instance.insert(instance.id, number);
        }
        if let Some(identity) = member.identity() {
            self.by_identity.insert(identity, number);
        }
        match self.by_number.entry(number) {
            Entry::Vacant(vacant) => vacant.insert(member),
            Entry::Occupied(_) => unreachable!("number {number} is taken"),
        };
        self.touched.push(number);
        self.changed.insert(number);
    }

    /// Lets a member go.
    pub(super) fn remove(&mut self, number: u32) -> Option<Member> {
        let member = self.by_number.remove(&number)?;
        self.by_name.remove(&name::fold(&member.name));
        if let Some(instance) = &member.instance {
            self.by_instance.remove(&instance.id);
        }
        if let Some(identity) = member.identity() {
            self.by_identity.remove(&identity);
        }
        self.first_free = self.first_free.min(number);
        self.touched.push(number);
        self.changed.insert(number);
        Some(member)
    }

    /// Two replicas change places, with all that is known of them; the numbers stay what they are.
    pub(super) fn exchange(&mut self, one: u32, other: u32) {
        if !self.by_number.contains_key(&one) || !self.by_number.contains_key(&other) {
            return;
        }
        if let (Some(mut first), Some(mut second)) = (self.remove(one), self.remove(other)) {
            first.exchange(&mut second);
            self.insert(one, first);
            self.insert(other, second);
        }
    }

    /// Gives a member another name, which is free.
    pub(super) fn rename(&mut self, number: u32, name: String) {
        self.edit(number, |member| member.name = name);
    }

    /// Says what the runtime knows its replica by.
    pub(super) fn set_existing(&mut self, number: u32, existing: Option<String>) {
        self.edit(number, |member| member.existing = existing);
    }

    /// Fills a member with a new instance, or empties it; returns the one before.
    pub(super) fn set_instance(&mut self, number: u32, instance: Option<Instance>) -> Option<Instance> {
        let member = self.by_number.get_mut(&number)?;
        let before = std::mem::replace(&mut member.instance, instance);
        if let Some(before) = &before {
            self.by_instance.remove(&before.id);
        }
        if let Some(instance) = &member.instance {
            self.by_instance.insert(instance.id, number);
        }
        self.touched.push(number);
        self.changed.insert(number);
        before
    }

    fn edit(&mut self, number: u32, edit: impl FnOnce(&mut Member)) {
        if let Some(mut member) = self.remove(number) {
            edit(&mut member);
            self.insert(number, member);
        }
    }

    /// A member is shown differently from now on.
    pub(super) fn show(&mut self, number: u32) {
        self.changed.insert(number);
    }

    /// A member may have other deadlines than before.
    pub(super) fn touch(&mut self, number: u32) {
        self.touched.push(number);
    }

    /// All may have other deadlines than before.
    pub(super) fn touch_all(&mut self) {
        self.touched.extend(self.by_number.keys());
    }

    /// All are shown differently from now on.
    pub(super) fn show_all(&mut self) {
        self.changed.extend(self.by_number.keys());
    }

    /// Those whose deadlines are to be renewed, since the last call.
    pub(super) fn take_touched(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.touched)
    }

    /// Those that may be shown differently, since the last call; also of members that are gone.
    pub(super) fn take_changed(&mut self) -> Vec<u32> {
        self.changed.drain().collect()
    }

    /// Asserts that the indexes hold what a scan finds.
    #[cfg(any(test, feature = "test-util"))]
    pub(super) fn check_indexes(&self) {
        let mut instances = 0;
        let mut identities = 0;
        for (number, member) in self.iter() {
            assert_eq!(self.named(&member.name), Some(number), "by name: {member:?}");
            if let Some(instance) = &member.instance {
                instances += 1;
                assert_eq!(self.number_of(instance.id), Some(number), "by instance: {member:?}");
            }
            if let Some(identity) = member.identity() {
                identities += 1;
                assert_eq!(self.by_identity.get(&identity), Some(&number), "by identity: {member:?}");
            }
        }
        let sizes = (self.by_name.len(), self.by_instance.len(), self.by_identity.len());
        assert_eq!(sizes, (self.by_number.len(), instances, identities), "an index holds what is gone");
        assert!(
            (1..self.first_free).all(|number| self.by_number.contains_key(&number)),
            "{}",
            self.first_free
        );
    }
}
