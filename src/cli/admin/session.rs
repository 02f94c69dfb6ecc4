//! The part that all commands for the admin API share: the options for its address and token, and the
//! mapping of errors to failures.

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::LocalRuntime;

use crate::cli::{Exit, Failure, variables};
use crate::client::{Client, DeployReport, Error, ReplicaReport, RingReport, Url};

/// Largest token file that is read, in bytes.
const MAX_TOKEN_FILE: u64 = 64 * 1024;

/// The options that select the balancer.
pub(in crate::cli) fn arguments() -> [Arg; 2] {
    let url = Arg::new("url")
        .long("url")
        .value_name("URL")
        .value_parser(ValueParser::new(|text: &str| Url::of_api(text)))
        .help(format!(
            "Admin API of the balancer, as http://HOST:PORT [default: http://{}, or RINGHERD_ADMIN_LISTEN]",
            variables::DEFAULT_ADMIN
        ));
    let token = Arg::new("token-file").long("token-file").value_name("FILE").help(
        "File with its bearer token [default: the one in RINGHERD_ADMIN_TOKEN or RINGHERD_ADMIN_TOKEN_FILE]",
    );
    [url, token]
}

/// A connection to the admin API of a balancer.
pub(in crate::cli) struct Session {
    /// Client of its admin API.
    pub(in crate::cli) client: Client,
}

/// Runs a command on the balancer that the options select.
pub(in crate::cli) fn run<T>(
    matches: &ArgMatches,
    ask: impl AsyncFnOnce(Session) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let session = Session::of(matches).map_err(|problem| Failure::new(Exit::Usage, problem))?;
    let runtime = LocalRuntime::new()
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot ask the balancer: {error}")))?;
    let result = runtime.block_on(ask(session));
    // Does not wait for a host name that is still being resolved.
    runtime.shutdown_background();
    result
}

impl Session {
    fn of(matches: &ArgMatches) -> Result<Self, String> {
        let variable = |name: &str| std::env::var(name).ok();
        let url = match matches.get_one::<Url>("url") {
            Some(url) => url.clone(),
            None => variables::admin_url(variable)?,
        };
        let file = matches.get_one::<String>("token-file");
        let token = variables::token(file.map(String::as_str), variable, read_file)?;
        let client = Client::new(url, token);
        // Not all commands have it.
        let pool = matches.try_get_one::<String>("pool").ok().flatten();
        Ok(Self { client: pool.map_or(client.clone(), |pool| client.of_pool(pool)) })
    }

    /// Waits for a response, and maps an error to a failure.
    pub(in crate::cli) async fn ask<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        answer.await.map_err(|error| failure(&error))
    }

    pub(super) fn as_ring(&self, json: &Value) -> Result<RingReport, Failure> {
        self.read(json)
    }

    pub(super) fn as_deploy(&self, json: &Value) -> Result<DeployReport, Failure> {
        self.read(json)
    }

    pub(super) fn as_replica(&self, json: &Value) -> Result<ReplicaReport, Failure> {
        self.read(json)
    }

    fn read<T: DeserializeOwned>(&self, json: &Value) -> Result<T, Failure> {
        T::deserialize(json)
            .map_err(|error| failure(&Error::BadResponse(self.client.url().clone(), error.to_string())))
    }
}

/// The failure for an error.
pub(in crate::cli) fn failure(error: &Error) -> Failure {
    let exit = match error {
        Error::Unreachable(..) | Error::BadResponse(..) => Exit::Unavailable,
        Error::Refused { .. } => Exit::Negative,
    };
    if error.status() == Some(StatusCode::UNAUTHORIZED) {
        return Failure::new(exit, format!("{error}; give it with --token-file or RINGHERD_ADMIN_TOKEN"));
    }
    Failure::new(exit, error)
}

fn read_file(path: &str) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_TOKEN_FILE).read_to_string(&mut text)?;
    Ok(text)
}
