//! A setting, as far as words go: names, help, and how it may be given.

use super::kind::Kind;

/// Prefix of all environment variables of ringherd.
pub(in crate::config) const ENV_PREFIX: &str = "RINGHERD_";

/// One setting, as far as words go: the only source of its names, help and bounds.
#[derive(Debug)]
pub struct Setting {
    /// Section and key in the file, as in `health.interval`; empty if the file cannot hold it.
    pub path: &'static str,
    /// Name of its flag without the dashes, of which the name of its variable is made; empty in a
    /// table of an array, which only the file can hold.
    pub flag: &'static str,
    /// What stands for the value in the help.
    pub value_name: &'static str,
    /// What values there are.
    pub kind: Kind,
    /// What holds when nothing is given.
    pub default: DefaultValue,
    /// What it does, in sentences.
    pub help: &'static str,
    /// Whether a change takes effect when the configuration is re-read (SIGHUP).
    pub on_reload: bool,
    /// Whether replicas are made of it: those that run keep what they have, whatever is re-read.
    pub of_replicas: bool,
    /// Whether a pool may have a value of its own.
    pub of_pool: bool,
    /// Without which other setting it has no effect.
    pub needs: Option<&'static str>,
    /// How several values are given, if they may be.
    pub list: List,
}

/// What holds when a setting is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// The value of the tree's `Default`.
    OfTree,
    /// What these words describe.
    Words(&'static str),
    /// Nothing: it must be given.
    Required,
}

/// Whether a setting takes several values, and how one text holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// It takes one.
    No,
    /// Separated by commas, or the setting repeated.
    Commas,
    /// The setting repeated; in the variable, words quoted as for a shell.
    Words,
}

impl Setting {
    /// Its key within the section.
    pub fn key(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, key)| key)
    }

    /// The section that holds it, without brackets; empty if the file cannot hold it.
    pub fn section(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(section, _)| section)
    }

    /// What a change of it takes, in one word: `yes` where the configuration is re-read.
    pub fn reload(&self) -> &'static str {
        match (self.on_reload, self.of_replicas) {
            (true, _) => "yes",
            (false, true) => "replicas",
            (false, false) => "no",
        }
    }

    /// Name of its environment variable.
    pub fn env(&self) -> String {
        format!("{ENV_PREFIX}{}", self.flag.replace('-', "_").to_ascii_uppercase())
    }

    /// Whether several values may be given.
    pub fn repeatable(&self) -> bool {
        self.list != List::No
    }

    /// What it does, and what it needs.
    pub fn full_help(&self) -> String {
        match self.needs {
            Some(needs) => format!("{} Only with {needs}.", self.help),
            None => self.help.to_owned(),
        }
    }

    /// The values there are, to stand after "must be".
    pub fn values(&self) -> String {
        match self.list {
            List::No => self.kind.to_string(),
            List::Commas => format!("{}, repeated or separated by commas", self.kind),
            List::Words if self.flag.is_empty() => format!("{}, or a list of them", self.kind),
            List::Words => format!("{}, repeated; in the variable, words quoted as for a shell", self.kind),
        }
    }
}
