//! The context of every experiment: the pool, the keys, and the counts of all requests.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use indicatif::ProgressBar;

use super::error::Error;
use super::figures::{Count, Spread};
use super::keys::{self, Key};
use super::load::{self, Outcome, Plan, Records};
use super::options::Options;
use super::rings::{self, Population, RingFacts};
use super::stats::{Summary, chi_squared};
use super::target_pool::{self, PLAIN_KEY, TargetPool};
use crate::client::RingReport;
use crate::ring::{Params, Ring};

/// Number of reasons for losses that are kept.
const TOLD: usize = 5;

/// The context of one run.
pub(super) struct Session<'a> {
    pub(super) options: &'a Options,
    pub(super) pool: &'a TargetPool,
    pub(super) progress: ProgressBar,
    /// The request ids that are sent to all rings.
    ids: Rc<[Key]>,
    population: RefCell<Population>,
    requests: Cell<u64>,
    lost: Cell<u64>,
    reasons: RefCell<Vec<String>>,
}

impl<'a> Session<'a> {
    pub(super) fn new(options: &'a Options, pool: &'a TargetPool, progress: ProgressBar) -> Self {
        Self {
            options,
            pool,
            progress,
            ids: keys::six_digit(options.seed, options.requests).into(),
            population: RefCell::default(),
            requests: Cell::default(),
            lost: Cell::default(),
            reasons: RefCell::default(),
        }
    }

    /// The number of requests so far, of lost ones, and some of the reasons.
    pub(super) fn tally(&self) -> (u64, u64, Vec<String>) {
        (self.requests.get(), self.lost.get(), self.reasons.borrow().clone())
    }

    /// The six-digit request ids of the seed.
    pub(super) fn ids(&self) -> Rc<[Key]> {
        Rc::clone(&self.ids)
    }

    /// The part of all six-digit request ids that moves from one ring to another.
    pub(super) fn moved(&self, before: &Ring, after: &Ring) -> f64 {
        self.population.borrow_mut().moved(before, after)
    }

    /// The peak-to-average expected of a ring for six-digit request ids.
    pub(super) fn expected_peak(&self, ring: &Ring) -> f64 {
        rings::peak(&self.population.borrow_mut().shares(ring))
    }

    /// A load that sends each of `keys` once.
    pub(super) fn plan(&self, keys: Rc<[Key]>) -> Plan {
        Plan {
            address: self.pool.public().address(),
            requests: keys.len() as u32,
            keys,
            connections: self.options.concurrency,
            rate: None,
        }
    }

    /// Counts the requests of a load. It is an error if there is no response at all, or none any more:
    /// then the figures of this load are void, but those of earlier ones are not.
    pub(super) fn count(&self, records: io::Result<Records>) -> Result<Records, Error> {
        let mut records = records?;
        self.requests.set(self.requests.get() + records.all.len() as u64);
        self.lost.set(self.lost.get() + records.lost);
        let mut reasons = self.reasons.borrow_mut();
        for reason in &records.reasons {
            if reasons.len() < TOLD && !reasons.contains(reason) {
                reasons.push(reason.clone());
            }
        }
        let Some(why) = records.ended.take() else { return Ok(records) };
        let address = self.pool.public().address();
        if self.requests.get() > self.lost.get() {
            Err(Error::Gone { address, why })
        } else {
            Err(Error::Public { address, why })
        }
    }

    /// Sets the ring to these parameters, or to those before the experiments, with the chosen family and
    /// a key without bounded load.
    pub(super) async fn use_ring(&self, params: Option<&Params>) -> Result<(), Error> {
        let now = self.pool.ring().await?;
        let mut wanted = params.cloned().map_or_else(|| target_pool::params(self.pool.before()), Ok)?;
        if let Some(family) = self.options.family {
            let (probing, placement) = (wanted.probing(), wanted.placement());
            wanted = Params::new(family, probing, placement, wanted.slots(), wanted.virtual_nodes())
                .map_err(|error| Error::Unfit(error.to_string()))?;
        }
        if target_pool::params(&now)? == wanted && now.key == PLAIN_KEY {
            return Ok(());
        }
        self.pool.set_ring(&wanted, PLAIN_KEY).await
    }

    /// Sends the request ids of the seed to the current pool.
    pub(super) async fn measure_ids(&self) -> Result<Spread, Error> {
        let expected = |ring: &Ring| self.population.borrow_mut().shares(ring);
        Ok(self.measure(self.ids(), expected).await?.0)
    }

    /// Sends `keys` to the current pool. `expected` computes the expected share of each node.
    pub(super) async fn measure(
        &self,
        keys: Rc<[Key]>,
        expected: impl FnOnce(&Ring) -> Vec<f64>,
    ) -> Result<(Spread, Records), Error> {
        let before = self.pool.ring().await?;
        let ring = target_pool::rebuilt(&before)?;
        let expected = expected(&ring);
        let records = self.count(load::run(self.plan(Rc::clone(&keys)), &self.progress).await)?;
        let named = records.all.iter().all(|record| record.outcome != Outcome::Unnamed);
        let after = self.pool.ring().await?;
        let counts = if named { by_name(&before, &records) } else { by_counter(&before, &after) };
        self.check(&counts, &records, named)?;
        let handled_by = if named { numbers(&before, &records) } else { Vec::new() };
        let owner = |key: &Key| ring.owner_number(ring.slot_of(key.id)).unwrap_or(0);
        let differs = |(key, number): &(&Key, &u32)| **number != 0 && owner(key) != **number;
        let elsewhere = named.then(|| keys.iter().zip(&handled_by).filter(differs).count() as u64);
        let mut spread = spread(&before, &ring, &counts, &expected);
        spread.sent = records.all.len() as u64;
        spread.lost = records.lost;
        spread.seconds = records.took.as_secs_f64();
        spread.elsewhere = elsewhere;
        spread.handled_by = handled_by;
        Ok((spread, records))
    }

    /// Checks that every response came from a replica of this pool.
    fn check(&self, counts: &[u64], records: &Records, named: bool) -> Result<(), Error> {
        let (sent, counted) = (records.all.len() as u64, counts.iter().sum::<u64>());
        let answered = sent - records.lost;
        // The balancer also counts requests with an error response.
        let most = if named { answered } else { sent };
        if (answered..=most).contains(&counted) {
            return Ok(());
        }
        Err(Error::Miscount { address: self.pool.public().address(), answered, counted })
    }
}

/// The replicas with a weight, which take requests.
fn members(report: &RingReport) -> impl Iterator<Item = (usize, &crate::client::ReplicaReport)> {
    report.replicas.iter().enumerate().filter(|(_, replica)| replica.weight > 0)
}

/// The number of requests by replica, from the names in the responses.
fn by_name(report: &RingReport, records: &Records) -> Vec<u64> {
    let mut handled = vec![0; records.names.len()];
    for record in &records.all {
        if let Outcome::By(index) = record.outcome {
            handled[index] += 1;
        }
    }
    let of = |name: &str| records.names.iter().position(|known| known == name).map_or(0, |at| handled[at]);
    report.replicas.iter().map(|replica| of(&replica.name)).collect()
}

/// The number of requests by replica, from the counters of the balancer.
fn by_counter(before: &RingReport, after: &RingReport) -> Vec<u64> {
    let then = |number| after.replicas.iter().find(|r| r.number == number).map_or(0, |r| r.requests);
    let counted = |replica: &crate::client::ReplicaReport| {
        let (before, after) = (replica.requests, then(replica.number));
        // The counter of a replacement starts at 0.
        after.checked_sub(before).unwrap_or(after)
    };
    before.replicas.iter().map(counted).collect()
}

/// For each request, the number of the replica that handled it.
fn numbers(report: &RingReport, records: &Records) -> Vec<u32> {
    let number = |name: &String| report.replicas.iter().find(|r| r.name == *name).map_or(0, |r| r.number);
    let numbers: Vec<u32> = records.names.iter().map(number).collect();
    let of = |outcome| if let Outcome::By(index) = outcome { numbers[index] } else { 0 };
    records.all.iter().map(|record| of(record.outcome)).collect()
}

fn spread(report: &RingReport, ring: &Ring, counts: &[u64], expected: &[f64]) -> Spread {
    let counted: Vec<u64> = members(report).map(|(index, _)| counts[index]).collect();
    let shares: Vec<f64> = members(report).map(|(index, _)| expected[index]).collect();
    let requests: u64 = counted.iter().sum();
    let count = |(index, replica): (usize, &crate::client::ReplicaReport)| Count {
        number: replica.number,
        name: replica.name.clone(),
        requests: counts[index],
        slot_share: ring.share(index),
        expected_share: expected[index],
        expected: expected[index] * requests as f64,
    };
    Spread {
        ring: RingFacts::of(ring.params()),
        key: report.key.clone(),
        bounded_load: report.bounded_load,
        sent: 0,
        requests,
        lost: 0,
        seconds: 0.0,
        replicas: members(report).map(count).collect(),
        summary: Summary::of(&counted),
        expected_peak_to_average: rings::peak(&shares),
        elsewhere: None,
        chi_squared_ring: chi_squared(&counted, &shares),
        chi_squared_uniform: chi_squared(&counted, &vec![1.0; counted.len()]),
        handled_by: Vec::new(),
    }
}
