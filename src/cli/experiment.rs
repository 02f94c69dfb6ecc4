//! `ringherd experiment`: parses the arguments, runs the experiments, and maps their end to an exit
//! code.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use tokio::runtime::LocalRuntime;

use super::{Exit, Failure, print};
use crate::client::{self, Url};
use crate::config::quote;
use crate::experiment::{self, End, Error, Experiment, Options, Target};
use crate::ring::Family;

/// Default port of the public listener.
const DEFAULT_PUBLIC_PORT: u16 = 5000;

const TOKEN_VARIABLE: &str = "RINGHERD_ADMIN_TOKEN";

/// Largest token file that is read, in bytes.
const MAX_TOKEN: usize = 1_024;

const LONG_ABOUT: &str = "\
Measures how evenly requests spread, and what happens when a replica is killed. Prints tables, and \
writes a page with charts (index.html), the charts (SVG), all figures (results.json) and a summary \
(summary.md) to the folder of --out. Other files in it are left alone.

  a1          requests on three replicas, compared with the ring's shares and with equal ones
  a2          the same for two to six replicas
  a3          every endpoint, then a replica killed under load
  a4          a1 and a2 for each kind of ring, and why they differ
  movement    keys that move when replicas come and go
  placements  how even placements are with up to 200 replicas, beside Maglev and ketama
  zipf        popular keys, with and without bounded load
  latency     latency at a fixed rate
  all         all of these (the default)

Without --target it starts a balancer of its own on free ports, and ends it. With --target it drives \
a running one: it adds replicas, changes weights and the ring, kills a replica, and puts back what \
was, also after an error, SIGHUP, SIGINT, SIGQUIT or SIGTERM. Do not do that to a pool that people rely on.";

const AFTER: &str = "\
Exit codes:
   0  all that was asked for was done
   1  a request was lost (no answer, or a 4xx or 5xx), an endpoint did not answer as described, a killed \
replica did not come back, or the pool could not be put back
  64  the command line cannot be understood
  69  nobody answers
  74  the report cannot be written
 129  ended by SIGHUP
 130  ended by SIGINT
 131  ended by SIGQUIT
 143  ended by SIGTERM

Examples:
  ringherd experiment
      All experiments on a balancer of its own.
  ringherd experiment a1 a4 --family classic --seed 7
      Two of them, on one hash family and with the keys of an earlier run.
  ringherd experiment a2 --target http://127.0.0.1:5001
      On a running balancer that takes requests on 127.0.0.1:5000.";

/// The subcommand `experiment` with its arguments.
pub fn command() -> Command {
    Command::new("experiment")
        .about("Measure how evenly requests spread")
        .long_about(LONG_ABOUT)
        .after_long_help(AFTER)
        .arg(
            Arg::new("experiments")
                .value_name("EXPERIMENT")
                .action(ArgAction::Append)
                .value_parser(chosen)
                .help("Which: a1, a2, a3, a4, movement, placements, zipf, latency or all [default: all]"),
        )
        .arg(
            Arg::new("target")
                .long("target")
                .value_name("URL")
                .value_parser(value_parser!(Url))
                .help("Admin API of a running balancer, as http://HOST:PORT [default: one is started]"),
        )
        .arg(
            Arg::new("public")
                .long("public")
                .value_name("URL")
                .requires("target")
                .value_parser(value_parser!(Url))
                .help("Where that takes requests [default: port 5000 of the same host]"),
        )
        .arg(
            Arg::new("token-file")
                .long("token-file")
                .value_name("FILE")
                .requires("target")
                .value_parser(value_parser!(PathBuf))
                .help("File with its admin token [default: the variable RINGHERD_ADMIN_TOKEN, if set]"),
        )
        .args(measuring())
}

fn measuring() -> [Arg; 5] {
    let number = |name: &'static str, value: &'static str, default: &'static str, max: i64| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .default_value(default)
            .value_parser(value_parser!(u32).range(1..=max))
    };
    [
        number("requests", "N", "10000", 10_000_000).help("Requests of each measurement, 1 to 10000000"),
        number("concurrency", "C", "64", 1_024)
            .help("Connections, each with one request at a time, 1 to 1024"),
        Arg::new("seed").long("seed").value_name("S").value_parser(value_parser!(u64)).help(
            "Number that keys are drawn from; the same gives the same keys [default: drawn, and printed]",
        ),
        Arg::new("out")
            .long("out")
            .value_name("DIR")
            .default_value("report")
            .value_parser(value_parser!(PathBuf))
            .help("Folder of the report"),
        Arg::new("family")
            .long("family")
            .value_name("FAMILY")
            .value_parser(|text: &str| text.parse::<Family>())
            .help("Only rings of one hash family: classic or modified"),
    ]
}

/// Parses the name of an experiment, or `all`.
fn chosen(word: &str) -> Result<Vec<Experiment>, String> {
    if word == "all" { Ok(Experiment::ALL.to_vec()) } else { word.parse().map(|one| vec![one]) }
}

/// Runs the experiments that `matches` (of [`command`]) choose, and prints the results.
pub fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let options = options(matches, std::env::var(TOKEN_VARIABLE).ok())?;
    let runtime = LocalRuntime::new()
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot run the experiments: {error}")))?;
    let end = runtime.block_on(experiment::run(&options));
    // A name that is still being resolved must not hold up the end.
    runtime.shutdown_background();
    match end.map_err(|error| Failure::new(exit(&error), error))? {
        End::Done { text, faults, problems, unwritten } => {
            print(&text)?;
            let found = faults.into_iter().chain(problems.iter().map(|problem| not_restored(problem)));
            let found: Vec<String> = found.chain(unwritten.iter().map(ToString::to_string)).collect();
            match (found.is_empty(), unwritten) {
                (true, _) => Ok(ExitCode::SUCCESS),
                (false, Some(error)) => Err(Failure::new(exit(&error), found.join("\n"))),
                (false, None) => Err(Failure::new(Exit::Negative, found.join("\n"))),
            }
        }
        End::Signal { number, problems } => {
            let _ = problems
                .iter()
                .try_for_each(|problem| writeln!(io::stderr(), "ringherd: {}", not_restored(problem)));
            Ok(ExitCode::from(128 + number))
        }
    }
}

fn not_restored(problem: &str) -> String {
    format!("the pool is not as it was: {problem}")
}

fn exit(error: &Error) -> Exit {
    match error {
        Error::Report { .. } => Exit::Output,
        Error::System(_) => Exit::Internal,
        Error::Admin(client::Error::Refused { .. }) | Error::Unfit(_) | Error::Miscount { .. } => {
            Exit::Negative
        }
        Error::Admin(_) | Error::Public { .. } | Error::Gone { .. } | Error::OwnBalancer(_) => {
            Exit::Unavailable
        }
    }
}

fn options(matches: &ArgMatches, token: Option<String>) -> Result<Options, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let target = match matches.get_one::<Url>("target") {
        None => None,
        Some(admin) => Some(Target {
            public: match matches.get_one::<Url>("public") {
                Some(public) => public.clone(),
                None => beside(admin).map_err(usage)?,
            },
            admin: admin.clone(),
            token: match matches.get_one::<PathBuf>("token-file") {
                Some(file) => Some(read_token(file).map_err(usage)?),
                None => token.filter(|token| !token.is_empty()),
            },
        }),
    };
    let chosen = matches.get_many::<Vec<Experiment>>("experiments");
    let chosen: Vec<Experiment> = chosen.into_iter().flatten().flatten().copied().collect();
    let mut options = Options {
        experiments: if chosen.is_empty() { Experiment::ALL.to_vec() } else { chosen },
        target,
        requests: *matches.get_one("requests").expect("it has a default"),
        concurrency: *matches.get_one("concurrency").expect("it has a default"),
        seed: matches.get_one("seed").copied().unwrap_or_else(|| fastrand::u64(..1 << 32)),
        out: matches.get_one::<PathBuf>("out").expect("it has a default").clone(),
        family: matches.get_one("family").copied(),
        command: String::new(),
    };
    options.experiments.sort_unstable();
    options.experiments.dedup();
    options.command = command_line(&options);
    Ok(options)
}

/// The default public URL: the host of the admin API with the default port.
fn beside(admin: &Url) -> Result<Url, String> {
    let address = admin.address();
    let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
    let url = format!("http://{host}:{DEFAULT_PUBLIC_PORT}");
    url.parse().map_err(|error| format!("{url} is no URL to send requests to: {error}; give --public"))
}

/// Reads the token in a file, without the newline at its end.
fn read_token(file: &PathBuf) -> Result<String, String> {
    let refused = |why: &str| format!("--token-file {}: {why}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| refused(&error.to_string()))?;
    let token = text.trim_end_matches(['\r', '\n']);
    match token.len() {
        0 => Err(refused("it is empty")),
        1..=MAX_TOKEN if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(token.to_owned()),
        _ => Err(refused("use up to 1024 visible ASCII characters")),
    }
}

/// The command line that repeats the run, including the seed.
fn command_line(options: &Options) -> String {
    let mut words = vec!["ringherd".to_owned(), "experiment".to_owned()];
    if options.experiments == Experiment::ALL {
        words.push("all".to_owned());
    } else {
        words.extend(options.experiments.iter().map(ToString::to_string));
    }
    if let Some(target) = &options.target {
        let (admin, public) = (target.admin.to_string(), target.public.to_string());
        words.push(format!("--target {} --public {}", quote(&admin), quote(&public)));
    }
    words.push(format!(
        "--requests {} --concurrency {} --seed {}",
        options.requests, options.concurrency, options.seed
    ));
    words.extend(options.family.map(|family| format!("--family {family}")));
    words.push(format!("--out {}", quote(&options.out.to_string_lossy())));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Options, Failure> {
        let matches = command().try_get_matches_from(std::iter::once(&"experiment").chain(words));
        options(&matches.map_err(|error| Failure::new(Exit::Usage, error))?, Some("from-variable".to_owned()))
    }

    #[test]
    fn the_command_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn all_is_the_default_and_each_is_done_once() {
        assert_eq!(parsed(&[]).unwrap().experiments, Experiment::ALL);
        assert_eq!(parsed(&["a4", "all", "a1"]).unwrap().experiments, Experiment::ALL);
        assert_eq!(parsed(&["a4", "a1", "a4"]).unwrap().experiments, [Experiment::A1, Experiment::A4]);
    }

    #[test]
    fn requests_are_taken_beside_the_admin_api_unless_said_otherwise() {
        let target = |words: &[&str]| parsed(words).unwrap().target.unwrap();
        assert_eq!(target(&["--target", "http://[::1]:9"]).public.to_string(), "http://[::1]:5000");
        assert_eq!(target(&["--target", "http://a"]).public.address(), "a:5000");
        let both = target(&["--target", "http://a:1", "--public", "http://b:2"]);
        assert_eq!((both.admin.address(), both.public.address()), ("a:1".into(), "b:2".into()));
        assert_eq!(both.token.as_deref(), Some("from-variable"));
    }

    #[test]
    fn the_command_line_repeats_the_run_and_tells_no_token() {
        let options =
            parsed(&["a1", "a2", "--target", "http://a:1", "--seed", "7", "--family", "classic"]).unwrap();
        let line = "ringherd experiment a1 a2 --target http://a:1 --public http://a:5000 --requests 10000 \
                    --concurrency 64 --seed 7 --family classic --out report";
        assert_eq!(options.command, line);
        let again: Vec<&str> = line.split(' ').skip(2).collect();
        assert_eq!(parsed(&again).unwrap().command, line);
        assert!(!format!("{options:?}").contains("from-variable"));
    }

    #[test]
    fn a_folder_is_quoted_for_a_shell() {
        let out = |folder: &str| {
            parsed(&["--out", folder]).unwrap().command.split_once("--out ").unwrap().1.to_owned()
        };
        assert_eq!(out("docs/a-1"), "docs/a-1");
        assert_eq!(out("my report; rm"), "'my report; rm'");
        assert_eq!(out("it's"), r"'it'\''s'");
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [
            &["a5"][..],
            &["--requests", "0"],
            &["--concurrency", "100000"],
            &["--public", "http://a:1"],
            &["--target", "a:1"],
            &["--family", "other"],
            &["--target", "http://a:1", "--token-file", "/nonexistent/token"],
        ] {
            assert_eq!(parsed(words).expect_err("no sense").exit(), Exit::Usage, "{words:?}");
        }
    }
}
