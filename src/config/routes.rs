//! From the tables of routes to routes that contradict each other in nothing.

use super::model::{Name, Problem, Refusal, TableItem};
use super::suggest;
use super::tree::{Config, DEFAULT_POOL, RouteSettings};
use crate::routes::{ActionSpec, RouteError, RouteSpec, Routes, Timeouts};

/// Makes the routes of `config` from its tables, which `items` gave.
pub(super) fn agree(config: &mut Config, items: &[TableItem], problems: &mut Vec<Problem>) {
    let tables: Vec<_> = config.route_tables.iter().zip(items).map(Table::new).collect();
    for table in &tables {
        table.of_no_use(problems);
    }
    // What was refused has its default since, which would contradict other routes.
    let is_refused = |problem: &Problem| problem.name.path.starts_with("route.");
    if tables.is_empty() || problems.iter().any(is_refused) {
        return;
    }
    let pools: Vec<_> = config.pools().into_iter().map(|(name, _)| name).collect();
    let specs: Vec<_> = config.route_tables.iter().map(RouteSettings::spec).collect();
    match Routes::build(&specs, &pools) {
        Ok(routes) => config.routes = Some(routes),
        Err(errors) => problems.extend(errors.iter().map(|error| problem(error, &tables, &pools))),
    }
}

impl Config {
    /// Its routes, to pools that are known by their places among `pools`, which may be others than its own.
    ///
    /// # Errors
    /// A route leads to a pool that is not among them.
    pub fn routes_to(&self, pools: &[&str]) -> Result<Option<Routes>, Vec<RouteError>> {
        if self.routes.is_none() {
            return Ok(None);
        }
        let specs: Vec<_> = self.route_tables.iter().map(RouteSettings::spec).collect();
        Routes::build(&specs, pools).map(Some)
    }
}

impl RouteSettings {
    fn spec(&self) -> RouteSpec {
        let action = match &self.redirect {
            Some(to) => {
                ActionSpec::Redirect { to: to.clone(), status: self.redirect_status.unwrap_or_default() }
            }
            None => ActionSpec::Forward {
                name: self.name.as_deref().map(Into::into),
                pool: self.pool().to_owned(),
                weight: self.weight,
                strip_prefix: self.strip_prefix,
                timeouts: Timeouts { response: self.response_timeout, stream: self.stream_timeout },
            },
        };
        RouteSpec { host: self.host.clone(), path: self.path.clone(), action }
    }

    fn pool(&self) -> &str {
        self.pool.as_deref().unwrap_or(DEFAULT_POOL)
    }
}

/// A table, and where each of its values was given.
struct Table<'a> {
    settings: &'a RouteSettings,
    item: &'a TableItem,
}

impl<'a> Table<'a> {
    fn new((settings, item): (&'a RouteSettings, &'a TableItem)) -> Self {
        Self { settings, item }
    }

    /// Refuses what has no effect beside the rest of the table.
    fn of_no_use(&self, problems: &mut Vec<Problem>) {
        let settings = self.settings;
        let forwards = [
            ("name", settings.name.is_some()),
            ("pool", settings.pool.is_some()),
            ("weight", settings.weight.is_some()),
            ("strip-prefix", settings.strip_prefix),
            ("response-timeout", settings.response_timeout.is_some()),
            ("stream-timeout", settings.stream_timeout.is_some()),
        ];
        if settings.redirect.is_some() {
            let given = forwards.into_iter().filter(|(_, given)| *given);
            problems.extend(given.map(|(key, _)| {
                let refusal = Refusal::new("is of no use beside redirect").hint("leave one of them out");
                self.problem(key, refusal)
            }));
        } else if settings.redirect_status.is_some() {
            let refusal = Refusal::new("is of no use without redirect").hint("leave it out");
            problems.push(self.problem("redirect-status", refusal));
        } else if settings.strip_prefix && settings.path.is_root() {
            let refusal = Refusal::new("has nothing to strip where path is /").hint("give a path");
            problems.push(self.problem("strip-prefix", refusal));
        }
    }

    /// A problem with the value of `key`, in the line where it was given if it was.
    fn problem(&self, key: &str, refusal: Refusal) -> Problem {
        let given = self.item.given.iter().find(|(setting, _)| setting.key() == key);
        let (source, value) = match given {
            Some((_, texts)) => (&texts.source, texts.values.first().cloned()),
            None => (&self.item.source, None),
        };
        Problem::new(Name::unknown(&format!("route.{key}")), source.clone(), value, refusal)
    }

    /// Where it begins.
    fn place(&self) -> String {
        self.item.source.of(&Name::unknown("route"))
    }
}

fn problem(error: &RouteError, tables: &[Table<'_>], pools: &[&str]) -> Problem {
    let table = &tables[error.route()];
    let other = error.other().map_or_else(String::new, |other| tables[other].place());
    let (host, path) = (&table.settings.host, &table.settings.path);
    let refuse = |key, what: String, hint: String| table.problem(key, Refusal::new(what).hint(hint));
    match error {
        RouteError::Same { .. } => {
            let what = format!("{host}{path} is the route at {other} already");
            let refusal =
                Refusal::new(what).hint("leave one out, or give each a weight and a pool of its own");
            Problem::new(Name::unknown("route"), table.item.source.clone(), None, refusal)
        }
        RouteError::SamePool { .. } => refuse(
            "pool",
            format!("is the pool of the route at {other} already, with which {host}{path} is shared"),
            "choose another pool, or give that one the sum of the weights".to_owned(),
        ),
        RouteError::Stripped { .. } => refuse(
            "strip-prefix",
            format!("differs from the route at {other}, with which {host}{path} is shared"),
            "give it to both or to none".to_owned(),
        ),
        RouteError::Timed { .. } => {
            let key =
                if table.settings.response_timeout.is_some() { "response-timeout" } else { "stream-timeout" };
            let what = format!("differs from the route at {other}, with which {host}{path} is shared");
            refuse(key, what, "give the same to both".to_owned())
        }
        RouteError::Named { .. } => {
            let what = format!("differs from the route at {other}, with which {host}{path} is shared");
            refuse("name", what, "give the same to both".to_owned())
        }
        RouteError::Alone { .. } => refuse(
            "weight",
            format!("is of no use: no other route is for {host}{path}"),
            "leave it out, or give one with a weight and another pool".to_owned(),
        ),
        RouteError::Weightless { .. } => refuse(
            "weight",
            format!("leaves {host}{path} without a pool: all weights are 0"),
            "raise one of them".to_owned(),
        ),
        RouteError::UnknownPool { .. } => {
            let near = suggest::nearest(table.settings.pool(), pools.iter().copied());
            let hint = near.map(|near| format!("did you mean {near}?"));
            let hint = hint.unwrap_or_else(|| format!("there is {}", pools.join(", ")));
            refuse("pool", "is not the name of a pool".to_owned(), hint)
        }
        RouteError::Circle { .. } => refuse(
            "redirect",
            "leads back to this route".to_owned(),
            "give a path that has a route of its own, or a URL".to_owned(),
        ),
    }
}
