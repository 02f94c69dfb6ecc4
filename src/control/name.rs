//! Names of replicas: what is one, which are the same, and new ones.

use fastrand::Rng;

use crate::runtime::engine::naming::slug;

/// Longest name, in characters: that of a DNS label, which a container's hostname is.
pub const MAX_LENGTH: usize = 63;

/// A name that is not one, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "hostname {0:?} is not a name: 1 to 63 letters, digits, '_', '-' and single inner spaces, \
     starting with a letter, not 'localhost'"
)]
pub struct NameError(String);

/// Checks a name given by a user.
pub fn check(name: &str) -> Result<(), NameError> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let made_well = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' '));
    let spaced_well = !name.ends_with(' ') && !name.contains("  ");
    let reserved = name.eq_ignore_ascii_case("localhost");
    if starts_well && made_well && spaced_well && !reserved && name.len() <= MAX_LENGTH {
        Ok(())
    } else {
        // Enough of it to recognise it by; the rest may be megabytes.
        Err(NameError(name.chars().take(MAX_LENGTH + 1).collect()))
    }
}

/// What two names have in common that are the same to a user: letters without their case, and
/// whatever separates words as one '-'. A host name can tell no more apart.
pub fn fold(name: &str) -> String {
    slug(name)
}

/// `Server-` and six of A–Z0–9.
pub fn random(rng: &mut Rng) -> String {
    const ALPHABET: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let tail: String = (0..6).map(|_| char::from(ALPHABET[rng.usize(..ALPHABET.len())])).collect();
    format!("Server-{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users() {
        for good in ["S4", "Server 1", "a", "web_1-b", "A1", &"x".repeat(63)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in
            ["", " a", "a ", "a  b", "1a", "_x", "-v", "a\nb", "ünï", "a/b", "a.b", "localhost", "LocalHost"]
        {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"x".repeat(64)).is_err());
    }

    #[test]
    fn random_names_are_names() {
        let mut rng = Rng::with_seed(7);
        for _ in 0..100 {
            let name = random(&mut rng);
            assert_eq!(check(&name), Ok(()));
            assert_eq!(name.len(), "Server-".len() + 6);
        }
    }
}
