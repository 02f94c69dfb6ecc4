//! The configuration: raw settings from flags, environment and file become checked values.
//!
//! [`table`] declares the settings. [`load`] lays flags over environment over file over default
//! and checks everything before it complains, so that all problems are reported together. What
//! it reads comes in through [`Inputs`]: no test needs the state of a process.
//!
//! Knows nothing of how a command line is parsed, nor of what the components do with their part.

mod check;
mod container;
mod docs;
mod file;
mod print;
mod problem;
mod raw;
mod setting;
mod size;
mod suggest;
pub mod table;
#[cfg(test)]
mod tests;
mod together;
mod value;
mod words;

use std::ffi::OsString;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::admin::AdminConfig;
use crate::control::ControlConfig;
use crate::proxy::ProxyConfig;
use crate::runtime::docker::DockerConfig;
use crate::runtime::engine;
use crate::runtime::process::ProcessConfig;
use crate::runtime::swarm::SwarmConfig;
use crate::telemetry::access::AccessLogConfig;
use crate::telemetry::logs::LogFormat;

pub use docs::markdown_table;
pub use print::Loaded;
pub use problem::{Problem, Problems, Source};
pub use raw::Flags;
pub use setting::{DefaultValue, Group, Kind, Setting};
pub use words::quote;

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads a whole file as text.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// What a configuration is made from.
pub struct Inputs<'a> {
    /// The command line.
    pub flags: &'a Flags,
    /// Names and values; names that do not begin with `RINGHERD_` are left alone.
    pub env: Vec<(OsString, OsString)>,
    /// How the configuration file and the token file are read.
    pub read_file: ReadFile<'a>,
}

impl<'a> Inputs<'a> {
    /// `flags`, with environment and files of this process.
    pub fn of_process(flags: &'a Flags) -> Self {
        Self { flags, env: std::env::vars_os().collect(), read_file: &read_file }
    }
}

/// The checked configuration, or all that is wrong. Called again with the same flags, it re-reads
/// the files.
pub fn load(inputs: Inputs<'_>) -> Result<Config, Problems> {
    explain(inputs).map(|loaded| loaded.config)
}

/// As [`load`], with the source of each value.
pub fn explain(inputs: Inputs<'_>) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let read_file = inputs.read_file;
    let raw = raw::Raw::collect(inputs, &mut problems);
    let config = check::check(&raw, read_file, &mut problems);
    Problems::none_or(problems)?;
    Ok(Loaded::new(config, raw))
}

/// Reads a file of at most 1 MiB, so that a wrong path (a device, say) does no harm.
fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(text)
}

/// Everything `ringherd serve` needs, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Public address.
    pub listen: SocketAddr,
    /// Address of the admin API.
    pub admin_listen: SocketAddr,
    /// Whether `/rep`, `/add` and `/rm` are served on the public address.
    pub public_admin: PublicAdmin,
    /// Worker threads of the data plane (at least 1).
    pub workers: usize,
    /// How replicas come to exist.
    pub runtime: RuntimeConfig,
    /// How long requests in flight may take to finish at shutdown.
    pub grace: Duration,
    /// Log lines.
    pub log_format: LogFormat,
    /// The access log.
    pub access: AccessLogConfig,
    /// Part of the data plane.
    pub proxy: ProxyConfig,
    /// Part of the control plane.
    pub control: ControlConfig,
    /// Part of the admin service.
    pub admin: AdminConfig,
}

/// Whether the admin routes are on the public listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PublicAdmin {
    /// Only while that is bound to loopback.
    #[default]
    Auto,
    /// Yes, whoever can reach it.
    On,
    /// No.
    Off,
}

/// Which runtime, and what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeConfig {
    /// Child processes.
    Process(ProcessConfig),
    /// Replicas that others run, as `host:port`.
    Fixed(Vec<String>),
    /// Containers of one engine.
    Docker(DockerConfig),
    /// Services of a Swarm.
    Swarm(SwarmConfig),
}

impl Config {
    /// Keys of the settings that differ in `other` and take effect at the next start only.
    pub fn changes_needing_restart(&self, other: &Self) -> Vec<&'static str> {
        let differs = |setting: &Setting| match setting.key {
            // The path is not part of the configuration; what counts is the token.
            "admin-token-file" => self.admin.token != other.admin.token,
            _ => (setting.show)(self) != (setting.show)(other),
        };
        let at_start = table::settings().filter(|setting| !setting.on_reload);
        at_start.filter(|setting| differs(setting)).map(|setting| setting.key).collect()
    }
}

impl RuntimeConfig {
    /// The word for it, as in `--runtime`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Process(_) => "process",
            Self::Fixed(_) => "fixed",
            Self::Docker(_) => "docker",
            Self::Swarm(_) => "swarm",
        }
    }

    /// How containers are made, where replicas are containers.
    fn container(&self) -> Option<&engine::Spec> {
        match self {
            Self::Docker(docker) => Some(&docker.spec),
            Self::Swarm(swarm) => Some(&swarm.spec),
            Self::Process(_) | Self::Fixed(_) => None,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5000)),
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5001)),
            public_admin: PublicAdmin::Auto,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            runtime: RuntimeConfig::Process(ProcessConfig::default()),
            grace: Duration::from_secs(10),
            log_format: LogFormat::Auto,
            access: AccessLogConfig::default(),
            proxy: ProxyConfig::default(),
            control: ControlConfig::default(),
            admin: AdminConfig::default(),
        }
    }
}
