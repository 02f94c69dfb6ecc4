//! Placements: how even each is and what a change of one replica moves, from 3 to 200 replicas, beside what
//! other balancers have. Computed; no request is sent.
//!
//! All keys are divided into equal parts, each of which has one owner: a slot, an entry of Maglev's table,
//! or, for ketama, which has no table, a sampled key.

mod maglev;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use pingora_ketama::{Bucket, Continuum};

use super::figures::{Scaling, ScalingPoint};
use crate::ring::{Family, Node, Params, Placement, Probing, Ring};

/// Numbers of replicas.
const COUNTS: [u32; 6] = [3, 10, 20, 50, 100, 200];

/// How many of them leave, each on its own.
const LEAVERS: u32 = 4;

/// Keys of 4 bytes that ketama is asked for. With 200 replicas chance changes the share of one by 2 %.
const SAMPLES: u32 = 1 << 19;

/// A placement that is compared.
enum Contender {
    Ours(Params),
    Maglev,
    /// As nginx and memcached have it: 160 points on a circle of 2³² for each replica.
    Ketama,
}

/// What it builds of some replicas.
enum Built {
    Ring(Ring),
    Table(Vec<u32>),
    Circle(Continuum),
}

/// Compares all. A family restricts nothing but the hash functions of the ring.
pub(super) async fn run(family: Option<Family>) -> Vec<Scaling> {
    let mut found = Vec::new();
    for (label, contender) in contenders(family.unwrap_or_default()) {
        let mut points = Vec::new();
        for n in COUNTS {
            // It takes a second, in which a signal is to be heard.
            tokio::task::yield_now().await;
            points.extend(contender.point(n));
        }
        found.push(Scaling { label, points });
    }
    found
}

fn contenders(family: Family) -> Vec<(&'static str, Contender)> {
    let default = Params::default();
    let ours = Placement::ALL.iter().filter_map(|&placement| {
        let (slots, virtual_nodes) = (default.slots(), default.virtual_nodes());
        let params = Params::new(family, Probing::Quadratic, placement, slots, virtual_nodes).ok()?;
        Some((placement.as_str(), Contender::Ours(params)))
    });
    ours.chain([("Maglev", Contender::Maglev), ("ketama", Contender::Ketama)]).collect()
}

impl Contender {
    /// The figures of replicas 1 to `n`; `None` if they do not fit.
    fn point(&self, n: u32) -> Option<ScalingPoint> {
        let mut build_ms = f64::INFINITY;
        let mut owners_of = |numbers: &[u32]| {
            let clock = Instant::now();
            let built = self.build(numbers)?;
            build_ms = build_ms.min(clock.elapsed().as_secs_f64() * 1_000.0);
            Some(built.owners())
        };
        let numbers: Vec<u32> = (1..=n).collect();
        let owners = owners_of(&numbers)?;
        let mut leaving: f64 = 0.0;
        for index in 0..LEAVERS.min(n) {
            let gone = 1 + index * n / LEAVERS.min(n);
            let others: Vec<u32> = numbers.iter().copied().filter(|number| *number != gone).collect();
            leaving = leaving.max(beyond_own(&owners, &owners_of(&others)?, gone));
        }
        let with: Vec<u32> = (1..=n + 1).collect();
        let coming = owners_of(&with).map(|after| beyond_own(&owners, &after, n + 1));
        Some(ScalingPoint { n, peak_to_average: peak(&owners, n), leaving, coming, build_ms })
    }

    fn build(&self, numbers: &[u32]) -> Option<Built> {
        Some(match self {
            Self::Ours(params) => {
                let nodes: Vec<Node> = numbers.iter().copied().map(Node::new).collect();
                Built::Ring(Ring::build(params, &nodes).ok()?)
            }
            Self::Maglev => Built::Table(maglev::table(numbers)),
            Self::Ketama => {
                let bucket = |&number| Bucket::new(address(number), 1);
                Built::Circle(Continuum::new(&numbers.iter().map(bucket).collect::<Vec<_>>()))
            }
        })
    }
}

/// An address that has the number as its last 24 bits.
fn address(number: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x0a00_0000 | number), 8_080))
}

impl Built {
    /// The owner of each part.
    fn owners(self) -> Vec<u32> {
        match self {
            Self::Ring(ring) => {
                (0..ring.params().slots()).filter_map(|slot| ring.owner_number(slot)).collect()
            }
            Self::Table(owners) => owners,
            Self::Circle(circle) => (0..SAMPLES)
                .filter_map(|key| match circle.node(&key.to_le_bytes())?.ip() {
                    std::net::IpAddr::V4(ip) => Some(ip.to_bits() & 0x00ff_ffff),
                    std::net::IpAddr::V6(_) => None,
                })
                .collect(),
        }
    }
}

/// The parts of the busiest of `n` replicas over the average.
fn peak(owners: &[u32], n: u32) -> f64 {
    let mut owned: HashMap<u32, u32> = HashMap::new();
    for &owner in owners {
        *owned.entry(owner).or_default() += 1;
    }
    f64::from(owned.values().copied().max().unwrap_or(0)) * f64::from(n) / owners.len().max(1) as f64
}

/// What moves between replicas other than the one that comes or goes, as a part of all.
fn beyond_own(before: &[u32], after: &[u32], changed: u32) -> f64 {
    let strays = before.iter().zip(after).filter(|(before, after)| before != after);
    let strays = strays.filter(|(before, after)| **before != changed && **after != changed);
    strays.count() as f64 / before.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(label: &str, n: u32) -> ScalingPoint {
        let found = contenders(Family::default()).into_iter().find(|(name, _)| *name == label);
        found.unwrap().1.point(n).unwrap()
    }

    #[test]
    fn figures_are_those_that_are_known() {
        // The golden ring of ten replicas, and what is published of the others.
        let balanced = point("balanced", 10);
        assert!((balanced.peak_to_average - 6_657.0 * 10.0 / 65_539.0).abs() < 1e-9, "{balanced:?}");
        assert!(balanced.leaving > 0.0 && balanced.leaving < 0.001, "{balanced:?}");
        let rendezvous = point("rendezvous", 10);
        assert!(rendezvous.leaving.abs() < f64::EPSILON && rendezvous.coming == Some(0.0), "{rendezvous:?}");
        let maglev = point("Maglev", 10);
        assert!(maglev.peak_to_average < 1.001 && maglev.leaving > 0.001, "{maglev:?}");
        let ketama = point("ketama", 10);
        assert!(ketama.peak_to_average > 1.05 && ketama.leaving < 0.001, "{ketama:?}");
    }

    #[test]
    fn what_moves_from_or_to_the_one_that_changed_is_its_own() {
        assert!((beyond_own(&[1, 2, 3, 1], &[1, 1, 1, 3], 2) - 0.5).abs() < 1e-9);
    }
}
