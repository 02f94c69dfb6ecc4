//! Probing sequences and placements, for any number of slots: either refused with valid
//! neighbours, or every slot is visited and each placement is the first free one.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringherd::ring::{MAX_SLOTS, ParamsError, Placed, Placer, Probing, Sequence};
use ringherd_fuzz::model::probe;

#[derive(Arbitrary, Debug)]
struct Case {
    linear: bool,
    slots: u32,
    /// Whether to use a size at which all slots can be walked.
    small: bool,
    firsts: Vec<u16>,
}

/// Slots of a circle that is walked, and placements on it.
const SMALL: u32 = 600;
const MOST_PLACEMENTS: usize = 300;

fn check_refusal(slots: u32, error: &ParamsError) {
    match *error {
        ParamsError::Slots { slots: named } => assert!(named == slots && (slots == 0 || slots > MAX_SLOTS)),
        ParamsError::Quadratic { slots: named, below, above } => {
            assert_eq!(named, slots);
            assert!(below.is_some() || above.is_some());
            for size in [below, above].into_iter().flatten() {
                assert!(Sequence::new(Probing::Quadratic, size).is_ok(), "{size} is no better than {slots}");
            }
            assert!(below.is_none_or(|size| size < slots) && above.is_none_or(|size| size > slots));
        }
        ref other => panic!("not an error of a sequence: {other}"),
    }
}

fn check_visits(probing: Probing, sequence: Sequence) {
    let slots = sequence.slots();
    let mut seen = vec![false; slots as usize];
    for n in 0..slots {
        let slot = sequence.slot(slots - 1, n);
        assert_eq!(slot, probe(probing, slots, slots - 1, n));
        assert!(!std::mem::replace(&mut seen[slot as usize], true), "slot {slot} twice");
    }
}

fn check_placements(probing: Probing, sequence: Sequence, firsts: &[u16]) {
    let slots = sequence.slots();
    let (mut placer, mut taken) = (Placer::new(sequence), vec![false; slots as usize]);
    for first in firsts.iter().take(MOST_PLACEMENTS).map(|&first| u32::from(first) % slots) {
        let steps = (0..slots).find(|&n| !taken[probe(probing, slots, first, n) as usize]);
        let placed = steps.map(|steps| Placed { slot: probe(probing, slots, first, steps), steps });
        assert_eq!(placer.place(first), placed);
        placed.into_iter().for_each(|placed| taken[placed.slot as usize] = true);
    }
}

fuzz_target!(|case: Case| {
    let probing = if case.linear { Probing::Linear } else { Probing::Quadratic };
    let slots = if case.small { case.slots % SMALL } else { case.slots };
    match Sequence::new(probing, slots) {
        Err(error) => check_refusal(slots, &error),
        Ok(sequence) if slots <= SMALL => {
            check_visits(probing, sequence);
            check_placements(probing, sequence, &case.firsts);
        }
        Ok(sequence) => {
            for first in case.firsts.iter().take(MOST_PLACEMENTS).map(|&first| u32::from(first) % slots) {
                let n = (first * 257) % slots;
                assert_eq!(sequence.slot(first, n), probe(probing, slots, first, n));
            }
        }
    }
});
