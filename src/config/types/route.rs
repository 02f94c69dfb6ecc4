//! Hosts and paths of routes, and where redirects lead.

use crate::config::model::{Kind, Refusal, Shown, Value};
use crate::routes::{
    HostError, HostPattern, PathError, PathPrefix, RedirectStatus, RedirectTarget, TargetError,
};

/// Which hosts a route is for.
pub(in crate::config) const HOST: Kind =
    Kind::text("a host name, *.SUFFIX, an IPv6 address in brackets or *", "shop.example.org");

/// What the paths of a route begin with.
pub(in crate::config) const PATH: Kind =
    Kind::text("a path that starts with '/', percent-encoded where a URL needs it", "/api");

/// Where a redirect leads.
pub(in crate::config) const REDIRECT: Kind =
    Kind::text("a path that starts with '/', or a URL of http or https", "https://www.example.org/");

/// The statuses of redirects.
pub(in crate::config) const STATUS: Kind = Kind::Choice(RedirectStatus::NAMES);

impl Value for HostPattern {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|error: HostError| match &error {
            HostError::Form => Refusal::must_be(kind).hint("as in shop.example.org or *.example.org"),
            HostError::More(host) => Refusal::new(error.to_string()).hint(format!("write {host}")),
            HostError::Wildcard => {
                Refusal::new(error.to_string()).hint("it stands for the first labels, as in *.example.org")
            }
            HostError::Letters => {
                Refusal::new(error.to_string()).hint("write it as browsers send it, in Punycode (xn--...)")
            }
        })
    }

    fn show(&self, _: &Kind) -> Shown {
        Shown::text(self)
    }
}

impl Value for PathPrefix {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|error: PathError| match &error {
            PathError::Form if text.starts_with('/') => Refusal::must_be(kind),
            PathError::Form => Refusal::must_be(kind).hint("as in /api"),
            PathError::Spelling(spelling) => {
                Refusal::new(error.to_string()).hint(format!("write {spelling}"))
            }
            PathError::Refused(_) | PathError::Wildcard | PathError::Long(_) => {
                Refusal::new(error.to_string())
            }
        })
    }

    fn show(&self, _: &Kind) -> Shown {
        Shown::text(self)
    }
}

impl Value for RedirectTarget {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|error| match error {
            TargetError::Form => Refusal::must_be(kind).hint("as in /new or https://www.example.org/new"),
            TargetError::Query => Refusal::new(error.to_string()).hint("leave it out"),
        })
    }

    fn show(&self, _: &Kind) -> Shown {
        Shown::text(self)
    }
}

impl Value for RedirectStatus {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|_| Refusal::must_be(kind))
    }

    fn show(&self, _: &Kind) -> Shown {
        Shown::Integer(self.code().into())
    }
}
