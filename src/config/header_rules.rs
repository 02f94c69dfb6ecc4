//! Header rules of one pool, and of the routes of one name.

use super::agree;
use super::model::{Name, Problem, Refusal, TableItem};
use super::suggest;
use super::tree::{Config, DEFAULT_POOL};

/// Gives each pool, and the routes of each name, the header rules that are for them alone, which `items` gave.
pub(super) fn give(config: &mut Config, items: &[TableItem], problems: &mut Vec<Problem>) {
    let pools: Vec<_> = config.pools().into_iter().map(|(name, _)| name.to_owned()).collect();
    let routes: Vec<_> = config.route_tables.iter().filter_map(|route| route.name.clone()).collect();
    for (table, item) in config.headers.iter().zip(items) {
        let named = [("pool", &table.pool, &pools), ("route", &table.route, &routes)];
        for (key, name, known) in named {
            let Some(name) = name.as_ref().filter(|name| !known.contains(name)) else { continue };
            problems.push(unknown(key, name, known, item));
        }
    }
    let tables = &config.headers;
    let of_pool = |name: &str| agree::header_rules(tables, |table| table.pool.as_deref() == Some(name));
    let of_route = |name: &String| {
        let rules = agree::header_rules(tables, |table| table.route.as_ref() == Some(name))?;
        Some((name.as_str().into(), rules))
    };
    config.proxy.route_rules = routes.iter().filter_map(of_route).collect();
    if config.named_pools.is_empty() {
        config.pool.header_rules = of_pool(DEFAULT_POOL);
    }
    for (name, pool) in &mut config.named_pools {
        pool.pool.header_rules = of_pool(name);
    }
}

/// There is no pool, or no route, of this name.
fn unknown(key: &str, name: &str, known: &[String], item: &TableItem) -> Problem {
    let hint = match suggest::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None if known.is_empty() => format!("give a [[{key}]] that name"),
        None => format!("there is {}", known.join(", ")),
    };
    let refusal = Refusal::new(format!("is not the name of a {key}")).hint(hint);
    Problem::new(
        Name::unknown(&format!("headers.{key}")),
        item.source.clone(),
        Some(name.to_owned()),
        refusal,
    )
}
