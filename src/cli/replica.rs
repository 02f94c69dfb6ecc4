//! `ringherd replica`: runs one replica. Knows no balancer.

use std::ffi::OsString;
use std::net::SocketAddr;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::replica::{self, ReplicaConfig, StopSignal, shim};

const DEFAULT_NAME: &str = "0";

/// The subcommand `replica` with its arguments.
pub fn command() -> Command {
    Command::new("replica")
        .about("Run one replica: the small web server the balancer starts by default")
        .long_about(
            "Run one replica: the small web server the balancer starts by default.\n\n\
             GET /home answers with the replica's name, GET /heartbeat with an empty 200, any other path with \
             400. The address it listens on is written to standard output as one line, such as \
             {\"listening\":\"127.0.0.1:40123\"}. SIGTERM ends it after the requests in flight.",
        )
        .arg(
            Arg::new("name")
                .long("name")
                .value_name("NAME")
                .help("Name to answer with [env: SERVER_ID] [default: 0]"),
        )
        .arg(
            Arg::new("listen")
                .long("listen")
                .value_name("ADDR")
                .default_value("127.0.0.1:5000")
                .value_parser(value_parser!(SocketAddr))
                .help("Address to listen on, as IP:PORT; port 0 lets the kernel choose one"),
        )
        .arg(
            Arg::new("exit-with-stdin")
                .long("exit-with-stdin")
                .action(ArgAction::SetTrue)
                .help("End when standard input reaches its end, as it does when the parent is gone"),
        )
        .args(exec_args())
}

/// The arguments that the process runtime uses for `--replica-command`; hidden, because nobody needs
/// them by hand.
fn exec_args() -> [Arg; 3] {
    let exec = Arg::new("exec")
        .long("exec")
        .action(ArgAction::SetTrue)
        .requires("command")
        .hide(true)
        .help("Run another program that ends with standard input");
    let stop = Arg::new("stop-signal")
        .long("stop-signal")
        .value_name("SIGNAL")
        .requires("exec")
        .default_value(StopSignal::default().name())
        .value_parser(|name: &str| StopSignal::named(name).ok_or("not a signal that asks for an end"))
        .hide(true)
        .help("Signal that tells the program to end");
    let command = Arg::new("command")
        .value_name("PROGRAM")
        .num_args(1..)
        .last(true)
        .requires("exec")
        .hide(true)
        .value_parser(value_parser!(OsString))
        .help("The program and its arguments");
    [exec, stop, command]
}

/// Runs the replica until it is stopped.
///
/// With `--exec` it does not return: the process exits with the program's exit code.
///
/// # Errors
/// What could not be started, and what to do.
pub fn run(matches: &ArgMatches) -> Result<(), String> {
    show_own_name();
    let runtime = replica::runtime().map_err(|error| format!("cannot start the replica: {error}"))?;
    let Some(words) = matches.get_many::<OsString>("command") else {
        let served = runtime.block_on(replica::serve(config(matches)));
        // A thread that reads standard input may never return.
        runtime.shutdown_background();
        return served.map_err(|error| error.to_string());
    };
    let words: Vec<_> = words.cloned().collect();
    let stop = matches.get_one("stop-signal").copied().unwrap_or_default();
    let code = runtime.block_on(shim::run(&words, stop)).map_err(|error| {
        format!("cannot supervise the program: {error}; check the limits of processes and files")
    })?;
    std::process::exit(code)
}

fn config(matches: &ArgMatches) -> ReplicaConfig {
    ReplicaConfig {
        name: name(matches.get_one::<String>("name"), std::env::var("SERVER_ID").ok()),
        listen: *matches.get_one("listen").expect("--listen has a default"),
        exit_with_stdin: matches.get_flag("exit-with-stdin"),
    }
}

/// The name from the flag, else from the environment; an empty name counts as none.
fn name(flag: Option<&String>, environment: Option<String>) -> String {
    flag.cloned().or(environment).filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_NAME.to_owned())
}

/// Sets the name of the process: one started through `/proc/self/exe` is called "exe". If this fails,
/// only process lists show that name.
fn show_own_name() {
    let _ = std::fs::write("/proc/self/comm", env!("CARGO_PKG_NAME"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<ArgMatches, clap::Error> {
        command().try_get_matches_from(std::iter::once(&"replica").chain(args))
    }

    #[test]
    fn the_command_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn a_name_comes_from_flag_environment_or_default() {
        assert_eq!(name(Some(&"a".into()), Some("b".into())), "a");
        assert_eq!(name(None, Some("b".into())), "b");
        assert_eq!(name(None, Some(String::new())), "0");
        assert_eq!(name(None, None), "0");
    }

    #[test]
    fn arguments_become_a_config() {
        let config =
            config(&parse(&["--name", "Server 1", "--listen", "[::1]:0", "--exit-with-stdin"]).unwrap());
        let listen = "[::1]:0".parse().unwrap();
        assert_eq!(config, ReplicaConfig { name: "Server 1".into(), listen, exit_with_stdin: true });
    }

    #[test]
    fn exec_takes_the_rest_as_it_is() {
        let matches = parse(&["--exec", "--", "prog", "--name", "-x"]).unwrap();
        let words: Vec<_> = matches.get_many::<OsString>("command").unwrap().collect();
        assert_eq!(words, ["prog", "--name", "-x"]);
        assert_eq!(matches.get_one("stop-signal"), Some(&StopSignal::Term));
        let matches = parse(&["--exec", "--stop-signal", "SIGQUIT", "--", "prog"]).unwrap();
        assert_eq!(matches.get_one("stop-signal"), Some(&StopSignal::Quit));
        assert!(parse(&["--exec", "--stop-signal", "SIGKILL", "--", "prog"]).is_err());
        assert!(parse(&["--exec"]).is_err());
        assert!(parse(&["--", "prog"]).is_err());
        assert!(parse(&["--listen", "nowhere"]).is_err());
    }
}
