//! Routes, arranged so that the one of a request is found fast.

use std::fmt;
use std::net::Ipv6Addr;

use super::action::Action;
use super::host::{Host, HostPattern, suffix_of};
use super::index::{Case, Index};
use super::path::{PathPrefix, prefix_of};
use super::reading::{Reading, ambiguity, is_plain};

/// A route: host and path of its requests, and what happens to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub(super) host: HostPattern,
    pub(super) path: PathPrefix,
    pub(super) action: Action,
    pub(super) index: usize,
    pub(super) given: Vec<usize>,
}

impl Route {
    /// Which hosts it is for.
    pub fn host(&self) -> &HostPattern {
        &self.host
    }

    /// With what the paths begin that it is for.
    pub fn path(&self) -> &PathPrefix {
        &self.path
    }

    /// What happens to its requests.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// Its place in [`Routes::all`], by which more can be kept about each.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The places, in the list that was given, of what it was made of: one, or several with weights.
    pub fn given(&self) -> &[usize] {
        &self.given
    }
}

/// As in `*.example.org/api`, and `*/` for all requests.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.path)
    }
}

/// All routes. Made by [`Routes::build`](super::Routes::build).
#[derive(Clone, Debug, PartialEq)]
pub struct Routes {
    all: Vec<Route>,
    names: Index<Paths>,
    addresses: Vec<(Ipv6Addr, Paths)>,
    suffixes: Index<Paths>,
    any: Option<Paths>,
    /// Whether the host of a request matters.
    by_host: bool,
    /// Whether its path does.
    by_path: bool,
}

impl Routes {
    /// Arranges routes, no two of which have the same host and path.
    pub(super) fn of(all: Vec<Route>) -> Self {
        let (mut names, mut addresses, mut suffixes, mut any) = (Vec::new(), Vec::new(), Vec::new(), None);
        let mut by_host: Vec<&Route> = all.iter().collect();
        by_host.sort_by_key(|route| &route.host);
        for routes in by_host.chunk_by(|a, b| a.host == b.host) {
            let paths = Paths::of(routes);
            match &routes[0].host {
                HostPattern::Any => any = Some(paths),
                HostPattern::Name(name) => names.push((name.clone(), paths)),
                HostPattern::Address(address) => addresses.push((*address, paths)),
                HostPattern::Suffix(suffix) => suffixes.push((suffix.clone(), paths)),
            }
        }
        Self {
            by_host: all.iter().any(|route| route.host != HostPattern::Any),
            by_path: all.iter().any(|route| !route.path.is_root()),
            names: Index::new(Case::Ignored, names),
            suffixes: Index::new(Case::Ignored, suffixes),
            addresses,
            any,
            all,
        }
    }

    /// All of them, in the order in which the first of each was given.
    pub fn all(&self) -> &[Route] {
        &self.all
    }

    /// The route of a request to `host`, with or without a port, for `path`, with or without a query.
    pub fn find(&self, host: &str, path: &str) -> Option<&Route> {
        self.read_as(host, path.as_bytes())
    }

    /// All routes that match, the best first: those of the most specific host, and of these the one with
    /// the longest path.
    pub fn matching(&self, host: &str, path: &str) -> Vec<&Route> {
        let mut found = Vec::new();
        self.first(host, |paths| {
            found.extend(paths.matching(path.as_bytes()).map(|index| &self.all[index]));
            None::<()>
        });
        found
    }

    /// Why `path`, with or without a query, is to be refused: a replica may read it as one that has
    /// another route. Nothing is where all routes are for all paths.
    ///
    /// See [`ambiguity`] for what is refused whatever the routes are. Besides those, it is a path whose
    /// escapes, parameters (`;`) and empty segments hide that it begins with the path of a route.
    pub fn ambiguity(&self, host: &str, path: &str) -> Option<&'static str> {
        if !self.by_path || is_plain(path.as_bytes()) {
            return None;
        }
        ambiguity(path).or_else(|| {
            let reading = Reading::of(path.as_bytes());
            let index = |path| self.read_as(host, path).map(Route::index);
            (index(path.as_bytes()) != index(reading.as_bytes())).then_some("a hidden path of another route")
        })
    }

    fn read_as(&self, host: &str, path: &[u8]) -> Option<&Route> {
        self.first(host, |paths| paths.find(path)).map(|index| &self.all[index])
    }

    /// The first that `of` finds in the routes of the hosts that match, from the most specific host on. Not
    /// an iterator over them, whose state would cost more than the search.
    fn first<'a, T>(&'a self, host: &str, mut of: impl FnMut(&'a Paths) -> Option<T>) -> Option<T> {
        if self.by_host {
            let found = match Host::of(host) {
                Host::Address(address) => self.at(address).and_then(&mut of),
                Host::Name(name) => {
                    let name = name.as_bytes();
                    let exact = self.names.get(name).and_then(&mut of);
                    let suffixes = || self.suffixes.longest_first(|length| suffix_of(name, length));
                    exact.or_else(|| suffixes().find_map(&mut of))
                }
            };
            if found.is_some() {
                return found;
            }
        }
        self.any.as_ref().and_then(of)
    }

    fn at(&self, address: Ipv6Addr) -> Option<&Paths> {
        let at = self.addresses.binary_search_by_key(&address, |(address, _)| *address).ok()?;
        Some(&self.addresses[at].1)
    }
}

/// The routes of one host, as places in the list of all.
#[derive(Clone, Debug, PartialEq)]
struct Paths {
    longer: Index<usize>,
    /// That of `/`.
    root: Option<usize>,
}

impl Paths {
    fn of(routes: &[&Route]) -> Self {
        let longer = routes.iter().filter(|route| !route.path.is_root());
        let longer = longer.map(|route| (route.path.as_str().to_owned(), route.index)).collect();
        let root = routes.iter().find(|route| route.path.is_root()).map(|route| route.index);
        Self { longer: Index::new(Case::Matters, longer), root }
    }

    /// The longest that matches.
    fn find(&self, path: &[u8]) -> Option<usize> {
        self.longer(path).next().or(self.root)
    }

    /// All that match, the longest first.
    fn matching(&self, path: &[u8]) -> impl Iterator<Item = usize> {
        self.longer(path).chain(self.root)
    }

    fn longer(&self, path: &[u8]) -> impl Iterator<Item = usize> {
        self.longer.longest_first(|length| prefix_of(path, length)).copied()
    }
}
