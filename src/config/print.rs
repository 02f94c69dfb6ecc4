//! The effective configuration as TOML, each line with where its value came from.
//!
//! What is printed is taken from the checked configuration, not from what was given, so it is
//! what holds; given back as the file, it makes the same configuration.

use std::fmt;

use super::problem::{Source, one_line};
use super::raw::{Raw, TOKEN_VARIABLE};
use super::setting::{Setting, Shown};
use super::{Config, table};

/// A checked configuration that can say where each value came from. Displays as TOML.
pub struct Loaded {
    /// What holds.
    pub config: Config,
    raw: Raw,
}

impl Loaded {
    pub(super) fn new(config: Config, raw: Raw) -> Self {
        Self { config, raw }
    }

    fn line(&self, setting: &Setting) -> String {
        let source = self.source(setting);
        match (setting.show)(&self.config) {
            Shown::Nothing => self.line_of_nothing(setting, &source),
            Shown::AsGiven => match self.raw.get(setting.key) {
                Some(given) => {
                    let value = toml::Value::String(given.values.join(","));
                    format!("{} = {}  # {source} (set)", setting.key, value)
                }
                None => format!("# {} = (set)  # {TOKEN_VARIABLE}", setting.key),
            },
            shown => format!("{} = {}  # {source}", setting.key, value(shown)),
        }
    }

    /// A comment, since there is nothing that a file could hold.
    fn line_of_nothing(&self, setting: &Setting, source: &str) -> String {
        let given = self.raw.get(setting.key).map(|given| given.values.join(","));
        let text = given.as_deref().unwrap_or(setting.default.text());
        format!("# {} = {}  # {source}", setting.key, one_line(text))
    }

    fn source(&self, setting: &Setting) -> String {
        self.raw.get(setting.key).map_or(&Source::Default, |given| &given.source).of(setting.key)
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, group) in table::GROUPS.iter().enumerate() {
            let space = if i == 0 { "" } else { "\n" };
            writeln!(f, "{space}# {}", group.heading)?;
            for setting in group.settings {
                writeln!(f, "{}", self.line(setting))?;
            }
        }
        Ok(())
    }
}

fn value(shown: Shown) -> toml::Value {
    match shown {
        Shown::Integer(number) => toml::Value::Integer(i64::try_from(number).unwrap_or(i64::MAX)),
        Shown::Number(number) => toml::Value::Float(number),
        Shown::Text(text) => toml::Value::String(text),
        Shown::List(texts) => toml::Value::Array(texts.into_iter().map(toml::Value::String).collect()),
        Shown::Nothing | Shown::AsGiven => toml::Value::String(String::new()),
    }
}
