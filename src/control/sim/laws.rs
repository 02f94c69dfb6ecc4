//! What must hold after each step of the pool, whatever happened.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::control::pool::{
    Action, Event, MemberReport, MemberSpec, Pool, Publication, STARTS, Ticket, WINDOW,
};
use crate::control::{State, name};
use crate::ring::{Node, Ring};
use crate::runtime::{ReplicaId, RuntimeEvent};

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Laws {
    /// Members there have to be.
    wanted: i64,
    /// Commands that were not answered yet, and by how much each changes `wanted`.
    tickets: BTreeMap<Ticket, i64>,
    answered: usize,
    /// What is on the ring.
    published: Vec<MemberSpec>,
    /// Which of them may be picked.
    up: BTreeMap<ReplicaId, bool>,
    /// Numbers that were never on the ring: the replicas from the start.
    unplaced: BTreeSet<u32>,
    /// Heartbeats that are under way.
    checking: BTreeSet<ReplicaId>,
    /// Those that had a good heartbeat.
    good: BTreeSet<ReplicaId>,
    /// Those that were ever started.
    launched: BTreeSet<ReplicaId>,
    /// Those that were told to stop.
    stopped: BTreeSet<ReplicaId>,
    /// Starts of each number since it was taken.
    starts: BTreeMap<u32, Vec<Instant>>,
}

/// What a step began with.
#[derive(Debug)]
pub(super) struct Before {
    answered: usize,
    nodes: Vec<Node>,
    /// Whether the event may end a replica's place on the ring without a command.
    others_act: bool,
}

/// What names of containers of others begin with.
pub(super) const APP: &str = "app ";

/// Whether a name is that of a container of others.
pub(super) fn is_app(name: &str) -> bool {
    name.starts_with(APP)
}

impl Laws {
    pub(super) fn new(replicas: u32) -> Self {
        Self {
            wanted: i64::from(replicas),
            tickets: BTreeMap::new(),
            answered: 0,
            published: Vec::new(),
            up: BTreeMap::new(),
            unplaced: (1..=replicas).collect(),
            checking: BTreeSet::new(),
            good: BTreeSet::new(),
            launched: BTreeSet::new(),
            stopped: BTreeSet::new(),
            starts: BTreeMap::new(),
        }
    }

    /// A command is about to be sent.
    pub(super) fn asked(&mut self, command: &Event) {
        let (ticket, change) = match command {
            Event::Add(ticket, add) => (ticket, i64::from(add.count)),
            Event::Remove(ticket, remove) => (ticket, -i64::from(remove.count)),
            Event::SetWeight(ticket, ..)
            | Event::ChangeRing(ticket, _)
            | Event::Kill(ticket, _)
            | Event::Reload(ticket, _)
            | Event::Stop(ticket) => (ticket, 0),
            other => unreachable!("not a command: {other:?}"),
        };
        self.tickets.insert(*ticket, change);
    }

    pub(super) fn begin_step(&mut self, event: &Event) -> Before {
        match event {
            Event::HeartbeatGood(id) if self.checking.remove(id) => {
                self.good.insert(*id);
            }
            Event::HeartbeatBad { id, .. } => {
                self.checking.remove(id);
            }
            _ => {}
        }
        let others_act =
            matches!(event, Event::Runtime(RuntimeEvent::Inventory(_) | RuntimeEvent::Ending { .. }));
        Before { answered: self.answered, nodes: nodes(&self.published), others_act }
    }

    /// An action, before it is performed.
    pub(super) fn see(&mut self, action: &Action, now: Instant, pool: &Pool) {
        match action {
            Action::Start(launch) => {
                assert!(!pool.is_stopping(), "a start while stopping");
                assert_eq!(pool.blindness(), None, "a start while the runtime does not answer");
                assert!(self.launched.insert(launch.id), "an id was used twice: {launch:?}");
                assert_eq!(name::check(&launch.name), Ok(()));
                // Theirs is as often new as they like.
                if !is_app(&launch.name) {
                    self.count_start(launch.number, now, pool);
                }
            }
            Action::Stop(id) => {
                assert!(self.launched.contains(id), "stopped what never was: {id}");
                assert!(self.stopped.insert(*id), "stopped twice: {id}");
            }
            Action::Kill(id) => {
                assert!(
                    self.launched.contains(id) && !self.stopped.contains(id),
                    "killed what is no more: {id}"
                );
            }
            Action::Check(probe) => {
                assert!(self.checking.insert(probe.id), "two heartbeats under way for {}", probe.id);
            }
            Action::SetUp(id, up) => {
                let known = self.up.insert(*id, *up);
                assert!(known.is_some_and(|before| before != *up), "set {id} to {up}, was {known:?}");
            }
            Action::Publish(publication) => self.see_publication(publication),
            Action::Drain(id) => {
                assert!(self.good.contains(id) && !self.up.contains_key(id), "drained while published: {id}");
            }
            Action::Reply(ticket, result) => {
                let change = self.tickets.remove(ticket).expect("each ticket is answered once");
                self.answered += 1;
                self.wanted += if result.is_ok() { change } else { 0 };
            }
            Action::Ignored { name, .. } => assert!(is_app(name), "{name} was ignored"),
            Action::Note(change) => assert!(change.number > 0 && !change.name.is_empty()),
        }
    }

    fn count_start(&mut self, number: u32, now: Instant, pool: &Pool) {
        let starts = self.starts.entry(number).or_default();
        if !pool.members().any(|member| member.number == number) {
            // For an /add: the number is taken anew.
            starts.clear();
        }
        starts.push(now);
        let recent = starts.iter().filter(|&&start| now - start < WINDOW).count();
        assert!(recent <= STARTS, "{recent} starts of number {number} within {WINDOW:?}");
    }

    fn see_publication(&mut self, publication: &Publication) {
        let members = &publication.members;
        assert!(members.windows(2).all(|pair| pair[0].number < pair[1].number), "numbers: {members:?}");
        assert!(
            members.iter().all(|member| self.good.contains(&member.id)),
            "no good heartbeat yet: {members:?}"
        );
        Ring::build(&publication.params, &publication.nodes()).expect("what is published can be built");
        self.up = members.iter().map(|m| (m.id, self.up.get(&m.id).copied().unwrap_or(true))).collect();
        self.published.clone_from(members);
    }

    pub(super) fn end_step(&mut self, before: &Before, pool: &Pool, now: Instant) {
        let members: Vec<_> = pool.members().collect();
        let own = members.iter().filter(|member| !is_app(&member.name)).count();
        assert_eq!(Ok(own), usize::try_from(self.wanted), "members: {members:?}");
        let names: BTreeSet<_> = members.iter().map(|member| name::fold(&member.name)).collect();
        assert_eq!(names.len(), members.len(), "names: {members:?}");
        assert!(pool.next_deadline().is_none_or(|at| at > now), "a deadline that has passed");
        self.check_ring(before, &members);
        if !pool.is_stopping() {
            self.check_up(&members);
        }
    }

    /// Only a command that was answered changes the ring, a replica from the start that enters
    /// it, and containers of others. Healing does not.
    fn check_ring(&mut self, before: &Before, members: &[MemberReport]) {
        let after = nodes(&self.published);
        assert!(after.iter().all(|node| members.iter().any(|member| member.number == node.number)));
        if self.answered == before.answered && !before.others_act {
            let kept: Vec<_> = after.iter().filter(|node| before.nodes.contains(node)).copied().collect();
            assert_eq!(kept, before.nodes, "the ring lost somebody unasked");
            let may_enter = |number: u32| {
                let app = members.iter().any(|member| member.number == number && is_app(&member.name));
                app || self.unplaced.contains(&number)
            };
            let mut entered = after.iter().filter(|node| !before.nodes.contains(node));
            assert!(entered.all(|node| may_enter(node.number)), "healing changed the ring");
        }
        for node in &after {
            self.unplaced.remove(&node.number);
        }
    }

    /// Requests go to the ready and to nobody else: not to one that is dead but keeps its place.
    fn check_up(&self, members: &[MemberReport]) {
        for spec in &self.published {
            let member = members.iter().find(|member| member.number == spec.number).expect("checked before");
            let ready = member.id == Some(spec.id) && member.state == State::Ready;
            assert_eq!(self.up.get(&spec.id), Some(&ready), "{spec:?} of {member:?}");
        }
        let listed = |member: &MemberReport| self.published.iter().any(|spec| Some(spec.id) == member.id);
        assert!(
            members.iter().filter(|member| member.state == State::Ready).all(listed),
            "ready, not on the ring"
        );
    }

    pub(super) fn is_checking(&self, id: ReplicaId) -> bool {
        self.checking.contains(&id)
    }

    pub(super) fn all_answered(&self) -> bool {
        self.tickets.is_empty()
    }
}

/// Whether every member is what it should be when all goes well.
pub(super) fn all_well(pool: &Pool) -> bool {
    let goal = if pool.is_stopping() { State::Stopped } else { State::Ready };
    pool.members().all(|member| member.state == goal)
}

fn nodes(members: &[MemberSpec]) -> Vec<Node> {
    members.iter().map(|member| Node { number: member.number, weight: member.weight }).collect()
}
