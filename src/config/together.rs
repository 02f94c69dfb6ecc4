//! Settings that must agree with each other: runtime and replicas, the ring, listeners, token.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::str::FromStr;

use super::check::Checker;
use super::problem::{Problem, Source};
use super::raw::TOKEN_VARIABLE;
use super::value::{self, Refusal};
use super::{Config, RuntimeConfig};
use crate::ring::Params;
use crate::runtime::process;

/// The runtime, with what only it needs. Without `--runtime` it follows from whether there are
/// upstreams; `fixed` without any is allowed, because `/add` can bring them.
pub(super) fn runtime(checker: &mut Checker<'_>) -> RuntimeConfig {
    let upstreams = checker.list("upstream", value::endpoint);
    let stop_timeout = checker.duration("stop-timeout");
    let command = checker.get("replica-command", |_, text| value::command(text)).unwrap_or_default();
    let fixed = match (checker.is_given("runtime"), checker.is_given("upstream")) {
        (true, _) => checker.choice("runtime") == "fixed",
        (false, upstream) => upstream,
    };
    if fixed {
        unused(checker, "replica-command", "fixed starts no replicas");
        twice(checker, &upstreams);
        RuntimeConfig::Fixed(upstreams)
    } else {
        unused(checker, "upstream", "process starts its own replicas; use --runtime fixed");
        RuntimeConfig::Process(process::Config { command, stop_timeout })
    }
}

fn unused(checker: &mut Checker<'_>, key: &'static str, why: &str) {
    if checker.is_given(key) && checker.good(&[key, "runtime"]) {
        checker.refuse(key, Refusal::new(format!("has no effect: --runtime {why}")));
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
        RuntimeConfig::Process(_) => (set, "replicas"),
        RuntimeConfig::Fixed(upstreams) => (upstreams.len() as u32, "upstream"),
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
