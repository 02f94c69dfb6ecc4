//! From texts to the checked configuration: each setting by itself, then those that must agree.
//!
//! Nothing stops at the first problem. A setting that is refused counts as some valid value from
//! then on, which nobody sees, because a configuration with problems is not handed out; checks of
//! several settings together are made only where each of them is good.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread::available_parallelism;
use std::time::Duration;

use super::problem::{Problem, Source};
use super::raw::Raw;
use super::setting::{DefaultValue, Kind, Setting};
use super::value::{self, Refusal};
use super::{Config, PublicAdmin, ReadFile, RuntimeConfig, table, together};
use crate::admin::AdminConfig;
use crate::control::{self, ControlConfig};
use crate::proxy::{ProxyConfig, TraceContext};
use crate::telemetry::access::{AccessLogConfig, Format};
use crate::telemetry::logs::LogFormat;

/// Checks `raw`; the result counts only if `problems` is empty afterwards.
pub(super) fn check(raw: &Raw, read_file: ReadFile<'_>, problems: &mut Vec<Problem>) -> Config {
    let mut checker = Checker { raw, read_file, problems, refused: BTreeSet::new() };
    let listen = checker.address("listen");
    let runtime = together::runtime(&mut checker, listen);
    let config = Config {
        listen,
        admin_listen: checker.address("admin-listen"),
        public_admin: match checker.choice("public-admin") {
            "on" => PublicAdmin::On,
            "off" => PublicAdmin::Off,
            _ => PublicAdmin::Auto,
        },
        workers: workers(&mut checker),
        grace: checker.duration("grace"),
        log_format: match checker.choice("log-format") {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => LogFormat::Auto,
        },
        proxy: proxy(&mut checker),
        access: AccessLogConfig {
            destination: checker.get("access-log", |_, text| value::destination(text)).flatten(),
            format: match checker.choice("access-log-format") {
                "common" => Format::Common,
                _ => Format::Json,
            },
        },
        control: control(&mut checker, &runtime),
        admin: admin(&mut checker),
        runtime,
    };
    config_file(&mut checker);
    together::listeners(&mut checker, &config);
    config
}

fn proxy(checker: &mut Checker<'_>) -> ProxyConfig {
    ProxyConfig {
        connect_timeout: checker.duration("connect-timeout"),
        response_timeout: checker.duration("response-timeout"),
        body_timeout: checker.duration("body-timeout"),
        header_timeout: checker.duration("header-timeout"),
        keep_alive: checker.duration("keep-alive"),
        upstream_keep_alive: checker.duration("upstream-keep-alive"),
        max_connections: checker.integer("max-connections") as usize,
        max_header_bytes: checker.integer("max-header-bytes") as usize,
        trace_context: match checker.choice("trace-context") {
            "start" => TraceContext::Start,
            _ => TraceContext::Pass,
        },
    }
}

fn control(checker: &mut Checker<'_>, runtime: &RuntimeConfig) -> ControlConfig {
    let max_replicas = checker.integer("max-replicas") as u32;
    let replicas = together::replicas(checker, runtime, max_replicas);
    ControlConfig {
        replicas,
        max_replicas,
        ring: together::ring(checker, replicas),
        key: checker.get("key", |_, text| value::parse(text)).unwrap_or_default(),
        bounded_load: checker.get("bounded-load", value::factor).unwrap_or_default(),
        health: control::HealthConfig {
            path: checker.get("health-path", |_, text| value::url_path(text)).unwrap_or_default(),
            interval: checker.duration("health-interval"),
            timeout: checker.duration("health-timeout"),
            unhealthy_after: checker.integer("unhealthy-after") as u32,
        },
        drain_timeout: checker.duration("drain-timeout"),
        start_timeout: together::start_timeout(checker, runtime),
        replace_after: checker.duration("replace-after"),
        keep_on_stop: together::keep_on_stop(checker, runtime),
    }
}

fn admin(checker: &mut Checker<'_>) -> AdminConfig {
    AdminConfig { token: together::token(checker), hosts: checker.list("admin-host", value::host) }
}

fn workers(checker: &mut Checker<'_>) -> usize {
    if checker.is_given("workers") {
        checker.integer("workers") as usize
    } else {
        available_parallelism().map_or(1, usize::from)
    }
}

/// The file itself was read before; only the form of its name is left.
fn config_file(checker: &mut Checker<'_>) {
    let _ = checker.get("config", |_, text| Ok(text.to_owned()));
}

/// Takes texts out of the raw configuration and collects what is wrong with them.
pub(super) struct Checker<'a> {
    pub(super) raw: &'a Raw,
    pub(super) read_file: ReadFile<'a>,
    problems: &'a mut Vec<Problem>,
    refused: BTreeSet<&'static str>,
}

impl Checker<'_> {
    /// Whether the setting was given to ringherd at all.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.raw.get(key).is_some_and(|given| !matches!(given.source, Source::Foreign(_)))
    }

    /// Where the setting's value comes from.
    pub(super) fn source(&self, key: &str) -> Source {
        self.raw.get(key).map_or(Source::Default, |given| given.source.clone())
    }

    /// Whether none of `keys` was refused so far.
    pub(super) fn good(&self, keys: &[&str]) -> bool {
        keys.iter().all(|key| !self.refused.contains(key))
    }

    /// What the setting holds, as text: given, or by default.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.raw.get(key) {
            Some(given) => given.values.first().map(String::as_str),
            None => match setting(key).default {
                DefaultValue::Value(text) => Some(text),
                DefaultValue::Words(_) => None,
            },
        }
    }

    /// Refuses what the setting holds.
    pub(super) fn refuse(&mut self, key: &str, refusal: Refusal) {
        let value = self.text(key).map(str::to_owned);
        self.refuse_value(key, value, refusal);
    }

    /// Refuses `value` of the setting.
    pub(super) fn refuse_value(&mut self, key: &str, value: Option<String>, refusal: Refusal) {
        let (source, Refusal { what, hint }) = (self.source(key), refusal);
        self.refused.insert(setting(key).key);
        self.problems.push(Problem { key: key.to_owned(), source, value, what, hint });
    }

    /// Adds a problem that is not of a setting.
    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// One value; `None` where there is none, or it was refused.
    pub(super) fn get<T>(&mut self, key: &str, parse: fn(&Kind, &str) -> Result<T, Refusal>) -> Option<T> {
        let text = self.text(key)?.to_owned();
        match not_empty(&text).and_then(|()| parse(&setting(key).kind, &text)) {
            Ok(value) => Some(value),
            Err(refusal) => {
                self.refuse_value(key, Some(text), refusal);
                None
            }
        }
    }

    /// Several values; those that are refused are missing.
    pub(super) fn list<T>(&mut self, key: &str, parse: fn(&str) -> Result<T, Refusal>) -> Vec<T> {
        let texts = self.raw.get(key).map_or(&[][..], |given| &given.values);
        let mut values = Vec::with_capacity(texts.len());
        for text in texts {
            match not_empty(text).and_then(|()| parse(text)) {
                Ok(value) => values.push(value),
                Err(refusal) => self.refuse_value(key, Some(text.clone()), refusal),
            }
        }
        values
    }

    pub(super) fn integer(&mut self, key: &str) -> u64 {
        self.get(key, value::integer).unwrap_or(1)
    }

    pub(super) fn choice(&mut self, key: &str) -> &'static str {
        self.get(key, value::choice).unwrap_or("")
    }

    pub(super) fn duration(&mut self, key: &str) -> Duration {
        self.get(key, value::duration).unwrap_or_default()
    }

    fn address(&mut self, key: &str) -> SocketAddr {
        self.get(key, |_, text| value::address(text)).unwrap_or_else(|| SocketAddr::from(([0; 4], 0)))
    }
}

fn not_empty(text: &str) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(Refusal::new("is empty").hint("leave it out for the default"));
    }
    Ok(())
}

fn setting(key: &str) -> &'static Setting {
    table::find(key).expect("only settings of the table are asked for")
}
