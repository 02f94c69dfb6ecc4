//! What a configuration is made from: the command line, the environment, and files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;

use super::model::ENV_PREFIX;

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads a whole file as text.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// What a configuration is made from.
pub struct Inputs<'a> {
    /// The command line.
    pub flags: &'a Flags,
    /// Names and values; names that do not begin with `RINGHERD_` are left alone.
    pub env: Vec<(OsString, OsString)>,
    /// How the configuration file and the token file are read.
    pub read_file: ReadFile<'a>,
}

impl<'a> Inputs<'a> {
    /// `flags`, with environment and files of this process.
    pub fn of_process(flags: &'a Flags) -> Self {
        Self { flags, env: std::env::vars_os().collect(), read_file: &read_file }
    }
}

impl Inputs<'_> {
    /// Whether there is a configuration file to read.
    pub fn names_file(&self) -> bool {
        let variable = format!("{ENV_PREFIX}CONFIG");
        self.flags.iter().any(|(name, _)| name == "config")
            || self.env.iter().any(|(name, value)| *name == *variable && !value.is_empty())
    }
}

/// Flags as they were given: for each name its values, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags(BTreeMap<String, Vec<OsString>>);

impl Flags {
    /// No flags.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value of the flag `--name`.
    pub fn push(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.entry(name.to_owned()).or_default().push(value.into());
    }

    /// Each name with its values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Vec<OsString>)> {
        self.0.iter()
    }
}

/// Reads a file of at most 1 MiB, so that a wrong path (a device, say) does no harm.
fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(text)
}
