//! The three choices that make one kind of ring differ from another, and their spelling.
//!
//! Knows nothing of what the choices do.

use std::fmt;
use std::str::FromStr;

use super::ParamsError;

/// Which pair of functions puts request ids and virtual nodes onto slots; see [`Hash`](super::Hash).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Family {
    /// Squares. Reaches few slots where `M` is a power of two, and is kept for comparison.
    Classic,
    /// Multiples of a 64-bit hash: reaches every slot of an odd `M`.
    #[default]
    Modified,
}

/// Where a virtual node goes when its first slot is taken; see [`Sequence`](super::Sequence).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Probing {
    /// Growing steps, for the sizes at which these visit every slot.
    #[default]
    Quadratic,
    /// The next slot, for any size.
    Linear,
}

/// How a slot gets its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Placement {
    /// Virtual nodes; the first at or clockwise from the slot owns it.
    #[default]
    Ring,
    /// The replica at which the slot costs least owns it. Evener, and a removal moves no
    /// other replica's slots, but a build works out `M · N` costs.
    Rendezvous,
    /// The same with a capacity for each replica, 1.6 % above its due: even at any size, and a
    /// removal moves next to no other replica's slots.
    Balanced,
}

/// Spelling of an enumeration: one word each, as printed and as parsed.
macro_rules! spelled {
    ($kind:ty, $what:literal, $($variant:ident = $word:literal),+) => {
        impl $kind {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word that users write.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Honours width and alignment, which tables use.
                f.pad(self.as_str())
            }
        }

        impl FromStr for $kind {
            type Err = ParamsError;

            fn from_str(text: &str) -> Result<Self, ParamsError> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(ParamsError::Choice {
                        what: $what,
                        text: text.to_owned(),
                        choices: &[$($word),+],
                    }),
                }
            }
        }
    };
}

spelled!(Family, "hash family", Classic = "classic", Modified = "modified");
spelled!(Probing, "probing", Quadratic = "quadratic", Linear = "linear");
spelled!(Placement, "placement", Ring = "ring", Rendezvous = "rendezvous", Balanced = "balanced");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_what_is_parsed() {
        for &family in Family::ALL {
            assert_eq!(family.to_string().parse(), Ok(family));
        }
        for &probing in Probing::ALL {
            assert_eq!(probing.to_string().parse(), Ok(probing));
        }
        for &placement in Placement::ALL {
            assert_eq!(placement.to_string().parse(), Ok(placement));
        }
    }

    #[test]
    fn another_word_is_refused_with_the_choices() {
        let error = "Modified".parse::<Family>().unwrap_err().to_string();
        assert_eq!(error, "'Modified' is not a hash family: use classic or modified");
        let error = "".parse::<Placement>().unwrap_err().to_string();
        assert_eq!(error, "'' is not a placement: use ring, rendezvous or balanced");
    }
}
