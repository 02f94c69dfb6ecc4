//! Commands for the admin API: `ringherd status`, `add`, `rm`, `drain`, `kill`, `logs`, `weight`, `set`,
//! `deploy`.
//!
//! Each sends a request to a running balancer through [`crate::client`], and prints the response as
//! `text` formats it.

mod deploy;
mod drain;
mod logs;
mod session;
#[cfg(test)]
mod tests;
mod text;
mod words;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::Value;

pub(super) use self::logs::run as logs;
pub(super) use self::session::{Session, arguments, run};
use super::{Failure, print};
use crate::client::plain_json;

const STATUS: &str = "\
Prints the ring and the replicas of a running balancer. A share is the part of all slots that a replica \
owns.";

const ADD: &str = "\
Adds replicas to a running balancer, and returns when all of them take requests; or adds none and says \
why. Without N it adds those that are named; those without a name get one. A balancer of servers that \
others run (--upstream) needs an --endpoint for each.";

const RM: &str = "\
Takes replicas off the ring of a running balancer: N in all, the named ones among them. They finish what \
they have begun and are stopped. Without N it removes those that are named.";

const DRAIN: &str = "\
Gives a replica weight 0, so that it gets no more requests, and waits until none is in flight at it. It \
stays a replica, is checked and kept alive; --undo gives it the weight again that it had.

Where several balancers share a pool (--runtime swarm) weights cannot be set at one of them, which is \
refused (409). Remove the replica instead, which drains it too.";

const KILL: &str = "\
Ends a replica at once, as a crash would, to see what becomes of it. Requests that it was answering may \
fail. A running balancer replaces it.";

const LOGS: &str = "\
Prints the last lines that a replica has written to its standard output and standard error, also after its end. There \
are up to 200 of each replica that a balancer runs as a process or a container. With -f it goes on with what follows, \
until the replica ends.";

const SET: &str = "\
Changes the ring of a running balancer: family=modified|classic, probing=quadratic|linear, \
placement=ring|rendezvous|balanced, slots=M, virtual_nodes=K, key=KEY. The new ring takes over between two requests.";

/// The subcommands with their arguments.
pub fn commands() -> [Command; 9] {
    let name = || Arg::new("name").value_name("NAME").required(true).help("Name of the replica");
    let plain = |name: &'static str, about: &'static str, long: &'static str| {
        Command::new(name)
            .about(about)
            .long_about(format!("{about}.\n\n{long}"))
            .args(arguments())
            .arg(pool())
    };
    let command = |name, about, long| plain(name, about, long).arg(json());
    [
        command("status", "Show the ring and the replicas of a running balancer", STATUS),
        command("add", "Add replicas to a running balancer", ADD)
            .override_usage("ringherd add [OPTIONS] [N] [NAME]...")
            .args(count_and_names("How many to add (if it is a number and the first), and names"))
            .arg(endpoint()),
        command("rm", "Remove replicas from a running balancer", RM)
            .override_usage("ringherd rm [OPTIONS] [N] [NAME]...")
            .args(count_and_names("How many to remove (if it is a number and the first), and names")),
        command("drain", "Take a replica's traffic away and wait until it is idle", DRAIN)
            .arg(name())
            .args(drain::arguments()),
        command("kill", "End a replica as a crash would", KILL).arg(name()),
        plain("logs", "Show what a replica writes", LOGS).arg(name()).args(logs::arguments()),
        command("weight", "Set the weight of a replica", "A weight of 0 gets no requests.").arg(name()).arg(
            Arg::new("weight")
                .value_name("WEIGHT")
                .required(true)
                .value_parser(value_parser!(u8).range(0..=100))
                .help("0 to 100"),
        ),
        command("set", "Change the ring of a running balancer", SET).arg(
            Arg::new("changes")
                .value_name("KEY=VALUE")
                .num_args(1..)
                .required(true)
                .value_parser(words::setting)
                .help("What to change, such as slots=512"),
        ),
        command("deploy", "Replace all replicas by those of another revision", deploy::HELP)
            .override_usage("ringherd deploy [OPTIONS] REVISION")
            .args(deploy::arguments()),
    ]
}

/// The pool that a command is about.
pub(super) fn pool() -> Arg {
    Arg::new("pool").long("pool").value_name("POOL").help("Name of the pool [default: the first]")
}

fn json() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON document")
}

/// `[N] [NAME]...`; names may be given with `--name` too.
fn count_and_names(help: &'static str) -> [Arg; 2] {
    let what = Arg::new("what").value_name("N|NAME").num_args(0..).help(help);
    let names = Arg::new("name").long("name").value_name("NAME").action(ArgAction::Append).hide(true);
    [what, names]
}

fn endpoint() -> Arg {
    Arg::new("endpoint")
        .long("endpoint")
        .value_name("HOST:PORT")
        .action(ArgAction::Append)
        .help("Where a new replica of a balancer with --upstream is; may be repeated")
}

/// Runs `ringherd status`.
pub fn status(matches: &ArgMatches) -> Result<(), Failure> {
    run(matches, async |session| {
        let json: Value = session.ask(session.client.read(&session.client.path("/ring"))).await?;
        show(matches, &json, || Ok(text::status(session.client.url(), &session.as_ring(&json)?)))
    })
}

/// Runs `ringherd add`.
pub fn add(matches: &ArgMatches) -> Result<(), Failure> {
    let endpoints = words::all(matches, "endpoint");
    let (given, names) = words::count_and_names(matches)?;
    let count = words::to_add(given, &names, &endpoints)?;
    run(matches, async |session| {
        let json = if endpoints.is_empty() {
            session.ask(session.client.add(count, &names)).await?
        } else {
            session.ask(session.client.add_endpoints(&endpoints, &names)).await?
        };
        show(matches, &json, || Ok(text::replicas(&json)))
    })
}

/// Runs `ringherd rm`.
pub fn remove(matches: &ArgMatches) -> Result<(), Failure> {
    let (given, names) = words::count_and_names(matches)?;
    let count = words::to_remove(given, &names)?;
    run(matches, async |session| {
        let json = session.ask(session.client.remove(count, &names)).await?;
        show(matches, &json, || Ok(text::replicas(&json)))
    })
}

/// Runs `ringherd drain`.
pub fn drain(matches: &ArgMatches) -> Result<(), Failure> {
    let name = name(matches);
    run(matches, async |session| {
        let drained = drain::run(&session, name, matches).await?;
        show(matches, &drained.to_json(), || Ok(drained.to_string()))
    })
}

/// Runs `ringherd kill`.
pub fn kill(matches: &ArgMatches) -> Result<(), Failure> {
    let name = name(matches);
    run(matches, async |session| {
        let json = session.ask(session.client.kill(name)).await?;
        show(matches, &json, || Ok(text::message(&json)))
    })
}

/// Runs `ringherd weight`.
pub fn weight(matches: &ArgMatches) -> Result<(), Failure> {
    let (name, weight) = (name(matches), *matches.get_one("weight").expect("a required argument"));
    run(matches, async |session| {
        let json = session.ask(session.client.set_weight(name, weight)).await?;
        show(matches, &json, || Ok(text::weight(&session.as_replica(&json)?)))
    })
}

/// Runs `ringherd set`.
pub fn set(matches: &ArgMatches) -> Result<(), Failure> {
    let change = words::settings(matches.get_many("changes").into_iter().flatten().cloned())?;
    run(matches, async |session| {
        let json = session.ask(session.client.change_ring(&change)).await?;
        show(matches, &json, || Ok(text::ring(&session.as_ring(&json)?)))
    })
}

/// Runs `ringherd deploy`.
pub fn deploy(matches: &ArgMatches) -> Result<(), Failure> {
    run(matches, async |session| {
        let wanted = deploy::Wanted::of(matches);
        let as_json = matches.get_flag("json");
        // The lines of a deploy that is followed come while it goes on.
        let mut tell = |line: String| if as_json { Ok(()) } else { print(&(line + "\n")) };
        let ended = deploy::run(&session, &wanted, &mut tell).await?;
        if as_json {
            print(&(plain_json(&ended.json) + "\n"))?;
        }
        ended.outcome
    })
}

fn name(matches: &ArgMatches) -> &str {
    matches.get_one::<String>("name").expect("a required argument")
}

fn show(
    matches: &ArgMatches,
    json: &Value,
    text: impl FnOnce() -> Result<String, Failure>,
) -> Result<(), Failure> {
    let text = if matches.get_flag("json") { plain_json(json) + "\n" } else { text()? };
    print(&text)
}
