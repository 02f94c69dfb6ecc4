//! What a route does with its requests.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::path::rest;
use super::redirect::Redirect;
use super::split::Split;

/// What a route does with its requests.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It hands them to a pool.
    Forward(Forward),
    /// It sends their clients elsewhere.
    Redirect(Redirect),
}

/// What a route does that hands requests to a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// What others call it by, such as header rules.
    pub name: Option<Arc<str>>,
    /// The pools: one, or several that share the keys.
    pub split: Split,
    /// Length of the path that replicas do not see.
    pub(super) stripped: usize,
    /// In place of those of the pool.
    pub timeouts: Timeouts,
}

/// Time-outs of the requests of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// From the end of a request to the head of its response; `None` for that of the pool.
    pub response: Option<Duration>,
    /// For a pause within a stream of events, or of a tunnel; `None` for that of the pool.
    pub stream: Option<Duration>,
}

impl Timeouts {
    /// Whether there is one.
    pub fn are_any(self) -> bool {
        self != Self::default()
    }
}

impl Forward {
    /// Whether replicas see another path than the request has.
    pub fn strips(&self) -> bool {
        self.stripped > 0
    }

    /// What a replica is asked for, given the path and query of the request.
    pub fn target<'a>(&self, target: &'a str) -> Cow<'a, str> {
        if !self.strips() {
            return Cow::Borrowed(target);
        }
        match rest(target, self.stripped) {
            "" => Cow::Borrowed("/"),
            rest if rest.starts_with('/') => Cow::Borrowed(rest),
            query => Cow::Owned(format!("/{query}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_stripped_where_that_is_asked_for() {
        let target = |path: &str, target: &str| {
            let (split, timeouts) = (Split::all_to(0), Timeouts::default());
            Forward { name: None, split, stripped: path.len(), timeouts }.target(target).into_owned()
        };
        for (path, of_request, expected) in [
            ("", "/api/a?b", "/api/a?b"),
            ("", "//a", "//a"),
            ("", "*", "*"),
            ("/api", "/api", "/"),
            ("/api", "/api/", "/"),
            ("/api", "/api/a/?b", "/a/?b"),
            ("/api", "/api?b", "/?b"),
            ("/api", "/api//evil.example/x//y", "/evil.example/x//y"),
        ] {
            assert_eq!(target(path, of_request), expected, "{path} {of_request}");
        }
    }
}
