//! What tests with a real engine share: whether there is one, an image of the binary under test,
//! a pool that cleans up after itself, and a gate to shut between the two.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod gate;
pub(crate) mod image;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use image::image;

/// Where the engine of this machine is.
pub(crate) fn socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").into()
}

/// Whether there is an engine. Where one is required and there is none, the test fails.
pub(crate) fn available() -> bool {
    let answer = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
    let found = socket().exists() && answer.is_ok_and(|output| output.status.success());
    let required = std::env::var_os("REQUIRE_DOCKER").is_some();
    assert!(found || !required, "REQUIRE_DOCKER is set, and there is no Docker engine");
    if !found {
        // Not captured, unlike what `println` writes in a test that passes.
        let _ = writeln!(std::io::stderr(), "skipped: no Docker engine");
    }
    found
}

/// Runs `docker` to its end, for cleaning up and for preparations: it blocks the thread.
pub(crate) fn docker_blocking(args: &[&str]) -> String {
    text(args, &Command::new("docker").args(args).output().expect("the docker command runs"))
}

/// Runs `docker`, and returns what it prints.
pub(crate) async fn docker(args: &[&str]) -> String {
    let output = tokio::process::Command::new("docker").args(args).output().await;
    text(args, &output.expect("the docker command runs"))
}

fn text(args: &[&str], output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {}: {errors}", args.join(" "));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A pool of its own for a test. Whatever carries its name in a label goes when this drops.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) name: String,
}

/// The label of containers of others that a test makes.
pub(crate) const STRANGER: &str = "io.ringherd.test.pool";

impl Pool {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { name: format!("test-{}-{count}", std::process::id()) }
    }

    /// The name of a replica's container.
    pub(crate) fn container(&self, slug: &str) -> String {
        format!("ringherd-{}-{slug}", self.name)
    }

    /// The label by which a stranger is cleaned up.
    pub(crate) fn stranger(&self) -> String {
        format!("{STRANGER}={}", self.name)
    }

    fn labels(&self) -> [String; 2] {
        ["io.ringherd.pool", STRANGER].map(|key| format!("label={key}={}", self.name))
    }

    /// Removes the pool's containers, and those of strangers, until there is none: what a killed
    /// balancer had asked for may still be made.
    pub(crate) fn remove_containers(&self) {
        for _ in 0..10 {
            let labels = self.labels();
            let found: Vec<_> =
                labels.iter().flat_map(|label| listed(&["ps", "-aq", "--filter", label])).collect();
            if found.is_empty() {
                return;
            }
            for id in found {
                // It may be just being removed.
                let _ = Command::new("docker").args(["rm", "-fv", &id]).output();
            }
        }
    }

    /// Selects what carries the pool's label.
    pub(crate) fn filter(&self) -> String {
        format!("label=io.ringherd.pool={}", self.name)
    }

    /// Ids of the containers that carry the pool's label, in any state.
    pub(crate) async fn containers(&self) -> Vec<String> {
        let listed = docker(&["ps", "-aq", "--no-trunc", "--filter", &self.filter()]).await;
        listed.split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Networks that are in use cannot be removed.
        self.remove_containers();
        for id in self.labels().iter().flat_map(|label| listed(&["network", "ls", "-q", "--filter", label])) {
            let removed = Command::new("docker").args(["network", "rm", &id]).output();
            if !removed.as_ref().is_ok_and(|output| output.status.success()) {
                eprintln!("a network of pool {} is left: {removed:?}", self.name);
            }
        }
    }
}

/// The words that `docker` prints.
fn listed(args: &[&str]) -> Vec<String> {
    docker_blocking(args).split_whitespace().map(str::to_owned).collect()
}
