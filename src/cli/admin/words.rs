//! Parses arguments of the commands for the admin API.

use clap::ArgMatches;
use serde_json::Value;

use crate::cli::{Exit, Failure};

/// All values of an argument.
pub(super) fn all(matches: &ArgMatches, argument: &str) -> Vec<String> {
    matches.get_many(argument).into_iter().flatten().cloned().collect()
}

/// The number of replicas to add.
pub(super) fn count(given: Option<u32>, names: &[String], endpoints: &[String]) -> Result<u32, Failure> {
    let listed = names.len().max(endpoints.len()) as u32;
    let count = given.unwrap_or(listed.max(1));
    if names.len() as u64 > u64::from(count) {
        let problem = format!("{} names are too many for {count} replicas", names.len());
        return Err(Failure::new(Exit::Usage, problem));
    }
    if !endpoints.is_empty() && endpoints.len() as u64 != u64::from(count) {
        let problem = format!("{count} replicas need {count} endpoints, not {}", endpoints.len());
        return Err(Failure::new(Exit::Usage, problem));
    }
    Ok(count)
}

/// Parses `[N] [NAME]...`: the number of replicas to remove, and names. A name begins with a letter.
pub(super) fn count_and_names(words: &[String]) -> Result<(u32, Vec<String>), Failure> {
    let usage = |problem: String| Failure::new(Exit::Usage, problem);
    let Some((first, rest)) = words.split_first() else { return Err(usage("give N or a NAME".to_owned())) };
    if !first.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok((words.len() as u32, words.to_vec()));
    }
    let count: u32 = first.parse().map_err(|_| usage(format!("{first:?} is neither a number nor a name")))?;
    if count == 0 || rest.len() as u64 > u64::from(count) {
        return Err(usage(format!(
            "N is {count}, with {} names: give at least 1, and at most N names",
            rest.len()
        )));
    }
    Ok((count, rest.to_vec()))
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
            let found = count(given, &texts(names), &texts(endpoints));
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
            assert_eq!(count_and_names(&texts(words)).ok(), expected, "{words:?}");
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
