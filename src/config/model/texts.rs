//! What was given for settings, before it is known what the values mean.

use super::problem::Source;
use super::setting::Setting;

/// What was given for one setting: one text, or several where it is repeatable.
#[derive(Clone, Debug)]
pub(in crate::config) struct Texts {
    pub(in crate::config) values: Vec<String>,
    pub(in crate::config) source: Source,
}

/// What one table of an array gives.
#[derive(Debug)]
pub(in crate::config) struct TableItem {
    /// Where the table begins.
    pub(in crate::config) source: Source,
    /// Of each setting in it.
    pub(in crate::config) given: Vec<(&'static Setting, Texts)>,
}

/// The items of a list that is written as one text.
pub(in crate::config) fn split_list(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(|item| item.trim().to_owned())
}
