//! The subcommands of the cargo feature `tools`: those that neither a balancer nor its administration
//! needs. A build without the feature knows their names, and says why they are missing.

#[cfg(feature = "tools")]
pub(super) use present::{commands, invocation};

#[cfg(not(feature = "tools"))]
pub(super) use absent::{commands, invocation};

#[cfg(feature = "tools")]
mod present {
    use clap::{ArgMatches, Command};

    use crate::cli::{Failure, Invocation, completions, experiment, man, top};

    /// The subcommands.
    pub(in crate::cli) fn commands() -> [Command; 4] {
        [top::command(), experiment::command(), completions::command(), man::command()]
    }

    /// The invocation of the subcommand `name`, if it is one of these.
    pub(in crate::cli) fn invocation(
        name: &str,
        matches: &ArgMatches,
    ) -> Option<Result<Invocation, Failure>> {
        let run = |run| Ok(Invocation::Run(run, matches.clone()));
        match name {
            "top" => Some(run(top::run)),
            "completions" => Some(run(completions::run)),
            "man" => Some(run(man::run)),
            "experiment" => Some(Ok(Invocation::Experiment(matches.clone()))),
            _ => None,
        }
    }
}

#[cfg(not(feature = "tools"))]
mod absent {
    use std::ffi::OsString;

    use clap::{Arg, ArgMatches, Command, value_parser};

    use crate::cli::{Exit, Failure, Invocation};

    const NAMES: [&str; 4] = ["top", "experiment", "completions", "man"];

    /// The subcommands, hidden in the help. Each takes any arguments.
    pub(in crate::cli) fn commands() -> [Command; 4] {
        let arguments = || {
            Arg::new("arguments")
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .value_parser(value_parser!(OsString))
        };
        NAMES.map(|name| {
            Command::new(name).hide(true).disable_help_flag(true).about(missing(name)).arg(arguments())
        })
    }

    /// The failure of the subcommand `name`, if it is one of these.
    pub(in crate::cli) fn invocation(name: &str, _: &ArgMatches) -> Option<Result<Invocation, Failure>> {
        NAMES.contains(&name).then(|| Err(Failure::new(Exit::Usage, missing(name))))
    }

    fn missing(name: &str) -> String {
        format!(
            "'{name}' is not in this build: it was built without the feature 'tools' \
             (cargo build --no-default-features --features aws-lc-rs,mimalloc); use a build with it"
        )
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_missing_command_says_why_it_is_missing() {
            for words in
                [&["top", "--admin", "x"][..], &["experiment", "a1"], &["man", "--help"], &["completions"]]
            {
                let words = std::iter::once("ringherd").chain(words.iter().copied());
                let failure = crate::cli::parse(words.map(Into::into)).expect_err("it is not in this build");
                assert_eq!(failure.exit(), Exit::Usage);
                assert!(format!("{failure:?}").contains("feature 'tools'"), "{failure:?}");
            }
        }
    }
}
