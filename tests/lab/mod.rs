//! A Swarm of several nodes on this machine, for one test: see `scripts/swarm-lab.sh`.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The image on every node.
pub(crate) const IMAGE: &str = "ringherd:lab";

/// A running lab. Dropping it takes it down.
pub(crate) struct Lab {
    name: String,
}

impl Lab {
    /// A lab with this many nodes, the first of which are managers, and our binary as an image on
    /// each. `None`, with a line that says why, where there can be none; that is a failure if
    /// `REQUIRE_DOCKER` is set.
    pub(crate) fn up(name: &str, nodes: u32, managers: u32) -> Option<Self> {
        if let Some(missing) = missing() {
            assert!(std::env::var_os("REQUIRE_DOCKER").is_none(), "no Swarm lab: {missing}");
            // Not captured as what passing tests print is.
            let _ = writeln!(std::io::stderr(), "skipped: no Docker engine for a Swarm lab: {missing}");
            return None;
        }
        // The same for each run of a checkout, so that one that was killed is cleaned up after.
        let mut hasher = DefaultHasher::new();
        env!("CARGO_MANIFEST_DIR").hash(&mut hasher);
        let lab = Self { name: format!("{name}{:06x}", hasher.finish() & 0xff_ffff) };
        lab.run(&["down"]);
        lab.run(&["up", &nodes.to_string(), &managers.to_string()]);
        lab.run(&["image", env!("CARGO_BIN_EXE_ringherd")]);
        Some(lab)
    }

    /// The Docker command line at a node.
    pub(crate) fn docker(&self, node: u32, arguments: &[&str]) -> String {
        self.run(&[&["docker", &node.to_string()], arguments].concat())
    }

    /// The same where it may fail, and with what it says.
    pub(crate) fn try_docker(&self, node: u32, arguments: &[&str]) -> Output {
        self.command(&[&["docker", &node.to_string()], arguments].concat())
    }

    /// The engine's socket of a node.
    pub(crate) fn socket(&self, node: u32) -> PathBuf {
        self.run(&["socket", &node.to_string()]).into()
    }

    /// A folder that balancers of the lab see as `/files`.
    pub(crate) fn files(&self) -> PathBuf {
        self.run(&["files"]).into()
    }

    /// Does something to a node: `cut`, `restore`, `freeze`, `thaw`.
    pub(crate) fn act(&self, verb: &str, node: u32) {
        self.run(&[verb, &node.to_string()]);
    }

    /// Has the Swarm take a node for lost that was silent for some 3 s, instead of 15 s. Then a busy machine loses one
    /// as well.
    pub(crate) fn notice_losses_soon(&self) {
        self.docker(1, &["swarm", "update", "--dispatcher-heartbeat", "1s"]);
    }

    /// An attachable overlay network.
    pub(crate) fn network(&self, name: &str) {
        self.run(&["network", name]);
    }

    /// A balancer in a container on a node, with that node's engine.
    pub(crate) fn balancer(&self, node: u32, name: &str, network: &str, arguments: &[&str]) {
        self.run(&[&["balancer", &node.to_string(), name, network], arguments].concat());
    }

    /// Runs a command of this machine in a container's network, for example `curl`.
    pub(crate) fn inside(&self, node: u32, container: &str, command: &[&str]) -> Output {
        self.command(&[&["in", &node.to_string(), container], command].concat())
    }

    /// The network namespace of a container, for a thread to move into.
    pub(crate) fn netns(&self, node: u32, container: &str) -> PathBuf {
        self.run(&["netns", &node.to_string(), container]).into()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "swarm-lab {arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Output {
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/swarm-lab.sh"))
            .args(arguments)
            .env("SWARM_LAB", &self.name)
            .output()
            .expect("bash runs")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let output = self.command(&["down"]);
        if !output.status.success() {
            eprintln!("the Swarm lab is not down: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// What a lab needs and this machine has not.
fn missing() -> Option<String> {
    if !rustix::process::getuid().is_root() {
        return Some("it needs root, for namespaces".to_owned());
    }
    let there = |tool: &&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(tool).exists())
    };
    let tools = ["dockerd", "docker", "ip", "nsenter", "unshare"];
    tools.into_iter().find(|tool| !there(tool)).map(|tool| format!("'{tool}' is not installed"))
}
