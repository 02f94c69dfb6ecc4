//! The lookup table of Maglev: D. Eisenbud and others, "Maglev: A Fast and Reliable Software Network Load
//! Balancer", NSDI 2016, section 3.4.

use sha2::{Digest, Sha256};

/// Entries of the table: the smaller size of the paper, and Envoy's default.
const ENTRIES: u32 = 65_537;

/// The table of these replicas: for each entry the number of the replica that it belongs to.
pub(super) fn table(numbers: &[u32]) -> Vec<u32> {
    let permutations: Vec<(u32, u32)> = numbers.iter().map(|&number| permutation(number)).collect();
    populated(ENTRIES, &permutations).into_iter().map(|index| numbers[index]).collect()
}

/// Offset and skip of a replica's permutation of the entries. From SHA-256, so that what is uneven is not
/// for want of a hash function.
fn permutation(number: u32) -> (u32, u32) {
    let digest = Sha256::digest(format!("Server {number}"));
    let part = |at: usize| digest[at..at + 8].iter().fold(0, |part, &byte| part << 8 | u64::from(byte));
    ((part(0) % u64::from(ENTRIES)) as u32, (part(8) % u64::from(ENTRIES - 1) + 1) as u32)
}

/// For each of `entries`, a prime, the index of its owner: all take turns, and each takes the first free
/// one of its permutation.
fn populated(entries: u32, permutations: &[(u32, u32)]) -> Vec<usize> {
    let mut owners: Vec<Option<usize>> = vec![None; entries as usize];
    let mut next: Vec<u64> = permutations.iter().map(|&(offset, _)| u64::from(offset)).collect();
    let turns = (0..permutations.len()).cycle().take(entries as usize);
    for turn in turns {
        let mut at = next[turn];
        let skip = u64::from(permutations[turn].1);
        while owners[at as usize].is_some() {
            at = (at + skip) % u64::from(entries);
        }
        owners[at as usize] = Some(turn);
        next[turn] = at;
    }
    owners.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table 1 of the paper: three backends, then without the second.
    #[test]
    fn tables_are_those_of_the_paper() {
        let permutations = [(3, 4), (0, 2), (3, 1)];
        assert_eq!(populated(7, &permutations), [1, 0, 1, 0, 2, 2, 0]);
        assert_eq!(populated(7, &[permutations[0], permutations[2]]), [0, 0, 0, 0, 1, 1, 1]);
    }

    #[test]
    fn shares_differ_by_one() {
        let numbers = [7, 1, 30];
        let table = table(&numbers);
        let counts = numbers.map(|number| table.iter().filter(|&&owner| owner == number).count());
        assert_eq!(counts, [21_846, 21_846, 21_845]);
    }
}
