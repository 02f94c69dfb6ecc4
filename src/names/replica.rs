//! The name of a replica: what is one, and which spellings are the same name.

use std::fmt;
use std::str::FromStr;

/// A name that a user may give a replica: 1 to 63 letters, digits, `_`, `-` and single inner
/// spaces, starting with a letter, and not `localhost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaName(String);

/// A text that is not a [`ReplicaName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "hostname {0:?} is not a name: 1 to 63 letters, digits, '_', '-' and single inner spaces, \
     starting with a letter, not 'localhost'"
)]
pub struct NameError(String);

impl ReplicaName {
    /// Longest name, in characters: that of a DNS label, which a container's hostname is.
    pub const MAX_LENGTH: usize = 63;

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What names that are the same have in common.
    pub fn folded(&self) -> FoldedName {
        FoldedName::of(&self.0)
    }
}

impl FromStr for ReplicaName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic());
        let made_well = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' '));
        let spaced_well = !text.ends_with(' ') && !text.contains("  ");
        let reserved = text.eq_ignore_ascii_case("localhost");
        if starts_well && made_well && spaced_well && !reserved && text.len() <= Self::MAX_LENGTH {
            Ok(Self(text.to_owned()))
        } else {
            // Enough of it to recognise it by; the rest may be megabytes.
            Err(NameError(text.chars().take(Self::MAX_LENGTH + 1).collect()))
        }
    }
}

impl fmt::Display for ReplicaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What two names have in common that are the same to a user: letters without their case, and
/// whatever separates words as one `-`. A host name can tell no more apart.
///
/// Of a [`ReplicaName`] it is a DNS label, and its replica's name on a network. Two replicas whose
/// names fold to the same cannot exist side by side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FoldedName(String);

impl FoldedName {
    /// Folds `name`, whether it is a [`ReplicaName`] or that of something found.
    pub fn of(name: &str) -> Self {
        let words = name.split([' ', '_', '-']).filter(|word| !word.is_empty());
        Self(words.collect::<Vec<_>>().join("-").to_ascii_lowercase())
    }

    /// Lower case, and single inner `-`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FoldedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_users() {
        for good in ["S4", "Server 1", "a", "web_1-b", "A1", &"x".repeat(63)] {
            assert_eq!(good.parse::<ReplicaName>().map(|name| name.to_string()).as_deref(), Ok(good));
        }
        for bad in
            ["", " a", "a ", "a  b", "1a", "_x", "-v", "a\nb", "ünï", "a/b", "a.b", "localhost", "LocalHost"]
        {
            assert!(bad.parse::<ReplicaName>().is_err(), "{bad}");
        }
        assert!("x".repeat(64).parse::<ReplicaName>().is_err());
    }

    #[test]
    fn spellings_of_one_name_fold_to_the_same() {
        let golden = [
            ("Server 1", "server-1"),
            ("S4", "s4"),
            ("web_1-b", "web-1-b"),
            ("A - _b", "a-b"),
            ("x--", "x"),
            ("Server-AB12CD", "server-ab12cd"),
        ];
        for (name, expected) in golden {
            assert_eq!(FoldedName::of(name).as_str(), expected);
        }
    }

    proptest! {
        #[test]
        fn a_folded_name_is_a_dns_label(name in "[a-zA-Z][a-zA-Z0-9_-]{0,30}( [a-zA-Z0-9_-]{1,30})?") {
            if let Ok(name) = name.parse::<ReplicaName>() {
                let folded = name.folded();
                prop_assert!(crate::names::is_host_name(folded.as_str()), "{}", folded);
                prop_assert_eq!(FoldedName::of(folded.as_str()), folded);
            }
        }
    }
}
