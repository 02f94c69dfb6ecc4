//! Tables: settings that can be given any number of times, `[[name]]` in the file, or each table by a name
//! of its own, `[section.NAME]`.

use super::entry::Entry;
use super::problem::{Name, Problem};
use super::refusal::Refusal;
use super::setting::{DefaultValue, Setting};
use super::texts::{TableItem, Texts};
use super::value::Shown;

/// Tables within the tree `T`, whatever a table is made of.
pub(in crate::config) trait TableArray<T>: Sync + std::fmt::Debug {
    /// The settings of a table.
    fn settings(&self) -> Vec<&'static Setting>;

    /// Makes the tables of `tree` from `items`.
    fn load(&self, tree: &mut T, items: &[TableItem], problems: &mut Vec<Problem>);

    /// The values of each table of `tree`.
    fn shown(&self, tree: &T) -> Vec<ShownTable>;

    /// The settings of a table with what holds where they are not given, for people.
    fn defaults(&self) -> Vec<(&'static Setting, Shown)>;
}

/// The values of a table.
pub(in crate::config) struct ShownTable {
    /// Its name; empty in an array.
    pub(in crate::config) name: String,
    pub(in crate::config) values: Vec<(&'static Setting, Shown)>,
}

/// What a table becomes in the tree.
pub(in crate::config) trait Table: Default {
    /// Its name, if tables have one.
    fn name(&self) -> Option<&str> {
        None
    }

    /// Takes a name, or refuses it. What is refused is not kept.
    fn set_name(&mut self, _name: &str) -> Result<(), Refusal> {
        Ok(())
    }
}

/// The tables at a place of `T` that `entries` describe.
pub(in crate::config) struct Array<T: 'static, E: 'static> {
    /// The settings of a table. Their paths begin with the name of the array.
    pub(in crate::config) entries: &'static [Entry<E>],
    /// The place in the tree.
    pub(in crate::config) items: fn(&T) -> &Vec<E>,
    /// The same, to be changed.
    pub(in crate::config) items_mut: fn(&mut T) -> &mut Vec<E>,
}

impl<T, E> std::fmt::Debug for Array<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Array").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

impl<T, E: Table> TableArray<T> for Array<T, E> {
    fn settings(&self) -> Vec<&'static Setting> {
        self.entries.iter().map(|entry| &entry.setting).collect()
    }

    fn load(&self, tree: &mut T, items: &[TableItem], problems: &mut Vec<Problem>) {
        *(self.items_mut)(tree) = items.iter().map(|item| table(self.entries, item, problems)).collect();
    }

    fn shown(&self, tree: &T) -> Vec<ShownTable> {
        let table = |item: &E| ShownTable {
            name: item.name().unwrap_or_default().to_owned(),
            values: self.entries.iter().map(|entry| (&entry.setting, entry.shown(item))).collect(),
        };
        (self.items)(tree).iter().map(table).collect()
    }

    fn defaults(&self) -> Vec<(&'static Setting, Shown)> {
        let default = E::default();
        self.entries.iter().map(|entry| (&entry.setting, entry.shown(&default))).collect()
    }
}

/// One table; what is refused keeps its default.
fn table<E: Table>(entries: &'static [Entry<E>], item: &TableItem, problems: &mut Vec<Problem>) -> E {
    let mut made = E::default();
    if let Err(refusal) = made.set_name(&item.name) {
        problems.push(Problem::new(Name::unknown(&item.path), item.source.clone(), None, refusal));
    }
    for entry in entries {
        let name = item.name_of(entry.setting.key());
        match item.given.iter().find(|(setting, _)| setting.path == entry.setting.path) {
            Some((_, Texts { values, source })) => {
                let refused = entry.assign(&mut made, values);
                problems.extend(refused.into_iter().map(|(value, refusal)| {
                    Problem::new(name.clone(), source.clone(), Some(value), refusal)
                }));
            }
            None if entry.setting.default == DefaultValue::Required => {
                let refusal = Refusal::new(format!("is missing; must be {}", entry.setting.values()));
                problems.push(Problem::new(name, item.source.clone(), None, refusal));
            }
            None => {}
        }
    }
    made
}
