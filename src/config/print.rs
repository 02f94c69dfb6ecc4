//! The effective configuration as TOML or JSON, each value with where it came from.
//!
//! What is printed is taken from the checked configuration, not from what was given, so it is
//! what holds; given back as the file, it makes the same configuration.

use std::fmt;

use serde_json::{Map, Value, json};

use super::file::PoolItem;
use super::given::{Given, STICKY_VARIABLE, TOKEN_VARIABLE};
use super::model::{Content, Entry, Name, Section, Setting, Shown, ShownTable, Source, one_line};
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

    /// The variable that holds the secret of which the setting with this flag names the file, if that was
    /// given there.
    fn variable(&self, flag: &str) -> Option<&'static str> {
        match flag {
            "admin-token-file" if self.given.token.is_some() => Some(TOKEN_VARIABLE),
            "sticky-secret-file" if self.given.sticky_secret.is_some() => Some(STICKY_VARIABLE),
            _ => None,
        }
    }
}

impl Loaded {
    /// Where a table of the array `name` begins, counted from 0, as in `ringherd.toml:3`.
    pub fn place_of_table(&self, name: &str, index: usize) -> Option<String> {
        let table = self.given.tables.get(name)?.get(index)?;
        Some(table.source.of(&Name::unknown(name)))
    }

    /// The configuration as JSON: by section and key the value, null where there is none, and where it
    /// came from. Secrets are not in it.
    pub fn to_json(&self) -> Value {
        let secret = |entry: &Entry<Config>| self.variable(entry.setting.flag).map(str::to_owned);
        let mut value = json(&MODEL, &self.config, &self.given, secret);
        let pool = |(item, (name, config)): (&PoolItem, &(String, Config))| {
            let mut sections = json(&MODEL, config, &self.given.of_pool(item), secret);
            keep_those_of_pools(&mut sections);
            (name.clone(), sections)
        };
        let pools: Map<_, _> =
            std::iter::zip(&self.given.pools, &self.config.named_pools).map(pool).collect();
        if !pools.is_empty() {
            value["pool"] = pools.into();
        }
        value
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, &MODEL, &self.config, &self.given, |entry| {
            let variable = self.variable(entry.setting.flag)?;
            Some(format!("{} = (set)  # {variable}", entry.setting.key()))
        })?;
        for (item, (name, config)) in std::iter::zip(&self.given.pools, &self.config.named_pools) {
            self.pool(f, item, name, config)?;
        }
        Ok(())
    }
}

impl Loaded {
    /// What the tables of a pool say, and what follows from it; everything else holds for it as it stands above.
    fn pool(&self, f: &mut fmt::Formatter<'_>, item: &PoolItem, name: &str, config: &Config) -> fmt::Result {
        let given = self.given.of_pool(item);
        // A pool that says nothing is one all the same.
        writeln!(f, "\n[pool.{name}]")?;
        for section in &MODEL {
            let of_pool = section.settings_of_pool();
            let is_said = |entry: &&Entry<Config>| {
                let is_it = |setting: &&Setting| setting.path == entry.setting.path;
                let differs = || entry.has_effect(config) && entry.shown(config) != entry.shown(&self.config);
                of_pool.iter().any(is_it)
                    && (item.texts.iter().any(|(setting, _)| is_it(setting)) || differs())
            };
            let mut said = section.entries().iter().filter(is_said).peekable();
            if said.peek().is_some() {
                writeln!(f, "[pool.{name}.{}]", section.name)?;
            }
            for entry in said {
                writeln!(f, "{}", line(entry, config, &given))?;
            }
            let (Content::Named(tables), Some(own)) = (&section.content, item.tables.get(section.name))
            else {
                continue;
            };
            for shown in tables.shown(config) {
                if own.iter().any(|item| item.name == shown.name) {
                    let header = format!("[pool.{name}.{}.{}]", section.name, key(&shown.name));
                    table(f, &header, &shown)?;
                }
            }
        }
        Ok(())
    }
}

/// Removes from a whole configuration what no pool can have of its own.
fn keep_those_of_pools(sections: &mut Value) {
    let Some(sections) = sections.as_object_mut() else { return };
    for section in &MODEL {
        let of_pool = section.settings_of_pool();
        if of_pool.is_empty() {
            sections.remove(section.name);
        } else if section.is_named() {
            // All of each table is the pool's.
        } else if let Some(keys) = sections.get_mut(section.name).and_then(Value::as_object_mut) {
            keys.retain(|key, _| of_pool.iter().any(|setting| setting.key() == key));
        }
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
                for shown in array.shown(tree) {
                    table(f, &format!("{space}[[{}]]", section.name), &shown)?;
                }
            }
            Content::Named(tables) => {
                for shown in tables.shown(tree) {
                    table(f, &format!("{space}[{}.{}]", section.name, key(&shown.name)), &shown)?;
                }
            }
        }
    }
    Ok(())
}

/// A table of an array, or one with a name.
fn table(f: &mut dyn fmt::Write, header: &str, table: &ShownTable) -> fmt::Result {
    writeln!(f, "{header}")?;
    for (setting, shown) in &table.values {
        if let Some(value) = shown.toml() {
            writeln!(f, "{} = {value}", setting.key())?;
        }
    }
    Ok(())
}

/// A name as a key of TOML.
fn key(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !name.is_empty() && name.bytes().all(bare) {
        return name.to_owned();
    }
    toml::Value::from(name).to_string()
}

/// `tree` as JSON. Where `secret` knows a source of a setting, that stands there without a value.
pub(super) fn json<T: Default>(
    model: &'static [Section<T>],
    tree: &T,
    given: &Given,
    secret: impl Fn(&Entry<T>) -> Option<String>,
) -> Value {
    let entry = |entry: &Entry<T>| {
        let (value, source) = match secret(entry) {
            Some(source) => (Value::Null, source),
            None if entry.has_effect(tree) => (as_json(&entry.shown(tree)), source_of(entry, given)),
            None => (Value::Null, source_of(entry, given)),
        };
        let key = if entry.setting.path.is_empty() { entry.setting.flag } else { entry.setting.key() };
        (key.to_owned(), json!({"value": value, "source": source}))
    };
    let section = |section: &Section<T>| {
        let content = match section.content {
            Content::Settings(entries) => entries.iter().map(entry).collect::<Map<_, _>>().into(),
            Content::Tables(array) => {
                array.shown(tree).into_iter().map(table_as_json).collect::<Vec<_>>().into()
            }
            Content::Named(tables) => {
                let named = |table: ShownTable| (table.name.clone(), table_as_json(table));
                tables.shown(tree).into_iter().map(named).collect::<Map<_, _>>().into()
            }
        };
        (section.name.to_owned(), content)
    };
    model.iter().map(section).collect::<Map<_, _>>().into()
}

fn table_as_json(table: ShownTable) -> Value {
    let pair = |(setting, shown): (&Setting, Shown)| (setting.key().to_owned(), as_json(&shown));
    table.values.into_iter().map(pair).collect::<Map<_, _>>().into()
}

fn as_json(shown: &Shown) -> Value {
    match shown {
        Shown::Nothing => Value::Null,
        Shown::Integer(number) => json!(number),
        Shown::Number(number) => json!(number),
        Shown::Text(text) => json!(text),
        Shown::List(texts) => json!(texts),
    }
}

/// Names where the value of a setting came from.
fn source_of<T>(entry: &Entry<T>, given: &Given) -> String {
    let name = Name::of(&entry.setting);
    given.get(entry.setting.flag).map_or(&Source::Default, |texts| &texts.source).of(&name)
}

/// A comment where there is nothing that a file could hold.
fn line<T: Default>(entry: &Entry<T>, tree: &T, given: &Given) -> String {
    let setting = &entry.setting;
    let source = source_of(entry, given);
    let shown = if entry.has_effect(tree) { entry.shown(tree) } else { Shown::Nothing };
    if let Some(value) = shown.toml() {
        return format!("{} = {value}  # {source}", setting.key());
    }
    let given = given.get(setting.flag).map(|texts| texts.values.join(","));
    let key = if setting.path.is_empty() { setting.flag } else { setting.key() };
    format!("# {key} = {}  # {source}", one_line(&given.unwrap_or_else(|| entry.default_text())))
}
