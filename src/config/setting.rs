//! What a setting is: the shape of one row of the table, and what may be said about it.
//!
//! Knows neither where values come from nor what becomes of them.

use std::fmt;
use std::time::Duration;

use super::{Config, size};

/// Prefix of all environment variables of ringherd.
pub(super) const ENV_PREFIX: &str = "RINGHERD_";

/// Settings that belong together, as the help and the documentation show them.
#[derive(Debug)]
pub struct Group {
    /// Heading over them.
    pub heading: &'static str,
    /// In the order of display.
    pub settings: &'static [Setting],
}

/// One setting: the single source for its flag, variable, key, help, bounds and default.
#[derive(Debug)]
pub struct Setting {
    /// Key in the file; the flag is `--KEY`.
    pub key: &'static str,
    /// What stands for the value in the help.
    pub value_name: &'static str,
    /// What values there are.
    pub kind: Kind,
    /// What holds when nothing is given.
    pub default: DefaultValue,
    /// What it does, in sentences.
    pub help: &'static str,
    /// Whether a change takes effect when the configuration is re-read (SIGHUP).
    pub on_reload: bool,
    /// The value in force, from the checked configuration.
    pub(super) show: fn(&Config) -> Shown,
}

impl Setting {
    /// A setting that takes effect at start only.
    pub(super) const fn new(
        key: &'static str,
        value_name: &'static str,
        kind: Kind,
        default: DefaultValue,
        help: &'static str,
        show: fn(&Config) -> Shown,
    ) -> Self {
        Self { key, value_name, kind, default, help, on_reload: false, show }
    }

    /// The same, taking effect when the configuration is re-read.
    pub(super) const fn on_reload(mut self) -> Self {
        self.on_reload = true;
        self
    }

    /// Name of its environment variable.
    pub fn env(&self) -> String {
        format!("{ENV_PREFIX}{}", self.key.replace('-', "_").to_ascii_uppercase())
    }

    /// Whether several values may be given.
    pub fn repeatable(&self) -> bool {
        self.separated_by_commas() || matches!(self.kind, Kind::Variables)
    }

    /// Whether one text may hold several values.
    pub(super) fn separated_by_commas(&self) -> bool {
        matches!(self.kind, Kind::Endpoints | Kind::Hosts)
    }
}

/// What holds when a setting is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// This text, checked like any other value.
    Value(&'static str),
    /// What these words describe.
    Words(&'static str),
}

impl DefaultValue {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Value(text) | Self::Words(text) => text,
        }
    }
}

/// What values a setting takes; bounds are inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// An IP address and a port to listen on.
    Address,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number of `unit`.
    Integer {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// A length of time with a unit, such as `500ms`.
    Duration {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// `auto`, `off`, or a number.
    Factor {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// Which part of a request is hashed.
    Key,
    /// The path of a URL.
    UrlPath,
    /// A command line.
    Command,
    /// A list of `host:port`.
    Endpoints,
    /// A list of host names.
    Hosts,
    /// The path of a file.
    File,
    /// Where lines are written to, if anywhere.
    Destination,
    /// A port number.
    Port,
    /// An amount of memory with a unit, such as `64MiB`; bounds in bytes.
    Size {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A number, whole or not.
    Number {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// Name of a pool of replicas.
    Pool,
    /// Reference of a container image.
    Image,
    /// Name of a container network.
    Network,
    /// Where a container engine is.
    Engine,
    /// A list of environment variables, `KEY=VALUE`.
    Variables,
    /// A label of containers, `KEY=VALUE`.
    Label,
}

impl fmt::Display for Kind {
    /// The values there are, to stand after "must be".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Address => f.write_str("IP:PORT"),
            Self::Choice(words) => f.write_str(&enumerate(words)),
            Self::Integer { min, max, unit } => write!(f, "a whole number of {unit}, {min} to {max}"),
            Self::Duration { min, max } => {
                let (min, max) = (humantime::format_duration(min), humantime::format_duration(max));
                write!(f, "a duration, {min} to {max}")
            }
            Self::Factor { min, max } => write!(f, "auto, off or a number, {min} to {max}"),
            Self::Key => {
                f.write_str("request-id, path, uri, client-ip, header:NAME, cookie:NAME or query:NAME")
            }
            Self::UrlPath => f.write_str("a path that starts with '/', percent-encoded where a URL needs it"),
            Self::Command => f.write_str("a command line, with {port} in it where it runs as a process"),
            Self::Endpoints => f.write_str("HOST:PORT, repeated or separated by commas"),
            Self::Hosts => f.write_str("a host name without port, repeated or separated by commas"),
            Self::Destination => f.write_str("off, stdout, or the path of a file"),
            Self::File => f.write_str("the path of a file"),
            Self::Port => f.write_str("a port, 1 to 65535"),
            Self::Size { min, max } => write!(f, "a size, {} to {}", size::show(min), size::show(max)),
            Self::Number { min, max } => write!(f, "a number, {min} to {max}"),
            Self::Pool => f.write_str("1 to 32 of a-z, 0-9 and '-', with none of the '-' at an end"),
            Self::Image => f.write_str("the name of an image"),
            Self::Network => f.write_str("the name of a network"),
            Self::Engine => f.write_str("unix:///PATH or tcp://HOST:PORT"),
            Self::Variables => {
                f.write_str("KEY=VALUE, repeated; in the variable, words quoted as for a shell")
            }
            Self::Label => f.write_str("KEY=VALUE"),
        }
    }
}

/// `a, b or c`.
fn enumerate(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// A value in force, as the file would hold it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown {
    /// The setting has no value, or none that counts beside the others.
    Nothing,
    /// The value is not for display; what was given is (the path of a secret, not the secret).
    AsGiven,
    /// A whole number.
    Integer(u64),
    /// A number.
    Number(f64),
    /// Anything that is text in the file.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

impl Shown {
    /// A duration, with its unit.
    pub(super) fn duration(duration: Duration) -> Self {
        Self::Text(humantime::format_duration(duration).to_string())
    }

    /// Anything that is read as it is displayed.
    pub(super) fn text(value: impl fmt::Display) -> Self {
        Self::Text(value.to_string())
    }

    /// A list, where an empty one is nothing.
    pub(super) fn list(values: &[String]) -> Self {
        if values.is_empty() { Self::Nothing } else { Self::List(values.to_vec()) }
    }
}
