//! Texts that are looked up by parts of another text, whatever their number.
//!
//! A hash table that borrows nothing from the text that is looked up and copies nothing of it, which
//! that of the standard library cannot do where case does not matter.

/// Texts, each with a value. They differ by more than the case of letters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Index<T> {
    case: Case,
    items: Vec<(Box<[u8]>, T)>,
    /// Lengths of the texts, each once, the longest first.
    lengths: Vec<usize>,
    /// A power of two of them, of which at least half are free: so a search ends at one that is.
    slots: Vec<Slot>,
}

/// Whether the case of letters matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Matters,
    Ignored,
}

/// A place for one item.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slot {
    /// Part of its hash, so that a text is compared only with what is nearly certainly the same.
    tag: u32,
    /// Its index and 1; 0 where there is none.
    item: u32,
}

impl<T> Index<T> {
    pub(super) fn new(case: Case, items: Vec<(String, T)>) -> Self {
        let mut lengths: Vec<_> = items.iter().map(|(text, _)| text.len()).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        let mut slots = vec![Slot { tag: 0, item: 0 }; (2 * items.len()).next_power_of_two()];
        let last = slots.len() - 1;
        for (item, (text, _)) in (1..).zip(&items) {
            let hash = hash(text.as_bytes());
            let mut at = hash as usize;
            while slots[at & last].item != 0 {
                at += 1;
            }
            slots[at & last] = Slot { tag: tag(hash), item };
        }
        let items = items.into_iter().map(|(text, value)| (text.into_bytes().into(), value)).collect();
        Self { case, items, lengths, slots }
    }

    /// The value of `text`.
    pub(super) fn get(&self, text: &[u8]) -> Option<&T> {
        let last = self.slots.len() - 1;
        let hash = hash(text);
        let mut at = hash as usize;
        loop {
            let slot = self.slots.get(at & last).filter(|slot| slot.item != 0)?;
            let (found, value) = &self.items[slot.item as usize - 1];
            if slot.tag == tag(hash) && self.is_same(found, text) {
                return Some(value);
            }
            at += 1;
        }
    }

    /// The values of all parts of another text, the longest first: `part` takes the one of a length.
    pub(super) fn longest_first<'a, 't>(
        &'a self,
        part: impl Fn(usize) -> Option<&'t [u8]>,
    ) -> impl Iterator<Item = &'a T> {
        self.lengths.iter().filter_map(move |length| self.get(part(*length)?))
    }

    fn is_same(&self, found: &[u8], text: &[u8]) -> bool {
        found == text || self.case == Case::Ignored && found.eq_ignore_ascii_case(text)
    }
}

/// A hash that is the same whatever the case of letters. Nobody gains by texts with the same one:
/// those that are kept are the operator's.
fn hash(text: &[u8]) -> u64 {
    const SMALL: u64 = 0x2020_2020_2020_2020;
    let start = text.len() as u64;
    let Some(last) = text.last_chunk() else {
        let word = text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        return mix(start, word | SMALL);
    };
    let (words, _) = text.as_chunks();
    // The last word may repeat part of the one before.
    let words = words.iter().chain(std::iter::once(last)).map(|word| u64::from_le_bytes(*word));
    words.fold(start, |hash, word| mix(hash, word | SMALL))
}

/// The halves of a product folded together: each bit depends on all (as in `wyhash`).
fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ 0xa076_1d64_78bd_642f) * u128::from(word ^ 0xe703_7ed1_a0b4_28db);
    (product >> 64) as u64 ^ product as u64
}

/// Of the half that says least about the place.
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_kept_is_found_and_nothing_else(
            texts in proptest::collection::btree_map("[a-c.-]{0,12}|[a-z/]{0,40}", any::<u8>(), 0..60),
            others in proptest::collection::vec("[a-cA-C.-]{0,12}", 60),
        ) {
            let items = || texts.clone().into_iter().collect();
            let (exact, folded) = (Index::new(Case::Matters, items()), Index::new(Case::Ignored, items()));
            for text in texts.keys().chain(&others) {
                prop_assert_eq!(exact.get(text.as_bytes()), texts.get(text));
                prop_assert_eq!(folded.get(text.as_bytes()), texts.get(&text.to_ascii_lowercase()));
                prop_assert_eq!(folded.get(text.to_ascii_uppercase().as_bytes()), texts.get(&text.to_ascii_lowercase()));
            }
        }

        #[test]
        fn parts_are_found_from_the_longest_on(
            texts in proptest::collection::btree_map("[ab]{0,4}", any::<u8>(), 0..20), text in "[ab]{0,8}",
        ) {
            let index = Index::new(Case::Matters, texts.clone().into_iter().collect());
            let found: Vec<u8> =
                index.longest_first(|length| text.as_bytes().get(..length)).copied().collect();
            let naive = (0..=text.len()).rev().filter_map(|length| texts.get(&text[..length]).copied());
            prop_assert_eq!(found, naive.collect::<Vec<_>>());
        }
    }

    #[test]
    fn texts_spread_over_the_slots() {
        let texts: BTreeMap<_, _> =
            (0..1000).map(|number| (format!("host-{number}.example"), number)).collect();
        let index = Index::new(Case::Ignored, texts.into_iter().collect());
        let full = index.slots.iter().enumerate().filter(|(_, slot)| slot.item != 0);
        let last = index.slots.len() - 1;
        let steps = full.map(|(at, slot)| {
            let (text, _) = &index.items[slot.item as usize - 1];
            at.wrapping_sub(hash(text) as usize) & last
        });
        // By chance it is 0.5 for each at most, and 12 for the longest search.
        let steps: Vec<_> = steps.collect();
        assert!(steps.iter().sum::<usize>() < 700 && steps.iter().all(|steps| *steps < 24), "{steps:?}");
    }
}
