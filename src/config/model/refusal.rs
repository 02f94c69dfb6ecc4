//! Why a value is refused.

use std::fmt;

/// Why a value is refused: what is wrong, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Refusal {
    pub(in crate::config) what: String,
    pub(in crate::config) hint: Option<String>,
}

impl Refusal {
    pub(in crate::config) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    pub(in crate::config) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(in crate::config) fn must_be(what: impl fmt::Display) -> Self {
        Self::new(format!("must be {what}"))
    }
}

/// The texts that are refused, each with the reason.
pub(in crate::config) type Refused = Vec<(String, Refusal)>;
