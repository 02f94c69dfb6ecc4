//! As much of `PromQL` as it takes to find what an expression asks for: names of metrics, and
//! names of labels.

use std::collections::BTreeSet;

/// What an expression names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Metrics.
    pub metrics: BTreeSet<String>,
    /// Labels, each with the metric it is selected by; `None` where many might have it: in `by`
    /// and its like.
    pub labels: BTreeSet<(Option<String>, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text,
    Sign(char),
}

/// Words that are followed by a list of labels in parentheses.
const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words between two expressions.
const BETWEEN: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

/// What `expression` names. Ranges in square brackets are passed over, variables of a dashboard
/// in them.
pub fn names(expression: &str) -> Named {
    let tokens = tokens(expression);
    let mut named = Named::default();
    let mut at = 0;
    while at < tokens.len() {
        let Token::Word(word) = &tokens[at] else {
            assert!(tokens[at] != Token::Sign('{'), "a selector without a metric: {expression}");
            at += 1;
            continue;
        };
        at += 1;
        let next = tokens.get(at);
        if BEFORE_LABELS.contains(&word.as_str()) && next == Some(&Token::Sign('(')) {
            let end = position(&tokens, at, ')');
            for token in &tokens[at..end] {
                if let Token::Word(label) = token {
                    named.labels.insert((None, label.clone()));
                }
            }
            at = end;
        } else if next == Some(&Token::Sign('{')) {
            let end = position(&tokens, at, '}');
            for pair in tokens[at..end].windows(2) {
                if let [Token::Word(label), Token::Sign('=' | '!')] = pair {
                    named.labels.insert((Some(word.clone()), label.clone()));
                }
            }
            named.metrics.insert(word.clone());
            at = end;
        } else {
            let is_function = next == Some(&Token::Sign('('));
            let is_aggregation =
                matches!(next, Some(Token::Word(next)) if BEFORE_LABELS.contains(&next.as_str()));
            let is_operator = BETWEEN.contains(&word.as_str()) || BEFORE_LABELS.contains(&word.as_str());
            let is_number = word.starts_with(|c: char| c.is_ascii_digit());
            if !(is_function || is_aggregation || is_operator || is_number) {
                named.metrics.insert(word.clone());
            }
        }
    }
    named
}

/// Where `sign` comes next.
fn position(tokens: &[Token], from: usize, sign: char) -> usize {
    let after = tokens[from..].iter().position(|token| *token == Token::Sign(sign));
    from + after.unwrap_or_else(|| panic!("no {sign} in {tokens:?}"))
}

fn tokens(expression: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '$');
        let length = match first {
            '"' => {
                tokens.push(Token::Text);
                2 + rest[1..].find('"').unwrap_or_else(|| panic!("no end of a text: {expression}"))
            }
            '[' => 1 + rest.find(']').unwrap_or_else(|| panic!("no end of a range: {expression}")),
            c if is_word(c) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..length].to_owned()));
                length
            }
            sign => {
                tokens.push(Token::Sign(sign));
                sign.len_utf8()
            }
        };
        rest = rest[length..].trim_start();
    }
    tokens
}
