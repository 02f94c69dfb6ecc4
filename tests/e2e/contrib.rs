//! The dashboard, the alerts and the table of metrics ask for and describe what there is.
//!
//! `UPDATE_DOCS=1 cargo test --test e2e contrib` writes the table of docs/metrics.md.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::Balancer;
use crate::common::promql::{Named, names};
use crate::common::scrape::{Family, Scrape};

/// Labels that Prometheus gives to whatever it scrapes.
const OF_PROMETHEUS: [&str; 2] = ["job", "instance"];

/// Stands on a line of its own before and after the table.
const MARKER: &str = "<!-- metrics -->\n";

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// All there is to scrape: replicas, an access log, TLS.
fn everything() -> Scrape {
    let tls = ["--tls-listen", "127.0.0.1:0", "--tls-self-signed"];
    let balancer = Balancer::start(&[&["--replicas", "2", "--access-log", "stdout"][..], &tls].concat());
    balancer.wait_until_ready(2);
    Scrape::of(&balancer)
}

/// What `expression` names and is not there.
fn missing(expression: &str, scrape: &Scrape) -> Vec<String> {
    let Named { metrics, labels } = names(expression);
    assert!(!metrics.is_empty(), "nothing is asked for: {expression}");
    let ours = |metric: &&String| *metric != "up";
    let unknown = metrics.iter().filter(ours).filter(|metric| scrape.find(metric, &[]).next().is_none());
    let mut missing: Vec<String> = unknown.cloned().collect();
    let anywhere: BTreeSet<_> = metrics.iter().flat_map(|metric| scrape.labels(metric)).collect();
    for (metric, label) in &labels {
        let there = match metric {
            Some(metric) => scrape.labels(metric).contains(label.as_str()),
            None => anywhere.contains(label.as_str()),
        };
        if !there && !OF_PROMETHEUS.contains(&label.as_str()) {
            missing.push(format!("{}.{label}", metric.as_deref().unwrap_or_default()));
        }
    }
    missing
}

/// All values of `key` that are texts, wherever they are.
fn texts(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| texts(value, key, found));
        }
        Value::Array(values) => values.iter().for_each(|value| texts(value, key, found)),
        _ => {}
    }
}

/// The expressions of a file of rules: `expr: …` on one line, or folded (`>-`) over several.
fn expressions(rules: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = rules.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(expression) = line.trim_start().strip_prefix("expr: ") else { continue };
        if expression != ">-" {
            found.push(expression.to_owned());
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let mut folded = Vec::new();
        while let Some(next) = lines.next_if(|next| next.starts_with(&" ".repeat(indent + 1))) {
            folded.push(next.trim());
        }
        found.push(folded.join(" "));
    }
    found
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_what_there_is() {
    let scrape = everything();
    let dashboard: Value = serde_json::from_str(&read("contrib/grafana-dashboard.json")).expect("JSON");
    let mut asked = Vec::new();
    texts(&dashboard, "expr", &mut asked);
    assert!(asked.len() > 40, "{asked:?}");
    let rules = read("contrib/alerts.yml");
    let of_rules = expressions(&rules);
    assert_eq!(of_rules.len(), rules.matches("- alert: ").count(), "each has an expression");
    for expression in asked.iter().chain(&of_rules) {
        assert_eq!(missing(expression, &scrape), Vec::<String>::new(), "{expression}");
    }
    for wrong in [
        "sum(ringherd_request_total)",
        "rate(ringherd_requests[1m])",
        r#"ringherd_requests_total{status="5xx"}"#,
        "sum by (status) (ringherd_requests_total)",
    ] {
        assert_eq!(missing(wrong, &scrape).len(), 1, "{wrong}");
    }
}

/// Grafana would draw one over the other, or mistake one for the other.
#[test]
fn panels_of_the_dashboard_have_places_and_numbers_of_their_own() {
    let dashboard: Value = serde_json::from_str(&read("contrib/grafana-dashboard.json")).expect("JSON");
    let (mut numbers, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().expect("panels") {
        assert!(numbers.insert(panel["id"].as_u64().expect("a number")), "{panel}");
        let [left, top, width, height] =
            ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().expect("a length"));
        assert!(left + width <= 24, "{panel}");
        for (x, y) in (left..left + width).flat_map(|x| (top..top + height).map(move |y| (x, y))) {
            assert!(cells.insert((x, y)), "{} lies over another", panel["title"]);
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{target}");
            let expression = target["expr"].as_str().expect("a query");
            assert!(expression.contains(r#"instance=~"$instance""#), "{expression}");
        }
    }
}

/// A value that a selector names and no series has would never match.
#[test]
fn selectors_name_values_that_there_are() {
    let scrape = everything();
    let texts = read("contrib/alerts.yml") + &read("contrib/grafana-dashboard.json").replace("\\\"", "\"");
    for label in ["class", "state", "reason", "owner", "result", "why"] {
        let known: BTreeSet<_> =
            scrape.samples.iter().filter_map(|sample| sample.labels.get(label)).collect();
        for (at, marker) in texts.match_indices(&format!("{label}=\"")) {
            let value = texts[at + marker.len()..].split('"').next().expect("a first part");
            assert!(known.contains(&value.to_owned()), "{label}={value:?} of {known:?}");
        }
        // Several of them, and not the variables of the dashboard.
        for (at, marker) in texts.match_indices(&format!("{label}=~\"")) {
            let values = texts[at + marker.len()..].split('"').next().expect("a first part");
            for value in values.split('|').filter(|value| !value.starts_with('$')) {
                assert!(known.contains(&value.to_owned()), "{label}=~{values:?} of {known:?}");
            }
        }
    }
}

/// As a query names it.
fn queried(family: &Family) -> String {
    let suffix = match family.kind.as_str() {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    format!("{}{suffix}", family.name)
}

/// The labels of a metric, with their values where these are always the same.
fn described_labels(scrape: &Scrape, family: &Family) -> String {
    let name = &match family.kind.as_str() {
        "histogram" => format!("{}_count", family.name),
        _ => queried(family),
    };
    let describe = |label: &str| {
        if matches!(label, "replica" | "number" | "version") {
            return format!("`{label}`");
        }
        let mut values: Vec<_> = Vec::new();
        for sample in scrape.find(name, &[]) {
            let value = match sample.labels[label].as_str() {
                "" => "empty".to_owned(),
                value => format!("`{value}`"),
            };
            if !values.contains(&value) {
                values.push(value);
            }
        }
        format!("`{label}`: {}", values.join(", "))
    };
    scrape.labels(name).into_iter().map(describe).collect::<Vec<_>>().join("; ")
}

#[test]
fn the_documentation_has_the_table_of_metrics() {
    let scrape = everything();
    let mut expected = "\n| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n".to_owned();
    for family in &scrape.families {
        let (name, kind, help) = (queried(family), &family.kind, &family.help);
        let labels = described_labels(&scrape, family);
        let _ = writeln!(expected, "| `{name}` | {kind} | {labels} | {help} |");
    }
    expected.push('\n');
    let docs = read("docs/metrics.md");
    let parts: Vec<_> = docs.split(MARKER).collect();
    let [before, table, after] = parts[..] else {
        panic!("docs/metrics.md must have the line {MARKER:?} twice, around the table");
    };
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let docs = [before, &expected, after].join(MARKER);
        std::fs::write(path("docs/metrics.md"), docs).expect("docs/metrics.md can be written");
        return;
    }
    assert!(table == expected, "the table is out of date: UPDATE_DOCS=1 cargo test --test e2e contrib");
}

#[test]
fn metrics_and_labels_are_told_from_functions_and_words() {
    let of = |expression| {
        let Named { metrics, labels } = names(expression);
        let labels = labels.into_iter().map(|(of, label)| format!("{}.{label}", of.unwrap_or_default()));
        (metrics.into_iter().collect::<Vec<_>>().join(" "), labels.collect::<Vec<_>>().join(" "))
    };
    let pair = |metrics: &str, labels: &str| (metrics.to_owned(), labels.to_owned());
    assert_eq!(of("up == 0"), pair("up", ""));
    assert_eq!(
        of(r#"sum by (a, le) (rate(x_total{b=~"$c, d=", e!="}"}[$__rate_interval])) / 1e3 > 0.5"#),
        pair("x_total", ".a .le x_total.b x_total.e")
    );
    assert_eq!(of("a_b and on (i) c_d unless e_f"), pair("a_b c_d e_f", ".i"));
    assert_eq!(
        of("histogram_quantile(0.9, x_bucket) or (min_over_time(y[1m]) >= z)"),
        pair("x_bucket y z", "")
    );
    assert_eq!(of("(a / on (i) group_left () sum(b))"), pair("a b", ".i"));
}
