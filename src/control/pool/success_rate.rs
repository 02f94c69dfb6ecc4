//! Which replicas fail far more often than the others: Envoy's success rate, as a pure function.

use crate::control::OutlierConfig;
use crate::runtime::ReplicaId;

/// What was counted at one replica over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Which replica.
    pub id: ReplicaId,
    /// Requests that ended at it.
    pub requests: u64,
    /// Those of them that failed in a way that counts against it.
    pub failures: u64,
}

impl Sample {
    /// The share of requests that went well, in percent.
    fn rate(self) -> f64 {
        let requests = self.requests.max(self.failures).max(1);
        100.0 * (requests - self.failures) as f64 / requests as f64
    }
}

/// Those whose success rate is below the mean less `stdev_factor` times the standard deviation, the
/// worst first, each with the reason in words. Replicas with fewer than `min_requests` are left out; with
/// fewer than `min_replicas` left there is nobody to compare with.
pub(super) fn outliers(samples: &[Sample], config: &OutlierConfig) -> Vec<(ReplicaId, String)> {
    let busy = |sample: &&Sample| sample.requests.max(sample.failures) >= config.min_requests;
    let rates: Vec<_> = samples.iter().filter(busy).map(|sample| (sample.id, sample.rate())).collect();
    if config.stdev_factor <= 0.0 || rates.len() < (config.min_replicas as usize).max(1) {
        return Vec::new();
    }
    let count = rates.len() as f64;
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
    let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / count;
    let threshold = mean - config.stdev_factor * variance.sqrt();
    let mut below: Vec<_> = rates.into_iter().filter(|&(_, rate)| rate < threshold).collect();
    below.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let told = |(id, rate)| (id, format!("{rate:.1} % of its requests went well, {mean:.1} % on average"));
    below.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOBODY: [u64; 0] = [];

    fn samples(counts: &[(u64, u64)]) -> Vec<Sample> {
        let sample = |(id, &(requests, failures))| Sample { id: ReplicaId(id), requests, failures };
        (1..).zip(counts).map(sample).collect()
    }

    fn ids(counts: &[(u64, u64)]) -> Vec<u64> {
        outliers(&samples(counts), &OutlierConfig::default()).into_iter().map(|(id, _)| id.0).collect()
    }

    #[test]
    fn one_that_fails_among_many_that_do_not_stands_out() {
        assert_eq!(ids(&[(1000, 0), (1000, 1), (1000, 0), (1000, 2), (1000, 100)]), [5]);
        assert_eq!(ids(&[(1000, 0); 5]), NOBODY, "nobody fails");
        assert_eq!(ids(&[(1000, 500); 6]), NOBODY, "all fail alike");
        assert_eq!(ids(&[(1000, 0), (1000, 0), (1000, 0), (1000, 300)]), NOBODY, "too few to compare with");
        assert_eq!(ids(&[(1000, 0), (1000, 0), (1000, 0), (1000, 0), (99, 99)]), NOBODY, "too few requests");
    }

    proptest! {
        #[test]
        fn never_all_and_never_one_that_does_better_than_the_mean(
            counts in prop::collection::vec((0_u64..3000, 0_u64..3000), 0..40),
            factor in 0.0_f64..3.0,
        ) {
            let config = OutlierConfig { stdev_factor: factor, ..OutlierConfig::default() };
            let samples = samples(&counts);
            let found = outliers(&samples, &config);
            prop_assert!(found.is_empty() || found.len() < samples.len());
            let busy: Vec<_> = samples.iter().filter(|s| s.requests.max(s.failures) >= config.min_requests).collect();
            let best = busy.iter().map(|s| s.rate()).fold(0.0, f64::max);
            for (id, _) in found {
                let sample = samples.iter().find(|sample| sample.id == id).unwrap();
                prop_assert!(sample.rate() < best);
            }
        }
    }
}
