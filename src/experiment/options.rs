//! The options of a run. Knows nothing of the command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::client::Url;
use crate::ring::Family;

/// The name of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Experiment {
    /// The spread of requests over three replicas.
    A1,
    /// The spread of requests over two to six replicas.
    A2,
    /// Requests to every endpoint, and a replica killed under load.
    A3,
    /// for each kind of ring.
    A4,
    /// Keys that move when replicas come and go.
    Movement,
    /// Placements as N grows, beside those of other balancers.
    Placements,
    /// Popular keys, with and without bounded load.
    Zipf,
    /// Latency at a fixed rate.
    Latency,
}

impl Experiment {
    /// All experiments, in the order in which they run.
    pub const ALL: [Self; 8] =
        [Self::A1, Self::A2, Self::A3, Self::A4, Self::Movement, Self::Placements, Self::Zipf, Self::Latency];

    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A1 => "a1",
            Self::A2 => "a2",
            Self::A3 => "a3",
            Self::A4 => "a4",
            Self::Movement => "movement",
            Self::Placements => "placements",
            Self::Zipf => "zipf",
            Self::Latency => "latency",
        }
    }

    /// The title in reports.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::A1 => "A-1: three replicas",
            Self::A2 => "A-2: two to six replicas",
            Self::A3 => "A-3: endpoints, and a replica killed under load",
            Self::A4 => "A-4: the rings compared",
            Self::Movement => "Movement: what a change of N costs",
            Self::Placements => "Placements: from 3 to 200 replicas, and beside others",
            Self::Zipf => "Popular keys, with and without bounded load",
            Self::Latency => "Latency at a fixed rate",
        }
    }
}

impl Experiment {
    /// What it asks, for those who do not know its name.
    pub(super) const fn purpose(self) -> &'static str {
        match self {
            Self::A1 => {
                "A-1, the first of four standard analyses: how evenly do requests spread over three replicas?"
            }
            Self::A2 => "A-2: does it stay so even with other numbers of replicas, from two to six?",
            Self::A3 => {
                "A-3: does every endpoint respond as it is documented, and what do clients notice when a \
                 replica is killed?"
            }
            Self::A4 => {
                "A-4: how do A-1 and A-2 come out on rings of other hash functions, sizes and placements, and why?"
            }
            Self::Movement => "How many keys get another replica when one comes or goes for good?",
            Self::Placements => {
                "How even is each placement as replicas become many, and how many keys move that need not?"
            }
            Self::Zipf => "What if some keys are asked for much more often than others?",
            Self::Latency => "How long do requests take while the balancer is not at its limit?",
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

/// A running balancer to measure.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// URL of its admin API.
    pub admin: Url,
    /// URL of its public listener.
    pub public: Url,
    /// Its admin token, if it has one.
    pub token: Option<String>,
}

/// Without the token.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("admin", &self.admin)
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The experiments to run, in any order.
    pub experiments: Vec<Experiment>,
    /// The balancer to measure; `None` to start one.
    pub target: Option<Target>,
    /// Number of requests of each measurement, at least 1.
    pub requests: u32,
    /// Number of connections, each with one request at a time, at least 1.
    pub concurrency: u32,
    /// Seed of the random keys.
    pub seed: u64,
    /// Folder of the report.
    pub out: PathBuf,
    /// Restricts the rings to one hash family.
    pub family: Option<Family>,
    /// The command line that repeats the run, for the report.
    pub command: String,
}

impl Options {
    /// Whether an experiment is chosen.
    pub(super) fn wants(&self, experiment: Experiment) -> bool {
        self.experiments.contains(&experiment)
    }
}
