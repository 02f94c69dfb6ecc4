//! The command line: its subcommands, their help, and exit codes.
//!
//! Parses arguments into an [`Invocation`], and implements all subcommands but the balancer itself.
//! [`crate::config`] interprets the flags of settings.

mod admin;
mod args;
pub mod check;
#[cfg(feature = "tools")]
mod completions;
mod exit;
#[cfg(feature = "tools")]
pub mod experiment;
pub mod healthcheck;
mod help;
#[cfg(feature = "tools")]
mod man;
pub mod replica;
pub mod ring;
mod route;
mod tools;
#[cfg(feature = "tools")]
mod top;
mod variables;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgMatches, Command};

pub use exit::{Exit, Failure, finish, print};

use crate::config::{self, Flags};

/// A parsed command line.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// Run the balancer.
    Serve(Flags),
    /// Print the effective configuration.
    Check {
        /// Those that were given.
        flags: Flags,
        /// Whether as JSON.
        as_json: bool,
    },
    /// Print a ring.
    Ring(ArgMatches),
    /// Run one replica.
    Replica(ArgMatches),
    /// Check the health of a running balancer or replica.
    Healthcheck(ArgMatches),
    /// Run this subcommand with these arguments.
    Run(fn(&ArgMatches) -> Result<(), Failure>, ArgMatches),
    /// Run experiments.
    #[cfg(feature = "tools")]
    Experiment(ArgMatches),
    /// Print the help or the version.
    Print(String),
}

/// The command with all subcommands.
pub fn command() -> Command {
    let serve = Command::new("serve").about("Run the balancer (the default)").long_about(help::SERVE);
    let check = Command::new("check")
        .about("Print the effective configuration")
        .long_about(help::CHECK)
        .args(args::of_check());
    args::add(Command::new("ringherd"))
        .version(clap::crate_version!())
        .about(help::SHORT)
        .long_about(help::LONG)
        .after_long_help(help::AFTER)
        .max_term_width(100)
        .args_conflicts_with_subcommands(true)
        .subcommand(args::add(serve).after_long_help(help::AFTER))
        .subcommand(args::add(check).after_long_help(help::AFTER))
        .subcommand(route::command())
        .subcommands(admin::commands())
        .subcommand(ring::command())
        .subcommand(replica::command())
        .subcommand(healthcheck::command())
        .subcommands(tools::commands())
}

/// Parses a command line; the first word is the name of the program.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Invocation, Failure> {
    match command().try_get_matches_from(words) {
        Ok(matches) => {
            let tool = matches.subcommand().and_then(|(name, matches)| tools::invocation(name, matches));
            tool.unwrap_or_else(|| Ok(invocation(&matches)))
        }
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Invocation::Print(error.render().to_string()))
            }
            _ => Err(usage(&error)),
        },
    }
}

fn invocation(matches: &ArgMatches) -> Invocation {
    let run = |run, matches: &ArgMatches| Invocation::Run(run, matches.clone());
    match matches.subcommand() {
        Some(("status", matches)) => run(admin::status, matches),
        Some(("add", matches)) => run(admin::add, matches),
        Some(("rm", matches)) => run(admin::remove, matches),
        Some(("drain", matches)) => run(admin::drain, matches),
        Some(("kill", matches)) => run(admin::kill, matches),
        Some(("logs", matches)) => run(admin::logs, matches),
        Some(("weight", matches)) => run(admin::weight, matches),
        Some(("set", matches)) => run(admin::set, matches),
        Some(("deploy", matches)) => run(admin::deploy, matches),
        Some(("check", matches)) if matches.get_flag("example") => Invocation::Print(config::example_file()),
        Some(("check", matches)) if matches.get_flag("schema") => {
            Invocation::Print(format!("{:#}\n", config::schema()))
        }
        Some(("check", matches)) => {
            Invocation::Check { flags: args::flags(matches), as_json: matches.get_flag("json") }
        }
        Some(("route", matches)) => run(route::run, matches),
        Some(("ring", matches)) => Invocation::Ring(matches.clone()),
        Some(("replica", matches)) => Invocation::Replica(matches.clone()),
        Some(("healthcheck", matches)) => Invocation::Healthcheck(matches.clone()),
        subcommand => Invocation::Serve(args::flags(subcommand.map_or(matches, |(_, serve)| serve))),
    }
}

fn usage(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    Failure::new(Exit::Usage, text.strip_prefix("error: ").unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Invocation, Failure> {
        parse(["ringherd"].iter().chain(words).map(Into::into))
    }

    fn flags(pairs: &[(&str, &str)]) -> Flags {
        let mut flags = Flags::new();
        for (key, value) in pairs {
            flags.push(key, value);
        }
        flags
    }

    #[test]
    fn clap_finds_nothing_wrong_with_the_command() {
        command().debug_assert();
    }

    #[test]
    fn serve_is_what_is_done_without_a_subcommand() {
        for words in [&["--replicas", "5", "--grace=1s"][..], &["serve", "--replicas", "5", "--grace=1s"]] {
            let Ok(Invocation::Serve(found)) = parsed(words) else { panic!("{words:?}") };
            assert_eq!(found, flags(&[("grace", "1s"), ("replicas", "5")]));
        }
    }

    #[test]
    fn values_are_passed_on_unjudged() {
        let words = ["check", "--replicas", "-1", "--listen=", "--upstream", "a:1", "--upstream", "b:2"];
        let Ok(Invocation::Check { flags: found, as_json: false }) = parsed(&words) else { panic!() };
        assert_eq!(
            found,
            flags(&[("replicas", "-1"), ("listen", ""), ("upstream", "a:1"), ("upstream", "b:2")])
        );
    }

    #[test]
    fn check_prints_an_example_or_a_schema_instead() {
        let Ok(Invocation::Print(example)) = parsed(&["check", "--example"]) else { panic!() };
        assert!(example.contains("\n[health]\n"), "{example}");
        let Ok(Invocation::Print(schema)) = parsed(&["check", "--schema"]) else { panic!() };
        assert!(schema.starts_with('{') && schema.ends_with("}\n"), "{schema}");
    }

    #[test]
    fn a_command_line_that_makes_no_sense_is_a_usage_error() {
        for words in [
            &["--nope"][..],
            &["nope"],
            &["--replicas"],
            &["--replicas", "1", "--replicas", "2"],
            &["--replicas", "1", "check"],
            &["check", "extra"],
            &["check", "--example", "--schema"],
            &["check", "--example", "--replicas", "1"],
        ] {
            let failure = parsed(words).expect_err("no sense");
            assert_eq!(failure.exit(), Exit::Usage, "{words:?}");
        }
    }

    #[test]
    fn the_help_tells_each_setting_with_default_bounds_and_variable() {
        let Ok(Invocation::Print(help)) = parsed(&["--help"]) else { panic!() };
        // Lines are wrapped: compare words.
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let help = flat(&help);
        for entry in config::entries() {
            let setting = &entry.setting;
            for text in [
                &if setting.kind.takes_booleans() {
                    format!("--{} [<{}>]", setting.flag, setting.value_name)
                } else {
                    format!("--{} <{}>", setting.flag, setting.value_name)
                },
                &setting.full_help(),
                &entry.default_text(),
                &setting.values(),
                &format!("Environment: {}", setting.env()),
            ] {
                assert!(help.contains(&flat(text)), "{}: {text}", setting.flag);
            }
        }
    }
}
