//! Parses arguments of the commands for the admin API.

use clap::ArgMatches;
use serde_json::Value;

use crate::cli::{Exit, Failure};

/// All values of an argument.
pub(super) fn all(matches: &ArgMatches, argument: &str) -> Vec<String> {
    matches.get_many(argument).into_iter().flatten().cloned().collect()
}

/// Parses `[N] [NAME]...` and the names that stand behind `--name`. A name begins with a letter.
pub(super) fn count_and_names(matches: &ArgMatches) -> Result<(Option<u32>, Vec<String>), Failure> {
    let (count, mut names) = split_count(all(matches, "what"))?;
    names.extend(all(matches, "name"));
    Ok((count, names))
}

fn split_count(mut words: Vec<String>) -> Result<(Option<u32>, Vec<String>), Failure> {
    let is_number = |word: &String| word.starts_with(|c: char| c.is_ascii_digit());
    if !words.first().is_some_and(is_number) {
        return Ok((None, words));
    }
    let first = words.remove(0);
    match first.parse() {
        Ok(0) => Err(usage("N is 0: give at least 1".to_owned())),
        Ok(count) => Ok((Some(count), words)),
        Err(_) => Err(usage(format!("{first:?} is neither a number nor a name"))),
    }
}

/// The number of replicas to add.
pub(super) fn to_add(given: Option<u32>, names: &[String], endpoints: &[String]) -> Result<u32, Failure> {
    let listed = names.len().max(endpoints.len()) as u32;
    let count = given.unwrap_or(listed.max(1));
    refuse_more_names(count, names)?;
    if !endpoints.is_empty() && endpoints.len() as u64 != u64::from(count) {
        return Err(usage(format!("{count} replicas need {count} endpoints, not {}", endpoints.len())));
    }
    Ok(count)
}

/// The number of replicas to remove.
pub(super) fn to_remove(given: Option<u32>, names: &[String]) -> Result<u32, Failure> {
    let count = given.unwrap_or(names.len() as u32);
    if count == 0 {
        return Err(usage("give N or a NAME".to_owned()));
    }
    refuse_more_names(count, names)?;
    Ok(count)
}

fn refuse_more_names(count: u32, names: &[String]) -> Result<(), Failure> {
    if names.len() as u64 > u64::from(count) {
        return Err(usage(format!(
            "N is {count}, with {} names: give at most N names, or no N for those that are named",
            names.len()
        )));
    }
    Ok(())
}

fn usage(problem: String) -> Failure {
    Failure::new(Exit::Usage, problem)
}

/// Parses `KEY=VALUE` of a change of the ring. The balancer checks the value.
pub(super) fn setting(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("use KEY=VALUE")?;
    let key = key.replace('-', "_");
    let value = match key.as_str() {
        "family" | "probing" | "placement" | "key" => Value::from(value),
        "slots" | "virtual_nodes" => {
            value.parse::<u32>().map_err(|_| format!("{value:?} is no number"))?.into()
        }
        _ => return Err("the keys are family, probing, placement, slots, virtual_nodes and key".to_owned()),
    };
    Ok((key, value))
}

/// Joins the parts of a change of the ring; each key may occur once.
pub(super) fn settings(given: impl Iterator<Item = (String, Value)>) -> Result<Value, Failure> {
    let mut settings = serde_json::Map::new();
    for (key, value) in given {
        if settings.contains_key(&key) {
            return Err(Failure::new(Exit::Usage, format!("{key} is given twice; give it one value")));
        }
        settings.insert(key, value);
    }
    Ok(settings.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn how_many_to_add() {
        for (given, names, endpoints, expected) in [
            (None, &[][..], &[][..], Some(1)),
            (Some(3), &["a"], &[], Some(3)),
            (None, &["a", "b"], &[], Some(2)),
            (None, &[], &["h:1", "h:2"], Some(2)),
            (Some(1), &["a", "b"], &[], None),
            (Some(3), &[], &["h:1"], None),
            (None, &["a", "b"], &["h:1"], None),
        ] {
            let found = to_add(given, &texts(names), &texts(endpoints));
            assert_eq!(found.ok(), expected, "{given:?} {names:?} {endpoints:?}");
        }
    }

    #[test]
    fn what_to_remove() {
        for (words, expected) in [
            (&["2"][..], Some((2, &[][..]))),
            (&["S4"], Some((1, &["S4"]))),
            (&["3", "S4", "S5"], Some((3, &["S4", "S5"]))),
            (&["S4", "3"], Some((2, &["S4", "3"]))),
            (&["0"], None),
            (&["1", "a", "b"], None),
            (&["4x"], None),
            (&[], None),
        ] {
            let expected = expected.map(|(count, names)| (count, texts(names)));
            let found = split_count(texts(words))
                .and_then(|(given, names)| to_remove(given, &names).map(|count| (count, names)));
            assert_eq!(found.ok(), expected, "{words:?}");
        }
    }

    /// `add` and `rm` read their words alike, and each takes names in both forms.
    #[test]
    fn names_are_given_in_one_form_and_in_the_older_one() {
        let words = ["2 S4 S5", "2 --name S4 --name S5", "2 S4 --name S5", "--name S5 2 S4"];
        for command in ["add", "rm"] {
            for words in words {
                let words = ["ringherd", command].into_iter().chain(words.split(' '));
                let matches = crate::cli::command().try_get_matches_from(words.clone()).expect("it parses");
                let (_, matches) = matches.subcommand().expect("one");
                let expected = (Some(2), texts(&["S4", "S5"]));
                let found = count_and_names(matches).map(|(count, mut names)| {
                    names.sort();
                    (count, names)
                });
                assert_eq!(found, Ok(expected), "{words:?}");
            }
        }
    }

    #[test]
    fn settings_of_the_ring() {
        assert_eq!(setting("slots=512"), Ok(("slots".to_owned(), 512.into())));
        assert_eq!(setting("virtual-nodes=9"), Ok(("virtual_nodes".to_owned(), 9.into())));
        assert_eq!(setting("key=header:a=b"), Ok(("key".to_owned(), "header:a=b".into())));
        for bad in ["slots", "slots=", "slots=-1", "sluts=1", "=1"] {
            assert!(setting(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_setting_has_one_value() {
        let all = |words: &[&str]| settings(words.iter().map(|word| setting(word).unwrap()));
        let two = serde_json::json!({"slots": 512, "virtual_nodes": 9});
        assert_eq!(all(&["slots=512", "virtual-nodes=9"]), Ok(two));
        let twice = all(&["virtual-nodes=9", "slots=512", "virtual_nodes=9"]).unwrap_err();
        assert_eq!(twice, Failure::new(Exit::Usage, "virtual_nodes is given twice; give it one value"));
    }
}
