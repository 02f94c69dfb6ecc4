//! The metrics of a balancer, read as strictly as a scraper may: whatever is not in the format, or
//! is there twice, fails the test.
#![expect(clippy::float_cmp, reason = "counts are whole numbers, which are exact")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::client::{Answer, raw};
use super::{Balancer, wait_until};

/// A metric: what was said of it before its samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name, without what samples have behind it.
    pub name: String,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub kind: String,
    /// What it is.
    pub help: String,
}

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// As a query names it.
    pub name: String,
    /// Names and values.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// All of it at one moment.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// The metrics, as they came.
    pub families: Vec<Family>,
    /// The samples, as they came.
    pub samples: Vec<Sample>,
}

/// `GET /metrics` with more headers (`Name: value\r\n`), as it is answered.
pub fn ask(admin: SocketAddr, method: &str, headers: &str) -> Answer {
    raw(admin, &format!("{method} /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n{headers}\r\n"))
}

/// The header of a scraper that reads `OpenMetrics`.
pub const OPEN: &str =
    "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n";

impl Scrape {
    /// Those of a running balancer.
    pub fn of(balancer: &Balancer) -> Self {
        let answer = ask(balancer.admin, "GET", OPEN);
        assert_eq!(answer.status, 200, "{answer:?}");
        Self::parse(&answer.body)
    }

    /// The same, once it satisfies `condition`: what a client has read may not be counted yet.
    pub fn when(balancer: &Balancer, what: &str, condition: impl Fn(&Self) -> bool) -> Self {
        wait_until(what, || Some(Self::of(balancer)).filter(&condition))
    }

    /// The same, once `requests` requests are over and all clients have gone.
    pub fn after(balancer: &Balancer, requests: u32) -> Self {
        Self::when(balancer, "all requests are counted", |scrape| {
            let over = scrape.sum("ringherd_request_duration_seconds_count", &[]);
            assert!(over <= f64::from(requests), "{over} requests, and only {requests} were sent");
            over == f64::from(requests) && scrape.value("ringherd_connections", &[]) == 0.0
        })
    }

    /// Reads the text of the newer format.
    pub fn parse(text: &str) -> Self {
        let text = text.strip_suffix("# EOF\n").expect("the mark of the end, and nothing behind it");
        let mut scrape = Self::default();
        let mut seen = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a name and a text");
                assert!(seen.insert(name.to_owned()), "{name} is described twice");
                scrape.families.push(Family {
                    name: name.to_owned(),
                    kind: String::new(),
                    help: help.to_owned(),
                });
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let family = scrape.families.last_mut().expect("a description comes first");
                let kind = rest.strip_prefix(&format!("{} ", family.name)).expect("the type of it");
                kind.clone_into(&mut family.kind);
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let family = scrape.families.last().expect("a description comes first");
                assert_eq!(rest, format!("{} seconds", family.name), "the unit ends the name");
                assert!(family.name.ends_with("_seconds"));
            } else {
                let sample = sample(line);
                let family = scrape.families.last().expect("a description comes first");
                assert!(belongs(&sample.name, family), "{line} is not of {family:?}");
                assert!(seen.insert(format!("{} {:?}", sample.name, sample.labels)), "twice: {line}");
                scrape.samples.push(sample);
            }
        }
        scrape
    }

    /// The samples of this name that have all these labels.
    pub fn find<'a>(&'a self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &'a Sample> {
        let has = |sample: &Sample, (key, value): &(&str, &str)| {
            sample.labels.get(*key).is_some_and(|found| found == value)
        };
        self.samples
            .iter()
            .filter(move |sample| sample.name == name && labels.iter().all(|label| has(sample, label)))
    }

    /// The value of the one such sample.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found: Vec<_> = self.find(name, labels).collect();
        let [sample] = found[..] else { panic!("not one {name} {labels:?}, but {found:?}") };
        sample.value
    }

    /// The sum of such samples, of which there is one at least.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        assert!(self.find(name, labels).next().is_some(), "no {name} {labels:?}");
        self.find(name, labels).map(|sample| sample.value).sum()
    }

    /// Summed by the values of a label: those that are not zero.
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<&str, f64> {
        let mut sums = BTreeMap::new();
        for sample in self.find(name, &[]).filter(|sample| sample.value != 0.0) {
            *sums.entry(sample.labels[label].as_str()).or_default() += sample.value;
        }
        sums
    }

    /// The labels of samples of this name.
    pub fn labels(&self, name: &str) -> BTreeSet<&str> {
        self.find(name, &[]).flat_map(|sample| sample.labels.keys().map(String::as_str)).collect()
    }
}

/// Whether a sample may have that name.
fn belongs(name: &str, family: &Family) -> bool {
    let suffixes: &[&str] = match family.kind.as_str() {
        "counter" => &["_total"],
        "gauge" => &[""],
        "histogram" => &["_bucket", "_sum", "_count"],
        "info" => &["_info"],
        other => panic!("the type {other:?} of {}", family.name),
    };
    name.strip_prefix(&family.name).is_some_and(|suffix| suffixes.contains(&suffix))
}

/// `name{key="value",…} number`.
fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let value = if value == "+Inf" { Some(f64::INFINITY) } else { value.parse().ok() };
    let value = value.unwrap_or_else(|| panic!("not a number: {line}"));
    let Some((name, rest)) = series.split_once('{') else {
        return Sample { name: series.to_owned(), labels: BTreeMap::new(), value };
    };
    let mut rest = rest.strip_suffix('}').unwrap_or_else(|| panic!("no end of labels: {line}"));
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("not a label: {line}"));
        let (text, after) = quoted(after).unwrap_or_else(|| panic!("no end of a label: {line}"));
        assert!(labels.insert(key.to_owned(), text).is_none(), "a label twice: {line}");
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Sample { name: name.to_owned(), labels, value }
}

/// A text up to its closing quote, and what is behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped @ ('\\' | '"') => value.push(escaped),
                _ => return None,
            },
            other => value.push(other),
        }
    }
    None
}
