//! Revisions by name: of the configuration, of images that a request names, and of replicas that were found.

use std::sync::Arc;
use std::time::Instant;

use super::image;
use crate::control::pool::Pool;
use crate::control::{ControlError, DeployRequest};
use crate::runtime::Revision;

impl Pool {
    /// The revision of a replica that was found. One that the configuration does not have is known by its name alone.
    pub(in crate::control::pool) fn revision_of_found(&self, name: &str) -> Arc<Revision> {
        let name = if name.is_empty() { Revision::BASE } else { name };
        self.revision_named(name)
            .unwrap_or_else(|_| Arc::new(Revision { name: name.to_owned(), ..Revision::default() }))
    }

    /// The balancer before this one has deployed something, or was about to when it ended; or another one that shares the
    /// pool has. What most replicas that were found have is what those have that are started from now on. Where this
    /// balancer is the only one, it is what they all are to have.
    pub(in crate::control::pool) fn take_up_revisions(&mut self) {
        let mut counts: Vec<(Arc<Revision>, usize)> = Vec::new();
        let owner = self.runtime.owner;
        for (_, member) in self.members.iter().filter(|(_, member)| member.owner() == owner) {
            match counts.iter_mut().find(|(revision, _)| *revision == member.revision) {
                Some((_, count)) => *count += 1,
                None => counts.push((Arc::clone(&member.revision), 1)),
            }
        }
        let is_known = |revision: &Arc<Revision>| {
            self.revision_named(revision.shown()).is_ok_and(|known| known == *revision)
        };
        let mixed = counts.len() > 1 || counts.iter().any(|(revision, _)| !is_known(revision));
        counts.retain(|(revision, _)| is_known(revision));
        // Of several that are as many the configured one.
        let configured = self.deploys.current();
        let most = counts.into_iter().max_by_key(|(revision, count)| (*count, *revision == configured));
        if let Some((revision, _)) = most {
            self.deploys.current = revision;
        }
        self.deploys.is_mixed = mixed && owner.is_balancer();
    }

    /// Begins to make one revision of several that were found, as soon as that is possible. Returns whether it has.
    pub(in crate::control::pool) fn unify_revisions(&mut self, now: Instant) -> bool {
        if !self.deploys.is_mixed {
            return false;
        }
        let request = DeployRequest { revision: self.deploys.current().shown().to_owned(), canary: None };
        let begun = self.begin_deploy(&request, now);
        // An outage ends, and so does what is under way. Nothing else that is refused changes by itself.
        self.deploys.is_mixed =
            matches!(begun, Err(ControlError::Unavailable(_) | ControlError::DeployNotNow(_)));
        begun.is_ok()
    }

    /// The configuration may have revisions now that were known by their names alone.
    pub(in crate::control::pool) fn recall_revisions(&mut self) {
        let forgotten = self.members.iter().filter(|(_, member)| member.revision.is_forgotten());
        let names: Vec<_> =
            forgotten.map(|(number, member)| (number, member.revision.name.clone())).collect();
        for (number, name) in names {
            let revision = self.revision_of_found(&name);
            if let Some(member) = self.members.get_mut(number) {
                member.revision = revision;
            }
        }
    }

    /// The revision that goes by this name.
    pub(super) fn revision_named(&self, name: &str) -> Result<Arc<Revision>, ControlError> {
        let revisions = &self.config.deploy.revisions;
        if name == Revision::BASE {
            return Ok(Arc::default());
        }
        let asked = DeployRequest { revision: name.to_owned(), canary: None };
        if asked.names_image() {
            return match image::check(name, &self.config.deploy.images) {
                Ok(()) => Ok(Arc::new(Revision {
                    name: name.to_owned(),
                    image: Some(name.to_owned()),
                    ..Revision::default()
                })),
                Err(why) => Err(ControlError::ImageRefused { image: name.to_owned(), why }),
            };
        }
        revisions.iter().find(|revision| revision.name == name).cloned().ok_or_else(|| {
            let named = revisions.iter().map(|revision| revision.name.clone());
            let known = std::iter::once(Revision::BASE.to_owned()).chain(named).collect();
            ControlError::UnknownRevision { name: name.to_owned(), known }
        })
    }
}
