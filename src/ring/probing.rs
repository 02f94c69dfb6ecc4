//! Probing sequences: where a virtual node looks for a free slot.
//!
//! Each visits every one of `M` slots within `M` steps, so that a free slot is always found.

use super::sizes::{is_quadratic, nearest_quadratic};
use super::{MAX_SLOTS, ParamsError, Probing};

/// The slots `s + d(n) mod M` for n = 0, 1, 2, … of one probing rule and one `M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    step: Step,
    slots: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// `d(n) = n`
    Linear,
    /// `d(n) = n(n + 1)/2`: distinct modulo a power of two for n below it.
    Triangular,
    /// `d = 0, +1, −1, +4, −4, +9, −9, …`: distinct modulo a prime of the form 4n + 3, because
    /// −1 is not a square there and so no +k² meets a −k².
    Alternating,
}

impl Sequence {
    /// The sequence of `probing` on `slots` slots (1 to [`MAX_SLOTS`]); an error where it would
    /// not visit them all.
    pub fn new(probing: Probing, slots: u32) -> Result<Self, ParamsError> {
        if !(1..=MAX_SLOTS).contains(&slots) {
            return Err(ParamsError::Slots { slots });
        }
        let step = match probing {
            Probing::Linear => Step::Linear,
            Probing::Quadratic if slots.is_power_of_two() => Step::Triangular,
            Probing::Quadratic if is_quadratic(slots) => Step::Alternating,
            Probing::Quadratic => {
                let (below, above) = nearest_quadratic(slots);
                return Err(ParamsError::Quadratic { slots, below, above });
            }
        };
        Ok(Self { step, slots })
    }

    /// `M`.
    pub fn slots(self) -> u32 {
        self.slots
    }

    /// Whether the sequence is `d(n) = n`.
    pub(super) fn is_linear(self) -> bool {
        self.step == Step::Linear
    }

    /// The slot looked at after `n` steps from `first`; `first` and `n` are below `M`.
    #[inline]
    pub fn slot(self, first: u32, n: u32) -> u32 {
        let (first, n, slots) = (u64::from(first), u64::from(n), u64::from(self.slots));
        // All below 2⁴⁸, since `M` is at most 2²⁴.
        let at = match self.step {
            Step::Linear => first + n,
            Step::Triangular => first + n * (n + 1) / 2,
            Step::Alternating => {
                let root = n.div_ceil(2);
                let square = root * root % slots;
                first + if n % 2 == 1 { square } else { slots - square }
            }
        };
        (at % slots) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_steps(probing: Probing, slots: u32, first: u32, count: u32) -> Vec<u32> {
        let sequence = Sequence::new(probing, slots).unwrap();
        (0..count).map(|n| sequence.slot(first, n)).collect()
    }

    #[test]
    fn the_steps_are_those_of_the_definition() {
        assert_eq!(first_steps(Probing::Linear, 10, 8, 4), [8, 9, 0, 1]);
        assert_eq!(first_steps(Probing::Quadratic, 512, 510, 5), [510, 511, 1, 4, 8]);
        assert_eq!(first_steps(Probing::Quadratic, 503, 2, 7), [2, 3, 1, 6, 501, 11, 496]);
    }

    #[test]
    fn every_slot_is_visited_at_every_accepted_size() {
        for slots in 1..1_100 {
            for &probing in Probing::ALL {
                let Ok(sequence) = Sequence::new(probing, slots) else { continue };
                let mut seen = vec![false; slots as usize];
                (0..slots).for_each(|n| seen[sequence.slot(slots / 3, n) as usize] = true);
                assert!(seen.into_iter().all(|visited| visited), "{probing} on {slots} slots");
            }
        }
    }

    #[test]
    fn plain_squares_or_these_steps_on_another_size_would_miss_slots() {
        let visited = |step, slots| {
            let sequence = Sequence { step, slots };
            (0..slots).map(|n| sequence.slot(0, n)).collect::<std::collections::HashSet<u32>>().len()
        };
        assert!(visited(Step::Triangular, 503) < 503);
        assert!(visited(Step::Alternating, 512) < 512);
        // A prime of the form 4n + 1, where −1 is a square: half of the slots.
        assert_eq!(visited(Step::Alternating, 509), 255);
        assert!(Sequence::new(Probing::Quadratic, 509).is_err());
    }
}
