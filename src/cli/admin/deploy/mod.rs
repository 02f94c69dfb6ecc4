//! `ringherd deploy`: asks for a deploy, tells how it goes, and what became of it.

mod text;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches};
use http::StatusCode;
use serde_json::Value;

use super::session::{Session, failure};
use crate::cli::{Exit, Failure};
use crate::client::{DeployReport, Error, plain};

/// Pause before the first look at how it goes, and the longest one.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// How long a balancer may give no answer, or say that it is busy, before that counts.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most lines of what the failed replica wrote.
const LOG_LINES: u8 = 50;

pub(super) const HELP: &str = "\
Replaces every replica of a pool by one of another revision of the configuration ([revision.NAME]), number by \
number. The new ones have to be healthy for a while, then they take the numbers of the old ones, and their \
requests are compared with those of the others. If they fail more, or are slower, all numbers get the old \
revision again. No key moves. With --deploy-order stop-first the old one of a number has ended before the new \
one starts, and its keys go to other numbers meanwhile.

Returns when it has ended, with 0 if REVISION is on all numbers, and with 3 if it was taken back. With \
--canary it returns when the canary has passed and waits for --promote or --abort.";

pub(super) fn arguments() -> [Arg; 6] {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let instead = |name: &'static str, help: &'static str| {
        let others: Vec<_> =
            ["status", "promote", "abort"].into_iter().filter(|other| *other != name).collect();
        flag(name, help).conflicts_with_all(["revision", "canary"]).conflicts_with_all(others)
    };
    [
        Arg::new("revision")
            .value_name("REVISION")
            .required_unless_present_any(["status", "promote", "abort"])
            .help("Name of the revision, or an image where --deploy-images allows it; base for what the configuration says without one"),
        Arg::new("canary")
            .long("canary")
            .value_name("PERCENT")
            .value_parser(ValueParser::new(percent))
            .help("Deploy to so many percent of the numbers, 1 to 99, and wait to be promoted"),
        flag("no-wait", "Return when it has begun"),
        instead("status", "Show the deploy that is under way, or the last one"),
        instead("promote", "Deploy the revision of the canary to all other numbers"),
        instead("abort", "Take the deploy back that is under way"),
    ]
}

/// `10` or `10%`.
fn percent(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    let is_plain = number.bytes().all(|b| b.is_ascii_digit());
    match number.parse() {
        Ok(percent @ 1..=99) if is_plain => Ok(percent),
        _ => Err("must be 1 to 99 percent, as in 10%".to_owned()),
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    what: What,
    /// Whether to stay until it has ended.
    wait: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Deploy { revision: String, canary: Option<u32> },
    Status,
    Promote,
    Abort,
}

/// What became of it.
pub(super) struct Ended {
    /// The deploy as it was last seen.
    pub(super) json: Value,
    pub(super) outcome: Result<(), Failure>,
}

impl Wanted {
    pub(super) fn of(matches: &ArgMatches) -> Self {
        let has = |flag| matches.get_flag(flag);
        let what = match matches.get_one::<String>("revision") {
            Some(revision) => {
                What::Deploy { revision: revision.clone(), canary: matches.get_one("canary").copied() }
            }
            None if has("promote") => What::Promote,
            None if has("abort") => What::Abort,
            None => What::Status,
        };
        Self { what, wait: !has("no-wait") }
    }
}

/// Does what is wanted, and tells each line about it as it comes.
pub(super) async fn run(
    session: &Session,
    wanted: &Wanted,
    tell: &mut dyn FnMut(String) -> Result<(), Failure>,
) -> Result<Ended, Failure> {
    let client = &session.client;
    let json = match &wanted.what {
        What::Deploy { revision, canary } => session.ask(client.deploy(revision, *canary)).await?,
        What::Promote => session.ask(client.promote()).await?,
        What::Abort => session.ask(client.abort_deploy()).await?,
        What::Status => {
            let json: Value = session.ask(client.read(&client.path("/deploy"))).await?;
            let report = session.as_deploy(&json)?;
            text::status(&report).into_iter().try_for_each(tell)?;
            return Ok(Ended { json, outcome: Ok(()) });
        }
    };
    let begun = session.as_deploy(&json)?;
    if !wanted.wait {
        tell(text::begun(&begun))?;
        return Ok(Ended { json, outcome: Ok(()) });
    }
    let (json, ended) = follow(session, &begun, &wanted.what, tell).await?;
    let is_as_wanted = match ended.state.as_str() {
        "succeeded" | "waiting" => wanted.what != What::Abort,
        "aborted" => wanted.what == What::Abort,
        _ => false,
    };
    if is_as_wanted {
        tell(text::end(&ended))?;
        return Ok(Ended { json, outcome: Ok(()) });
    }
    let exit = if ended.state == "succeeded" { Exit::Negative } else { Exit::Reverted };
    let message = text::end(&ended) + &last_words(session, &ended).await;
    Ok(Ended { json, outcome: Err(Failure::new(exit, message)) })
}

/// Looks until the deploy has ended, or waits to be promoted.
async fn follow(
    session: &Session,
    begun: &DeployReport,
    what: &What,
    tell: &mut dyn FnMut(String) -> Result<(), Failure>,
) -> Result<(Value, DeployReport), Failure> {
    let path = session.client.path("/deploy");
    tell(text::begun(begun))?;
    let mut before = begun.clone();
    let [mut pause, longest] = PAUSES;
    let mut answered = Instant::now();
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(longest);
        let json: Value = match session.client.read(&path).await {
            Ok(json) => json,
            Err(error) if is_for_a_moment(&error) && answered.elapsed() < PATIENCE => continue,
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => return Err(lost(begun)),
            Err(error) => return Err(failure(&error)),
        };
        answered = Instant::now();
        let now = session.as_deploy(&json)?;
        if now.id != begun.id {
            return Err(lost(begun));
        }
        text::changes(&before, &now).into_iter().try_for_each(&mut *tell)?;
        // A canary that is promoted or taken back waits for a moment more.
        let waits = now.state == "waiting" && matches!(what, What::Deploy { .. });
        if now.ended || waits {
            return Ok((json, now));
        }
        before = now;
    }
}

/// Whether a balancer that is alive may answer so.
fn is_for_a_moment(error: &Error) -> bool {
    match error {
        Error::Unreachable(..) => true,
        Error::Refused { status, .. } => *status == StatusCode::SERVICE_UNAVAILABLE,
        Error::BadResponse(..) => false,
    }
}

/// The balancer does not know the deploy any more.
fn lost(begun: &DeployReport) -> Failure {
    let what = format!(
        "the balancer knows nothing more of the deploy of revision '{}': it was restarted, or another has begun; \
         see 'ringherd deploy --status' and 'ringherd status'",
        plain(&begun.to)
    );
    Failure::new(Exit::Unavailable, what)
}

/// The last lines that the failed replica wrote, to stand behind a message; empty if nothing is known of them.
async fn last_words(session: &Session, ended: &DeployReport) -> String {
    let Some(name) = &ended.failed else { return String::new() };
    // The reason is told already: that there is nothing more to tell is no reason to fail otherwise.
    match session.client.log(name, LOG_LINES).await {
        Ok(log) if !log.trim().is_empty() => text::log(name, &log, usize::from(LOG_LINES)),
        _ => String::new(),
    }
}
