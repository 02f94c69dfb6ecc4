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
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance: insertions, deletions and replacements, by the row-by-row dynamic
/// program of Wagner and Fischer (1974).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replace = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (from, to, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("replcas", "replicas", 1),
        ] {
            assert_eq!(distance(from, to), edits, "{from} to {to}");
            assert_eq!(distance(to, from), edits, "{to} to {from}");
        }
    }

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
