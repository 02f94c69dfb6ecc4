//! `ringherd experiment`: measures and explains how evenly requests spread.
//!
//! # The tour
//! `run` takes [`Options`], starts a balancer of its own or takes over a running one
//! (`own_balancer`, `target_pool`), and runs the experiments one after the other (`spread` is A-1,
//! `checks` is A-3; then `movement`, `placements`, `zipf`, `latency`). Each sends a `load` and returns
//! `figures`. `rings` computes what is expected of a ring, and `stats` how likely a deviation is, both
//! without I/O. In the end `report` writes the figures, with `chart`s, and the pool is restored, also
//! after an error or a signal.
//!
//! This module knows the ring and the admin API, and nothing else of the balancer: any client could
//! measure the same.

mod chart;
mod checks;
mod error;
mod figures;
mod keys;
mod latency;
mod load;
mod machine;
mod movement;
mod options;
mod own_balancer;
mod placements;
mod progress;
mod report;
mod rings;
mod session;
mod signals;
mod spread;
mod stats;
mod target_pool;
mod zipf;

use std::io::{self, Write};
use std::time::{Instant, SystemTime};

pub use error::Error;
pub use options::{Experiment, Options, Target};

use self::figures::{Results, Skipped, TargetFacts};
use self::own_balancer::OwnBalancer;
use self::session::Session;
use self::signals::Signals;
use self::target_pool::TargetPool;

/// How experiments ended.
#[derive(Debug)]
pub enum End {
    /// All experiments that are possible were done.
    Done {
        /// Tables and bars for the terminal.
        text: String,
        /// Faults: lost requests, responses other than documented.
        faults: Vec<String>,
        /// What could not be restored in the pool.
        problems: Vec<String>,
        /// Why the report could not be written completely.
        unwritten: Option<Error>,
    },
    /// A signal ended the experiments, after the pool was restored.
    Signal {
        /// Number of the signal: 1, 2, 3 or 15.
        number: u8,
        /// What could not be restored in the pool.
        problems: Vec<String>,
    },
}

/// Runs the experiments and writes the report. Needs a runtime that can spawn local tasks.
///
/// # Errors
/// The balancer cannot be reached, or no report can be written to the folder.
pub async fn run(options: &Options) -> Result<End, Error> {
    let mut signals = Signals::new()?;
    report::prepare(&options.out)?;
    let own = if options.target.is_none() {
        let started = tokio::select! {
            number = signals.next() => return Ok(End::Signal { number, problems: Vec::new() }),
            started = OwnBalancer::start() => started,
        };
        Some(started?)
    } else {
        None
    };
    let end = with_pool(options, own.as_ref(), &mut signals).await;
    if let Some(own) = own {
        // It ends in any case; a signal only ends the wait for that.
        tokio::select! {
            () = own.stop() => {}
            number = signals.next() => return Ok(End::Signal { number, problems: Vec::new() }),
        }
    }
    end
}

/// Runs the experiments on a pool, and restores it.
async fn with_pool(
    options: &Options,
    own: Option<&OwnBalancer>,
    signals: &mut Signals,
) -> Result<End, Error> {
    let target = own.map(OwnBalancer::target).or(options.target.as_ref());
    let target = target.ok_or_else(|| Error::OwnBalancer("there is none".to_owned()))?;
    let pool = tokio::select! {
        number = signals.next() => return Ok(End::Signal { number, problems: Vec::new() }),
        pool = TargetPool::connect(target, own.is_some()) => pool?,
    };
    let progress = progress::bar(options);
    let session = Session::new(options, &pool, progress.clone());
    let outcome = tokio::select! {
        number = signals.next() => Err(number),
        results = measure(&session, own.is_some()) => Ok(results),
    };
    progress.finish_and_clear();
    if outcome.is_err() && own.is_none() {
        let told = "ringherd: putting the pool back; a second signal leaves it as it is";
        // Standard error may be closed.
        let _ = writeln!(io::stderr(), "{told}");
    }
    let restored = async { if own.is_some() { Vec::new() } else { pool.restore().await } };
    let problems = tokio::select! {
        problems = restored => problems,
        number = signals.next() => {
            let problems = vec!["a second signal came before the pool was put back".to_owned()];
            return Ok(End::Signal { number, problems });
        }
    };
    match outcome {
        Err(number) => Ok(End::Signal { number, problems }),
        // What could not be restored comes before the error.
        Ok(Err(error)) if !problems.is_empty() => {
            Err(Error::Unfit(format!("the pool is not as it was: {}; {error}", problems.join("; "))))
        }
        Ok(results) => {
            let results = results?;
            let unwritten = report::write(&options.out, &results).err();
            let text = report::terminal(&results, &options.out);
            Ok(End::Done { text, faults: report::faults(&results), problems, unwritten })
        }
    }
}

/// Runs the chosen experiments.
async fn measure(session: &Session<'_>, own: bool) -> Result<Results, Error> {
    let (began, clock) = (SystemTime::now(), Instant::now());
    let options = session.options;
    let mut results = Results {
        version: env!("CARGO_PKG_VERSION"),
        command: options.command.clone(),
        seed: options.seed,
        requests_each: options.requests,
        concurrency: options.concurrency,
        began: humantime::format_rfc3339_seconds(began).to_string(),
        machine: machine::Machine::current(),
        target: TargetFacts {
            own,
            admin: session.pool.client().url().to_string(),
            public: session.pool.public().to_string(),
        },
        ..Results::default()
    };
    for experiment in Experiment::ALL.into_iter().filter(|experiment| options.wants(*experiment)) {
        session.progress.set_message(experiment.title());
        if let Err(error) = perform(experiment, session, &mut results).await {
            let gone = matches!(error, Error::Gone { .. });
            if !error.is_refusal() && !gone {
                return Err(error);
            }
            let skipped = Skipped { what: experiment.title().to_owned(), why: error.reason() };
            results.skipped.push(skipped);
            if gone {
                break;
            }
        }
    }
    (results.requests, results.lost, results.lost_because) = session.tally();
    results.took_seconds = clock.elapsed().as_secs_f64();
    Ok(results)
}

async fn perform(experiment: Experiment, session: &Session<'_>, results: &mut Results) -> Result<(), Error> {
    let notes = &mut results.notes;
    match experiment {
        Experiment::A1 => results.a1 = Some(spread::three_replicas(session, notes).await?),
        Experiment::A2 => results.a2 = Some(spread::several_counts(session).await?),
        Experiment::A3 => results.a3 = Some(checks::run(session, notes).await?),
        Experiment::A4 => results.a4 = Some(spread::several_rings(session).await?),
        Experiment::Movement => {
            results.movement = Some(movement::run(session, results.a4.as_deref(), notes).await?);
        }
        Experiment::Placements => {
            results.placements = Some(placements::run(session.options.family).await);
        }
        Experiment::Zipf => results.zipf = Some(zipf::run(session, notes).await?),
        Experiment::Latency => results.latency = Some(latency::run(session).await?),
    }
    Ok(())
}
