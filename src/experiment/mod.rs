//! `ringherd experiment`: how evenly requests spread, measured and explained.
//!
//! # The tour
//! `run` takes [`Options`], starts a balancer of its own or takes over a running one
//! (`pool`), and does one experiment after the other (`a1`, `a2`, `a3`, `a4`, `movement`, `zipf`,
//! `latency`), each of which sends `load` and returns `figures`. What the rings promise comes
//! from `rings`, what chance explains from `stats`, both without any I/O. In the end
//! `report` writes the figures, with `chart`s, and the pool is put back as it was: also after
//! an error or a signal.
//!
//! It knows the ring and the admin API, and nothing else of the balancer: what it measures, any
//! client could.

mod a1;
mod a2;
mod a3;
mod a4;
mod chart;
mod error;
mod figures;
mod keys;
mod latency;
mod load;
mod machine;
mod movement;
mod options;
mod pool;
mod progress;
mod report;
mod rings;
mod session;
mod signals;
mod stats;
mod zipf;

use std::io::{self, Write};
use std::time::{Instant, SystemTime};

pub use error::Error;
pub use options::{Experiment, Options, Target};

use self::figures::{Results, Skipped, TargetFacts};
use self::pool::{Own, Pool};
use self::session::Session;
use self::signals::Signals;

/// How experiments ended.
#[derive(Debug)]
pub enum End {
    /// All that could be done was done; the text is for the terminal.
    Done {
        /// Tables and bars.
        text: String,
        /// What must not be: lost requests, answers that are not as described.
        faults: Vec<String>,
        /// What could not be put back as it was.
        problems: Vec<String>,
        /// Why the report is not, or not wholly, written.
        unwritten: Option<Error>,
    },
    /// Ended by this signal (1, 2, 3 or 15), after the pool was put back.
    Signal {
        /// Its number.
        number: u8,
        /// What could not be put back as it was.
        problems: Vec<String>,
    },
}

/// Does the experiments and writes the report. Needs a current-thread runtime that can spawn
/// local tasks.
///
/// # Errors
/// Where nobody is to be measured, or no report can be written to the folder.
pub async fn run(options: &Options) -> Result<End, Error> {
    let mut signals = Signals::new()?;
    report::prepare(&options.out)?;
    let own = if options.target.is_none() {
        let started = tokio::select! {
            number = signals.next() => return Ok(End::Signal { number, problems: Vec::new() }),
            started = Own::start() => started,
        };
        Some(started?)
    } else {
        None
    };
    let end = with_pool(options, own.as_ref(), &mut signals).await;
    if let Some(own) = own {
        // It ends in any case; a signal only ends the waiting for that.
        tokio::select! {
            () = own.stop() => {}
            number = signals.next() => return Ok(End::Signal { number, problems: Vec::new() }),
        }
    }
    end
}

/// The same with somebody to measure, who is left as found.
async fn with_pool(options: &Options, own: Option<&Own>, signals: &mut Signals) -> Result<End, Error> {
    let target = own.map(Own::target).or(options.target.as_ref());
    let target = target.ok_or_else(|| Error::Own("there is none".to_owned()))?;
    let pool = tokio::select! {
        number = signals.next() => return Ok(End::Signal { number, problems: Vec::new() }),
        pool = Pool::reach(target, own.is_some()) => pool?,
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
        // Nobody may be there to read it.
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
        // What could not be put back is told before what went wrong.
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

/// All experiments that are asked for.
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
        machine: machine::facts(),
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
        Experiment::A1 => results.a1 = Some(a1::run(session, notes).await?),
        Experiment::A2 => results.a2 = Some(a2::run(session).await?),
        Experiment::A3 => results.a3 = Some(a3::run(session, notes).await?),
        Experiment::A4 => results.a4 = Some(a4::run(session).await?),
        Experiment::Movement => {
            results.movement = Some(movement::run(session, results.a4.as_deref(), notes).await?);
        }
        Experiment::Zipf => results.zipf = Some(zipf::run(session, notes).await?),
        Experiment::Latency => results.latency = Some(latency::run(session).await?),
    }
    Ok(())
}
