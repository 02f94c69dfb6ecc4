//! The effective configuration as TOML, each line with where its value came from.
//!
//! What is printed is taken from the checked configuration, not from what was given, so it is
//! what holds; given back as the file, it makes the same configuration.

use std::fmt;

use super::given::{Given, TOKEN_VARIABLE};
use super::model::{Content, Entry, Name, Section, Shown, Source, one_line};
use super::settings::MODEL;
use super::tree::Config;

/// A checked configuration that can say where each value came from. Displays as TOML.
pub struct Loaded {
    /// What holds.
    pub config: Config,
    given: Given,
}

impl Loaded {
    pub(super) fn new(config: Config, given: Given) -> Self {
        Self { config, given }
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_variable = self.given.token.is_some();
        print(f, &MODEL, &self.config, &self.given, |entry| match entry.setting.flag {
            "admin-token-file" if in_variable => Some(format!("token-file = (set)  # {TOKEN_VARIABLE}")),
            _ => None,
        })
    }
}

/// Prints `tree`, whose values `given` made. What `secret` says of a setting stands in a comment,
/// in place of its value.
pub(super) fn print<T: Default>(
    f: &mut dyn fmt::Write,
    model: &'static [Section<T>],
    tree: &T,
    given: &Given,
    secret: impl Fn(&Entry<T>) -> Option<String>,
) -> fmt::Result {
    for (i, section) in model.iter().enumerate() {
        let space = if i == 0 { "" } else { "\n" };
        match section.content {
            Content::Settings(entries) => {
                writeln!(f, "{space}[{}]", section.name)?;
                for entry in entries {
                    match secret(entry) {
                        Some(comment) => writeln!(f, "# {comment}")?,
                        None => writeln!(f, "{}", line(entry, tree, given))?,
                    }
                }
            }
            Content::Tables(array) => {
                for table in array.shown(tree) {
                    writeln!(f, "{space}[[{}]]", section.name)?;
                    for (setting, shown) in table {
                        if let Some(value) = shown.toml() {
                            writeln!(f, "{} = {value}", setting.key())?;
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// A comment where there is nothing that a file could hold.
fn line<T: Default>(entry: &Entry<T>, tree: &T, given: &Given) -> String {
    let setting = &entry.setting;
    let source = match given.get(setting.flag) {
        Some(texts) => texts.source.of(&Name::of(setting)),
        None => Source::Default.of(&Name::of(setting)),
    };
    let shown = if entry.has_effect(tree) { entry.shown(tree) } else { Shown::Nothing };
    if let Some(value) = shown.toml() {
        return format!("{} = {value}  # {source}", setting.key());
    }
    let given = given.get(setting.flag).map(|texts| texts.values.join(","));
    let key = if setting.path.is_empty() { setting.flag } else { setting.key() };
    format!("# {key} = {}  # {source}", one_line(&given.unwrap_or_else(|| entry.default_text())))
}
