//! A balancer that is started for the experiments: this binary, on free ports, with three replicas as
//! processes.
//!
//! It runs under the shim for replicas, and so ends when its standard input closes, also when this
//! process is killed.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::time::timeout;

use super::error::Error;
use super::options::Target;
use crate::client::{Client, Url};

/// Time limit for it to listen and to have its replicas ready.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Time limit for it to end; the shim kills it after 5 s.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Number of lines from the end of its log that are quoted if it does not start.
const TOLD_LINES: usize = 5;

/// Number of its replicas at the start.
const REPLICAS: usize = 3;

/// A running balancer.
pub(super) struct OwnBalancer {
    process: Child,
    /// It ends when this closes.
    stdin: Option<ChildStdin>,
    target: Target,
}

/// The fields of a line of its log that are read.
#[derive(Deserialize)]
struct Line {
    message: String,
    address: Option<SocketAddr>,
}

impl OwnBalancer {
    /// Starts a balancer and waits until its replicas are ready.
    pub(super) async fn start() -> Result<Self, Error> {
        let mut process = command().spawn()?;
        let stdin = process.stdin.take();
        let stderr = process.stderr.take().ok_or_else(|| Error::OwnBalancer("it has no log".to_owned()))?;
        let mut log = BufReader::new(stderr).lines();
        let late = |_| Error::OwnBalancer(format!("it does not listen after {} s", START_LIMIT.as_secs()));
        let target = timeout(START_LIMIT, addresses(&mut log)).await.map_err(late)??;
        // The pipe must be read, or the balancer would block when it is full.
        tokio::task::spawn_local(async move { while let Ok(Some(_)) = log.next_line().await {} });
        let own = Self { process, stdin, target };
        let late =
            |_| Error::OwnBalancer(format!("its replicas are not ready after {} s", START_LIMIT.as_secs()));
        timeout(START_LIMIT, own.is_ready()).await.map_err(late)??;
        Ok(own)
    }

    /// Its addresses.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    async fn is_ready(&self) -> Result<(), Error> {
        let client = Client::new(self.target.admin.clone(), None);
        loop {
            let ring = client.ring().await?;
            if ring.replicas.iter().filter(|replica| replica.state == "ready").count() == REPLICAS {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops it and its replicas, and waits for that.
    pub(super) async fn stop(mut self) {
        drop(self.stdin.take());
        // If it takes longer, it still ends, because its standard input is closed.
        let _ = timeout(STOP_LIMIT, self.process.wait()).await;
    }
}

/// The command, without the user's settings, so that results do not depend on them.
fn command() -> Command {
    let replicas = REPLICAS.to_string();
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["replica", "--exec", "--", "/proc/self/exe", "serve"])
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--log-format", "json", "--replicas", &replicas])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        if is_setting(&name) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether a variable configures the balancer. The lines with its addresses have the level info.
fn is_setting(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("RINGHERD_") || name == "RUST_LOG"
}

/// Reads its log until that has both addresses.
async fn addresses(log: &mut Lines<BufReader<ChildStderr>>) -> Result<Target, Error> {
    let mut last = VecDeque::new();
    let (mut admin, mut public) = (None, None);
    while let Some(line) = log.next_line().await? {
        if let Ok(Line { message, address }) = serde_json::from_str(&line) {
            match message.as_str() {
                "admin API is up" => admin = url(address),
                "listening" => public = url(address),
                _ => {}
            }
        }
        if let (Some(admin), Some(public)) = (&admin, &public) {
            return Ok(Target { admin: admin.clone(), public: public.clone(), token: None });
        }
        last.push_back(line);
        if last.len() > TOLD_LINES {
            last.pop_front();
        }
    }
    Err(Error::OwnBalancer(Vec::from(last).join("\n")))
}

fn url(address: Option<SocketAddr>) -> Option<Url> {
    format!("http://{}", address?).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_user_are_kept_away() {
        let found = ["RINGHERD_SLOTS", "RINGHERD_ADMIN_TOKEN", "RUST_LOG", "PATH", "HOME"];
        assert_eq!(found.map(|name| is_setting(&name.into())), [true, true, true, false, false]);
    }
}
