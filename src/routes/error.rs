//! Why routes cannot be used together.

/// Why routes cannot be used together. Numbers are places in the list that was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Two routes have the same host and path, and not each a weight.
    #[error("is for the same host and path as another route")]
    Same {
        /// The later one.
        route: usize,
        /// The earlier one.
        other: usize,
    },
    /// Two routes that share their requests share them with the same pool.
    #[error("shares its requests with a route to the same pool")]
    SamePool {
        /// The later one.
        route: usize,
        /// The earlier one.
        other: usize,
    },
    /// Of two routes that share their requests only one strips its path.
    #[error("shares its requests with a route of which replicas see another path")]
    Stripped {
        /// The later one.
        route: usize,
        /// The earlier one.
        other: usize,
    },
    /// Of two routes that share their requests one has other time-outs.
    #[error("shares its requests with a route that has other time-outs")]
    Timed {
        /// The later one.
        route: usize,
        /// The earlier one.
        other: usize,
    },
    /// Of two routes that share their requests one has another name.
    #[error("shares its requests with a route that has another name")]
    Named {
        /// The later one.
        route: usize,
        /// The earlier one.
        other: usize,
    },
    /// A route has a weight and shares its requests with nobody.
    #[error("has a weight and no other route to share its requests with")]
    Alone {
        /// Which.
        route: usize,
    },
    /// All routes that share requests have weight 0.
    #[error("has weight 0, as all that it shares its requests with")]
    Weightless {
        /// The first of them.
        route: usize,
    },
    /// A route leads to a pool that there is not.
    #[error("leads to a pool that there is not")]
    UnknownPool {
        /// Which.
        route: usize,
    },
    /// A redirect leads, maybe by way of others, back to itself.
    #[error("leads back to itself")]
    Circle {
        /// Which.
        route: usize,
    },
}

impl RouteError {
    /// The route that is to blame.
    pub fn route(&self) -> usize {
        match *self {
            Self::Same { route, .. }
            | Self::SamePool { route, .. }
            | Self::Stripped { route, .. }
            | Self::Timed { route, .. }
            | Self::Named { route, .. }
            | Self::Alone { route }
            | Self::Weightless { route }
            | Self::UnknownPool { route }
            | Self::Circle { route } => route,
        }
    }

    /// The route that it contradicts.
    pub fn other(&self) -> Option<usize> {
        match *self {
            Self::Same { other, .. }
            | Self::SamePool { other, .. }
            | Self::Stripped { other, .. }
            | Self::Timed { other, .. }
            | Self::Named { other, .. } => Some(other),
            _ => None,
        }
    }
}
