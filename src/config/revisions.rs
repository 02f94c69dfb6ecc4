//! From the tables of revisions to those that a pool can deploy, and the one that its replicas have at the start.

use std::sync::Arc;

use super::given::Given;
use super::model::{Name, Problem, Refusal, TableItem};
use super::tree::{Config, RevisionSettings};
use super::types::RuntimeKind;
use super::{settings, suggest};
use crate::runtime::Revision;

/// Most revisions of a pool.
const MOST: usize = 64;

/// Makes the revisions of `config` from its tables, which `given` has too. Where there are pools, only each of
/// them says what a revision is of use for.
pub(super) fn agree(config: &mut Config, given: &Given, problems: &mut Vec<Problem>) {
    let items = given.tables.get("revision").map_or(&[][..], Vec::as_slice);
    let mut found = Vec::new();
    let is_for_pools = !given.pools.is_empty();
    let mut revisions = Vec::new();
    for (settings, item) in config.revision_tables.iter().zip(items) {
        let key = format!("{}.", item.path);
        let is_understood = !problems.iter().any(|problem| problem.name.path.starts_with(&key));
        alone(settings, item, is_understood, &mut found);
        let is_own = !is_for_pools && (!given.is_of_pool() || item.path.starts_with("pool."));
        let refused = refusal(settings, config.runtime);
        if let Some((key, refusal)) = refused.clone().filter(|_| is_own) {
            found.push(problem(item, key, refusal));
        }
        // What is said for all holds where it is of use.
        let of_use = RevisionSettings {
            image: settings.image.clone().filter(|_| refused.is_none()),
            ..settings.clone()
        };
        let is_deployed = refused.is_none_or(|(key, _)| key.is_some());
        if is_deployed && !settings.name.is_empty() && !says_nothing(&of_use) {
            revisions.push(made(of_use));
        }
    }
    if let Some(beyond) = items.get(MOST) {
        let refusal = Refusal::new(format!("is one too many: there are at most {MOST}"));
        found.push(problem(beyond, None, refusal.hint("take out those that are deployed no more")));
    }
    let name = &config.deploy_revision;
    if let Some(revision) = revisions.iter().find(|revision| revision.name == *name) {
        config.control.deploy.revision = Arc::clone(revision);
    } else if *name != Revision::BASE && found.is_empty() && !is_for_pools && has_deploys(config.runtime) {
        found.push(unknown(name, &revisions, given));
    }
    config.control.deploy.revisions = revisions;
    problems.append(&mut found);
}

/// Refuses what contradicts itself in one table, or says nothing if all that it says is understood.
fn alone(settings: &RevisionSettings, item: &TableItem, is_understood: bool, problems: &mut Vec<Problem>) {
    if item.given.is_empty() && is_understood {
        let refusal = Refusal::new("says nothing, and would be what there is without it");
        problems.push(problem(item, None, refusal.hint("give it a command, an image or env")));
    }
    let key = |text: &str| text.split('=').next().map(str::to_owned);
    for (i, variable) in settings.env.iter().enumerate() {
        if settings.env[..i].iter().any(|earlier| key(earlier) == key(variable)) {
            let mut problem =
                problem(item, Some("env"), Refusal::new("sets a variable that is given already"));
            problem.value = Some(variable.clone());
            problems.push(problem);
        }
    }
}

/// Why a revision, or one key of it, is of no use with a runtime.
fn refusal(settings: &RevisionSettings, runtime: RuntimeKind) -> Option<(Option<&'static str>, Refusal)> {
    let name = runtime.name();
    if !has_deploys(runtime) {
        let what = format!("has no effect: with --runtime {name} there are no deploys");
        return Some((None, Refusal::new(what).hint("use --runtime process, docker or swarm")));
    }
    if runtime == RuntimeKind::Process && settings.image.is_some() {
        let what = format!("has no effect: --runtime {name} has no use for it");
        return Some((Some("image"), Refusal::new(what).hint("give a command, or use --runtime docker")));
    }
    None
}

/// Whether replicas are there on request of the balancer, which may then have others in their place.
fn has_deploys(runtime: RuntimeKind) -> bool {
    runtime != RuntimeKind::Fixed
}

fn says_nothing(settings: &RevisionSettings) -> bool {
    settings.command.0.is_empty() && settings.image.is_none() && settings.env.is_empty()
}

fn made(settings: RevisionSettings) -> Arc<Revision> {
    let RevisionSettings { name, command, image, env } = settings;
    let command = Some(command.0).filter(|words| !words.is_empty());
    Arc::new(Revision { name, command, image, env })
}

/// A problem with a table, or with the value of one of its keys.
fn problem(item: &TableItem, key: Option<&str>, refusal: Refusal) -> Problem {
    let given = key.and_then(|key| item.given.iter().find(|(setting, _)| setting.key() == key));
    let (source, value) = match given {
        Some((_, texts)) => (&texts.source, texts.values.first().cloned()),
        None => (&item.source, None),
    };
    let name = key.map_or_else(|| Name::unknown(&item.path), |key| item.name_of(key));
    Problem::new(name, source.clone(), value, refusal)
}

/// The revision of the start is none of those that there are.
fn unknown(name: &str, revisions: &[Arc<Revision>], given: &Given) -> Problem {
    const FLAG: &str = "deploy-revision";
    let known = || [Revision::BASE].into_iter().chain(revisions.iter().map(|revision| revision.shown()));
    let near = suggest::nearest(name, known()).map(|near| format!("did you mean {near}?"));
    let hint = near.unwrap_or_else(|| format!("there is {}", known().collect::<Vec<_>>().join(", ")));
    let setting = &settings::find(FLAG).expect("it is in the model").setting;
    let refusal = Refusal::new("is not the name of a revision").hint(hint);
    Problem::new(Name::of(setting), given.source(FLAG), Some(name.to_owned()), refusal)
}
