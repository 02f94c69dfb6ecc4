//! What every experiment works with: the pool, the keys, the tally of all requests.

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

/// Reasons for losses that are told.
const TOLD: usize = 5;

/// One run of experiments.
pub(super) struct Session<'a> {
    pub(super) options: &'a Options,
    pub(super) pool: &'a TargetPool,
    pub(super) progress: ProgressBar,
    /// The keys that all rings get.
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

    /// Requests so far, those that were lost, and some of the reasons.
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

    /// A load of `keys`, each once.
    pub(super) fn plan(&self, keys: Rc<[Key]>) -> Plan {
        Plan {
            address: self.pool.public().address(),
            requests: keys.len() as u32,
            keys,
            connections: self.options.concurrency,
            rate: None,
        }
    }

    /// Counts what a load has come to. Nobody there at all is an error, and so is somebody who no
    /// longer answers: then the figures of this load are worth nothing, but those before it are.
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

    /// Makes the ring one that is measured by itself: these parameters or else those there were at
    /// first, of the family asked for, and a key that no bound diverts.
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

    /// Sends the ids of the seed to the pool as it is.
    pub(super) async fn measure_ids(&self) -> Result<Spread, Error> {
        let expected = |ring: &Ring| self.population.borrow_mut().shares(ring);
        Ok(self.measure(self.ids(), expected).await?.0)
    }

    /// Sends `keys` to the pool as it is, of which each node of the ring is expected to own the
    /// shares of `expected`.
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
        let answered = if named { numbers(&before, &records) } else { Vec::new() };
        let owner = |key: &Key| ring.owner_number(ring.slot_of(key.id)).unwrap_or(0);
        let differs = |(key, answered): &(&Key, &u32)| **answered != 0 && owner(key) != **answered;
        let elsewhere = named.then(|| keys.iter().zip(&answered).filter(differs).count() as u64);
        let mut spread = spread(&before, &ring, &counts, &expected);
        spread.sent = records.all.len() as u64;
        spread.lost = records.lost;
        spread.seconds = records.took.as_secs_f64();
        spread.elsewhere = elsewhere;
        spread.answered = answered;
        Ok((spread, records))
    }

    /// Every answer has to be one of a replica of this pool.
    fn check(&self, counts: &[u64], records: &Records, named: bool) -> Result<(), Error> {
        let (sent, counted) = (records.all.len() as u64, counts.iter().sum::<u64>());
        let answered = sent - records.lost;
        // The balancer counts requests that were answered with an error too.
        let most = if named { answered } else { sent };
        if (answered..=most).contains(&counted) {
            return Ok(());
        }
        Err(Error::Miscount { address: self.pool.public().address(), answered, counted })
    }
}

/// Replicas that take requests: those with weight.
fn members(report: &RingReport) -> impl Iterator<Item = (usize, &crate::client::ReplicaReport)> {
    report.replicas.iter().enumerate().filter(|(_, replica)| replica.weight > 0)
}

/// How often each replica has answered.
fn by_name(report: &RingReport, records: &Records) -> Vec<u64> {
    let mut answers = vec![0; records.names.len()];
    for record in &records.all {
        if let Outcome::By(index) = record.outcome {
            answers[index] += 1;
        }
    }
    let of = |name: &str| records.names.iter().position(|known| known == name).map_or(0, |at| answers[at]);
    report.replicas.iter().map(|replica| of(&replica.name)).collect()
}

/// How many requests the balancer has forwarded to each meanwhile.
fn by_counter(before: &RingReport, after: &RingReport) -> Vec<u64> {
    let then = |number| after.replicas.iter().find(|r| r.number == number).map_or(0, |r| r.requests);
    let counted = |replica: &crate::client::ReplicaReport| {
        let (before, after) = (replica.requests, then(replica.number));
        // A replacement counts from 0.
        after.checked_sub(before).unwrap_or(after)
    };
    before.replicas.iter().map(counted).collect()
}

/// For each request the number of who answered.
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
        answered: Vec::new(),
    }
}
