//! Deploys as others see them: what is asked for, what is configured, what is shown. How one goes is decided by
//! `pool::deploys`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::runtime::Revision;

/// Which replica of a number is there first in a deploy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeployOrder {
    /// The new one: it starts beside the old one, which stays until the end.
    #[default]
    StartFirst,
    /// None: the old one has ended before the new one starts. No number ever has two.
    StopFirst,
}

impl DeployOrder {
    /// The name, as settings and the API have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StartFirst => "start-first",
            Self::StopFirst => "stop-first",
        }
    }
}

/// How deploys go.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployConfig {
    /// The revision that replicas have at the start.
    pub revision: Arc<Revision>,
    /// Those that can be deployed, besides the one without a name.
    pub revisions: Vec<Arc<Revision>>,
    /// What the names of images begin with that can be deployed without a revision; empty for none.
    pub images: Vec<String>,
    /// Whether a successor starts before its incumbent has ended. It holds also for who heals a number.
    pub order: DeployOrder,
    /// Most successors that start at a time (at least 1).
    pub surge: u32,
    /// How long a successor has to be ready before it takes the place of its incumbent, or is compared with the others.
    pub min_healthy: Duration,
    /// How long the requests of those that took their places are compared with the requests of the others before
    /// the next follow.
    pub window: Duration,
    /// How much larger the share of failed requests of the new revision may be, in percent points (0 to 100).
    pub max_errors: f64,
    /// How many times longer its slowest hundredth of requests may take (at least 1); 0 for any.
    pub max_slowdown: f64,
}

impl Default for DeployConfig {
    fn default() -> Self {
        Self {
            revision: Arc::default(),
            revisions: Vec::new(),
            images: Vec::new(),
            order: DeployOrder::default(),
            surge: 1,
            min_healthy: Duration::from_secs(5),
            window: Duration::from_secs(5),
            max_errors: 1.0,
            max_slowdown: 3.0,
        }
    }
}

/// `POST /deploy`.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployRequest {
    /// Name of the revision; [`Revision::BASE`] for what the configuration says without one; or an image, by tag or
    /// digest, where such are allowed.
    pub revision: String,
    /// Deploy it to so many percent of the numbers, rounded up, and then wait to be promoted (1 to 99); `None`
    /// for all at once.
    pub canary: Option<u32>,
}

impl DeployRequest {
    /// Whether it names an image, and no revision of the configuration, whose names are other ones.
    pub fn names_image(&self) -> bool {
        self.revision.contains([':', '/', '@'])
    }
}

/// Where a deploy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeployState {
    /// What the new revision needs is looked for, such as its image. Nothing has been touched.
    Preparing,
    /// Successors start, and have to be ready for a while.
    Starting,
    /// Successors serve their numbers, and are compared with the others.
    Judging,
    /// The canary has passed, and waits to be promoted.
    Waiting,
    /// The incumbents take their places back.
    Reverting,
    /// Every number has the new revision.
    Succeeded,
    /// Every number has the old revision again, because something was wrong with the new one.
    Reverted,
    /// The same, because somebody asked for it.
    Aborted,
}

impl DeployState {
    /// All there are.
    pub const ALL: [Self; 8] = [
        Self::Preparing,
        Self::Starting,
        Self::Judging,
        Self::Waiting,
        Self::Reverting,
        Self::Succeeded,
        Self::Reverted,
        Self::Aborted,
    ];

    /// The name in lower case, as the API shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Starting => "starting",
            Self::Judging => "judging",
            Self::Waiting => "waiting",
            Self::Reverting => "reverting",
            Self::Succeeded => "succeeded",
            Self::Reverted => "reverted",
            Self::Aborted => "aborted",
        }
    }

    /// Whether nothing follows any more.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Reverted | Self::Aborted)
    }
}

/// Where one number is in a deploy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeployStep {
    /// The old revision serves it, and nothing has begun.
    Pending,
    /// Its successor starts: the old revision serves it until then, or nobody does, as the order is.
    Starting,
    /// The new revision serves it, and is compared with the others.
    Judging,
    /// The new revision serves it, and has passed. With [`DeployOrder::StartFirst`] the old one is ready beside it until
    /// the last has passed.
    Passed,
    /// The old revision serves it again, or starts to.
    Reverted,
}

impl DeployStep {
    /// The name in lower case, as the API shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Starting => "starting",
            Self::Judging => "judging",
            Self::Passed => "passed",
            Self::Reverted => "reverted",
        }
    }
}

/// What requests met with at the replicas of one revision since the deploy began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Experience {
    /// Requests that ended.
    pub requests: u64,
    /// Those of them that failed: no response, or one of class 5xx.
    pub errors: u64,
    /// How long the heads of the fastest 99 % of responses took; `None` with too few of them.
    pub p99: Option<Duration>,
}

/// A number, and where it is in a deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployedNumber {
    /// The number.
    pub number: u32,
    /// Where it is.
    pub step: DeployStep,
    /// The replica that serves it, or that will.
    pub serving: String,
    /// The one beside it: its successor that starts, or its predecessor that is ready to take its place back.
    pub beside: Option<String>,
}

/// A deploy that is under way, or the last one.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployView {
    /// Counts the deploys of the pool, from 1.
    pub id: u64,
    /// The revision before, for people.
    pub from: String,
    /// The revision that is deployed, for people.
    pub to: String,
    /// Its order.
    pub order: DeployOrder,
    /// Where it is.
    pub state: DeployState,
    /// What was wrong with the new revision, or why it was taken back; empty while nothing is.
    pub reason: String,
    /// The replica that this was seen at, if at one.
    pub failed: Option<String>,
    /// How many numbers are a canary that waits to be promoted; `None` if it is none.
    pub canary: Option<u32>,
    /// All numbers that it is about, ascending.
    pub numbers: Vec<DeployedNumber>,
    /// What requests met with at the old revision.
    pub old: Experience,
    /// What requests met with at the new revision.
    pub new: Experience,
    /// When it began.
    pub began: Instant,
    /// When it ended, if it has.
    pub ended: Option<Instant>,
}

impl DeployView {
    /// How many numbers the new revision serves.
    pub fn served(&self) -> usize {
        let is_served =
            |number: &&DeployedNumber| matches!(number.step, DeployStep::Judging | DeployStep::Passed);
        self.numbers.iter().filter(is_served).count()
    }
}
