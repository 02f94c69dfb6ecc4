//! Pools: what holds for all, and over it what the tables of each say.

use super::agree;
use super::file::PoolItem;
use super::given::Given;
use super::inputs::ReadFile;
use super::model::{Name, Problem, Refusal, Source, Texts};
use super::settings;
use super::tree::{Config, DEFAULT_POOL};
use super::types::RuntimeKind;

/// Most pools.
const MOST: usize = 256;

/// Longest label of a pool's containers, in bytes.
const LONGEST_LABEL: usize = 32;

/// The configuration of each pool of the file, which count only if `problems` is as before.
pub(super) fn named(
    given: &Given,
    read_file: ReadFile<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<(String, Config)> {
    let mut pools: Vec<(String, Config)> = Vec::new();
    for item in &given.pools {
        let mut of_pool = given.of_pool(item);
        label(&mut of_pool, item, given, problems);
        let mut found = Vec::new();
        let config = agree::agree(&mut of_pool, read_file, &mut found);
        for problem in found.into_iter().map(|problem| in_pool(problem, item)) {
            // What is wrong for all is wrong for each.
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        let is_same = |(_, other): &&(String, Config)| {
            matches!(config.runtime, RuntimeKind::Docker | RuntimeKind::Swarm)
                && other.runtime == config.runtime
                && other.containers.pool == config.containers.pool
        };
        if let Some((other, _)) = pools.iter().find(is_same) {
            let what = format!("has its containers called like those of pool {other}");
            let refusal = Refusal::new(what).hint("give each its own pool in [pool.NAME.containers]");
            problems.push(of_item(item, refusal));
        }
        pools.push((item.name.clone(), config));
    }
    if let (Some(second), None) = (given.pools.get(1), given.tables.get("route")) {
        let refusal = Refusal::new("gets no requests: there are several pools, and no routes to them");
        problems.push(of_item(second, refusal.hint("write a [[route]] for each pool")));
    }
    if let Some(beyond) = given.pools.get(MOST) {
        problems.push(of_item(beyond, Refusal::new(format!("is one too many: there are at most {MOST}"))));
    }
    pools
}

/// Has the containers of a pool called by its name, where its tables say nothing else: behind what is said
/// for all, if there is something.
fn label(of_pool: &mut Given, item: &PoolItem, given: &Given, problems: &mut Vec<Problem>) {
    const FLAG: &str = "pool";
    if item.texts.iter().any(|(setting, _)| setting.flag == FLAG) {
        return;
    }
    let prefix = given.get(FLAG).and_then(|texts| texts.values.first()).filter(|name| *name != DEFAULT_POOL);
    let label = prefix.map_or_else(|| item.name.clone(), |prefix| format!("{prefix}-{}", item.name));
    if label.len() > LONGEST_LABEL {
        let what = format!("makes the name {label} for its containers, of more than {LONGEST_LABEL} bytes");
        problems
            .push(of_item(item, Refusal::new(what).hint("give a shorter pool in [pool.NAME.containers]")));
    }
    let setting = &settings::find(FLAG).expect("it is in the model").setting;
    of_pool.set_aside(setting, Texts { values: vec![label], source: Source::Default });
}

/// Names a problem as the pool's, where it is about what the pool's tables say.
fn in_pool(mut problem: Problem, item: &PoolItem) -> Problem {
    let is_of_pool = item
        .texts
        .iter()
        .any(|(setting, texts)| setting.path == problem.name.path && texts.source == problem.source);
    if is_of_pool {
        problem.name.path = format!("pool.{}.{}", item.name, problem.name.path);
    }
    problem
}

fn of_item(item: &PoolItem, refusal: Refusal) -> Problem {
    let name = Name::unknown(&format!("pool.{}", item.name));
    Problem::new(name, item.source.clone(), None, refusal)
}
