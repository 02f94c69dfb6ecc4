//! How many client connections each pool has for itself.

use super::file::PoolItem;
use super::model::{Name, Problem, Refusal, Source};
use super::tree::Config;
use crate::proxy::ConnectionShare;

/// All connections, in percent.
const ALL: u32 = 100;

/// Tells each pool which connections are its own, and which are for all. A share that was not given is an equal part
/// of half of what those that were given leave.
pub(super) fn give(config: &mut Config, items: &[PoolItem], problems: &mut Vec<Problem>) {
    let given: Vec<_> = config.named_pools.iter().map(|(_, pool)| pool.connection_share).collect();
    let mut refuse = |what: String, hint: &'static str| {
        let source = items.first().map_or(Source::Default, |item| item.source.clone());
        let refusal = Refusal::new(what).hint(hint);
        problems.push(Problem::new(Name::unknown("limits.connection-share"), source, None, refusal));
    };
    let Some(shares) = shares(&given) else {
        let sum: u32 = given.iter().flatten().sum();
        return refuse(format!("is {sum} percent in all pools together, of {ALL}"), "give smaller ones");
    };
    let is_all_taken = given.iter().flatten().sum::<u32>() == ALL;
    let without = config.named_pools.iter().zip(&shares).find(|(_, share)| **share == 0.0);
    if let Some(((name, _), _)) = without.filter(|_| is_all_taken) {
        let what = format!("leaves pool {name} no connection: the others have all {ALL} percent");
        return refuse(what, "give it a share, and the others smaller ones");
    }
    for (index, (_, pool)) in config.named_pools.iter_mut().enumerate() {
        let others = shares.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, share)| *share);
        pool.pool.connection_share = ConnectionShare { own: shares[index], others: others.collect() };
    }
}

/// The share of each, in percent; `None` if those that were given are more than there is.
fn shares(given: &[Option<u32>]) -> Option<Vec<f64>> {
    let left = ALL.checked_sub(given.iter().flatten().sum())?;
    let others = given.iter().filter(|share| share.is_none()).count();
    let part = f64::from(left) / 2.0 / others.max(1) as f64;
    Some(given.iter().map(|share| share.map_or(part, f64::from)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_shared_by_half() {
        assert_eq!(shares(&[]), Some(vec![]));
        assert_eq!(shares(&[None]), Some(vec![50.0]));
        assert_eq!(shares(&[None, None]), Some(vec![25.0, 25.0]));
        assert_eq!(shares(&[Some(60), None, None]), Some(vec![60.0, 10.0, 10.0]));
        assert_eq!(shares(&[Some(60), Some(40), None]), Some(vec![60.0, 40.0, 0.0]));
        assert_eq!(shares(&[Some(60), Some(41)]), None);
        assert_eq!(shares(&[None; 200]), Some(vec![0.25; 200]));
    }
}
