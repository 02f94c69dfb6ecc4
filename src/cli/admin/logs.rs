//! `ringherd logs`: what a replica has written, and what it writes.

use clap::{Arg, ArgAction, ArgMatches, value_parser};

use super::{name, session, text};
use crate::cli::exit::print_more;
use crate::cli::{Failure, print};

pub(super) fn arguments() -> [Arg; 2] {
    let lines = Arg::new("lines")
        .long("lines")
        .short('n')
        .value_name("N")
        .default_value("50")
        .value_parser(value_parser!(u8).range(1..=200))
        .help("How many of the last lines, 1 to 200");
    let follow = Arg::new("follow")
        .long("follow")
        .short('f')
        .action(ArgAction::SetTrue)
        .help("Go on with what follows, until the replica ends");
    [lines, follow]
}

/// Runs `ringherd logs`.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let (name, lines) = (name(matches), *matches.get_one("lines").expect("--lines has a default"));
    session::run(matches, async |session| {
        if !matches.get_flag("follow") {
            return print(&text::log(&session.ask(session.client.log(name, lines)).await?));
        }
        let mut log = session.ask(session.client.follow_log(name, lines)).await?;
        while let Some(piece) = session.ask(log.next()).await? {
            if !print_more(&text::log_piece(&piece))? {
                break;
            }
        }
        Ok(())
    })
}
