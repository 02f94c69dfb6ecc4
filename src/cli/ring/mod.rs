//! `ringherd ring`: prints a ring without running one.
//!
//! Parses arguments and writes to a given writer. Of the balancer it knows only the ring.

mod report;
mod text;

use std::io::{self, Write};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use self::report::Report;
use crate::ring::{
    BuildError, Family, MAX_WEIGHT, Node, Params, ParamsError, Placement, Probing, Ring, request_id,
};

const LONG_ABOUT: &str = "\
Prints a ring: the share of each replica, the busiest relative to the average, the longest probe, \
and how many slots move when a replica is added or removed, also beyond the replica's own.

The ring is a function of these arguments alone, so this is the ring that every balancer with the \
same parameters and replica numbers has.";

const EXAMPLES: &str = "\
Examples:
  ringherd ring --numbers 1,2,3
      The ring of the three replicas that `ringherd serve` begins with.
  ringherd ring --slots 512 --virtual-nodes 9 --numbers 1,2,3:50 --lookup 132574,user-1
      A small ring with the third replica at half weight, and where two requests go.
  ringherd ring --placement balanced --json
      Balanced placement, for another program to read.";

/// Why no ring was printed.
#[derive(Debug, thiserror::Error)]
pub enum RingCommandError {
    /// The parameters are not valid; a mistake of the user.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// The replicas are not valid or do not fit on the ring; a mistake of the user.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The output could not be written.
    #[error("the ring could not be written: {0}")]
    Write(#[from] io::Error),
}

impl RingCommandError {
    /// Whether other arguments would help.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Write(_))
    }
}

/// The subcommand `ring` with its arguments.
pub fn command() -> Command {
    let defaults = Params::default();
    Command::new("ring")
        .about("Print a ring: shares, longest probe, slots moved by a change")
        .long_about(LONG_ABOUT)
        .after_long_help(EXAMPLES)
        .args(parameters(&defaults))
        .arg(
            list("numbers", "NUMBER[:WEIGHT]")
                .help("Replica numbers, each with a weight of 0 to 100 if not 100")
                .default_value("1,2,3")
                .value_parser(node),
        )
        .arg(
            list("lookup", "ID")
                .help("Request ids to look up; what is not a number is hashed as a key")
                .value_parser(value_parser!(String)),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON object"))
}

/// The arguments for the fields of [`Params`].
fn parameters(defaults: &Params) -> [Arg; 5] {
    [
        option("family", "FAMILY", defaults.family())
            .help("Hash family: classic or modified")
            .value_parser(|text: &str| text.parse::<Family>()),
        option("probing", "PROBING", defaults.probing())
            .help("Where a virtual node goes when its slot is taken: quadratic or linear")
            .value_parser(|text: &str| text.parse::<Probing>()),
        option("placement", "PLACEMENT", defaults.placement())
            .help("How slots get their owners: ring, rendezvous or balanced")
            .value_parser(|text: &str| text.parse::<Placement>()),
        option("slots", "M", defaults.slots())
            .help("Number of slots; for quadratic probing a power of two or a prime of the form 4n + 3")
            .value_parser(value_parser!(u32)),
        option("virtual-nodes", "K", defaults.virtual_nodes())
            .help("Virtual nodes of a replica of weight 100")
            .value_parser(value_parser!(u32)),
    ]
}

#[expect(clippy::needless_pass_by_value, reason = "the defaults are small values")]
fn option(name: &'static str, value: &'static str, default: impl ToString) -> Arg {
    Arg::new(name).long(name).value_name(value).default_value(default.to_string())
}

fn list(name: &'static str, value: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).value_delimiter(',').action(ArgAction::Append)
}

/// Parses `NUMBER` or `NUMBER:WEIGHT`.
fn node(text: &str) -> Result<Node, String> {
    let (number, weight) = match text.split_once(':') {
        Some((number, weight)) => (number, weight.parse().ok()),
        None => (text, Some(MAX_WEIGHT)),
    };
    match (number.parse(), weight) {
        (Ok(number), Some(weight)) => Ok(Node { number, weight }),
        _ => Err(format!(
            "use a replica number of 1 to {}, with :0 to :{MAX_WEIGHT} behind it for a weight",
            u32::MAX
        )),
    }
}

/// Builds the ring of `matches` (of [`command`]) and prints it to `out`. That the reader has closed the
/// output (`| head`) is no error.
pub fn run(matches: &ArgMatches, out: &mut dyn Write) -> Result<(), RingCommandError> {
    let ring = Ring::build(&params(matches)?, &many::<Node>(matches, "numbers"))?;
    let requests: Vec<u64> =
        many::<String>(matches, "lookup").iter().map(|text| request_id(text.as_bytes())).collect();
    let report = Report::new(&ring, &requests);
    let written = if matches.get_flag("json") { write_json(&report, out) } else { text::write(&report, out) };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn params(matches: &ArgMatches) -> Result<Params, ParamsError> {
    Params::new(
        one(matches, "family"),
        one(matches, "probing"),
        one(matches, "placement"),
        one(matches, "slots"),
        one(matches, "virtual-nodes"),
    )
}

/// The value of an argument that has a default.
fn one<T: Copy + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> T {
    *matches.get_one(name).expect("the argument has a default")
}

fn many<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> Vec<T> {
    matches.get_many(name).into_iter().flatten().cloned().collect()
}

fn write_json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, report)?;
    writeln!(out)
}

#[cfg(test)]
mod tests;
