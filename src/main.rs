//! The command: parse, run, exit code.

use std::process::ExitCode;

use clap::ArgMatches;
use ringherd::cli::{self, Exit, Failure, Invocation};
use ringherd::config::{self, Flags, Inputs};
use ringherd::serve;

/// A request makes and frees a dozen blocks, which glibc does for twice the instructions; and its heaps
/// of threads grow and shrink by system calls.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::finish(cli::parse(std::env::args_os()).and_then(run))
}

fn run(invocation: Invocation) -> Result<ExitCode, Failure> {
    match invocation {
        Invocation::Serve(flags) => serve(flags)?,
        Invocation::Check { flags, as_json } => cli::check::run(&flags, as_json)?,
        Invocation::Ring(matches) => ring(&matches)?,
        Invocation::Replica(matches) => {
            cli::replica::run(&matches).map_err(|error| Failure::new(Exit::Unavailable, error))?;
        }
        Invocation::Healthcheck(matches) => {
            cli::healthcheck::run(&matches).map_err(|error| Failure::new(Exit::Negative, error))?;
        }
        Invocation::Run(run, matches) => run(&matches)?,
        #[cfg(feature = "tools")]
        Invocation::Experiment(matches) => return cli::experiment::run(&matches),
        Invocation::Print(text) => cli::print(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn serve(flags: Flags) -> Result<(), Failure> {
    let has_file = Inputs::of_process(&flags).names_file();
    let load = move || config::load(Inputs::of_process(&flags));
    let config = load().map_err(|problems| Failure::new(Exit::Config, problems))?;
    serve::run(config, serve::Reload { read: Box::new(load), has_file })
        .map_err(|error| Failure::new(exit_code(&error), error))
}

fn ring(matches: &ArgMatches) -> Result<(), Failure> {
    // Printed whole: a ring that cannot be built prints nothing but its error.
    let mut text = Vec::new();
    cli::ring::run(matches, &mut text).map_err(|error| Failure::new(Exit::Usage, error))?;
    cli::print(&String::from_utf8_lossy(&text))
}

fn exit_code(error: &serve::Error) -> Exit {
    match error {
        serve::Error::Listen { .. } | serve::Error::Ring(_) | serve::Error::AccessLog { .. } => {
            Exit::Unavailable
        }
        serve::Error::Descriptors { .. } => Exit::System,
        serve::Error::Control(_) | serve::Error::Certificate(_) | serve::Error::UpstreamTls(_) => {
            Exit::Config
        }
        serve::Error::System(_) | serve::Error::Supervisor(_) | serve::Error::Worker(_) => Exit::Internal,
    }
}
