//! Puts virtual nodes onto free slots, fast at any load.
//!
//! Knows which slots are taken, not by whom. The slots found are exactly those that trying the
//! probing sequence from its beginning would find. What differs is that slots known to be taken
//! are not looked at again: slots are never freed while a ring is built.

use super::Sequence;

/// Where a virtual node went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its slot.
    pub slot: u32,
    /// How many steps of the probing sequence were needed: 0 where the first slot was free.
    pub steps: u32,
}

/// A circle of slots that fills up.
#[derive(Clone, Debug)]
pub struct Placer {
    sequence: Sequence,
    free: u32,
    known: Known,
}

/// What is known about taken slots.
#[derive(Clone, Debug)]
enum Known {
    /// For each slot, itself while free, and a later slot with only taken ones between once
    /// taken: a union-find forest whose roots are the free slots. Plain linear probing takes
    /// time quadratic in the length of a cluster, and nearby first slots make long clusters.
    Next(Box<[u32]>),
    /// For each slot, whether it is taken, and how many steps of the sequence that begins there
    /// are known to lead to taken slots. Where many virtual nodes share a first slot each
    /// continues where the one before it ended.
    Steps { taken: Box<[bool]>, steps: Box<[u32]> },
}

impl Placer {
    /// A circle with all slots free.
    pub fn new(sequence: Sequence) -> Self {
        let slots = sequence.slots();
        let known = if sequence.is_linear() {
            Known::Next((0..slots).collect())
        } else {
            Known::Steps {
                taken: vec![false; slots as usize].into_boxed_slice(),
                steps: vec![0; slots as usize].into_boxed_slice(),
            }
        };
        Self { sequence, free: slots, known }
    }

    /// Takes the first free slot of the sequence that begins at `first`; `None` when no slot is
    /// free, or `first` is not a slot.
    pub fn place(&mut self, first: u32) -> Option<Placed> {
        let slots = self.sequence.slots();
        if self.free == 0 || first >= slots {
            return None;
        }
        self.free -= 1;
        Some(match &mut self.known {
            Known::Next(next) => {
                let slot = root(next, first);
                next[slot as usize] = (slot + 1) % slots;
                Placed { slot, steps: (slot + slots - first) % slots }
            }
            Known::Steps { taken, steps } => {
                let known = &mut steps[first as usize];
                if *known == 0 && !taken[first as usize] {
                    taken[first as usize] = true;
                    return Some(Placed { slot: first, steps: 0 });
                }
                while taken[self.sequence.slot(first, *known) as usize] {
                    *known += 1;
                }
                let placed = Placed { slot: self.sequence.slot(first, *known), steps: *known };
                taken[placed.slot as usize] = true;
                placed
            }
        })
    }
}

/// The free slot at or after `slot`. Ends because one is free; halves the paths it walks.
fn root(next: &mut [u32], mut slot: u32) -> u32 {
    while next[slot as usize] != slot {
        let after = next[next[slot as usize] as usize];
        next[slot as usize] = after;
        slot = after;
    }
    slot
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ring::Probing;

    /// The definition: the sequence from its beginning.
    fn naive(sequence: Sequence, taken: &mut [bool], first: u32) -> Option<Placed> {
        let steps = (0..sequence.slots()).find(|&n| !taken[sequence.slot(first, n) as usize])?;
        let slot = sequence.slot(first, steps);
        taken[slot as usize] = true;
        Some(Placed { slot, steps })
    }

    proptest! {
        #[test]
        fn finds_what_the_definition_finds(
            linear: bool,
            size in prop::sample::select(vec![1_u32, 2, 3, 7, 8, 11, 64, 67, 128, 131]),
            firsts in prop::collection::vec(any::<prop::sample::Index>(), 0..150),
            spread in 1_u32..=131,
        ) {
            let probing = if linear { Probing::Linear } else { Probing::Quadratic };
            let sequence = Sequence::new(probing, size).unwrap();
            let (mut placer, mut taken) = (Placer::new(sequence), vec![false; size as usize]);
            for first in firsts {
                // A small spread makes for many equal first slots.
                let first = first.index(spread.min(size) as usize) as u32;
                prop_assert_eq!(placer.place(first), naive(sequence, &mut taken, first));
            }
        }
    }

    #[test]
    fn a_slot_that_does_not_exist_takes_nothing() {
        let mut placer = Placer::new(Sequence::new(Probing::Linear, 2).unwrap());
        assert_eq!(placer.place(2), None);
        assert!(placer.place(1).is_some() && placer.place(1).is_some() && placer.place(1).is_none());
    }
}
