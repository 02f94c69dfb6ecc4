//! Another balancer that believes to be this one: the same pool and the same instance. Each would
//! remove what the other makes, for ever; so what it makes is left alone, and said once. Pure.

use std::collections::HashSet;

use super::place::Place;
use super::seen::Seen;
use crate::runtime::engine::labels;

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    /// The containers there were when this balancer came: those of earlier lives.
    inherited: HashSet<String>,
    /// Those that have been told of.
    told: HashSet<String>,
}

impl Rivals {
    /// What the first list shows is ours, whoever made it.
    pub(super) fn inherit(&mut self, own: &[Seen]) {
        self.inherited = own.iter().map(|seen| seen.id.clone()).collect();
    }

    /// Whether a container with our name on it was made by another balancer in our time.
    pub(super) fn made(&self, seen: &Seen, place: &Place) -> bool {
        let run = seen.labels.get(labels::RUN);
        run.is_some_and(|run| *run != place.run) && !self.inherited.contains(&seen.id)
    }

    /// Says so, once for each container.
    pub(super) fn tell(&mut self, seen: &Seen, place: &Place) {
        if self.told.insert(seen.id.clone()) {
            tracing::error!(
                container = seen.name,
                "another balancer runs with pool '{}' and instance '{}', and made this container, which is left \
                 alone: give one of the two another --pool",
                place.config.spec.pool,
                place.instance
            );
        }
    }

    /// Forgets what is not listed any more.
    pub(super) fn keep(&mut self, own: &[Seen]) {
        let ids: HashSet<_> = own.iter().map(|seen| seen.id.as_str()).collect();
        self.inherited.retain(|id| ids.contains(id.as_str()));
        self.told.retain(|id| ids.contains(id.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;
    use crate::runtime::docker::seen::State;
    use crate::runtime::engine::Spec;

    fn seen(id: &str, run: Option<&str>) -> Seen {
        let run = run.map(|run| (labels::RUN.to_owned(), run.to_owned()));
        Seen {
            id: id.to_owned(),
            name: id.to_owned(),
            labels: run.into_iter().collect::<HashMap<_, _>>(),
            state: State::Running,
            addresses: BTreeMap::new(),
            created: 0,
            stop_signal: 15,
        }
    }

    #[test]
    fn only_what_others_made_in_our_time_is_theirs() {
        let place = Place::of_test(Spec::default(), None);
        let mut rivals = Rivals::default();
        rivals.inherit(&[seen("old", Some("earlier"))]);
        let golden = [
            ("old", Some("earlier"), false),
            ("new", Some("other"), true),
            ("ours", Some("this"), false),
            ("bare", None, false),
        ];
        for (id, run, theirs) in golden {
            assert_eq!(rivals.made(&seen(id, run), &place), theirs, "{id}");
        }
        rivals.keep(&[]);
        assert!(rivals.made(&seen("old", Some("earlier")), &place));
    }
}
