//! A balancer of our own: this binary again, on free ports, with three replicas as processes.
//!
//! It is run by the same shim as other programs that replicas may be, and so ends when its standard
//! input does: also when this process is killed.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::time::timeout;

use crate::client::{Client, Url};
use crate::experiment::error::Error;
use crate::experiment::options::Target;

/// Time for it to listen and to have its replicas.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Time for it to end; the shim kills it after 5 s.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Last lines of its log that are told when it does not come up.
const TOLD_LINES: usize = 5;

/// Replicas it begins with.
const REPLICAS: usize = 3;

/// A running balancer.
pub(in crate::experiment) struct Own {
    process: Child,
    /// As long as this is open, it runs.
    stdin: Option<ChildStdin>,
    target: Target,
}

/// What matters of a line of its log.
#[derive(Deserialize)]
struct Line {
    message: String,
    address: Option<SocketAddr>,
}

impl Own {
    /// Starts one and waits for its replicas.
    pub(in crate::experiment) async fn start() -> Result<Self, Error> {
        let mut process = command().spawn()?;
        let stdin = process.stdin.take();
        let stderr = process.stderr.take().ok_or_else(|| Error::Own("it has no log".to_owned()))?;
        let mut log = BufReader::new(stderr).lines();
        let late = |_| Error::Own(format!("it does not listen after {} s", START_LIMIT.as_secs()));
        let target = timeout(START_LIMIT, addresses(&mut log)).await.map_err(late)??;
        // Somebody has to read it, or it would fill up.
        tokio::task::spawn_local(async move { while let Ok(Some(_)) = log.next_line().await {} });
        let own = Self { process, stdin, target };
        let late = |_| Error::Own(format!("its replicas are not ready after {} s", START_LIMIT.as_secs()));
        timeout(START_LIMIT, own.is_ready()).await.map_err(late)??;
        Ok(own)
    }

    /// Where it is.
    pub(in crate::experiment) fn target(&self) -> &Target {
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

    /// Ends it and its replicas, and waits for that.
    pub(in crate::experiment) async fn stop(mut self) {
        drop(self.stdin.take());
        // If it takes longer, its standard input is closed all the same: it will end.
        let _ = timeout(STOP_LIMIT, self.process.wait()).await;
    }
}

/// None of the user's settings: what is measured does not depend on where it is measured.
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

/// What its addresses are read from is logged at level info.
fn is_setting(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("RINGHERD_") || name == "RUST_LOG"
}

/// Reads its log until it says where it listens.
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
    Err(Error::Own(Vec::from(last).join("\n")))
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
