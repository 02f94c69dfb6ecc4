//! Makes text from the network safe to show on a terminal.

/// Replaces control characters, and characters that change the direction of text, with U+FFFD.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Formats JSON with such characters escaped. They can only occur in strings.
pub fn plain_json(json: &serde_json::Value) -> String {
    use std::fmt::Write;
    json.to_string().chars().fold(String::new(), |mut plain, c| {
        if is_harmful(c) {
            let _ = write!(plain, "\\u{:04x}", u32::from(c));
        } else {
            plain.push(c);
        }
        plain
    })
}

fn is_harmful(c: char) -> bool {
    let turns = matches!(
        c,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    c.is_control() || turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_the_same_json() {
        let json = serde_json::json!({"a\u{9b}": "b\u{1b}\u{202e}\u{7f}ü\n"});
        let plain = plain_json(&json);
        assert_eq!(plain, r#"{"a\u009b":"b\u001b\u202e\u007fü\n"}"#);
        assert_eq!(plain.parse::<serde_json::Value>().unwrap(), json);
    }

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(plain("Server 1, ü€"), "Server 1, ü€");
        assert_eq!(
            plain("\u{1b}[2Ja\r\nb\u{9b}0m\u{202e}c\u{7f}"),
            "\u{fffd}[2Ja\u{fffd}\u{fffd}b\u{fffd}0m\u{fffd}c\u{fffd}"
        );
    }
}
