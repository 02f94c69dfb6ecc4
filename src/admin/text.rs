//! Text that quotes what a client sent, cut to a length that logs and answers can bear.

/// `text`, or as much of its beginning as fits into `max_bytes`.
pub(super) fn shortened(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        // At worst 0, which always is a boundary.
        let end = (0..=max_bytes).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_character_is_kept_whole_or_not_at_all() {
        for (max_bytes, kept) in [(0, ""), (1, "a"), (2, "a"), (3, "aü"), (4, "aü"), (6, "aü€"), (9, "aü€")]
        {
            assert_eq!(shortened("aü€".to_owned(), max_bytes), kept, "{max_bytes}");
        }
    }
}
