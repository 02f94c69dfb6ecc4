//! Names of replicas: what the control plane asks of [`crate::names`], and new ones.

use fastrand::Rng;

pub use crate::names::NameError;
use crate::names::{FoldedName, ReplicaName};

/// Longest name, in characters.
pub const MAX_LENGTH: usize = ReplicaName::MAX_LENGTH;

/// Checks a name given by a user.
pub fn check(name: &str) -> Result<(), NameError> {
    name.parse().map(|_: ReplicaName| ())
}

/// What names that are the same have in common.
pub fn fold(name: &str) -> FoldedName {
    FoldedName::of(name)
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
    fn random_names_are_names() {
        let mut rng = Rng::with_seed(7);
        for _ in 0..100 {
            let name = random(&mut rng);
            assert_eq!(check(&name), Ok(()));
            assert_eq!(name.len(), "Server-".len() + 6);
        }
    }
}
