//! The command line of a replica.

use crate::config::model::{Kind, Refusal, Shown, Value};
use crate::config::words;

/// A program and its arguments; empty for what is run by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine(pub Vec<String>);

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
