//! Types of values: from the text of a setting to its type, within bounds, and back.

use std::fmt;
use std::time::Duration;

use super::kind::{Choice, Kind, Text};
use super::refusal::{Refusal, Refused};
use super::size;
use crate::config::suggest;

/// A value as the file would hold it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) enum Shown {
    /// There is none.
    Nothing,
    /// A whole number.
    Integer(u64),
    /// A number.
    Number(f64),
    /// Anything that is text in the file.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

impl Shown {
    /// Anything that is read as it is displayed.
    pub(in crate::config) fn text(value: impl fmt::Display) -> Self {
        Self::Text(value.to_string())
    }

    /// The value in TOML; `None` where there is none.
    pub(in crate::config) fn toml(&self) -> Option<toml::Value> {
        let text = |text: &String| toml::Value::String(text.clone());
        match self {
            Self::Nothing => None,
            Self::Integer(number) => Some(toml::Value::Integer(i64::try_from(*number).unwrap_or(i64::MAX))),
            Self::Number(number) => Some(toml::Value::Float(*number)),
            Self::Text(value) => Some(text(value)),
            Self::List(values) => Some(toml::Value::Array(values.iter().map(text).collect())),
        }
    }
}

/// For people.
impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("none"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::List(texts) => f.write_str(&texts.join(",")),
        }
    }
}

/// A type that one value of a setting may have.
pub(in crate::config) trait Value: Sized {
    /// The text that says that there is no value, where an optional one has such a text.
    const NOTHING: Option<&'static str> = None;

    /// The value of `text`, within the bounds of `kind`.
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal>;

    /// What [`Value::read`] makes the same value from.
    fn show(&self, kind: &Kind) -> Shown;
}

/// What a setting may be in the tree: one value, perhaps none, or a list of them.
pub(in crate::config) trait Field {
    /// Whether there may be several values.
    const IS_LIST: bool;

    /// Reads `texts`, or says which of them are refused and why. What is refused changes nothing.
    fn assign(&mut self, kind: &Kind, texts: &[String]) -> Refused;

    /// As the file would hold it.
    fn show(&self, kind: &Kind) -> Shown;
}

impl<T: Value> Field for T {
    const IS_LIST: bool = false;

    fn assign(&mut self, kind: &Kind, texts: &[String]) -> Refused {
        let mut refused = Vec::new();
        for text in texts {
            match T::read(kind, text) {
                Ok(value) => *self = value,
                Err(refusal) => refused.push((text.clone(), refusal)),
            }
        }
        refused
    }

    fn show(&self, kind: &Kind) -> Shown {
        Value::show(self, kind)
    }
}

impl<T: Value> Field for Option<T> {
    const IS_LIST: bool = false;

    fn assign(&mut self, kind: &Kind, texts: &[String]) -> Refused {
        let mut refused = Vec::new();
        for text in texts {
            match T::read(kind, text) {
                _ if T::NOTHING == Some(text) => *self = None,
                Ok(value) => *self = Some(value),
                Err(refusal) => refused.push((text.clone(), refusal)),
            }
        }
        refused
    }

    fn show(&self, kind: &Kind) -> Shown {
        match self {
            Some(value) => Value::show(value, kind),
            None => T::NOTHING.map_or(Shown::Nothing, Shown::text),
        }
    }
}

impl<T: Value> Field for Vec<T> {
    const IS_LIST: bool = true;

    fn assign(&mut self, kind: &Kind, texts: &[String]) -> Refused {
        let (mut values, mut refused) = (Vec::new(), Vec::new());
        for text in texts {
            match T::read(kind, text) {
                Ok(value) => values.push(value),
                Err(refusal) => refused.push((text.clone(), refusal)),
            }
        }
        *self = values;
        refused
    }

    fn show(&self, kind: &Kind) -> Shown {
        if self.is_empty() {
            return Shown::Nothing;
        }
        Shown::List(self.iter().map(|value| Value::show(value, kind).to_string()).collect())
    }
}

impl<T: Choice> Value for T {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        let found = T::NAMES.iter().position(|word| *word == text);
        found.map(|index| T::ALL[index]).ok_or_else(|| {
            let refusal = Refusal::must_be(kind);
            match suggest::nearest(text, T::NAMES.iter().copied()) {
                Some(word) => refusal.hint(format!("did you mean {word:?}?")),
                None => refusal,
            }
        })
    }

    fn show(&self, _: &Kind) -> Shown {
        let index = T::ALL.iter().position(|value| value == self);
        index.map_or(Shown::Nothing, |index| Shown::text(T::NAMES[index]))
    }
}

impl Value for String {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        match kind {
            Kind::Text(Text { check, .. }) => check(text),
            _ => Err(Refusal::must_be(kind)),
        }
    }

    fn show(&self, _: &Kind) -> Shown {
        Shown::text(self)
    }
}

impl Value for Duration {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        let Kind::Duration { min, max } = *kind else { return Err(Refusal::must_be(kind)) };
        if text.parse::<f64>().is_ok_and(f64::is_finite) {
            let hint = format!("add one, as in {text}ms or {text}s");
            return Err(Refusal::new(format!("has no unit; must be {kind}")).hint(hint));
        }
        match humantime::parse_duration(text) {
            Ok(duration) if (min..=max).contains(&duration) => Ok(duration),
            Ok(_) => Err(Refusal::must_be(kind)),
            Err(_) => Err(Refusal::must_be(kind).hint("write a number with a unit, such as 500ms, 1s or 2m")),
        }
    }

    fn show(&self, _: &Kind) -> Shown {
        Shown::text(humantime::format_duration(*self))
    }
}

impl Value for f64 {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        let Kind::Number { min, max } = *kind else { return Err(Refusal::must_be(kind)) };
        match text.parse() {
            Ok(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(Refusal::must_be(kind)),
        }
    }

    fn show(&self, _: &Kind) -> Shown {
        Shown::Number(*self)
    }
}

/// Whole numbers, ports, and sizes in bytes.
impl Value for u64 {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        match *kind {
            Kind::Size { min, max } => size::parse(text, min, max),
            Kind::Integer { min, max, .. } => integer(kind, text, min, max),
            Kind::Port => integer(kind, text, 1, u16::MAX.into()),
            _ => Err(Refusal::must_be(kind)),
        }
    }

    fn show(&self, kind: &Kind) -> Shown {
        match kind {
            Kind::Size { .. } => Shown::text(size::show(*self)),
            _ => Shown::Integer(*self),
        }
    }
}

fn integer(kind: &Kind, text: &str, min: u64, max: u64) -> Result<u64, Refusal> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && (min..=max).contains(&number) => Ok(number),
        _ if text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(char::is_alphabetic) => {
            Err(Refusal::must_be(kind).hint("write the number alone, without a unit"))
        }
        _ => Err(Refusal::must_be(kind)),
    }
}

/// A narrower integer: what it cannot hold is refused like a value out of bounds.
macro_rules! narrower {
    ($($type:ty as $wide:expr),+) => {$(
        impl Value for $type {
            fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
                u64::read(kind, text)?.try_into().map_err(|_| Refusal::must_be(kind))
            }

            fn show(&self, kind: &Kind) -> Shown {
                Value::show(&$wide(*self), kind)
            }
        }
    )+};
}
narrower!(u16 as u64::from, u32 as u64::from, usize as |number| number as u64);
