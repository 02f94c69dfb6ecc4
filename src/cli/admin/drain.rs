//! `ringherd drain`: sets the weight to 0, and waits until no request is in flight.

use std::fmt;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches};
use http::StatusCode;
use serde_json::{Value, json};

use super::Session;
use super::session::failure;
use crate::cli::{Exit, Failure};
use crate::client::{ReplicaReport, RingReport, plain};
use crate::names::FoldedName;

/// Pause between two polls. Longer than a worker may still use the old ring.
const PAUSE: Duration = Duration::from_millis(100);

/// Number of polls in a row that must find nothing in flight: after the first one, a worker may still
/// have routed a request by the old ring.
const LOOKS: u32 = 2;

/// Of a replica that was drained by a balancer that does not remember from which weight.
const FULL_WEIGHT: u8 = 100;

/// The outcome of waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drained {
    name: String,
    weight: u8,
    former: u8,
}

pub(super) fn arguments() -> [Arg; 2] {
    let timeout = Arg::new("timeout")
        .long("timeout")
        .value_name("DURATION")
        .default_value("30s")
        .value_parser(humantime::parse_duration)
        .help("How long to wait for requests in flight");
    let undo = Arg::new("undo")
        .long("undo")
        .action(ArgAction::SetTrue)
        .conflicts_with("timeout")
        .help("Give it the weight again that it had, and do not wait");
    [timeout, undo]
}

pub(super) async fn run(session: &Session, name: &str, matches: &ArgMatches) -> Result<Drained, Failure> {
    let limit: Duration = *matches.get_one("timeout").expect("--timeout has a default");
    let ring = session.ask(session.client.ring()).await?;
    let replica = find(&ring, name);
    // The balancer refuses names that do not exist.
    let former = replica.map_or(0, |replica| replica.weight);
    let weight = match replica {
        Some(replica) if matches.get_flag("undo") => undone(replica),
        None if matches.get_flag("undo") => FULL_WEIGHT,
        _ => 0,
    };
    session.client.set_weight(name, weight).await.map_err(|error| {
        let refused = failure(&error);
        if error.status() == Some(StatusCode::CONFLICT) {
            let hint = format!("'ringherd rm' takes {name:?} away and drains it too");
            return Failure::new(refused.exit(), format!("{error}; {hint}"));
        }
        refused
    })?;
    let drained = Drained { name: plain(name), weight, former };
    if weight == 0 {
        drained.wait(session, limit).await?;
    }
    Ok(drained)
}

impl Drained {
    async fn wait(&self, session: &Session, limit: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + limit;
        let mut idle = 0;
        loop {
            let ring = session.ask(session.client.ring()).await?;
            let Some(replica) = find(&ring, &self.name) else {
                let gone = format!("'{}' went away while it was drained", self.name);
                return Err(Failure::new(Exit::Negative, gone));
            };
            idle = if replica.in_flight == 0 { idle + 1 } else { 0 };
            if idle == LOOKS {
                return Ok(());
            }
            // The last polls may still show that it is idle.
            if idle == 0 && Instant::now() >= deadline {
                return Err(self.too_late(replica.in_flight, limit));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn too_late(&self, in_flight: u64, limit: Duration) -> Failure {
        let limit = humantime::format_duration(limit);
        let problem = format!(
            "'{0}' still has {in_flight} requests in flight after {limit}; it keeps weight 0, so wait longer, \
             or give it its weight again with 'ringherd drain {0:?} --undo'",
            self.name
        );
        Failure::new(Exit::Negative, problem)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"name": self.name, "weight": self.weight, "former_weight": self.former, "drained": self.weight == 0})
    }
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, weight, former } = self;
        if *weight == 0 {
            writeln!(f, "'{name}' is drained: weight 0 (it had {former}), no request in flight")
        } else {
            writeln!(f, "'{name}' has weight {weight} (it had {former})")
        }
    }
}

/// The weight of a replica once it is not drained any more: the one it had, which it has still if it
/// was not drained.
fn undone(replica: &ReplicaReport) -> u8 {
    if replica.weight > 0 { replica.weight } else { replica.drained_from.unwrap_or(FULL_WEIGHT) }
}

fn find<'a>(ring: &'a RingReport, name: &str) -> Option<&'a ReplicaReport> {
    let wanted = FoldedName::of(name);
    ring.replicas.iter().find(|replica| FoldedName::of(&replica.name) == wanted)
}
