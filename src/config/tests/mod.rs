//! Tests of the configuration as a whole, with environment and files that exist only here.

mod container;
mod precedence;
mod refusals;
mod roundtrip;
mod table;
mod value;

use std::io;
use std::path::Path;

use super::container::KEYS;
use super::{Flags, Inputs, Loaded, Problems, explain};

const FILE: &str = "ringherd.toml";
const TOKEN: &str = "correct-horse";

/// What a configuration is made from, as literals.
#[derive(Clone, Copy, Default)]
struct Given<'a> {
    flags: &'a [(&'a str, &'a str)],
    env: &'a [(&'a str, &'a str)],
    file: Option<&'a str>,
}

impl Given<'_> {
    fn load(self) -> Result<Loaded, Problems> {
        let mut flags = Flags::new();
        self.flags.iter().for_each(|(key, value)| flags.push(key, value));
        if self.file.is_some() {
            flags.push("config", FILE);
        }
        let env = self.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        explain(Inputs { flags: &flags, env, read_file: &|path| self.read(path) })
    }

    fn read(self, path: &Path) -> io::Result<String> {
        match (path.to_str(), self.file) {
            (Some(FILE), Some(text)) => Ok(text.to_owned()),
            (Some("token"), _) => Ok(format!("{TOKEN}\n")),
            (Some("empty"), _) => Ok(String::new()),
            (Some("short"), _) => Ok("secret7\n".to_owned()),
            (Some("spaced"), _) => Ok("secret token\n".to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The problems, one line each.
    fn problems(self) -> Vec<String> {
        match self.load() {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }
}

fn flags<'a>(flags: &'a [(&'a str, &'a str)]) -> Given<'a> {
    Given { flags, ..Given::default() }
}

fn file(text: &str) -> Given<'_> {
    Given { file: Some(text), ..Given::default() }
}

fn env<'a>(env: &'a [(&'a str, &'a str)]) -> Given<'a> {
    Given { env, ..Given::default() }
}

/// Loads what must have no problems.
fn good(given: Given<'_>) -> Loaded {
    given.load().unwrap_or_else(|problems| panic!("{problems}"))
}

/// The flags without which a setting has no effect.
fn needs(key: &str) -> &'static [(&'static str, &'static str)] {
    if KEYS.contains(&key) || ["discover", "on-exit"].contains(&key) { &[("runtime", "docker")] } else { &[] }
}

/// The configuration with one setting given as a flag, and what it needs.
fn with(key: &str, value: &str) -> Loaded {
    good(flags(&[needs(key), &[(key, value)]].concat()))
}

/// For each setting a value that is not its default.
const SAMPLES: &[(&str, &str)] = &[
    ("listen", "0.0.0.0:8080"),
    ("admin-listen", "[::1]:8081"),
    ("public-admin", "off"),
    ("replicas", "5"),
    ("max-replicas", "100"),
    ("runtime", "fixed"),
    ("upstream", "10.0.0.7:8080"),
    ("replica-command", "python3 -m http.server '{port}'"),
    ("stop-timeout", "3s"),
    ("on-exit", "keep"),
    ("pool", "blue-2"),
    ("image", "registry.example.org:5000/web/app:1.2"),
    ("docker-host", "tcp://proxy:2375"),
    ("network", "my_net.1"),
    ("replica-port", "8080"),
    ("replica-memory", "64MiB"),
    ("replica-cpus", "0.5"),
    ("replica-env", "LOG=a,b=c"),
    ("discover", "com.docker.compose.service=app"),
    ("admin-token-file", "token"),
    ("admin-host", "ops.example.org"),
    ("workers", "1000"),
    ("grace", "0s"),
    ("log-format", "json"),
    ("family", "classic"),
    ("probing", "linear"),
    ("placement", "rendezvous"),
    ("slots", "65536"),
    ("virtual-nodes", "9"),
    ("key", "header:x-user"),
    ("bounded-load", "1.5"),
    ("health-path", "/health?deep=1"),
    ("health-interval", "1500ms"),
    ("health-timeout", "2s"),
    ("unhealthy-after", "3"),
    ("start-timeout", "1m"),
    ("replace-after", "1h"),
    ("drain-timeout", "2s"),
    ("connect-timeout", "2s"),
    ("response-timeout", "2s"),
    ("body-timeout", "2s"),
    ("header-timeout", "2s"),
    ("keep-alive", "2s"),
    ("upstream-keep-alive", "2s"),
    ("max-connections", "7"),
    ("max-header-bytes", "2048"),
    ("access-log", "requests.log"),
    ("access-log-format", "common"),
    ("trace-context", "start"),
];
