//! What can happen to a replica, as it is told to whoever watches.

use super::State;

/// A transition in a replica's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transition {
    /// It is being started; in the place of one that died, if that is given.
    Starting(Option<ExitCause>),
    /// It had its first good heartbeat, and is on the ring.
    Joined,
    /// It gets no requests, for ill health.
    Ejected,
    /// It gets no requests, or one at a time, for what happened to those it got.
    Outlier(EjectionCause),
    /// It gets requests again.
    Recovered,
    /// Another has its number; it is ready to take it back.
    Standby,
    /// It ended without being asked, or was given up.
    Died(ExitCause),
    /// It was taken off the ring, and finishes its requests.
    Left,
    /// It is gone after it left, or is not wanted any more.
    Stopped,
}

/// Why a replica is an outlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EjectionCause {
    /// Requests in a row have failed at it.
    Consecutive,
    /// Far more of its requests failed than of those of others.
    SuccessRate,
    /// A request of its half-open trial failed.
    Trial,
}

/// How a replica came to its end without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitCause {
    /// It ended by itself, or was killed.
    Exited,
    /// It could not be started.
    StartFailed,
    /// It had no good heartbeat within the time it had to start.
    NotReady,
    /// It was ejected for too long.
    Unhealthy,
    /// Others told it to end.
    EndedByOthers,
}

impl Transition {
    /// The name in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting(_) => "starting",
            Self::Joined => "joined",
            Self::Ejected | Self::Outlier(_) => "ejected",
            Self::Recovered => "recovered",
            Self::Standby => "standby",
            Self::Died(_) => "died",
            Self::Left => "left",
            Self::Stopped => "stopped",
        }
    }

    /// The state it leads to.
    pub fn state(self) -> State {
        match self {
            Self::Starting(_) => State::Starting,
            Self::Joined | Self::Recovered => State::Ready,
            Self::Ejected | Self::Outlier(_) => State::Ejected,
            Self::Left | Self::Standby => State::Draining,
            Self::Died(_) | Self::Stopped => State::Stopped,
        }
    }
}

impl EjectionCause {
    /// All there are, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Consecutive, Self::SuccessRate, Self::Trial];

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive => "consecutive",
            Self::SuccessRate => "success-rate",
            Self::Trial => "trial",
        }
    }
}

impl ExitCause {
    /// All there are.
    pub const ALL: [Self; 5] =
        [Self::Exited, Self::StartFailed, Self::NotReady, Self::Unhealthy, Self::EndedByOthers];

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::StartFailed => "start-failed",
            Self::NotReady => "not-ready",
            Self::Unhealthy => "unhealthy",
            Self::EndedByOthers => "ended-by-others",
        }
    }
}
