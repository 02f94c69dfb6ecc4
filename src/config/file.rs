//! The configuration file: from TOML to the texts that flags would have given, with their lines.
//!
//! Knows which keys there are and whether they take lists, not what their values mean.

use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Source};
use super::raw::{self, Given};
use super::setting::{Kind, Setting};
use super::{suggest, table};

/// Reads `text`, the content of the file named `path`, into `found`. What cannot be read is
/// added to `problems`, and the rest is read all the same.
pub(super) fn read(path: &str, text: &str, problems: &mut Vec<Problem>) -> Vec<(&'static Setting, Given)> {
    let (document, errors) = DeTable::parse_recoverable(text);
    problems.extend(errors.iter().map(|error| syntax(path, text, error)));
    if !errors.is_empty() {
        // What was recovered may lack what the user wrote: complaints about it would mislead.
        return Vec::new();
    }
    let mut found = Vec::new();
    for (key, value) in document.get_ref() {
        let source = Source::File { path: path.to_owned(), line: line_at(text, key.span().start) };
        match entry(key.get_ref(), value.get_ref()) {
            Ok((setting, values)) => found.push((setting, Given { values, source })),
            Err((what, hint)) => {
                let key = key.get_ref().to_string();
                problems.push(Problem { key, source, value: None, what, hint });
            }
        }
    }
    // The parser sorts by key; a reader of the file expects the order of the file.
    problems.sort_by_key(|problem| match problem.source {
        Source::File { line, .. } => line,
        _ => 0,
    });
    found
}

/// What is wrong, and what to do.
type Refused = (String, Option<String>);

fn entry(key: &str, value: &DeValue<'_>) -> Result<(&'static Setting, Vec<String>), Refused> {
    if let DeValue::Table(_) = value {
        let hint = "write all keys at the top level of the file, without [sections] and dots";
        return Err(("is a table; there are none".to_owned(), Some(hint.to_owned())));
    }
    let setting = table::find(key).ok_or_else(|| unknown(key))?;
    if setting.key == "config" {
        return Err(("cannot be set in the file itself".to_owned(), None));
    }
    Ok((setting, texts(setting, value)?))
}

fn unknown(key: &str) -> Refused {
    let hint = match key {
        "admin-token" => Some("write the token to a file and name it with admin-token-file".to_owned()),
        _ => suggest::nearest(key, table::settings().map(|setting| setting.key))
            .map(|near| format!("did you mean {near}?")),
    };
    ("unknown key".to_owned(), hint)
}

/// The texts of a value, of a type that fits the setting.
fn texts(setting: &Setting, value: &DeValue<'_>) -> Result<Vec<String>, Refused> {
    match value {
        DeValue::Array(_) if !setting.repeatable() => Err(("is a list; it takes one value".to_owned(), None)),
        DeValue::Array(items) if items.is_empty() => {
            Err(("is an empty list".to_owned(), Some("leave the key out".to_owned())))
        }
        DeValue::Array(items) => items.iter().map(|item| text(setting, item.get_ref())).collect(),
        value if setting.separated_by_commas() => Ok(raw::split_list(&text(setting, value)?).collect()),
        value => Ok(vec![text(setting, value)?]),
    }
}

fn text(setting: &Setting, value: &DeValue<'_>) -> Result<String, Refused> {
    let number = matches!(
        setting.kind,
        Kind::Integer { .. }
            | Kind::Duration { .. }
            | Kind::Factor { .. }
            | Kind::Port
            | Kind::Size { .. }
            | Kind::Number { .. }
    );
    let on_off = matches!(setting.kind, Kind::Choice(words) if words.contains(&"on"));
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(integer) if number => Ok(i128::from_str_radix(integer.as_str(), integer.radix())
            // Too long for any bound: the text serves to say so.
            .map_or_else(|_| integer.to_string(), |integer| integer.to_string())),
        DeValue::Float(float) if number => {
            Ok(float.as_str().parse().map_or_else(|_| float.to_string(), |float: f64| float.to_string()))
        }
        DeValue::Boolean(value) if on_off => Ok(if *value { "on" } else { "off" }.to_owned()),
        _ => Err((format!("must be {}, as a string", setting.kind), Some("put it in quotes".to_owned()))),
    }
}

/// A syntax error, without the line itself: it might hold a secret.
fn syntax(path: &str, text: &str, error: &toml::de::Error) -> Problem {
    let line = error.span().map_or(1, |span| line_at(text, span.start));
    let what = error.message().replace('\n', ", ");
    Problem {
        key: "not valid TOML".to_owned(),
        source: Source::File { path: path.to_owned(), line },
        value: None,
        what,
        hint: None,
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(&'static str, Vec<String>, usize)> {
        let mut problems = Vec::new();
        let found = read("f", text, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let line = |source| if let Source::File { line, .. } = source { line } else { 0 };
        found.into_iter().map(|(setting, given)| (setting.key, given.values, line(given.source))).collect()
    }

    fn problems(text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        read("f", text, &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn native_types_become_the_texts_of_flags() {
        for (text, value) in [
            ("replicas = 5", "5"),
            ("replicas = 1_000", "1000"),
            ("replicas = 0xff", "255"),
            ("replicas = -1", "-1"),
            ("replicas = '5'", "5"),
            ("bounded-load = 1.5", "1.5"),
            ("bounded-load = 2", "2"),
            ("bounded-load = 1e1", "10"),
            ("public-admin = true", "on"),
            ("public-admin = false", "off"),
            ("listen = \"[::1]:80\"", "[::1]:80"),
            ("upstream = 'a:1'", "a:1"),
            ("replica-port = 8080", "8080"),
            ("replica-cpus = 0.5", "0.5"),
            ("replica-env = 'A=b,c d'", "A=b,c d"),
        ] {
            assert_eq!(values(text)[0].1, [value], "{text}");
        }
    }

    #[test]
    fn lists_and_lines_are_kept() {
        let found = values("# comment\nupstream = [\n 'a:1',\n 'b:2',\n]\nreplicas = 1\n");
        assert_eq!(found[0], ("replicas", vec!["1".to_owned()], 6));
        assert_eq!(found[1], ("upstream", vec!["a:1".to_owned(), "b:2".to_owned()], 2));
    }

    #[test]
    fn all_that_cannot_be_read_is_said_in_the_order_of_the_file() {
        let text = "workres = 1\nlisten = 5000\n[health]\ninterval = 1\n[config]\n";
        let found = problems(text);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].starts_with("f:1: workres: unknown key; did you mean workers?"), "{found:?}");
        assert!(found[1].starts_with("f:2: listen: must be IP:PORT, as a string"), "{found:?}");
        assert!(found[2].starts_with("f:3: health: is a table"), "{found:?}");
        assert!(found[3].starts_with("f:5: config: is a table"), "{found:?}");
    }

    #[test]
    fn refusals() {
        for (text, what) in [
            ("config = 'x'", "cannot be set in the file itself"),
            ("upstream = []", "empty list"),
            ("listen = ['127.0.0.1:1']", "takes one value"),
            ("replicas = true", "must be a whole number"),
            ("health-path = true", "must be a path"),
            ("upstream = [['a:1']]", "must be HOST:PORT"),
            ("grace = 2020-01-01", "must be a duration"),
            ("health.interval = 1", "is a table"),
            ("replicas = 1\nreplicas = 2", "f:2: not valid TOML: duplicate key"),
        ] {
            let found = problems(text);
            assert!(found.len() == 1 && found[0].contains(what), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_repeated() {
        for text in ["admin-token = 'hunter22'", "admin-token = hunter22", "hunter22 hunter22 = "] {
            let found = problems(text).join("\n");
            assert!(!found.is_empty() && !found.contains("hunter22"), "{found}");
        }
        assert!(problems("admin-token = 'x'")[0].contains("admin-token-file"));
    }
}
