//! The program in a replica's container: its environment and command.

use std::collections::HashMap;
use std::hash::BuildHasher;

use super::Spec;
use crate::runtime::Launch;

/// The label, as key and value, that marks ringherd's own image.
const TITLE: (&str, &str) = ("org.opencontainers.image.title", "ringherd");

/// Whether these are the labels of ringherd's own image, whose entry point is this binary.
pub fn is_own_image<S: BuildHasher>(labels: Option<&HashMap<String, String, S>>) -> bool {
    labels.and_then(|labels| labels.get(TITLE.0)).is_some_and(|title| title == TITLE.1)
}

/// The environment of a replica, as `KEY=VALUE`: that of its revision wins over the configured one. Neither can
/// override the variables that identify the replica.
pub fn environment(spec: &Spec, launch: &Launch) -> Vec<String> {
    let own = [
        ("SERVER_ID", launch.name.clone()),
        ("SERVER_NUMBER", launch.number.to_string()),
        ("SERVER_REVISION", launch.revision.shown().to_owned()),
        ("PORT", spec.port.to_string()),
    ];
    // Of two variables of one name a program may see either: there is only one.
    let is_own = |entry: &&String| own.iter().any(|(name, _)| *name == key(entry));
    let revised = &launch.revision.env;
    let is_revised = |entry: &&String| revised.iter().any(|revised| key(revised) == key(entry));
    let configured = spec.env.iter().filter(|entry| !is_revised(entry));
    let others: Vec<_> = configured.chain(revised).filter(|entry| !is_own(entry)).cloned().collect();
    own.iter().map(|(key, value)| format!("{key}={value}")).chain(others).collect()
}

fn key(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(key, _)| key)
}

/// The arguments given to the image; `None` to use the image's own. A revision may say others than the
/// configuration.
pub fn command(spec: &Spec, launch: &Launch, own_image: bool) -> Option<Vec<String>> {
    let words = launch.revision.command.as_ref().unwrap_or(&spec.command);
    if !words.is_empty() {
        return Some(words.iter().map(|word| launch.fill_in(word, spec.port)).collect());
    }
    own_image.then(|| vec!["replica".into(), "--listen".into(), format!("0.0.0.0:{}", spec.port)])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::runtime::{ReplicaId, Revision};

    fn launch() -> Launch {
        Launch {
            id: ReplicaId(1),
            name: "Server 1".into(),
            number: 7,
            existing: None,
            revision: Arc::default(),
            replaces: None,
        }
    }

    #[test]
    fn our_own_image_is_told_to_be_a_replica() {
        let spec = Spec { port: 81, ..Spec::default() };
        let expected = ["replica", "--listen", "0.0.0.0:81"].map(String::from).to_vec();
        assert_eq!(command(&spec, &launch(), true), Some(expected));
        assert_eq!(command(&spec, &launch(), false), None);
    }

    #[test]
    fn a_command_is_filled_in() {
        let words = ["prog", "{port}{port}", "--id={name}/{number}", "{x}"].map(String::from).to_vec();
        let spec = Spec { command: words, port: 81, ..Spec::default() };
        let expected = ["prog", "8181", "--id=Server 1/7", "{x}"].map(String::from).to_vec();
        assert_eq!(command(&spec, &launch(), true), Some(expected));
    }

    #[test]
    fn a_replica_knows_itself_by_its_environment() {
        let env = ["A=1", "PORT=9", "SERVER_ID", "PORTS=2"].map(String::from).to_vec();
        let own = ["SERVER_ID=Server 1", "SERVER_NUMBER=7", "SERVER_REVISION=base", "PORT=5000"];
        let spec = Spec { env, ..Spec::default() };
        assert_eq!(environment(&spec, &launch()), [&own[..], &["A=1", "PORTS=2"]].concat());
    }

    #[test]
    fn a_revision_says_what_runs_in_place_of_the_configuration() {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let env = list(&["B=2", "PORT=1", "C=2"]);
        let revision =
            Revision { name: "v2".into(), command: Some(list(&["new", "{number}"])), env, image: None };
        let launch = Launch { revision: Arc::new(revision), ..launch() };
        let spec = Spec { env: list(&["A=1", "B=1"]), command: list(&["old"]), ..Spec::default() };
        assert_eq!(command(&spec, &launch, false), Some(list(&["new", "7"])));
        let own = ["SERVER_ID=Server 1", "SERVER_NUMBER=7", "SERVER_REVISION=v2", "PORT=5000"];
        assert_eq!(environment(&spec, &launch), [&own[..], &["A=1", "B=2", "C=2"]].concat());
        let revision = Revision { command: Some(Vec::new()), ..Revision::default() };
        let launch = Launch { revision: Arc::new(revision), ..launch };
        assert_eq!(command(&spec, &launch, false), None, "that of the image");
    }

    #[test]
    fn our_image_is_known_by_its_title() {
        let labels = |value: &str| HashMap::from([(TITLE.0.to_owned(), value.to_owned())]);
        assert!(is_own_image(Some(&labels("ringherd"))));
        assert!(!is_own_image(Some(&labels("nginx"))));
        assert!(!is_own_image(None::<&HashMap<String, String>>));
    }
}
