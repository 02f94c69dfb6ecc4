//! What was given for settings, before it is known what the values mean.

use super::problem::{Name, Source};
use super::setting::Setting;

/// What was given for one setting: one text, or several where it is repeatable.
#[derive(Clone, Debug)]
pub(in crate::config) struct Texts {
    pub(in crate::config) values: Vec<String>,
    pub(in crate::config) source: Source,
}

/// What one table gives, of an array or by its name.
#[derive(Clone, Debug)]
pub(in crate::config) struct TableItem {
    /// Its name; empty in an array.
    pub(in crate::config) name: String,
    /// How its keys are called, without a dot behind: `route`, `revision.NAME` or `pool.POOL.revision.NAME`.
    pub(in crate::config) path: String,
    /// Where the table begins.
    pub(in crate::config) source: Source,
    /// Of each setting in it.
    pub(in crate::config) given: Vec<(&'static Setting, Texts)>,
}

impl TableItem {
    /// What the setting with this key is called in this table.
    pub(in crate::config) fn name_of(&self, key: &str) -> Name {
        Name::unknown(&format!("{}.{key}", self.path))
    }
}

/// The items of a list that is written as one text.
pub(in crate::config) fn split_list(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(|item| item.trim().to_owned())
}
