//! The keys of requests, drawn from a seed. Pure.

use fastrand::Rng;
use http::HeaderValue;

use crate::ring;

/// The smallest request id that is drawn.
pub(super) const FIRST_ID: u64 = 100_000;

/// The largest: request ids are the six-digit numbers.
pub(super) const LAST_ID: u64 = 999_999;

/// Number of popular keys.
pub(super) const ZIPF_KEYS: usize = 1_000;

/// Exponent of Zipf's law: the key of rank `k` has a frequency proportional to `k^-1.1`.
pub(super) const ZIPF_EXPONENT: f64 = 1.1;

/// The key of a request, as it is sent and as the ring reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The value of `X-Request-Id`.
    pub(super) header: HeaderValue,
    /// The request id it stands for.
    pub(super) id: u64,
}

/// `count` request ids, drawn uniformly from the six-digit numbers. The same seed gives the same ids,
/// so that rings are compared with the same requests.
pub(super) fn six_digit(seed: u64, count: u32) -> Vec<Key> {
    let mut random = Rng::with_seed(seed);
    let draw = |_| random.u64(FIRST_ID..=LAST_ID);
    (0..count).map(draw).map(|id| Key { header: HeaderValue::from(id), id }).collect()
}

/// `count` keys, drawn from [`ZIPF_KEYS`] by Zipf's law: `user-1` is the most popular.
pub(super) fn zipf(seed: u64, count: u32) -> Vec<Key> {
    let mut random = Rng::with_seed(seed);
    let keys: Vec<Key> = (1..=ZIPF_KEYS).map(user).collect();
    let cumulative = cumulative();
    let total = cumulative.last().copied().unwrap_or(1.0);
    let draw = |_| {
        let at = random.f64() * total;
        let rank = cumulative.partition_point(|&sum| sum <= at);
        keys[rank.min(ZIPF_KEYS - 1)].clone()
    };
    (0..count).map(draw).collect()
}

fn user(rank: usize) -> Key {
    let text = format!("user-{rank}");
    let id = ring::request_id(text.as_bytes());
    Key { header: HeaderValue::try_from(text).expect("letters, digits and a hyphen"), id }
}

/// The cumulative popularities of the keys, by rank.
fn cumulative() -> Vec<f64> {
    let popularity = |rank: usize| (rank as f64).powf(-ZIPF_EXPONENT);
    let sum = |sum: &mut f64, rank| {
        *sum += popularity(rank);
        Some(*sum)
    };
    (1..=ZIPF_KEYS).scan(0.0, sum).collect()
}

/// The share of requests with the most popular key.
pub(super) fn top_share() -> f64 {
    1.0 / cumulative().last().copied().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_keys() {
        assert_eq!(six_digit(7, 100), six_digit(7, 100));
        assert_ne!(six_digit(7, 100), six_digit(8, 100));
        assert_eq!(zipf(7, 100), zipf(7, 100));
        assert_eq!(six_digit(7, 10), six_digit(7, 100)[..10]);
    }

    #[test]
    fn request_ids_have_six_digits_and_are_sent_as_they_are() {
        for key in six_digit(1, 1_000) {
            assert_eq!(key.header, key.id.to_string().as_str());
            assert_eq!(key.header.len(), 6);
        }
    }

    #[test]
    fn popularity_falls_with_the_rank() {
        let drawn = zipf(1, 20_000);
        let count = |name: &str| drawn.iter().filter(|key| key.header == name).count() as f64;
        // Many standard deviations (54) off either bound.
        assert!((count("user-1") / 20_000.0 - top_share()).abs() < 0.02);
        assert!((count("user-1") / count("user-2") - 2_f64.powf(ZIPF_EXPONENT)).abs() < 0.4);
        assert_eq!(user(3).id, ring::hash_key(b"user-3"));
    }
}
