//! Services whose removal was begun by a balancer that is no more.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::Deed;
use super::farewell::Farewell;
use crate::runtime::swarm::world::World;

/// How long a mark may stay as it is: three of its renewals.
const ABANDONED: Duration = Duration::from_secs(60);

/// The marks that others have made: what they say, and since when. Clocks are not compared: a
/// mark is old when it has not changed for long while this balancer watched.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    marks: HashMap<String, (String, Instant)>,
}

impl Sweep {
    /// What is to be deleted. `own`: the removals of this balancer.
    pub(super) fn look(
        &mut self,
        world: &World,
        own: &BTreeMap<String, Farewell>,
        now: Instant,
    ) -> Vec<Deed> {
        let mut marks = HashMap::new();
        let mut deeds = Vec::new();
        for service in world.services.iter().filter(|service| !own.contains_key(&service.id)) {
            let Some(mark) = &service.leaving else { continue };
            let since = match self.marks.get(&service.id) {
                Some((known, since)) if known == mark => *since,
                _ => now,
            };
            if now.saturating_duration_since(since) >= ABANDONED {
                deeds.push(Deed::Delete { service: service.id.clone() });
            }
            marks.insert(service.id.clone(), (mark.clone(), since));
        }
        self.marks = marks;
        deeds
    }
}
