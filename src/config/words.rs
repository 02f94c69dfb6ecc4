//! A command line as words, and back. Quotes and backslashes mean what they mean to a POSIX
//! shell; nothing is expanded, and there are no operators, comments or variables.
//!
//! Own code rather than the `shlex` crate, whose comments (`#`) would silently cut a command and
//! whose errors cannot say which quote is open.

/// Why a text is not a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WordsError {
    /// A quote without its partner.
    #[error("has a {0} without its partner")]
    OpenQuote(char),
    /// Nothing follows the last backslash.
    #[error("ends in a backslash")]
    TrailingBackslash,
}

/// Splits `text` at spaces, tabs and newlines outside quotes.
pub(super) fn split(text: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if matches!(c, ' ' | '\t' | '\n') {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        match c {
            '\'' => single_quoted(&mut chars, word)?,
            '"' => double_quoted(&mut chars, word)?,
            '\\' => word.push(chars.next().ok_or(WordsError::TrailingBackslash)?),
            c => word.push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Up to the next `'`, everything stands for itself.
fn single_quoted(chars: &mut impl Iterator<Item = char>, word: &mut String) -> Result<(), WordsError> {
    loop {
        match chars.next().ok_or(WordsError::OpenQuote('\''))? {
            '\'' => return Ok(()),
            c => word.push(c),
        }
    }
}

/// Up to the next `"`, a backslash only escapes what is special there.
fn double_quoted(chars: &mut impl Iterator<Item = char>, word: &mut String) -> Result<(), WordsError> {
    const OPEN: WordsError = WordsError::OpenQuote('"');
    loop {
        match chars.next().ok_or(OPEN)? {
            '"' => return Ok(()),
            '\\' => {
                let c = chars.next().ok_or(OPEN)?;
                if !matches!(c, '"' | '\\' | '$' | '`') {
                    word.push('\\');
                }
                word.push(c);
            }
            c => word.push(c),
        }
    }
}

/// A text that [`split`] makes `words` of.
pub(super) fn join(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    quoted.join(" ")
}

/// A word as a POSIX shell reads it back.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+{}".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("  \t\n ", &[]),
            ("a  b\tc", &["a", "b", "c"]),
            ("python3 -m http.server {port}", &["python3", "-m", "http.server", "{port}"]),
            (r#"a 'b c' "d e" f\ g"#, &["a", "b c", "d e", "f g"]),
            (r"a'b'c", &["abc"]),
            (r#"'' """#, &["", ""]),
            (r"'a\b'", &[r"a\b"]),
            (r#""a\"b\\c\$d\`e\n""#, &[r#"a"b\c$d`e\n"#]),
            (r#"it\'s '"' "'""#, &["it's", "\"", "'"]),
            ("a # $HOME * ; b", &["a", "#", "$HOME", "*", ";", "b"]),
        ];
        for (text, words) in cases {
            assert_eq!(split(text).unwrap(), *words, "{text}");
        }
    }

    #[test]
    fn what_is_left_open_is_refused() {
        assert_eq!(split("a 'b"), Err(WordsError::OpenQuote('\'')));
        assert_eq!(split("a \"b"), Err(WordsError::OpenQuote('"')));
        assert_eq!(split("a \"b\\"), Err(WordsError::OpenQuote('"')));
        assert_eq!(split("a \\"), Err(WordsError::TrailingBackslash));
    }

    proptest! {
        #[test]
        fn joined_words_split_into_the_same(words in prop::collection::vec(any::<String>(), 0..6)) {
            prop_assert_eq!(split(&join(&words)), Ok(words));
        }
    }
}
