//! Conflicts with another balancer of the same pool and instance. Each of the two would remove the
//! containers of the other for ever. So the other's containers are left alone, and each is logged
//! once. Pure.

use std::collections::HashSet;

use super::container::Container;
use super::context::EngineContext;
use crate::runtime::engine::labels;

/// The containers that decide whose a container is.
#[derive(Debug, Default)]
pub(super) struct InstanceConflicts {
    /// Ids of the containers that existed when this balancer started: earlier runs made them.
    inherited: HashSet<String>,
    /// Ids of containers of the other balancer that have been logged.
    reported: HashSet<String>,
}

impl InstanceConflicts {
    /// Takes the containers of the first list as our own, whichever run made them.
    pub(super) fn inherit(&mut self, own: &[Container]) {
        self.inherited = own.iter().map(|container| container.id.clone()).collect();
    }

    /// Whether another balancer made `container`, which has our labels, since this one started.
    pub(super) fn is_foreign(&self, container: &Container, context: &EngineContext) -> bool {
        let run = container.labels.get(labels::RUN);
        run.is_some_and(|run| *run != context.run) && !self.inherited.contains(&container.id)
    }

    /// Logs a container of the other balancer, once.
    pub(super) fn report(&mut self, container: &Container, context: &EngineContext) {
        if self.reported.insert(container.id.clone()) {
            tracing::error!(
                container = container.name,
                "another balancer runs with pool '{}' and instance '{}', and made this container, which is left \
                 alone: give one of the two another --pool",
                context.config.spec.pool,
                context.instance
            );
        }
    }

    /// Forgets containers that are not listed any more.
    pub(super) fn retain(&mut self, own: &[Container]) {
        let ids: HashSet<_> = own.iter().map(|container| container.id.as_str()).collect();
        self.inherited.retain(|id| ids.contains(id.as_str()));
        self.reported.retain(|id| ids.contains(id.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;
    use crate::runtime::docker::container::ContainerStatus;
    use crate::runtime::engine::Spec;

    fn container(id: &str, run: Option<&str>) -> Container {
        let run = run.map(|run| (labels::RUN.to_owned(), run.to_owned()));
        Container {
            id: id.to_owned(),
            name: id.to_owned(),
            labels: run.into_iter().collect::<HashMap<_, _>>(),
            status: ContainerStatus::Running,
            addresses: BTreeMap::new(),
            created: 0,
            stop_signal: 15,
        }
    }

    #[test]
    fn what_another_balancer_made_since_the_start_is_foreign() {
        let context = EngineContext::of_test(Spec::default(), None);
        let mut conflicts = InstanceConflicts::default();
        conflicts.inherit(&[container("old", Some("earlier"))]);
        let golden = [
            ("old", Some("earlier"), false),
            ("new", Some("other"), true),
            ("ours", Some("this"), false),
            ("bare", None, false),
        ];
        for (id, run, foreign) in golden {
            assert_eq!(conflicts.is_foreign(&container(id, run), &context), foreign, "{id}");
        }
        conflicts.retain(&[]);
        assert!(conflicts.is_foreign(&container("old", Some("earlier")), &context));
    }
}
