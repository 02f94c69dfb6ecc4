//! What is wrong with a configuration: every problem, each with its place, value, bound and hint.

use std::fmt;

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::setting::Setting;

/// Most of a value that a message repeats, in characters.
const SHOWN_VALUE: usize = 100;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// A line of the file, counted from 1.
    File {
        /// As it was given.
        path: String,
        /// Where the value begins.
        line: usize,
    },
    /// A variable that is not ringherd's own.
    Foreign(&'static str),
    /// Nothing was given.
    Default,
}

/// What a setting is called, wherever it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its flag, without dashes.
    pub flag: String,
    /// Its environment variable.
    pub variable: String,
    /// Its section and key in the file.
    pub path: String,
}

impl Name {
    /// That of a setting.
    pub(in crate::config) fn of(setting: &Setting) -> Self {
        Self { flag: setting.flag.to_owned(), variable: setting.env(), path: setting.path.to_owned() }
    }

    /// One that no setting has, as it was given.
    pub(in crate::config) fn unknown(name: &str) -> Self {
        let name = one_line(name);
        Self { flag: name.clone(), variable: name.clone(), path: name }
    }
}

impl Source {
    /// Names the place of the setting `name`, as in `--listen`, `RINGHERD_LISTEN`, `ringherd.toml:3`.
    pub(in crate::config) fn of(&self, name: &Name) -> String {
        match self {
            Self::Flag => format!("--{}", name.flag),
            Self::Environment => name.variable.clone(),
            Self::File { path, line } => format!("{}:{line}", one_line(path)),
            Self::Foreign(variable) => (*variable).to_owned(),
            Self::Default => "default".to_owned(),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting, or the name that is none.
    pub name: Name,
    /// Where it came from.
    pub source: Source,
    /// What was given, unless it is secret or missing.
    pub value: Option<String>,
    /// What is wrong with it, with the bound.
    pub what: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    pub(in crate::config) fn new(
        name: Name,
        source: Source,
        value: Option<String>,
        refusal: Refusal,
    ) -> Self {
        let Refusal { what, hint } = refusal;
        Self { name, source, value, what, hint }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, name) = (self.source.of(&self.name), &self.name);
        let value = self.value.as_deref().map(quote);
        match (&self.source, value) {
            (Source::Flag, Some(value)) => write!(f, "{place} {value}")?,
            (Source::Environment | Source::Foreign(_), Some(value)) => write!(f, "{place}={value}")?,
            (Source::File { .. }, Some(value)) => write!(f, "{place}: {} = {value}", name.path)?,
            (Source::Default, Some(value)) => write!(f, "{} = {value} ({place})", name.flag)?,
            (Source::Flag | Source::Environment | Source::Foreign(_), None) => f.write_str(&place)?,
            (Source::File { .. }, None) => write!(f, "{place}: {}", name.path)?,
            (Source::Default, None) => f.write_str(&name.flag)?,
        }
        write!(f, ": {}", self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// All that is wrong; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `Ok` when there are none.
    pub(in crate::config) fn none_or(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    /// All as JSON: where each is, the setting, what was given (null if it is secret or missing), what
    /// is wrong with it, and a hint if there is one.
    pub fn to_json(&self) -> Value {
        let problem = |problem: &Problem| {
            json!({
                "source": problem.source.of(&problem.name),
                "setting": problem.name.path,
                "value": problem.value,
                "problem": problem.what,
                "hint": problem.hint,
            })
        };
        json!({ "problems": self.0.iter().map(problem).collect::<Vec<_>>() })
    }

    /// In the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [_] => f.write_str("the configuration has a problem:")?,
            all => write!(f, "the configuration has {} problems:", all.len())?,
        }
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// The value in quotes, on one line, cut where it is long.
fn quote(value: &str) -> String {
    if value.chars().count() <= SHOWN_VALUE {
        return format!("{value:?}");
    }
    let start: String = value.chars().take(SHOWN_VALUE).collect();
    format!("{start:?}... ({} bytes)", value.len())
}

/// The text as it is, unless it would leave its line.
pub(in crate::config) fn one_line(text: &str) -> String {
    if text.contains(char::is_control) { text.escape_debug().to_string() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(source: Source, value: Option<&str>) -> String {
        let name = Name {
            flag: "health-path".to_owned(),
            variable: "RINGHERD_HEALTH_PATH".to_owned(),
            path: "health.path".to_owned(),
        };
        let refusal = Refusal::new("must be a path").hint("add a '/'");
        Problem::new(name, source, value.map(str::to_owned), refusal).to_string()
    }

    #[test]
    fn a_problem_names_its_place_as_the_user_wrote_it() {
        let file = || Source::File { path: "a.toml".to_owned(), line: 3 };
        let end = "must be a path; add a '/'";
        assert_eq!(problem(Source::Flag, Some("x")), format!("--health-path \"x\": {end}"));
        assert_eq!(problem(Source::Environment, Some("")), format!("RINGHERD_HEALTH_PATH=\"\": {end}"));
        assert_eq!(problem(file(), Some("a\nb")), format!("a.toml:3: health.path = \"a\\nb\": {end}"));
        assert_eq!(problem(file(), None), format!("a.toml:3: health.path: {end}"));
        assert_eq!(problem(Source::Default, Some("x")), format!("health-path = \"x\" (default): {end}"));
    }

    #[test]
    fn a_long_value_is_cut() {
        let text = problem(Source::Flag, Some(&"x".repeat(1_000_000)));
        assert!(text.len() < 250 && text.contains("(1000000 bytes)"), "{text}");
    }

    #[test]
    fn a_problem_stays_on_its_line() {
        let path = "evil\nname.toml".to_owned();
        assert_eq!(problem(Source::File { path, line: 1 }, Some("x")).lines().count(), 1);
    }
}
