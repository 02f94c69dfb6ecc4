//! The nearest known name to an unknown one. Knows nothing of settings.

/// The candidate with the fewest edits from `name`, if it is near enough to be what was meant:
/// at most a third of its length away.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // No known name is longer, and the distance takes quadratic time.
    if name.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["replicas", "max-replicas", "listen"];
        assert_eq!(nearest("replcas", known), Some("replicas"));
        assert_eq!(nearest("max_replicas", known), Some("max-replicas"));
        assert_eq!(nearest("listne", known), Some("listen"));
        assert_eq!(nearest("bananas", known), None);
        assert_eq!(nearest(&"replicas".repeat(1000), known), None);
    }
}
