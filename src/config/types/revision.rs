//! Names of revisions.

use crate::config::model::Refusal;
use crate::runtime::Revision;

/// Longest name, in bytes.
const LONGEST: usize = 64;

/// The name of a revision that is configured.
pub(in crate::config) fn revision(text: &str) -> Result<String, Refusal> {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if text == Revision::BASE {
        let what = "is the name of what the configuration says without a revision";
        return Err(Refusal::new(what).hint("choose another"));
    }
    if (1..=LONGEST).contains(&text.len()) && text.bytes().all(letters) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(format!("must be 1 to {LONGEST} letters, digits, '.', '_' and '-'"))
        .hint("as in v2 or 1.4.0"))
}
