//! The command line of a replica.

use crate::config::model::{Kind, Refusal, Shown, Value};
use crate::config::words;

/// A program and its arguments; empty for what is run by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine(pub Vec<String>);

impl CommandLine {
    /// Whether `{port}` says where the port goes, which a child process must be told.
    pub(in crate::config) fn check_for_process(&self) -> Result<(), Refusal> {
        let told = |arguments: &[String]| arguments.iter().any(|word| word.contains("{port}"));
        if self.0.split_first().is_none_or(|(_, arguments)| told(arguments)) {
            return Ok(());
        }
        let hint = "write {port} where the program is told its port, as in \"python3 -m http.server {port}\"";
        Err(Refusal::new("has no {port} among its arguments").hint(hint))
    }
}

impl Value for CommandLine {
    /// The first word is a program.
    fn read(_: &Kind, text: &str) -> Result<Self, Refusal> {
        let words = words::split(text)
            .map_err(|error| Refusal::new(error.to_string()).hint("quote it as for a shell"))?;
        if words.first().is_none_or(String::is_empty) {
            return Err(Refusal::new("names no program"));
        }
        if words.iter().any(|word| word.contains('\0')) {
            return Err(Refusal::new("contains a NUL character, which no argument can"));
        }
        Ok(Self(words))
    }

    fn show(&self, _: &Kind) -> Shown {
        if self.0.is_empty() { Shown::Nothing } else { Shown::Text(words::join(&self.0)) }
    }
}
