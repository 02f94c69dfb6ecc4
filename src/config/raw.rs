//! Texts by setting, each with its source: what is left when flags, environment and file have
//! been laid over each other. Decides precedence and which names exist, not what values mean.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::problem::{Problem, Source};
use super::setting::{ENV_PREFIX, Kind, Setting};
use super::words::{self, WordsError};
use super::{Inputs, ReadFile, file, suggest, table};

/// Variable that holds the bearer token itself.
pub(super) const TOKEN_VARIABLE: &str = "RINGHERD_ADMIN_TOKEN";

/// Variable by which the tools of Docker find the engine.
const ENGINE_VARIABLE: &str = "DOCKER_HOST";

/// Variable by which the tools of Docker know that [`ENGINE_VARIABLE`] wants TLS.
const ENGINE_TLS_VARIABLE: &str = "DOCKER_TLS_VERIFY";

/// Flags as they were given: for each key its values, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags(BTreeMap<String, Vec<OsString>>);

impl Flags {
    /// No flags.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value of the flag `--key`.
    pub fn push(&mut self, key: &str, value: impl Into<OsString>) {
        self.0.entry(key.to_owned()).or_default().push(value.into());
    }
}

/// What was given for one setting (one text, or several where it is repeatable).
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) values: Vec<String>,
    pub(super) source: Source,
}

/// All that was given. Not `Debug`, because it holds the token.
#[derive(Default)]
pub(super) struct Raw {
    given: BTreeMap<&'static str, Given>,
    /// The bearer token from the environment.
    pub(super) token: Option<String>,
    /// Whether the tools of Docker are to use TLS.
    pub(super) engine_tls: bool,
}

impl Raw {
    /// What was given for the setting `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Given> {
        self.given.get(key)
    }

    /// Lays the file under the environment and both under the flags.
    pub(super) fn collect(inputs: Inputs<'_>, problems: &mut Vec<Problem>) -> Self {
        let mut raw = Self::default();
        let engine = inputs.env.iter().find(|(name, _)| name == ENGINE_VARIABLE);
        let engine = engine.map(|(_, host)| host.clone());
        raw.environment(inputs.env, problems);
        raw.flags(inputs.flags, problems);
        raw.file(inputs.read_file, problems);
        raw.engine_of_others(engine);
        raw
    }

    fn file(&mut self, read_file: ReadFile<'_>, problems: &mut Vec<Problem>) {
        let path =
            self.get("config").and_then(|given| Some((given.values.first()?.clone(), given.source.clone())));
        let Some((path, source)) = path.filter(|(path, _)| !path.is_empty()) else { return };
        match read_file(path.as_ref()) {
            Ok(text) => {
                for (setting, given) in file::read(&path, &text, problems) {
                    self.given.entry(setting.key).or_insert(given);
                }
            }
            Err(error) => problems.push(unreadable("config", source, path, &error)),
        }
    }

    fn environment(&mut self, env: Vec<(OsString, OsString)>, problems: &mut Vec<Problem>) {
        for (name, value) in env {
            let name = name.to_string_lossy();
            if name == ENGINE_TLS_VARIABLE {
                self.engine_tls = !value.is_empty();
            }
            if !name.starts_with(ENV_PREFIX) {
                continue;
            }
            if name == TOKEN_VARIABLE {
                self.token = Some(value.to_string_lossy().into_owned());
                continue;
            }
            match table::settings().find(|setting| setting.env() == name) {
                Some(setting) => self.insert(setting, &[value], Source::Environment, problems),
                None => problems.push(unknown_variable(&name)),
            }
        }
    }

    fn flags(&mut self, flags: &Flags, problems: &mut Vec<Problem>) {
        for (key, values) in &flags.0 {
            if let Some(setting) = table::find(key) {
                self.insert(setting, values, Source::Flag, problems);
            }
        }
    }

    fn insert(
        &mut self,
        setting: &'static Setting,
        values: &[OsString],
        source: Source,
        problems: &mut Vec<Problem>,
    ) {
        let texts: Option<Vec<&str>> = values.iter().map(|value| OsStr::to_str(value)).collect();
        let Some(texts) = texts else {
            let value = values.iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(",");
            let key = setting.key.to_owned();
            let what = "is not UTF-8".to_owned();
            problems.push(Problem { key, source, value: Some(value), what, hint: None });
            return;
        };
        let values = match setting.kind {
            Kind::Variables if source == Source::Environment => match words_of(&texts) {
                Ok(values) => values,
                Err(error) => {
                    let (key, value, what) = (setting.key.to_owned(), texts.concat(), error.to_string());
                    let hint = Some("quote it as for a shell".to_owned());
                    problems.push(Problem { key, source, value: Some(value), what, hint });
                    return;
                }
            },
            _ if setting.separated_by_commas() => texts.into_iter().flat_map(split_list).collect(),
            _ => texts.into_iter().map(str::to_owned).collect(),
        };
        self.given.insert(setting.key, Given { values, source });
    }

    /// What other tools find the engine by counts where nothing of ours says where it is.
    fn engine_of_others(&mut self, host: Option<OsString>) {
        if let Some(host) = host.filter(|host| !host.is_empty()) {
            let values = vec![host.to_string_lossy().into_owned()];
            self.given
                .entry("docker-host")
                .or_insert(Given { values, source: Source::Foreign(ENGINE_VARIABLE) });
        }
    }
}

/// The words of variables that hold lists whose items may contain commas; an empty one if there
/// is none, so that the setting counts as given.
fn words_of(texts: &[&str]) -> Result<Vec<String>, WordsError> {
    let mut values = Vec::new();
    for text in texts {
        values.extend(words::split(text)?);
    }
    if values.is_empty() {
        values.push(String::new());
    }
    Ok(values)
}

/// The items of a list that is written as one text.
pub(super) fn split_list(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(|item| item.trim().to_owned())
}

/// The problem of a file that cannot be read.
pub(super) fn unreadable(key: &str, source: Source, path: String, error: &std::io::Error) -> Problem {
    let what = format!("cannot be read: {error}");
    Problem { key: key.to_owned(), source, value: Some(path), what, hint: None }
}

fn unknown_variable(name: &str) -> Problem {
    let names: Vec<String> = table::settings().map(Setting::env).chain([TOKEN_VARIABLE.to_owned()]).collect();
    let near = suggest::nearest(name, names.iter().map(String::as_str));
    let hint = near.map_or_else(
        || format!("unset it: names that begin with {ENV_PREFIX} are ringherd's own"),
        |near| format!("did you mean {near}?"),
    );
    Problem {
        key: super::problem::one_line(name),
        source: Source::Environment,
        value: None,
        what: "unknown variable".to_owned(),
        hint: Some(hint),
    }
}
