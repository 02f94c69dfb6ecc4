//! Sequences of add, remove, heal, weigh and look up on any parameters, against the naive ring.
//!
//! After each step the ring equals the naive one of the same members, whether it was built from
//! nothing or from the one before; and the step moved what it may: without capacities a new highest
//! number only takes slots, healing moves none, what is refused changes none.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringherd::ring::{Node, Placement, Ring, slots_moved};
use ringherd_fuzz::SmallRing;
use ringherd_fuzz::model::{Naive, request_slot};

#[derive(Arbitrary, Debug)]
enum Step {
    /// The smallest free number, at a weight modulo 101.
    Add(u8),
    /// The member at this index, modulo their count.
    Remove(u8),
    /// Remove that member, then add its number again.
    Heal(u8),
    Weigh(u8, u8),
    LookUp(u64),
}

#[derive(Arbitrary, Debug)]
struct Case {
    params: SmallRing,
    steps: Vec<Step>,
}

/// Steps of one execution.
const MOST_STEPS: usize = 24;

struct Herd {
    case: SmallRing,
    /// Number to weight.
    members: BTreeMap<u32, u8>,
    ring: Ring,
}

impl Herd {
    fn nodes(&self) -> Vec<Node> {
        self.members.iter().map(|(&number, &weight)| Node { number, weight }).collect()
    }

    /// The number of a member, chosen by `index`.
    fn choose(&self, index: u8) -> Option<u32> {
        let count = self.members.len().max(1);
        self.members.keys().nth(usize::from(index) % count).copied()
    }

    /// Builds the ring of the members, compares it, and returns the one before.
    fn rebuild(&mut self) -> Ring {
        let mut nodes = self.nodes();
        // The order of the members must not matter.
        nodes.reverse();
        let ring = Ring::build(&self.case.0, &nodes).expect("no more members than fit");
        let renewed = self.ring.rebuild(&self.case.0, &nodes).expect("no more members than fit");
        let naive = Naive::build(&self.case.0, &nodes);
        assert_eq!(ring.longest_probe(), naive.longest_probe());
        for slot in 0..self.case.0.slots() {
            assert_eq!(ring.owner_number(slot), naive.owner(slot), "owner of slot {slot}");
            assert_eq!(renewed.owner_number(slot), naive.owner(slot), "owner of slot {slot}, renewed");
        }
        std::mem::replace(&mut self.ring, ring)
    }

    fn add(&mut self, weight: u8) {
        let number = (1..).find(|number| !self.members.contains_key(number)).expect("few members");
        self.members.insert(number, weight % 101);
        if self.members.len() > self.case.0.capacity() as usize {
            Ring::build(&self.case.0, &self.nodes()).expect_err("more members than fit");
            self.members.remove(&number);
            return;
        }
        let before = self.rebuild();
        let alone = self.case.0.placement() != Placement::Balanced;
        if alone && self.members.keys().last() == Some(&number) {
            let taken = *self.ring.slots_owned().last().expect("a member was added");
            assert_eq!(
                slots_moved(&before, &self.ring),
                Some(taken),
                "a new highest number only takes slots"
            );
        }
    }

    fn remove(&mut self, number: u32) {
        self.members.remove(&number);
        self.rebuild();
    }

    fn heal(&mut self, number: u32) {
        let weight = self.members.remove(&number).expect("a member");
        let healthy = self.rebuild();
        self.members.insert(number, weight);
        self.rebuild();
        assert_eq!(slots_moved(&healthy, &self.ring), Some(0), "healing moves nothing");
    }

    fn look_up(&self, request: u64) {
        let slot = self.ring.slot_of(request);
        assert_eq!(slot, request_slot(self.case.0.family(), self.case.0.slots(), request));
        let order: Vec<u32> =
            self.ring.preference(slot).map(|index| self.ring.nodes()[index].number).collect();
        assert_eq!(order, Naive::build(&self.case.0, &self.nodes()).preference(slot));
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Add(weight) => self.add(weight),
            Step::LookUp(request) => self.look_up(request),
            Step::Remove(index) | Step::Heal(index) | Step::Weigh(index, _) => {
                let Some(number) = self.choose(index) else { return };
                match *step {
                    Step::Heal(_) => self.heal(number),
                    Step::Weigh(_, weight) => {
                        self.members.insert(number, weight % 101);
                        self.rebuild();
                    }
                    _ => self.remove(number),
                }
            }
        }
    }
}

fuzz_target!(|case: Case| {
    let ring = Ring::build(&case.params.0, &[]).expect("an empty ring");
    let mut herd = Herd { case: case.params, members: BTreeMap::new(), ring };
    case.steps.iter().take(MOST_STEPS).for_each(|step| herd.step(step));
});
