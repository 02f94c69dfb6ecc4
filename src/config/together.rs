//! Settings that must agree with each other: runtime and replicas, the ring, listeners, token.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use super::check::Checker;
use super::problem::{Problem, Source};
use super::raw::TOKEN_VARIABLE;
use super::setting::Kind;
use super::value::{self, Refusal};
use super::{Config, RuntimeConfig, container};
use crate::ring::Params;
use crate::runtime::docker::DockerConfig;
use crate::runtime::process::ProcessConfig;
use crate::runtime::swarm::SwarmConfig;

/// The runtime, with what only it needs. Without `--runtime` it follows from whether there are
/// upstreams; `fixed` without any is allowed, because `/add` can bring them.
pub(super) fn runtime(checker: &mut Checker<'_>, listen: SocketAddr) -> RuntimeConfig {
    let upstreams = checker.list("upstream", value::endpoint);
    let stop_timeout = checker.duration("stop-timeout");
    let name = match (checker.is_given("runtime"), checker.is_given("upstream")) {
        (true, _) => checker.choice("runtime"),
        (false, true) => "fixed",
        (false, false) => "process",
    };
    let parse: fn(&Kind, &str) -> _ = match name {
        "process" => |_, text| value::command(text),
        _ => |_, text| value::command_in_container(text),
    };
    let command = checker.get("replica-command", parse).unwrap_or_default();
    let containers = matches!(name, "docker" | "swarm");
    let spec = container::spec(checker, containers, command.clone(), stop_timeout);
    let discover = checker.get("discover", |_, text| container::label(text));
    let own = "starts its own replicas; use --runtime fixed";
    match name {
        "fixed" => {
            unused(checker, "replica-command", "fixed starts no replicas");
            unused(checker, "on-exit", "fixed neither starts nor removes replicas");
            no_containers(checker, name);
            twice(checker, &upstreams);
            RuntimeConfig::Fixed(upstreams)
        }
        "docker" => {
            unused(checker, "upstream", &format!("docker {own}"));
            RuntimeConfig::Docker(DockerConfig { spec, instance: listen.to_string(), discover })
        }
        "swarm" => {
            unused(checker, "upstream", &format!("swarm {own}"));
            unused(checker, "discover", "swarm finds no replicas of others; use --runtime docker");
            if spec.network.as_deref() == Some("bridge") {
                checker.refuse("network", container::no_overlay());
            }
            RuntimeConfig::Swarm(SwarmConfig { spec })
        }
        // One that was refused counts as this.
        _ => {
            unused(checker, "upstream", &format!("process {own}"));
            no_containers(checker, "process");
            RuntimeConfig::Process(ProcessConfig { command, stop_timeout })
        }
    }
}

/// Refuses what is only for replicas in containers.
fn no_containers(checker: &mut Checker<'_>, runtime: &str) {
    let why = |others| format!("{runtime} runs no containers; use --runtime {others}");
    for key in container::KEYS {
        unused(checker, key, &why("docker or swarm"));
    }
    unused(checker, "discover", &why("docker"));
}

fn unused(checker: &mut Checker<'_>, key: &'static str, why: &str) {
    if checker.is_given(key) && checker.good(&[key, "runtime"]) {
        checker.refuse(key, Refusal::new(format!("has no effect: --runtime {why}")));
    }
}

/// Whether replicas outlive the balancer. Those of a Swarm do unless told otherwise, because
/// other balancers may share them; child processes cannot.
pub(super) fn keep_on_stop(checker: &mut Checker<'_>, runtime: &RuntimeConfig) -> bool {
    let given = checker.is_given("on-exit").then(|| checker.choice("on-exit"));
    let process = matches!(runtime, RuntimeConfig::Process(_)) && checker.good(&["runtime"]);
    if process && given == Some("keep") {
        let what = "has no effect: with --runtime process replicas end with the balancer";
        checker.refuse("on-exit", Refusal::new(what).hint("use --runtime docker or swarm"));
    }
    given.map_or(matches!(runtime, RuntimeConfig::Swarm(_)), |given| given == "keep")
}

/// A first task of a Swarm takes long where no registry answers, because Swarm asks for the image
/// before it uses the one that is there.
pub(super) fn start_timeout(checker: &mut Checker<'_>, runtime: &RuntimeConfig) -> Duration {
    match (checker.is_given("start-timeout"), runtime) {
        (true, _) => checker.duration("start-timeout"),
        (false, RuntimeConfig::Swarm(_)) => Duration::from_secs(60),
        (false, _) => Duration::from_secs(10),
    }
}

fn twice(checker: &mut Checker<'_>, upstreams: &[String]) {
    let mut seen = BTreeSet::new();
    for upstream in upstreams {
        if !seen.insert(upstream.to_ascii_lowercase()) {
            checker.refuse_value("upstream", Some(upstream.clone()), Refusal::new("is given twice"));
        }
    }
}

/// How many replicas there are at first: as set, or as many as there are upstreams.
pub(super) fn replicas(checker: &mut Checker<'_>, runtime: &RuntimeConfig, max: u32) -> u32 {
    let set = checker.integer("replicas") as u32;
    let (count, key) = match runtime {
        RuntimeConfig::Fixed(upstreams) => (upstreams.len() as u32, "upstream"),
        _ => (set, "replicas"),
    };
    let comparable = checker.good(&["replicas", "upstream", "runtime"]);
    if comparable && checker.is_given("replicas") && set != count {
        let what = format!("differs from the number of upstreams, {count}");
        checker.refuse("replicas", Refusal::new(what).hint("leave it out with --runtime fixed"));
    } else if comparable && checker.good(&["max-replicas"]) && count > max {
        let limit = checker.source("max-replicas").of("max-replicas");
        let what = format!("makes {count} replicas, more than max-replicas = {max} ({limit})");
        checker.refuse(key, Refusal::new(what).hint("raise max-replicas or start with fewer"));
    }
    count
}

/// The ring, which must hold the virtual nodes of the replicas it starts with.
pub(super) fn ring(checker: &mut Checker<'_>, replicas: u32) -> Params {
    const PARTS: [&str; 5] = ["family", "probing", "placement", "slots", "virtual-nodes"];
    let family = word(checker, "family");
    let probing = word(checker, "probing");
    let placement = word(checker, "placement");
    let slots = checker.integer("slots") as u32;
    let virtual_nodes = checker.integer("virtual-nodes") as u32;
    if !checker.good(&PARTS) {
        return Params::default();
    }
    let params = match Params::new(family, probing, placement, slots, virtual_nodes) {
        Ok(params) => params,
        Err(error) => {
            refuse_ring(checker, Refusal::new(error.to_string()));
            return Params::default();
        }
    };
    if checker.good(&["replicas", "upstream", "max-replicas"]) && replicas > params.capacity() {
        let what = format!(
            "{replicas} replicas of {virtual_nodes} virtual nodes do not fit: at most {} do",
            params.capacity()
        );
        refuse_ring(checker, Refusal::new(what).hint("raise slots, or lower virtual-nodes or replicas"));
    }
    params
}

/// Several settings are to blame: names the first of them that the user chose.
fn refuse_ring(checker: &mut Checker<'_>, refusal: Refusal) {
    const BLAMED: [&str; 6] = ["slots", "virtual-nodes", "replicas", "upstream", "placement", "probing"];
    let chosen = BLAMED.into_iter().find(|key| checker.is_given(key));
    checker.refuse(chosen.unwrap_or("slots"), refusal);
}

/// A word that both the table and the ring know.
fn word<T: FromStr<Err: std::fmt::Display> + Default>(checker: &mut Checker<'_>, key: &str) -> T {
    checker.get(key, |kind, text| value::choice(kind, text).and_then(value::parse)).unwrap_or_default()
}

/// Two listeners cannot share a port, unless the system chooses it or their addresses differ.
pub(super) fn listeners(checker: &mut Checker<'_>, config: &Config) {
    if checker.good(&["listen", "admin-listen"]) && clash(config.listen, config.admin_listen) {
        let listen = checker.source("listen").of("listen");
        let what = format!("clashes with listen = \"{}\" ({listen})", config.listen);
        checker.refuse("admin-listen", Refusal::new(what).hint("choose another port"));
    }
}

fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_ip
}

/// The bearer token, from its file or its variable. No message repeats it.
pub(super) fn token(checker: &mut Checker<'_>) -> Option<String> {
    const KEY: &str = "admin-token-file";
    let path = checker.get(KEY, |_, text| Ok(text.to_owned()));
    match (path, checker.raw.token.clone()) {
        (None, None) => None,
        (None, Some(token)) => value::token(&token).map_err(|refusal| refuse_variable(checker, refusal)).ok(),
        (Some(_), Some(_)) => {
            let what = format!("is set besides {TOKEN_VARIABLE}");
            checker.refuse(KEY, Refusal::new(what).hint("give the token in one of them"));
            None
        }
        (Some(path), None) => {
            let content = (checker.read_file)(path.as_ref())
                .map_err(|error| Refusal::new(format!("cannot be read: {error}")));
            content
                .and_then(|content| value::token(without_newline(&content)))
                .map_err(|refusal| checker.refuse(KEY, refusal))
                .ok()
        }
    }
}

fn refuse_variable(checker: &mut Checker<'_>, refusal: Refusal) {
    let Refusal { what, hint } = refusal;
    let key = TOKEN_VARIABLE.to_owned();
    checker.problem(Problem { key, source: Source::Environment, value: None, what, hint });
}

/// Editors end a file with a newline that is not part of the token.
fn without_newline(content: &str) -> &str {
    let line = content.strip_suffix('\n').unwrap_or(content);
    line.strip_suffix('\r').unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_clash_on_one_port_only() {
        let clash = |a: &str, b: &str| clash(a.parse().unwrap(), b.parse().unwrap());
        assert!(clash("127.0.0.1:5000", "127.0.0.1:5000"));
        assert!(clash("0.0.0.0:5000", "127.0.0.1:5000"));
        assert!(clash("127.0.0.1:5000", "[::]:5000"));
        assert!(!clash("127.0.0.1:5000", "127.0.0.1:5001"));
        assert!(!clash("127.0.0.1:0", "127.0.0.1:0"));
        assert!(!clash("127.0.0.1:5000", "127.0.0.2:5000"));
    }

    #[test]
    fn one_newline_is_not_part_of_a_token() {
        assert_eq!(without_newline("abc"), "abc");
        assert_eq!(without_newline("abc\n"), "abc");
        assert_eq!(without_newline("abc\r\n"), "abc");
        assert_eq!(without_newline("abc\n\n"), "abc\n");
    }
}
