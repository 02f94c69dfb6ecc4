//! Truncates text that quotes a request, for logs and responses.

/// `text`, or as much of its start as fits into `max_bytes` without splitting a character.
pub(super) fn truncated(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        // 0 is always a boundary.
        let end = (0..=max_bytes).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::truncated;

    #[test]
    fn a_character_is_kept_whole_or_not_at_all() {
        for (max_bytes, kept) in [(0, ""), (1, "a"), (2, "a"), (3, "aü"), (4, "aü"), (6, "aü€"), (9, "aü€")]
        {
            assert_eq!(truncated("aü€".to_owned(), max_bytes), kept, "{max_bytes}");
        }
    }
}
