//! Statistics: spread, and Pearson's chi-squared test. Pure.

use serde::Serialize;

/// Summary statistics of counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) average: f64,
    pub(super) min: u64,
    pub(super) max: u64,
    /// Standard deviation of the population: divided by N.
    pub(super) standard_deviation: f64,
    /// Largest count over the average.
    pub(super) peak_to_average: f64,
}

impl Summary {
    /// The summary; all values are 0 without counts.
    pub(super) fn of(counts: &[u64]) -> Self {
        let number = counts.len().max(1) as f64;
        let average = counts.iter().sum::<u64>() as f64 / number;
        let squares: f64 = counts.iter().map(|&count| (count as f64 - average).powi(2)).sum();
        let max = counts.iter().copied().max().unwrap_or(0);
        Self {
            average,
            min: counts.iter().copied().min().unwrap_or(0),
            max,
            standard_deviation: (squares / number).sqrt(),
            peak_to_average: if average > 0.0 { max as f64 / average } else { 0.0 },
        }
    }
}

/// The result of Pearson's test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct ChiSquared {
    pub(super) statistic: f64,
    pub(super) degrees_of_freedom: u32,
    /// Probability of a statistic this large or larger if the expectation is right.
    pub(super) p_value: f64,
}

/// The result of a test, or why it was not made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Test {
    Done(ChiSquared),
    Not { why: &'static str },
}

/// Least expected count of a class for the chi-squared approximation; the usual rule.
const LEAST: f64 = 5.0;

const REFUTED: Test = Test::Not { why: "refuted, because a replica that is to get no request got some" };
const NO_CHOICE: Test =
    Test::Not { why: "nothing to test, because fewer than two replicas are to get requests" };
const TOO_FEW: Test =
    Test::Not { why: "not tested, because fewer than 5 requests are expected of a replica" };

/// Tests whether `counts` are a sample of `shares`, which need not sum up to 1. A class that is
/// expected to be empty, and is, says nothing and is left out; where it is not empty, the shares are
/// refuted. No test where fewer than two classes remain, or one is expected to hold too few.
pub(super) fn chi_squared(counts: &[u64], shares: &[f64]) -> Test {
    let total = counts.iter().sum::<u64>() as f64;
    let whole: f64 = shares.iter().sum();
    let (mut statistic, mut classes, mut least) = (0.0, 0_u32, f64::INFINITY);
    for (&count, &share) in counts.iter().zip(shares) {
        let expected = total * share / whole;
        if expected > 0.0 {
            statistic += (count as f64 - expected).powi(2) / expected;
            classes += 1;
            least = least.min(expected);
        } else if count > 0 {
            return REFUTED;
        }
    }
    let degrees_of_freedom = classes.saturating_sub(1);
    if degrees_of_freedom == 0 {
        return NO_CHOICE;
    }
    if least < LEAST {
        return TOO_FEW;
    }
    let p_value = gamma_q(degrees_of_freedom, statistic / 2.0);
    Test::Done(ChiSquared { statistic, degrees_of_freedom, p_value })
}

/// Largest number of terms of a series or fraction; some tens are enough here.
const TERMS: u32 = 10_000;

/// The upper regularized incomplete gamma function `Q(a, x)` for `a = degrees / 2`: the series
/// below `a + 1` and the continued fraction above it, as in Abramowitz and Stegun, "Handbook of
/// Mathematical Functions", 6.5.29 and 6.5.31 (the latter by Lentz's method).
fn gamma_q(degrees: u32, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let a = f64::from(degrees) / 2.0;
    let scale = (a * x.ln() - x - ln_gamma_of_half(degrees)).exp();
    let q = if x < a + 1.0 { 1.0 - scale * series(a, x) } else { scale * fraction(a, x) };
    q.clamp(0.0, 1.0)
}

/// `Σ xⁿ / (a (a + 1) … (a + n))`.
fn series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum) = (1.0 / a, 1.0 / a);
    for n in 1..TERMS {
        term *= x / (a + f64::from(n));
        sum += term;
        if term < sum * f64::EPSILON {
            break;
        }
    }
    sum
}

/// `1 / (x + 1 − a − 1·(1 − a) / (x + 3 − a − 2·(2 − a) / (x + 5 − a − …)))`.
#[expect(clippy::many_single_char_names, reason = "the names of the source")]
fn fraction(a: f64, x: f64) -> f64 {
    const TINY: f64 = f64::MIN_POSITIVE;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / away(b);
    let mut value = d;
    for n in (1..TERMS).map(f64::from) {
        let numerator = n * (a - n);
        b += 2.0;
        d = 1.0 / away(numerator * d + b);
        c = away(b + numerator / c);
        value *= c * d;
        if (c * d - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    value
}

/// `ln Γ(n / 2)`, from `Γ(1) = 1`, `Γ(1/2) = √π` and `Γ(a + 1) = a·Γ(a)`.
fn ln_gamma_of_half(n: u32) -> f64 {
    let (mut at, mut sum) =
        if n.is_multiple_of(2) { (2, 0.0) } else { (1, std::f64::consts::PI.sqrt().ln()) };
    while at < n {
        sum += (f64::from(at) / 2.0).ln();
        at += 2;
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Critical values as in the tables of any textbook: degrees, statistic, p.
    #[test]
    fn critical_values_are_those_of_the_tables() {
        for (degrees, statistic, p) in [
            (1, 3.841, 0.05),
            (1, 6.635, 0.01),
            (2, 5.991, 0.05),
            (2, 0.103, 0.95),
            (3, 7.815, 0.05),
            (4, 13.277, 0.01),
            (5, 1.145, 0.95),
            (10, 18.307, 0.05),
            (30, 50.892, 0.01),
            (100, 124.342, 0.05),
        ] {
            let found = gamma_q(degrees, statistic / 2.0);
            assert!((found - p).abs() < 2e-4, "{degrees} degrees, {statistic}: {found}");
        }
    }

    #[test]
    fn two_degrees_are_an_exponential() {
        for x in [0.0, 0.1, 1.0, 2.9, 3.1, 20.0] {
            assert!((gamma_q(2, x) - (-x).exp()).abs() < 1e-12, "{x}");
        }
    }

    fn done(counts: &[u64], shares: &[f64]) -> ChiSquared {
        match chi_squared(counts, shares) {
            Test::Done(test) => test,
            Test::Not { why } => panic!("{why}"),
        }
    }

    #[test]
    fn a_die_is_judged() {
        // Squared deviations of 4, 4, 16, 0, 0 and 16 from 20 sum up to 40; over 20 that is 2.
        let test = done(&[22, 18, 24, 20, 20, 16], &[1.0; 6]);
        assert!((test.statistic - 2.0).abs() < 1e-12);
        assert_eq!(test.degrees_of_freedom, 5);
        assert!((test.p_value - 0.849_145).abs() < 1e-5, "{}", test.p_value);
    }

    #[test]
    fn classes_that_cannot_be_hit_are_left_out_or_refute() {
        assert_eq!(done(&[5, 5, 0], &[0.5, 0.5, 0.0]).degrees_of_freedom, 1);
        assert_eq!(chi_squared(&[5, 4, 1], &[0.5, 0.5, 0.0]), REFUTED);
        assert_eq!(chi_squared(&[5], &[1.0]), NO_CHOICE);
        assert_eq!(chi_squared(&[], &[]), NO_CHOICE);
        assert_eq!(chi_squared(&[5, 4], &[1.0, 1.0]), TOO_FEW);
    }

    #[test]
    fn a_summary_by_hand() {
        let summary = Summary::of(&[2, 4, 4, 4, 5, 5, 7, 9]);
        assert_eq!((summary.average, summary.standard_deviation), (5.0, 2.0));
        assert_eq!((summary.min, summary.max, summary.peak_to_average), (2, 9, 1.8));
        assert!(Summary::of(&[]).peak_to_average.abs() < f64::EPSILON);
    }

    proptest! {
        #[test]
        fn p_is_a_probability_and_falls(degrees in 1_u32..300, x in 0.0_f64..500.0, more in 0.01_f64..50.0) {
            let (p, q) = (gamma_q(degrees, x), gamma_q(degrees, x + more));
            prop_assert!((0.0..=1.0).contains(&p));
            prop_assert!(q <= p + 1e-12, "{p} {q}");
        }

        #[test]
        fn the_two_halves_meet(degrees in 1_u32..200) {
            let a = f64::from(degrees) / 2.0;
            let (below, above) = (gamma_q(degrees, a + 1.0 - 1e-9), gamma_q(degrees, a + 1.0 + 1e-9));
            prop_assert!((below - above).abs() < 1e-8, "{below} {above}");
        }

        #[test]
        fn counts_as_expected_are_never_suspicious(counts in prop::collection::vec(5_u64..10_000, 2..20)) {
            let shares: Vec<f64> = counts.iter().map(|&count| count as f64).collect();
            let test = done(&counts, &shares);
            prop_assert!(test.statistic < 1e-6 && test.p_value > 0.99);
        }
    }
}
