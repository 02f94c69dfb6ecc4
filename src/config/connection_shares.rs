//! How many client connections each pool leaves to the others.

use super::file::PoolItem;
use super::model::{Name, Problem, Refusal, Source};
use super::tree::Config;

/// All connections, in percent.
const ALL: u32 = 100;

/// Tells each pool how many connections its requests may be on. A share that was not given is an equal part of half
/// of what those that were given leave; the other half is for all.
pub(super) fn give(config: &mut Config, items: &[PoolItem], problems: &mut Vec<Problem>) {
    let given: Vec<_> = config.named_pools.iter().map(|(_, pool)| pool.connection_share).collect();
    let Some(shares) = shares(&given) else {
        let sum: u32 = given.iter().flatten().sum();
        let refusal = Refusal::new(format!("is {sum} percent in all pools together, of {ALL}"));
        let source = items.first().map_or(Source::Default, |item| item.source.clone());
        let refusal = refusal.hint("give smaller ones");
        return problems.push(Problem::new(Name::unknown("limits.connection-share"), source, None, refusal));
    };
    let sum: u32 = shares.iter().sum();
    for ((_, pool), own) in config.named_pools.iter_mut().zip(shares) {
        pool.pool.connection_percent = ALL - (sum - own);
    }
}

/// The share of each; `None` if those that were given are more than there is.
fn shares(given: &[Option<u32>]) -> Option<Vec<u32>> {
    let left = ALL.checked_sub(given.iter().flatten().sum())?;
    let others = given.iter().filter(|share| share.is_none()).count() as u32;
    let part = (left / 2).checked_div(others).unwrap_or(0);
    Some(given.iter().map(|share| share.unwrap_or(part)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_given_is_shared_by_half() {
        assert_eq!(shares(&[]), Some(vec![]));
        assert_eq!(shares(&[None]), Some(vec![50]));
        assert_eq!(shares(&[None, None]), Some(vec![25, 25]));
        assert_eq!(shares(&[Some(60), None, None]), Some(vec![60, 10, 10]));
        assert_eq!(shares(&[Some(60), Some(40), None]), Some(vec![60, 40, 0]));
        assert_eq!(shares(&[Some(60), Some(41)]), None);
    }

    proptest! {
        /// However much the others take, a pool gets its share.
        #[test]
        fn shares_are_at_most_all(given in proptest::collection::vec(proptest::option::of(0_u32..=100), 0..200)) {
            if let Some(shares) = shares(&given) {
                prop_assert!(shares.iter().sum::<u32>() <= ALL);
            } else {
                prop_assert!(given.iter().flatten().sum::<u32>() > ALL);
            }
        }
    }
}
