//! What is asked for. Knows nothing of how words on a command line become it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::client::Url;
use crate::ring::Family;

/// One experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Experiment {
    /// How requests spread over three replicas.
    A1,
    /// The same for two to six.
    A2,
    /// Every endpoint, and a replica killed under load.
    A3,
    /// for each kind of ring.
    A4,
    /// Keys that move when replicas come and go.
    Movement,
    /// Popular keys, with and without bounded load.
    Zipf,
    /// Latency at a fixed rate.
    Latency,
}

impl Experiment {
    /// All, in the order in which they are done.
    pub const ALL: [Self; 7] =
        [Self::A1, Self::A2, Self::A3, Self::A4, Self::Movement, Self::Zipf, Self::Latency];

    /// The word that users write.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A1 => "a1",
            Self::A2 => "a2",
            Self::A3 => "a3",
            Self::A4 => "a4",
            Self::Movement => "movement",
            Self::Zipf => "zipf",
            Self::Latency => "latency",
        }
    }

    /// What it is called in reports.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::A1 => "A-1: three replicas",
            Self::A2 => "A-2: two to six replicas",
            Self::A3 => "A-3: endpoints, and a replica killed under load",
            Self::A4 => "A-4: the rings compared",
            Self::Movement => "Movement: what a change of N costs",
            Self::Zipf => "Popular keys, with and without bounded load",
            Self::Latency => "Latency at a fixed rate",
        }
    }
}

impl fmt::Display for Experiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Experiment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|experiment| experiment.as_str() == text);
        found.ok_or_else(|| format!("use {} or all", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// A running balancer to drive.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Its admin API.
    pub admin: Url,
    /// Where it takes requests.
    pub public: Url,
    /// Its admin token, if it asks for one.
    pub token: Option<String>,
}

/// The token is not shown.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("admin", &self.admin)
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// All that is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which, in any order.
    pub experiments: Vec<Experiment>,
    /// A running balancer, or none to start one.
    pub target: Option<Target>,
    /// Requests of each measurement.
    pub requests: u32,
    /// Connections, and so requests at a time.
    pub concurrency: u32,
    /// What keys are drawn from.
    pub seed: u64,
    /// Where the report goes.
    pub out: PathBuf,
    /// Restricts to one hash family.
    pub family: Option<Family>,
    /// The command line that asks for the same again, for the report.
    pub command: String,
}

impl Options {
    /// Whether this one is asked for.
    pub(super) fn wants(&self, experiment: Experiment) -> bool {
        self.experiments.contains(&experiment)
    }
}
