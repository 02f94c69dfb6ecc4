//! The declaration of a setting: what it is, and the place of its value in a typed tree.

use super::kind::Kind;
use super::refusal::{Refusal, Refused};
use super::setting::{DefaultValue, List, Setting};
use super::value::Shown;

/// A setting and the place of its value in the tree `T`.
#[derive(Debug)]
pub struct Entry<T: 'static> {
    /// What it is.
    pub setting: Setting,
    pub(in crate::config) place: Place<T>,
    pub(in crate::config) needs: Option<Needs<T>>,
}

/// Without what a setting has no effect.
#[derive(Debug)]
pub(in crate::config) struct Needs<T> {
    /// What must be given, as in `--runtime docker`.
    pub(in crate::config) what: &'static str,
    /// Whether it is.
    pub(in crate::config) met: fn(&T) -> bool,
    /// Whether the setting is refused without it; otherwise it counts as not given.
    pub(in crate::config) strict: bool,
}

/// How the value of a setting is shown and set; see [`at`].
#[derive(Debug)]
pub(in crate::config) struct Place<T> {
    pub(in crate::config) show: fn(&T, &Kind) -> Shown,
    pub(in crate::config) assign: fn(&mut T, &Kind, &[String]) -> Refused,
    pub(in crate::config) reset: fn(&mut T, &T),
    pub(in crate::config) is_list: bool,
}

/// The [`Place`] at a path of fields: `at!(Config: proxy.keep_alive)`.
macro_rules! at {
    ($tree:ty: $($field:ident).+) => {
        $crate::config::model::Place {
            show: |tree: &$tree, kind| $crate::config::model::Field::show(&tree.$($field).+, kind),
            assign: |tree: &mut $tree, kind, texts| {
                $crate::config::model::Field::assign(&mut tree.$($field).+, kind, texts)
            },
            reset: |tree: &mut $tree, from: &$tree| tree.$($field).+.clone_from(&from.$($field).+),
            is_list: {
                const fn is_list<T, F: $crate::config::model::Field>(_: &fn(&T) -> &F) -> bool {
                    F::IS_LIST
                }
                let field: fn(&$tree) -> &_ = |tree| &tree.$($field).+;
                is_list(&field)
            },
        }
    };
}
pub(in crate::config) use at;

impl<T> Place<T> {
    /// No place: what is given is used up before there is a tree.
    pub(in crate::config) const fn nowhere() -> Self {
        Self { show: |_, _| Shown::Nothing, assign: |_, _, _| Vec::new(), reset: |_, _| {}, is_list: false }
    }
}

impl<T> Entry<T> {
    /// Declares a setting: its place in the file (`section.key`), its flag, what stands for its
    /// value in the help, its place in the tree, the values it takes, and what it does. Its
    /// default is that of the tree; a change takes effect at start only.
    pub(in crate::config) const fn new(
        path: &'static str,
        flag: &'static str,
        value_name: &'static str,
        place: Place<T>,
        kind: Kind,
        help: &'static str,
    ) -> Self {
        let list = if place.is_list { List::Commas } else { List::No };
        let (default, needs) = (DefaultValue::OfTree, None);
        let setting = Setting {
            path,
            flag,
            value_name,
            kind,
            default,
            help,
            on_reload: false,
            of_replicas: false,
            of_pool: false,
            needs,
            list,
        };
        Self { setting, place, needs: None }
    }

    /// The same, taking effect when the configuration is re-read.
    pub(in crate::config) const fn on_reload(mut self) -> Self {
        self.setting.on_reload = true;
        self
    }

    /// The same, of which a pool may have a value of its own.
    pub(in crate::config) const fn of_pool(mut self) -> Self {
        self.setting.of_pool = true;
        self
    }

    /// The same, of which replicas are made.
    pub(in crate::config) const fn of_replicas(mut self) -> Self {
        self.setting.of_replicas = true;
        self
    }

    /// The same, with a default that depends on other things.
    pub(in crate::config) const fn by_default(mut self, words: &'static str) -> Self {
        self.setting.default = DefaultValue::Words(words);
        self
    }

    /// The same, with items that may hold commas.
    pub(in crate::config) const fn of_words(mut self) -> Self {
        self.setting.list = List::Words;
        self
    }

    /// The same, which must be given. For tables of arrays.
    pub(in crate::config) const fn required(mut self) -> Self {
        self.setting.default = DefaultValue::Required;
        self
    }

    /// The same, without effect unless something else is given.
    pub(in crate::config) const fn only_with(mut self, needs: Needs<T>) -> Self {
        self.setting.needs = Some(needs.what);
        self.needs = Some(needs);
        self
    }

    /// Whether the setting has an effect beside the others.
    pub(in crate::config) fn has_effect(&self, tree: &T) -> bool {
        self.needs.as_ref().is_none_or(|needs| (needs.met)(tree))
    }

    /// Its value in `tree`, as the file would hold it.
    pub(in crate::config) fn shown(&self, tree: &T) -> Shown {
        (self.place.show)(tree, &self.setting.kind)
    }

    /// Reads `texts` into `tree`, or says which of them are refused and why.
    pub(in crate::config) fn assign(&self, tree: &mut T, texts: &[String]) -> Refused {
        let empty: Vec<_> = texts.iter().filter(|text| text.is_empty()).collect();
        if !empty.is_empty() {
            let refusal = || Refusal::new("is empty").hint("leave it out for the default");
            return empty.into_iter().map(|text| (text.clone(), refusal())).collect();
        }
        (self.place.assign)(tree, &self.setting.kind, texts)
    }
}

impl<T: Default> Entry<T> {
    /// Has it as if it was not given.
    pub(in crate::config) fn reset(&self, tree: &mut T) {
        (self.place.reset)(tree, &T::default());
    }

    /// What holds when it is not given, with what is no value in parentheses.
    pub fn default_for_help(&self) -> String {
        match self.setting.default {
            DefaultValue::OfTree => self.default_text(),
            DefaultValue::Words(_) | DefaultValue::Required => format!("({})", self.default_text()),
        }
    }

    /// What holds when it is not given, for people.
    pub fn default_text(&self) -> String {
        match self.setting.default {
            DefaultValue::OfTree => self.shown(&T::default()).to_string(),
            DefaultValue::Words(words) => words.to_owned(),
            DefaultValue::Required => "must be given".to_owned(),
        }
    }
}
