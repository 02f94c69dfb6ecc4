//! What a change of the ring costs.

use super::Ring;

/// How many slots have another owner (by number) in `after` than in `before`, a slot without an
/// owner included. `None` where a slot does not stand for the same request ids in both, because
/// family or number of slots differ.
pub fn slots_moved(before: &Ring, after: &Ring) -> Option<u32> {
    let (old, new) = (before.params(), after.params());
    if (old.family(), old.slots()) != (new.family(), new.slots()) {
        return None;
    }
    let moved = (0..new.slots()).filter(|&slot| before.owner_number(slot) != after.owner_number(slot));
    Some(moved.count() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Family, Node, Params, Placement, Probing};

    fn ring(family: Family, slots: u32, numbers: &[u32]) -> Ring {
        let params = Params::new(family, Probing::Quadratic, Placement::Ring, slots, 9).unwrap();
        Ring::build(&params, &numbers.iter().copied().map(Node::new).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn all_slots_move_to_the_first_replica_and_none_to_itself() {
        let (none, one) = (ring(Family::Modified, 503, &[]), ring(Family::Modified, 503, &[1]));
        assert_eq!(slots_moved(&none, &one), Some(503));
        assert_eq!(slots_moved(&one, &ring(Family::Modified, 503, &[7])), Some(503));
        assert_eq!(slots_moved(&one, &one), Some(0));
        assert_eq!(slots_moved(&none, &none), Some(0));
    }

    #[test]
    fn rings_of_another_kind_cannot_be_compared() {
        let one = ring(Family::Modified, 503, &[1]);
        assert_eq!(slots_moved(&one, &ring(Family::Modified, 512, &[1])), None);
        assert_eq!(slots_moved(&one, &ring(Family::Classic, 503, &[1])), None);
    }
}
