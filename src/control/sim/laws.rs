//! What must hold after each step of the pool, whatever happened.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::swarm::{ELSEWHERE, OTHER};
use crate::cluster::Standing;
use crate::control::pool::{
    Action, Event, MemberReport, MemberSpec, Pool, Publication, STARTS, Ticket, Verdict, WINDOW,
};
use crate::control::{DeployOrder, DeployState, DeployStep, DeployView, Request, State, View, name};
use crate::ring::Node;
use crate::runtime::{Found, Launch, ReplicaId, Revision, RuntimeEvent};

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Laws {
    /// Whether another balancer changes the same pool.
    is_shared: bool,
    /// Members there have to be.
    wanted: i64,
    /// Commands that were not answered yet, and by how much each changes `wanted`.
    tickets: BTreeMap<Ticket, i64>,
    answered: usize,
    /// Whom the pool wants on the ring.
    published: Vec<MemberSpec>,
    /// Whether others have changed the ring since it was as the pool wants it.
    others_acted: bool,
    /// Which of those on the ring may be picked.
    up: BTreeMap<ReplicaId, bool>,
    /// Those that are ejected or half-open by outlier detection, and since when.
    standings: BTreeMap<ReplicaId, (Standing, Instant)>,
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
    /// Whether no number was to have two replicas at any time: then there may be vacancies.
    ever_stopped_first: bool,
    /// What revision each number had after the last step.
    revisions: BTreeMap<u32, String>,
    /// The deploy that something was last prepared for.
    preparing: Option<u64>,
    /// The deploy that was told of last, and what revision each number had when it began.
    deploying: (u64, BTreeMap<u32, String>),
    /// The number of each replica of ours that was started and has not ended.
    living: BTreeMap<ReplicaId, u32>,
    /// Numbers that a deploy has taken from a replica that served, and that nobody serves yet.
    vacated: BTreeSet<u32>,
    /// Starts of each number since it was taken.
    starts: BTreeMap<u32, Vec<Instant>>,
}

/// What a step began with.
#[derive(Debug)]
pub(super) struct Before {
    answered: usize,
    nodes: Vec<Node>,
    /// Whether no number might have two replicas.
    stops_first: bool,
    /// The replica of a heartbeat that tells nothing.
    unknown: Option<ReplicaId>,
}

/// The most heartbeats at a time.
pub(super) const HEARTBEATS: usize = 3;

/// What names of containers of others begin with.
pub(super) const APP: &str = "app ";

/// Whether no number may have two replicas: as the deploy under way began, or as is configured.
fn stops_first(pool: &Pool) -> bool {
    let under_way = pool.deploy().filter(|deploy| !deploy.state.has_ended());
    under_way.map_or(pool.config().deploy.order, |deploy| deploy.order) == DeployOrder::StopFirst
}

/// Whether a name is that of a container of others.
pub(super) fn is_app(name: &str) -> bool {
    name.starts_with(APP)
}

impl Laws {
    pub(super) fn new(replicas: u32, is_shared: bool) -> Self {
        Self {
            is_shared,
            wanted: i64::from(replicas),
            tickets: BTreeMap::new(),
            answered: 0,
            published: Vec::new(),
            others_acted: false,
            up: BTreeMap::new(),
            standings: BTreeMap::new(),
            unplaced: (1..=replicas).collect(),
            checking: BTreeSet::new(),
            good: BTreeSet::new(),
            launched: BTreeSet::new(),
            stopped: BTreeSet::new(),
            ever_stopped_first: false,
            revisions: BTreeMap::new(),
            preparing: None,
            deploying: (0, BTreeMap::new()),
            living: BTreeMap::new(),
            vacated: BTreeSet::new(),
            starts: BTreeMap::new(),
        }
    }

    /// A request is about to be sent.
    pub(super) fn asked(&mut self, ticket: Ticket, request: &Request) {
        let change = match request {
            Request::Add(add) => i64::from(add.count),
            Request::Remove(remove) => -i64::from(remove.count),
            _ => 0,
        };
        self.tickets.insert(ticket, change);
    }

    /// The runtime is about to tell of these replicas, which another balancer has started. Before that there are none.
    pub(super) fn adopts(&mut self, replicas: u32, found: &[Found]) {
        self.wanted = i64::from(replicas);
        self.unplaced = (1..=replicas).collect();
        let revision = |found: &Found| {
            let revision = if found.revision.is_empty() { Revision::BASE } else { &found.revision };
            (found.number.expect("ours have numbers"), revision.to_owned())
        };
        self.revisions = found.iter().map(revision).collect();
    }

    /// Another balancer adds replicas, or removes some.
    pub(super) fn others_change(&mut self, by: i64) {
        self.wanted += by;
    }

    /// Whether there are as many as there have to be.
    pub(super) fn has_wanted(&self, members: usize) -> bool {
        Ok(members) == usize::try_from(self.wanted)
    }

    /// What was found is not what the pool has: others have added or removed some. That they deploy changes no ring.
    fn see_found(&mut self, found: &[Found], pool: &Pool) {
        let known: BTreeSet<_> = pool.members().map(|member| member.number).collect();
        let numbers: BTreeSet<_> = found.iter().filter_map(|found| found.number).collect();
        self.unplaced.extend(numbers.difference(&known));
        let has_apps =
            found.iter().any(|found| is_app(&found.name)) || pool.members().any(|m| is_app(&m.name));
        self.others_acted |= numbers != known || has_apps;
    }

    /// `nodes` are those of the ring in force.
    pub(super) fn begin_step(&mut self, event: &Event, nodes: Vec<Node>, pool: &Pool) -> Before {
        if let Event::Heartbeat(id, verdict) = event
            && self.checking.remove(id)
            && *verdict == Verdict::Good
        {
            self.good.insert(*id);
        }
        if let Event::Runtime(RuntimeEvent::Exited { id, .. } | RuntimeEvent::StartFailed { id, .. }) = event
        {
            self.living.remove(id);
        }
        match event {
            Event::Runtime(RuntimeEvent::Inventory(found)) if self.is_shared => self.see_found(found, pool),
            Event::Runtime(RuntimeEvent::Inventory(_) | RuntimeEvent::Ending { .. }) => {
                self.others_acted = true;
            }
            _ => {}
        }
        let unknown = match event {
            Event::Heartbeat(id, Verdict::Unknown(_)) => Some(*id),
            _ => None,
        };
        let stops_first = stops_first(pool);
        Before { answered: self.answered, nodes, stops_first, unknown }
    }

    /// An action, before it is performed.
    pub(super) fn see(
        &mut self,
        action: &Action,
        now: Instant,
        pool: &Pool,
        before: &Before,
        listed: &[ReplicaId],
    ) {
        let may_stop_first = before.stops_first || stops_first(pool);
        self.ever_stopped_first |= may_stop_first;
        match action {
            Action::Prepare { deploy, .. } => assert!(self.preparing.replace(*deploy) < Some(*deploy)),
            Action::CancelPreparation => assert!(self.preparing.is_some()),
            Action::Start(launch) => self.see_start(launch, now, pool, before),
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
                assert!(self.checking.len() <= HEARTBEATS, "too many heartbeats: {:?}", self.checking);
            }
            Action::Locate(id) => assert!(self.launched.contains(id) && !self.stopped.contains(id), "{id}"),
            Action::SetUp(id, up) => {
                assert!(
                    *up || before.unknown != Some(*id),
                    "ejected for a heartbeat that tells nothing: {id}"
                );
                match self.up.get_mut(id) {
                    Some(before) => assert!(std::mem::replace(before, *up) != *up, "set {id} to {up} again"),
                    // It leaves, and a snapshot may list it until its own is in force; or it stands beside another.
                    None => assert!(self.good.contains(id), "set {id} to {up}, which was never listed"),
                }
            }
            Action::SetStanding(id, standing) => {
                assert!(self.good.contains(id), "{id} was never on the ring");
                let before = match standing {
                    Standing::Good => self.standings.remove(id),
                    _ => self.standings.insert(*id, (*standing, now)),
                };
                match (before.map(|(before, _)| before), standing) {
                    (None, Standing::Ejected)
                    | (Some(Standing::Ejected), Standing::HalfOpen | Standing::Good)
                    | (Some(Standing::HalfOpen), Standing::Ejected | Standing::Good) => {}
                    (before, after) => panic!("{id}: from {before:?} to {after:?}"),
                }
            }
            Action::Publish { .. } => self.see_publication(&pool.publication(), pool),
            Action::Drain(id) => {
                assert!(self.good.contains(id) && !listed.contains(id), "drained while published: {id}");
            }
            Action::Retire(id) => {
                assert!(self.good.contains(id) && !self.stopped.contains(id), "retired {id}");
            }
            Action::Vacate(id) | Action::TakeNumber(id) => {
                assert!(self.is_shared && !self.stopped.contains(id), "told others of {id}");
            }
            Action::Forget(id) => self.see_forgotten(*id),
            Action::Reply(ticket, result) => {
                let change = self.tickets.remove(ticket).expect("each ticket is answered once");
                self.answered += 1;
                self.wanted += if result.is_ok() { change } else { 0 };
            }
            Action::Ignored { name, .. } => assert!(is_app(name), "{name} was ignored"),
            Action::Unready { reason, .. } | Action::EjectionRefused { reason, .. } => {
                assert!(!reason.is_empty());
            }
            Action::TellDeploy(deploy) => self.see_deploy(deploy, pool),
            Action::Unserved => self.see_unserved(may_stop_first, pool),
            Action::Note(change) => assert!(change.number > 0 && !change.name.is_empty()),
        }
    }

    fn see_forgotten(&mut self, id: ReplicaId) {
        assert!(self.is_shared && self.launched.contains(&id), "forgot {id}");
        assert!(self.stopped.insert(id), "forgot what was stopped: {id}");
        self.living.remove(&id);
    }

    fn see_unserved(&self, may_stop_first: bool, pool: &Pool) {
        assert!(may_stop_first, "a deploy has taken nobody");
        let published = pool.publication().members;
        let serves = |member: &MemberSpec| member.up && !self.standings.contains_key(&member.id);
        assert!(!published.iter().any(serves), "somebody serves: {published:?}");
    }

    fn see_start(&mut self, launch: &Launch, now: Instant, pool: &Pool, before: &Before) {
        // What is there already may be taken hold of, only to be stopped.
        let is_held = self.is_shared && launch.existing.is_some();
        assert!(!pool.is_stopping() || is_held, "a start while stopping");
        assert!(pool.outage().is_none() || is_held, "a start while the runtime does not answer");
        assert!(self.launched.insert(launch.id), "an id was used twice: {launch:?}");
        assert_eq!(name::check(&launch.name), Ok(()));
        if !is_app(&launch.name) {
            // What was found is there, whatever number it has.
            // Where two balancers create replicas a number is certain only when its service is there.
            let is_new = launch.existing.is_none() && !self.is_shared;
            let is_alone = is_new && before.stops_first && stops_first(pool);
            let has_two = self.living.values().any(|number| *number == launch.number);
            assert!(!has_two || !is_alone, "number {} has two: {launch:?}", launch.number);
            self.living.insert(launch.id, launch.number);
        }
        // Theirs is as often new as they like.
        if pool.is_beside(launch.id) {
            // A deploy is no crash: what its number did before counts no more.
            self.starts.remove(&launch.number);
        } else if !is_app(&launch.name) && !self.is_shared {
            self.count_start(launch.number, now, pool);
        }
    }

    /// Every number of a deploy that has ended has the revision that its end says: the new one, or the one before.
    fn see_deploy(&mut self, deploy: &DeployView, pool: &Pool) {
        assert_eq!(deploy.state.has_ended(), deploy.ended.is_some());
        if deploy.state == DeployState::Preparing {
            assert_eq!(self.preparing, Some(deploy.id));
            assert!(deploy.numbers.iter().all(|number| number.step == DeployStep::Pending), "{deploy:?}");
        }
        let member = |number: u32| pool.member(number).expect("nobody leaves during a deploy");
        let revision = |number: u32| member(number).revision.shown().to_owned();
        if self.deploying.0 != deploy.id {
            self.deploying = (deploy.id, self.revisions.clone());
        }
        // A number that has another replica by a deploy has not crashed: what the one before did counts no more.
        deploy.numbers.iter().for_each(|number| _ = self.starts.remove(&number.number));
        if !deploy.state.has_ended() || pool.is_stopping() {
            return;
        }
        // An abort that was asked for twice leaves some to be healed.
        self.vacated.clear();
        assert_eq!(deploy.state == DeployState::Succeeded, deploy.reason.is_empty(), "{deploy:?}");
        let is_of_others = |number: u32| {
            let member = member(number);
            // What is known by its name alone nobody can start again.
            let revisions = [member.revision.shown(), &self.deploying.1[&number]];
            self.is_shared && (member.name.starts_with(OTHER) || revisions.contains(&ELSEWHERE))
        };
        for number in deploy.numbers.iter().filter(|number| !is_of_others(number.number)) {
            // Asked for twice, an abort waits no more for what does not come back.
            let is_new = deploy.state == DeployState::Succeeded || number.step == DeployStep::Passed;
            let wanted = if is_new { &deploy.to } else { &self.deploying.1[&number.number] };
            assert_eq!(revision(number.number), *wanted, "{deploy:?}");
            // What nobody runs is not healed with what was taken back, but as it is where others change it too.
            let is_kept = !self.is_shared
                && deploy.state != DeployState::Succeeded
                && number.step == DeployStep::Passed;
            assert!(!is_kept || member(number.number).id.is_some(), "{number:?} of {deploy:?}");
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

    /// Whether a number had a revision, when the deploy began, that this balancer cannot start.
    fn has_no_way_back(&self, number: u32) -> bool {
        self.deploying.1.get(&number).is_some_and(|revision| revision == ELSEWHERE)
    }

    fn see_publication(&mut self, publication: &Publication, pool: &Pool) {
        let members = &publication.members;
        // The place of a replica that left for its successor: nobody has it.
        let is_vacancy = |member: &MemberSpec| !self.launched.contains(&member.id);
        assert!(
            members
                .iter()
                .filter(|m| is_vacancy(m))
                .all(|m| (self.ever_stopped_first || self.is_shared) && !m.up),
            "nobody is there: {members:?}"
        );
        assert!(members.windows(2).all(|pair| pair[0].number < pair[1].number), "numbers: {members:?}");
        assert!(
            members.iter().all(|member| self.good.contains(&member.id) || is_vacancy(member)),
            "no good heartbeat yet: {members:?}"
        );
        let deploy = pool.deploy().filter(|deploy| !deploy.state.has_ended());
        let of_deploy = |number| deploy.iter().any(|it| it.numbers.iter().any(|it| it.number == number));
        for member in members {
            // A replica that takes requests gives its number only to one that does: a deploy costs nobody.
            let before = self.published.iter().find(|before| before.number == member.number);
            let was_up =
                before.is_some_and(|before| before.id != member.id && self.up.get(&before.id) == Some(&true));
            assert!(
                !was_up || member.up || is_vacancy(member),
                "{member:?} took the place of one that served"
            );
            let served = was_up && before.is_some_and(|before| !self.standings.contains_key(&before.id));
            if !is_vacancy(member) {
                self.vacated.remove(&member.number);
            } else if served && of_deploy(member.number) && !self.has_no_way_back(member.number) {
                self.vacated.insert(member.number);
            }
        }
        // One that another balancer has removed is no number any more.
        self.vacated.retain(|number| members.iter().any(|member| member.number == *number));
        let surge = pool.config().deploy.surge as usize;
        assert!(self.vacated.len() <= surge, "a deploy of {surge} at a time has taken {:?}", self.vacated);
        // One that has moved begins anew, as it is.
        let stays = |m: &MemberSpec| {
            self.published.iter().all(|before| before.id != m.id || before.address == m.address)
        };
        let up = |m: &MemberSpec| match self.up.get(&m.id) {
            Some(up) if stays(m) => *up,
            None if stays(m) => !is_vacancy(m),
            _ => m.up,
        };
        self.up = members.iter().map(|m| (m.id, up(m))).collect();
        self.published.clone_from(members);
    }

    /// `nodes` are those of the ring in force, which is as the pool wants it if `complete`.
    pub(super) fn end_step(
        &mut self,
        before: &Before,
        pool: &Pool,
        now: Instant,
        nodes: &[Node],
        complete: bool,
    ) {
        let members: Vec<_> = pool.members().collect();
        let own = members.iter().filter(|member| !is_app(&member.name)).count();
        // What waits for a ring when the end comes is done, and answered as if it were not.
        if complete && !pool.is_stopping() && !self.is_shared {
            assert_eq!(Ok(own), usize::try_from(self.wanted), "members: {members:?}");
        }
        let names: BTreeSet<_> = members.iter().map(|member| name::fold(&member.name)).collect();
        assert_eq!(names.len(), members.len(), "names: {members:?}");
        assert!(pool.next_deadline().is_none_or(|at| at > now), "a deadline that has passed");
        pool.check_invariants();
        let revision = |member: &MemberReport| (member.number, member.revision.shown().to_owned());
        self.revisions = members.iter().map(revision).collect();
        self.check_ring(before, &members, nodes, complete);
        self.check_standings(&members, pool, now);
        if !pool.is_stopping() {
            self.check_up(&pool.publication().members, &members);
        }
    }

    /// Of those whose heartbeats are good so many take requests as is configured; and each that is
    /// ejected is tried again in time.
    fn check_standings(&mut self, members: &[MemberReport], pool: &Pool, now: Instant) {
        let config = &pool.config().outliers;
        let (out, healthy) = pool.count_outliers();
        assert!(out * 100 <= healthy * config.max_ejection_percent as usize, "{out} of {healthy} ejected");
        self.standings.retain(|id, _| members.iter().any(|member| member.id == Some(*id)));
        for (id, (standing, since)) in &self.standings {
            let member = members.iter().find(|member| member.id == Some(*id)).expect("retained");
            assert!(member.state != State::Ready, "{member:?} is {standing:?}");
            let is_healthy = self.up.get(id).copied().unwrap_or(false);
            let waits_too_long = now >= *since + config.max_ejection_time;
            assert!(
                *standing == Standing::HalfOpen || !is_healthy || !waits_too_long,
                "no trial: {member:?}"
            );
        }
    }

    /// Only a request that was answered changes the ring, a replica from the start that enters
    /// it, and containers of others. Healing does not.
    fn check_ring(&mut self, before: &Before, members: &[MemberReport], after: &[Node], complete: bool) {
        if self.answered == before.answered && !self.others_acted {
            let kept: Vec<_> = after.iter().filter(|node| before.nodes.contains(node)).copied().collect();
            assert_eq!(kept, before.nodes, "the ring lost somebody unasked");
            let may_enter = |number: u32| {
                let app = members.iter().any(|member| member.number == number && is_app(&member.name));
                app || self.unplaced.contains(&number)
            };
            let mut entered = after.iter().filter(|node| !before.nodes.contains(node));
            assert!(entered.all(|node| may_enter(node.number)), "healing changed the ring");
        }
        if complete {
            assert!(after.iter().all(|node| members.iter().any(|member| member.number == node.number)));
            self.others_acted = false;
        }
        for node in after {
            self.unplaced.remove(&node.number);
        }
    }

    /// Requests go to the ready and to nobody else: not to one that is dead but keeps its place.
    fn check_up(&self, wanted: &[MemberSpec], members: &[MemberReport]) {
        assert_eq!(wanted.len(), self.published.len());
        for spec in wanted {
            assert_eq!(self.up.get(&spec.id), Some(&spec.up), "{spec:?}");
        }
        let listed = |member: &MemberReport| wanted.iter().any(|spec| Some(spec.id) == member.id && spec.up);
        assert!(
            members.iter().filter(|member| member.state == State::Ready).all(listed),
            "ready, not on the ring"
        );
    }

    /// An endpoint of the snapshot in force.
    pub(super) fn see_endpoint(&self, id: ReplicaId, is_up: bool, pool: &Pool) {
        let wanted = self.up.get(&id).copied();
        let good = wanted == Some(is_up)
            || wanted.is_none() && (!is_up || pool.is_departing(id) || pool.is_beside(id));
        assert!(good, "{id} is up: {is_up}, wanted {wanted:?}");
    }

    /// An endpoint of the snapshot in force, and what is done with it.
    pub(super) fn see_standing(&self, id: ReplicaId, standing: Standing) {
        let wanted = self.standings.get(&id).map_or(Standing::Good, |(wanted, _)| *wanted);
        // One that has left the pool or died may stay in a snapshot for a while, as it was.
        let is_gone = wanted == Standing::Good && self.up.get(&id) != Some(&true);
        assert!(standing == wanted || is_gone, "{id}: {standing:?}");
    }

    pub(super) fn is_on_trial(&self, id: ReplicaId) -> bool {
        self.standings.get(&id).is_some_and(|(standing, _)| *standing == Standing::HalfOpen)
    }

    pub(super) fn is_checking(&self, id: ReplicaId) -> bool {
        self.checking.contains(&id)
    }

    pub(super) fn all_answered(&self) -> bool {
        self.tickets.is_empty()
    }
}

/// A view shows the members as they are, and those that left while the ring has them.
pub(super) fn see_view(view: &View, pool: &Pool) {
    let mut shown = view.replicas.iter().map(|replica| (replica.number, replica)).collect::<BTreeMap<_, _>>();
    for member in pool.members() {
        let replica = shown.remove(&member.number).expect("a member is shown");
        assert_eq!((&replica.name, replica.state, &replica.note), (&member.name, member.state, &member.note));
    }
    let of_ring = |number| view.ring.nodes().iter().any(|node: &Node| node.number == number);
    assert!(shown.keys().all(|&number| of_ring(number)), "shown and off the ring: {shown:?}");
    let missing = |node: &&Node| view.replicas.iter().all(|replica| replica.number != node.number);
    let missing: Vec<_> = view.ring.nodes().iter().filter(missing).collect();
    assert!(pool.is_stopping() || missing.is_empty(), "on the ring and not shown: {missing:?}");
}

/// Whether every member is what it should be when all goes well.
pub(super) fn all_well(pool: &Pool) -> bool {
    let goal = if pool.is_stopping() { State::Stopped } else { State::Ready };
    pool.members().all(|member| member.state == goal)
}
