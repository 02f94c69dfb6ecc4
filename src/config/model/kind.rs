//! What values a setting takes, with their bounds: for the parser, for messages and for the schema.

use std::fmt;
use std::time::Duration;

use super::refusal::Refusal;
use super::size;

/// What values a setting takes; bounds are inclusive.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number of `unit`.
    Integer {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// A length of time with a unit, such as `500ms`.
    Duration {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// An amount of memory with a unit, such as `64MiB`; bounds in bytes.
    Size {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A number, whole or not.
    Number {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// `auto`, `off`, or a number.
    Factor {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// A port number.
    Port,
    /// A text of some form.
    Text(Text),
}

/// An enumeration that users choose from by words; see [`choices`].
pub(in crate::config) trait Choice: Copy + PartialEq + 'static {
    /// All values, in the order of [`Choice::NAMES`].
    const ALL: &'static [Self];

    /// Their words.
    const NAMES: &'static [&'static str];
}

/// The words of an enumeration: `choices!(Format { Json = "json", Common = "common" })`.
macro_rules! choices {
    ($type:ty { $($variant:ident = $word:literal),+ }) => {
        impl $crate::config::model::Choice for $type {
            const ALL: &'static [Self] = &[$(Self::$variant),+];
            const NAMES: &'static [&'static str] = &[$($word),+];
        }
    };
}
pub(in crate::config) use choices;

/// The form of a text.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// What it must be, to stand after "must be".
    pub form: &'static str,
    /// One such text.
    pub example: &'static str,
    /// The text as it is kept, where its type does not check it.
    pub(in crate::config) check: fn(&str) -> Result<String, Refusal>,
}

impl Kind {
    /// One of the words of `T`.
    pub(in crate::config) const fn choice<T: Choice>() -> Self {
        Self::Choice(T::NAMES)
    }

    /// A whole number of `unit` between bounds.
    pub(in crate::config) const fn integer(min: u64, max: u64, unit: &'static str) -> Self {
        Self::Integer { min, max, unit }
    }

    /// A length of time between bounds.
    pub(in crate::config) const fn duration(min: Duration, max: Duration) -> Self {
        Self::Duration { min, max }
    }

    /// A text that its type reads.
    pub(in crate::config) const fn text(form: &'static str, example: &'static str) -> Self {
        Self::checked(form, example, |text| Ok(text.to_owned()))
    }

    /// A text that stays one, and that `check` takes or refuses.
    pub(in crate::config) const fn checked(
        form: &'static str,
        example: &'static str,
        check: fn(&str) -> Result<String, Refusal>,
    ) -> Self {
        Self::Text(Text { form, example, check })
    }

    /// Whether a number of TOML may stand for a value.
    pub(in crate::config) fn takes_numbers(&self) -> bool {
        match self {
            Self::Choice(words) => words.iter().all(|word| word.parse::<u64>().is_ok()),
            Self::Text(_) => false,
            _ => true,
        }
    }

    /// Whether `true` and `false` of TOML may stand for a value: they are `on` and `off`.
    pub fn takes_booleans(&self) -> bool {
        matches!(self, Self::Choice(words) if words.contains(&"on") && words.contains(&"off"))
    }

    /// A value that is taken, for settings whose default cannot be written down.
    pub(in crate::config) fn example(&self) -> String {
        match *self {
            Self::Choice(words) => words.first().copied().unwrap_or_default().to_owned(),
            Self::Integer { min, max, .. } => 4.clamp(min, max).to_string(),
            Self::Duration { min, max } => {
                humantime::format_duration(Duration::from_secs(10).clamp(min, max)).to_string()
            }
            Self::Size { min, max } => size::show((512_u64 << 20).clamp(min, max)),
            Self::Number { min, max } | Self::Factor { min, max } => 1.5_f64.clamp(min, max).to_string(),
            Self::Port => "8080".to_owned(),
            Self::Text(Text { example, .. }) => example.to_owned(),
        }
    }
}

impl fmt::Display for Kind {
    /// The values there are, to stand after "must be".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Choice(words) => f.write_str(&enumerate(words)),
            Self::Integer { min, max, unit } => write!(f, "a whole number of {unit}, {min} to {max}"),
            Self::Duration { min, max } => {
                let (min, max) = (humantime::format_duration(min), humantime::format_duration(max));
                write!(f, "a duration, {min} to {max}")
            }
            Self::Size { min, max } => f.write_str(&size::form(min, max)),
            Self::Number { min, max } => write!(f, "a number, {min} to {max}"),
            Self::Factor { min, max } => write!(f, "auto, off or a number, {min} to {max}"),
            Self::Port => f.write_str("a port, 1 to 65535"),
            Self::Text(Text { form, .. }) => f.write_str(form),
        }
    }
}

/// `a, b or c`.
fn enumerate(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
