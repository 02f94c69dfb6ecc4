//! Sections of the file: settings that can be given once, arrays of tables, and tables with names.

use super::array::TableArray;
use super::entry::Entry;
use super::setting::Setting;
use super::value::Shown;

/// Settings that belong together: a section of the file, under one heading of the help.
#[derive(Debug)]
pub struct Section<T: 'static> {
    /// Its name in the file.
    pub name: &'static str,
    /// Heading over its settings.
    pub heading: &'static str,
    /// Whether a pool may have values of its own of all its settings.
    of_pool: bool,
    /// What it holds.
    pub(in crate::config) content: Content<T>,
}

/// What a section holds.
#[derive(Debug)]
pub(in crate::config) enum Content<T: 'static> {
    /// Settings, each once: `[name]`.
    Settings(&'static [Entry<T>]),
    /// Any number of tables that are made alike: `[[name]]`.
    Tables(&'static dyn TableArray<T>),
    /// The same, each with a name of its own: `[name.NAME]`.
    Named(&'static dyn TableArray<T>),
}

impl<T> Section<T> {
    /// A section with each of `entries` once.
    pub(in crate::config) const fn of(
        name: &'static str,
        heading: &'static str,
        entries: &'static [Entry<T>],
    ) -> Self {
        Self { name, heading, of_pool: false, content: Content::Settings(entries) }
    }

    /// The same, of which a pool may have values of its own: `[pool.NAME.name]`.
    pub(in crate::config) const fn of_pools(mut self) -> Self {
        self.of_pool = true;
        self
    }

    /// An array of tables.
    pub(in crate::config) const fn tables(
        name: &'static str,
        heading: &'static str,
        array: &'static dyn TableArray<T>,
    ) -> Self {
        Self { name, heading, of_pool: false, content: Content::Tables(array) }
    }

    /// Tables with names.
    pub(in crate::config) const fn named(
        name: &'static str,
        heading: &'static str,
        tables: &'static dyn TableArray<T>,
    ) -> Self {
        Self { name, heading, of_pool: false, content: Content::Named(tables) }
    }

    /// The settings that can be given once; none where there are tables.
    pub fn entries(&self) -> &'static [Entry<T>] {
        match self.content {
            Content::Settings(entries) => entries,
            Content::Tables(_) | Content::Named(_) => &[],
        }
    }

    /// All settings, those of a table too.
    pub(in crate::config) fn settings(&self) -> Vec<&'static Setting> {
        match self.content {
            Content::Settings(entries) => entries.iter().map(|entry| &entry.setting).collect(),
            Content::Tables(tables) | Content::Named(tables) => tables.settings(),
        }
    }

    /// The settings that a file can hold.
    pub(in crate::config) fn settings_of_file(&self) -> Vec<&'static Setting> {
        let mut settings = self.settings();
        settings.retain(|setting| !setting.path.is_empty());
        settings
    }

    /// The settings that a pool may have values of its own of.
    pub(in crate::config) fn settings_of_pool(&self) -> Vec<&'static Setting> {
        let mut settings = self.settings_of_file();
        settings.retain(|setting| self.of_pool || setting.of_pool);
        settings
    }

    /// Whether it is an array of tables.
    pub(in crate::config) fn is_array(&self) -> bool {
        matches!(self.content, Content::Tables(_))
    }

    /// What its value is in the file, to stand after "must be".
    pub(in crate::config) fn form(&self) -> &'static str {
        match self.content {
            Content::Settings(_) => "a section",
            Content::Tables(_) => "an array of tables",
            Content::Named(_) => "tables with names",
        }
    }

    /// Whether it is of tables with names.
    pub(in crate::config) fn is_named(&self) -> bool {
        matches!(self.content, Content::Named(_))
    }

    /// The tables, if it is of any.
    pub(in crate::config) fn tables_of_any_kind(&self) -> Option<&'static dyn TableArray<T>> {
        match self.content {
            Content::Settings(_) => None,
            Content::Tables(tables) | Content::Named(tables) => Some(tables),
        }
    }

    /// What stands above its keys, where `above` is in front of its name: `[name]`, `[[name]]` or `[name.NAME]`.
    pub(in crate::config) fn header(&self, above: &str) -> String {
        match self.content {
            Content::Settings(_) => format!("[{above}{}]", self.name),
            Content::Tables(_) => format!("[[{above}{}]]", self.name),
            Content::Named(_) => format!("[{above}{}.NAME]", self.name),
        }
    }
}

impl<T: Default> Section<T> {
    /// All settings, each with the value that holds when it is not given.
    pub(in crate::config) fn with_defaults(&self) -> Vec<(&'static Setting, Shown)> {
        match self.content {
            Content::Settings(entries) => {
                let default = T::default();
                entries.iter().map(|entry| (&entry.setting, entry.shown(&default))).collect()
            }
            Content::Tables(tables) | Content::Named(tables) => tables.defaults(),
        }
    }
}

/// The settings of a model that can be given once.
pub(in crate::config) fn entries<T>(model: &'static [Section<T>]) -> impl Iterator<Item = &'static Entry<T>> {
    model.iter().flat_map(Section::entries)
}
