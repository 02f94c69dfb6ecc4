//! Tests of the configuration as a whole, with environment and files that exist only here.

mod arrays;
mod container;
mod files;
mod laws;
mod pools;
mod precedence;
mod refusals;
mod revisions;
mod roundtrip;
mod routes;
mod value;

use std::io;
use std::path::Path;

use super::model::{Kind, Setting, Shown};
use super::{Config, Flags, Inputs, Loaded, Problems, entries, explain, settings};

const FILE: &str = "ringherd.toml";
const TOKEN: &str = "correct-horse-battery-staple";

/// What a configuration is made from, as literals.
#[derive(Clone, Copy, Default)]
struct Given<'a> {
    flags: &'a [(&'a str, &'a str)],
    env: &'a [(&'a str, &'a str)],
    file: Option<&'a str>,
}

impl Given<'_> {
    fn load(self) -> Result<Loaded, Problems> {
        let mut flags = Flags::new();
        self.flags.iter().for_each(|(key, value)| flags.push(key, value));
        if self.file.is_some() {
            flags.push("config", FILE);
        }
        let env = self.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        explain(Inputs { flags: &flags, env, read_file: &|path| self.read(path) })
    }

    fn read(self, path: &Path) -> io::Result<String> {
        match (path.to_str(), self.file) {
            (Some(FILE), Some(text)) => Ok(text.to_owned()),
            (Some("token" | "/etc/ringherd/token"), _) => Ok(format!("{TOKEN}\n")),
            (Some("empty"), _) => Ok(String::new()),
            (Some("short"), _) => Ok("secret7\n".to_owned()),
            (Some("spaced"), _) => Ok("secret token\n".to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The problems, one line each.
    fn problems(self) -> Vec<String> {
        match self.load() {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }
}

fn flags<'a>(flags: &'a [(&'a str, &'a str)]) -> Given<'a> {
    Given { flags, ..Given::default() }
}

fn file(text: &str) -> Given<'_> {
    Given { file: Some(text), ..Given::default() }
}

fn env<'a>(env: &'a [(&'a str, &'a str)]) -> Given<'a> {
    Given { env, ..Given::default() }
}

/// Loads what must have no problems.
fn good(given: Given<'_>) -> Loaded {
    given.load().unwrap_or_else(|problems| panic!("{problems}"))
}

/// Settings of TLS that agree: each needs some of the others.
const TLS: [(&str, &str); 3] =
    [("tls-listen", "127.0.0.1:9443"), ("tls-certificate", "/c.pem"), ("tls-key", "/k.pem")];

/// The same towards replicas.
const UPSTREAM_TLS: [(&str, &str); 4] = [
    ("runtime", "fixed"),
    ("upstream-tls", "on"),
    ("upstream-certificate", "/c.pem"),
    ("upstream-key", "/k.pem"),
];

/// The flags without which a setting has no effect.
fn needs(flag: &str) -> &'static [(&'static str, &'static str)] {
    match flag {
        "tls-listen" => return &[TLS[1], TLS[2]],
        "tls-certificate" => return &[TLS[0], TLS[2]],
        "tls-key" => return &[TLS[0], TLS[1]],
        "tls-self-signed" | "tls-ocsp" | "https-redirect" => return &TLS,
        "tls-client-auth" => return &[("tls-client-ca", "/ca.pem")],
        "upstream-http" => return &UPSTREAM_TLS[..1],
        "health" => return &[("upstream-http", "h2"), ("runtime", "fixed")],
        "upstream-ca" | "upstream-server-name" => return &UPSTREAM_TLS[..2],
        "upstream-certificate" => return &[UPSTREAM_TLS[0], UPSTREAM_TLS[1], UPSTREAM_TLS[3]],
        "upstream-key" => return &UPSTREAM_TLS[..3],
        _ => {}
    }
    match settings::find(flag).expect("in the model").setting.needs {
        // Its sample, keep, has no effect with --runtime process.
        Some(_) if flag == "on-exit" => &[("runtime", "docker")],
        Some(what) if what.contains("process") => &[],
        Some(what) if what.contains("docker") => &[("runtime", "docker")],
        Some(_) => &[("runtime", "fixed")],
        None => &[],
    }
}

/// The configuration with one setting given as a flag, and what it needs.
fn with(flag: &str, value: &str) -> Loaded {
    good(flags(&[needs(flag), &[(flag, value)]].concat()))
}

/// A value of a setting that is not its default, made from what is declared of it.
fn sample(setting: &Setting) -> String {
    let entry = settings::find(setting.flag).expect("in the model");
    match (setting.flag, setting.kind) {
        // It must have places for all virtual nodes.
        ("slots", _) => "65536".to_owned(),
        // The default is that of the machine.
        ("workers", _) => "1000".to_owned(),
        (_, Kind::Choice(words)) => {
            let default = entry.shown(&Config::default());
            let other = words.iter().find(|word| Shown::text(word) != default);
            (*other.expect("more than one word")).to_owned()
        }
        (_, Kind::Duration { .. }) => "7s".to_owned(),
        (_, kind) => kind.example(),
    }
}

/// A sample of each setting that a file can hold.
fn samples() -> Vec<(&'static str, String)> {
    let settings = entries().map(|entry| &entry.setting);
    // A revision is one of the file, which no flag can make.
    let settings = settings.filter(|setting| !setting.path.is_empty() && setting.flag != "deploy-revision");
    settings.map(|setting| (setting.flag, sample(setting))).collect()
}
