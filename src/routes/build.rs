//! From routes as they are given to routes that contradict each other in nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::action::{Action, Forward, Timeouts};
use super::error::RouteError;
use super::host::HostPattern;
use super::path::PathPrefix;
use super::redirect::{Redirect, RedirectStatus, RedirectTarget};
use super::split::Split;
use super::table::{Route, Routes};

/// As many in a row as clients follow.
const MOST_REDIRECTS: usize = 20;

/// A route as it is given. Several for the same host and path, each with a weight, make one [`Route`].
#[derive(Clone, Debug, PartialEq)]
pub struct RouteSpec {
    /// Which hosts it is for.
    pub host: HostPattern,
    /// With what the paths begin that it is for.
    pub path: PathPrefix,
    /// What happens to its requests.
    pub action: ActionSpec,
}

/// What happens to the requests of a route, as it is given.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionSpec {
    /// They are forwarded.
    Forward {
        /// What others call the route by, such as header rules; several may have the same name.
        name: Option<Arc<str>>,
        /// To the pool of this name.
        pool: String,
        /// Share of the keys, in relation to the weights of the others with the same host and path; at
        /// most [`MAX_WEIGHT`](super::MAX_WEIGHT).
        weight: Option<u16>,
        /// Whether replicas see the path without that of the route.
        strip_prefix: bool,
        /// In place of those of the pool.
        timeouts: Timeouts,
    },
    /// Their clients are sent elsewhere.
    Redirect {
        /// Where.
        to: RedirectTarget,
        /// With which status.
        status: RedirectStatus,
    },
}

impl Routes {
    /// All requests to the first of the pools.
    pub fn to_one_pool() -> Self {
        let action = Action::Forward(Forward {
            name: None,
            split: Split::all_to(0),
            stripped: 0,
            timeouts: Timeouts::default(),
        });
        let (host, path) = Default::default();
        Self::of(vec![Route { host, path, action, index: 0, given: Vec::new() }])
    }

    /// Routes to pools of these names, each of which is known by its place in the list from then on.
    ///
    /// # Errors
    /// All that contradicts, in the order of the routes.
    pub fn build(specs: &[RouteSpec], pools: &[&str]) -> Result<Self, Vec<RouteError>> {
        let mut errors = Vec::new();
        let routes: Vec<_> = by_place(specs)
            .into_iter()
            .enumerate()
            .filter_map(|(index, group)| {
                let RouteSpec { host, path, .. } = group.specs[0].1.clone();
                let action = group.action(pools).map_err(|mut wrong| errors.append(&mut wrong)).ok()?;
                let given = group.specs.iter().map(|(at, _)| *at).collect();
                Some(Route { host, path, action, index, given })
            })
            .collect();
        if errors.is_empty() {
            let routes = Self::of(routes);
            let circles = routes.all().iter().filter(|route| routes.is_circle(route));
            errors.extend(circles.map(|route| RouteError::Circle { route: route.given[0] }));
            if errors.is_empty() {
                return Ok(routes);
            }
        }
        errors.sort_by_key(RouteError::route);
        Err(errors)
    }

    /// Whether a redirect leads back to itself. One to a URL may, through a server elsewhere, but that
    /// cannot be told from here.
    fn is_circle(&self, start: &Route) -> bool {
        let host = start.host.sample();
        let next = |route: &Route| match &route.action {
            Action::Redirect(redirect) => redirect.to.path().and_then(|path| self.find(&host, path)),
            Action::Forward(_) => None,
        };
        let way = std::iter::successors(next(start), |route| next(route)).take(MOST_REDIRECTS);
        way.into_iter().any(|route| route.index == start.index)
    }
}

/// What is given for one host and path, with the places in the list.
struct Group<'a> {
    specs: Vec<(usize, &'a RouteSpec)>,
}

/// In the order of the first of each.
fn by_place(specs: &[RouteSpec]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut known = BTreeMap::new();
    for (at, spec) in specs.iter().enumerate() {
        let index = *known.entry((&spec.host, &spec.path)).or_insert(groups.len());
        match groups.get_mut(index) {
            Some(group) => group.specs.push((at, spec)),
            None => groups.push(Group { specs: vec![(at, spec)] }),
        }
    }
    groups
}

/// What one of several routes gets of the requests that they share.
struct Side<'a> {
    route: usize,
    name: &'a Option<Arc<str>>,
    pool: &'a str,
    weight: u16,
    strip_prefix: bool,
    timeouts: Timeouts,
}

impl<'a> Group<'a> {
    fn action(&self, pools: &[&str]) -> Result<Action, Vec<RouteError>> {
        let (route, spec) = self.specs[0];
        let prefix = spec.path.as_str().len();
        let place = |pool: &str| pools.iter().position(|known| *known == pool);
        let unknown = |route| RouteError::UnknownPool { route };
        if self.specs.len() > 1 {
            let sides = self.sides()?;
            let lost = sides.iter().filter(|side| place(side.pool).is_none()).map(|side| unknown(side.route));
            let lost: Vec<_> = lost.collect();
            let known = sides.iter().filter_map(|side| Some((place(side.pool)?, side.pool, side.weight)));
            let stripped = if sides[0].strip_prefix { prefix } else { 0 };
            let (name, timeouts) = (sides[0].name.clone(), sides[0].timeouts);
            let forward =
                || Action::Forward(Forward { name, split: Split::between(known), stripped, timeouts });
            return if lost.is_empty() { Ok(forward()) } else { Err(lost) };
        }
        match &spec.action {
            ActionSpec::Redirect { to, status } => {
                Ok(Action::Redirect(Redirect { to: to.clone(), status: *status, prefix }))
            }
            ActionSpec::Forward { weight: Some(_), .. } => Err(vec![RouteError::Alone { route }]),
            ActionSpec::Forward { name, pool, strip_prefix, timeouts, .. } => {
                let split = place(pool).map(Split::all_to).ok_or_else(|| vec![unknown(route)])?;
                let stripped = if *strip_prefix { prefix } else { 0 };
                Ok(Action::Forward(Forward { name: name.clone(), split, stripped, timeouts: *timeouts }))
            }
        }
    }

    /// The routes of the group, if they can share their requests.
    fn sides(&self) -> Result<Vec<Side<'a>>, Vec<RouteError>> {
        let side = |(route, spec): (usize, &'a RouteSpec)| match &spec.action {
            ActionSpec::Forward { name, pool, weight: Some(weight), strip_prefix, timeouts } => {
                let (strip_prefix, timeouts) = (*strip_prefix, *timeouts);
                Some(Side { route, name, pool, weight: *weight, strip_prefix, timeouts })
            }
            _ => None,
        };
        let (first, rest) = (self.specs[0], &self.specs[1..]);
        let shares = side(first).is_some();
        let apart = rest.iter().filter(|later| !shares || side(**later).is_none());
        let mut errors: Vec<_> =
            apart.map(|(route, _)| RouteError::Same { route: *route, other: first.0 }).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let sides: Vec<_> = self.specs.iter().filter_map(|spec| side(*spec)).collect();
        for (at, side) in sides.iter().enumerate() {
            let route = side.route;
            if let Some(earlier) = sides[..at].iter().find(|earlier| earlier.pool == side.pool) {
                errors.push(RouteError::SamePool { route, other: earlier.route });
            } else if side.strip_prefix != sides[0].strip_prefix {
                errors.push(RouteError::Stripped { route, other: first.0 });
            } else if side.timeouts != sides[0].timeouts {
                errors.push(RouteError::Timed { route, other: first.0 });
            } else if side.name != sides[0].name {
                errors.push(RouteError::Named { route, other: first.0 });
            }
        }
        if sides.iter().all(|side| side.weight == 0) {
            errors.push(RouteError::Weightless { route: first.0 });
        }
        if errors.is_empty() { Ok(sides) } else { Err(errors) }
    }
}
