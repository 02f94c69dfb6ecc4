//! What a setting is: how it is declared, and the place of its value in a typed tree.
//!
//! A model is a list of [`Section`]s over some tree of values. Flags, environment variables, the
//! file, its example and its schema, the documentation and what `ringherd check` prints are made
//! from that list alone. Nothing here knows a setting of ringherd by name, or where values come
//! from; tests have models of their own.

mod array;
mod entry;
mod kind;
mod problem;
mod refusal;
mod section;
mod setting;
mod size;
mod texts;
mod value;

pub(super) use array::{Array, ShownTable, Table};
pub use entry::Entry;
pub(super) use entry::{Needs, Place, at};
pub use kind::Kind;
pub(super) use kind::{Choice, choices};
pub(super) use problem::{Name, one_line};
pub use problem::{Problem, Problems, Source};
pub(super) use refusal::Refusal;
pub use section::Section;
pub(super) use section::{Content, entries};
pub use setting::Setting;
pub(super) use setting::{DefaultValue, ENV_PREFIX, List};
pub(super) use texts::{TableItem, Texts, split_list};
pub(super) use value::{Field, Shown, Value};
