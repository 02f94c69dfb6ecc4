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

/// The environment of a replica, as `KEY=VALUE`. The configuration cannot override the variables that
/// identify the replica.
pub fn environment(spec: &Spec, launch: &Launch) -> Vec<String> {
    let own = [
        ("SERVER_ID", launch.name.clone()),
        ("SERVER_NUMBER", launch.number.to_string()),
        ("PORT", spec.port.to_string()),
    ];
    let is_own = |entry: &&String| {
        let key = entry.split_once('=').map_or(entry.as_str(), |(key, _)| key);
        own.iter().any(|(name, _)| *name == key)
    };
    let others: Vec<_> = spec.env.iter().filter(|entry| !is_own(entry)).cloned().collect();
    own.iter().map(|(key, value)| format!("{key}={value}")).chain(others).collect()
}

/// The arguments given to the image; `None` to use the image's own.
pub fn command(spec: &Spec, launch: &Launch, own_image: bool) -> Option<Vec<String>> {
    if !spec.command.is_empty() {
        return Some(spec.command.iter().map(|word| launch.fill_in(word, spec.port)).collect());
    }
    own_image.then(|| vec!["replica".into(), "--listen".into(), format!("0.0.0.0:{}", spec.port)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::ReplicaId;

    fn launch() -> Launch {
        Launch {
            id: ReplicaId(1),
            name: "Server 1".into(),
            number: 7,
            existing: None,
            revision: std::sync::Arc::default(),
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
        let expected = ["SERVER_ID=Server 1", "SERVER_NUMBER=7", "PORT=5000", "A=1", "PORTS=2"];
        assert_eq!(environment(&Spec { env, ..Spec::default() }, &launch()), expected);
    }

    #[test]
    fn our_image_is_known_by_its_title() {
        let labels = |value: &str| HashMap::from([(TITLE.0.to_owned(), value.to_owned())]);
        assert!(is_own_image(Some(&labels("ringherd"))));
        assert!(!is_own_image(Some(&labels("nginx"))));
        assert!(!is_own_image(None::<&HashMap<String, String>>));
    }
}
