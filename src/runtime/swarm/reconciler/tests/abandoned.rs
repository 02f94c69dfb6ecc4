//! A balancer is gone in the middle of a deploy: the others undo what it has begun.

use super::*;

/// The fates of a pool from the second to the sixty-first after its deployer is gone: what is done, and when.
fn watch(swarm: &mut Swarm, reconciler: &mut Reconciler, begin: Instant, seconds: u64) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    for second in 0..=seconds {
        let (_, operations) = swarm.settle(reconciler, begin + Duration::from_secs(second));
        all.extend(deeds(&operations).into_iter().map(|deed| (second, deed)));
    }
    all
}

/// A pool with a service `y` of number 1 and a successor `x`, whose balancer is gone after it told it these numbers.
fn abandoned(decisions: &[u64], now: Instant) -> (Swarm, Reconciler) {
    let (mut swarm, mut one, two) = pool(now);
    one.start(successor(2, "x", 1), "t2".into());
    swarm.settle(&mut one, now);
    swarm.run("x", "task-x");
    for id in decisions {
        swarm.settle(&mut one, now);
        one.take_number(ReplicaId(*id));
    }
    swarm.settle(&mut one, now);
    (swarm, two)
}

#[test]
fn a_successor_of_a_balancer_that_is_gone_is_removed() {
    let now = Instant::now();
    for decisions in [&[][..], &[2], &[2, 1]] {
        let (mut swarm, mut two) = abandoned(decisions, now);
        let fates = watch(&mut swarm, &mut two, now, 125);
        assert_eq!(fates, [(60, "abandon x".to_owned()), (120, "delete x".to_owned())], "{decisions:?}");
        let (events, _) = swarm.settle(&mut two, now + Duration::from_secs(125));
        assert!(events.is_empty());
        assert_eq!(swarm.observed.services.len(), 1, "the one that had the number has it again");
    }
}

#[test]
fn the_number_goes_back_as_soon_as_the_successor_is_marked() {
    let now = Instant::now();
    let (mut swarm, mut two) = abandoned(&[2], now);
    let (events, _) = swarm.settle(&mut two, now);
    assert_eq!(summary(&events), ["inventory x=1 y:beside"]);
    watch(&mut swarm, &mut two, now, 59);
    let (events, operations) = swarm.settle(&mut two, now + Duration::from_secs(60));
    assert_eq!(
        (summary(&events), deeds(&operations)),
        (vec!["inventory y=1".into()], vec!["abandon x".into()])
    );
}

#[test]
fn signs_of_life_and_outages_begin_the_time_anew() {
    let now = Instant::now();
    let at = |seconds| now + Duration::from_secs(seconds);
    let (mut swarm, mut two) = abandoned(&[2], now);
    assert!(watch(&mut swarm, &mut two, now, 50).is_empty());
    swarm.service("x").place.as_mut().unwrap().renewed += 1;
    assert!(watch(&mut swarm, &mut two, at(51), 59).is_empty());
    // Neither could it be renewed nor seen.
    two.interrupted();
    assert!(watch(&mut swarm, &mut two, at(200), 59).is_empty());
    assert_eq!(watch(&mut swarm, &mut two, at(260), 0), [(0, "abandon x".to_owned())]);
}

#[test]
fn an_orphan_is_removed_and_a_finished_deploy_is_not() {
    let now = Instant::now();
    let (mut swarm, mut two) = abandoned(&[], now);
    swarm.observed.services.retain(|service| service.id != "id-y");
    let fates = watch(&mut swarm, &mut two, now, 60);
    assert_eq!(fates.last(), Some(&(60, "abandon x".to_owned())));
    let (mut swarm, mut two) = abandoned(&[2], now);
    two.forget(ReplicaId(1));
    swarm.service("y").leaving = Some("1".into());
    let fates = watch(&mut swarm, &mut two, now, 200);
    assert_eq!(fates, [(60, "delete y".to_owned())]);
    // Nor what has its number from there, when the next deploy replaces it.
    two.start(successor(9, "z", 1), "t9".into());
    two.take_number(ReplicaId(9));
    let fates = watch(&mut swarm, &mut two, now + Duration::from_secs(300), 200);
    let renewals = fates.iter().filter(|(_, deed)| deed == "z over x").count();
    assert_eq!(fates.first(), Some(&(0, "create z beside x".to_owned())));
    assert!(renewals > 1 && renewals + 1 == fates.len(), "{fates:?}");
}

#[test]
fn who_is_late_to_undo_does_no_harm() {
    let now = Instant::now();
    let (mut swarm, mut two) = abandoned(&[2], now);
    watch(&mut swarm, &mut two, now, 59);
    let plan = two.reconcile(&swarm.observed, now + Duration::from_secs(60));
    assert_eq!(deeds(&plan.operations), ["abandon x"]);
    // The balancer that deploys has only been slow.
    let service = swarm.service("x");
    service.place.as_mut().unwrap().renewed += 1;
    service.version += 1;
    swarm.perform(&plan.operations[0], &mut two, now);
    assert_eq!(swarm.service("x").leaving, None);
    assert!(watch(&mut swarm, &mut two, now + Duration::from_secs(61), 59).is_empty());
}

#[test]
fn a_vacancy_of_a_balancer_that_is_gone_ends() {
    let now = Instant::now();
    let (mut swarm, mut two) = (Swarm::default(), reconciler());
    swarm.make("y", 1, "other");
    swarm.run("y", "task-y");
    swarm.service("y").place = Some(PlaceLabel { claim: Claim::Vacant, renewed: 7 });
    let (events, _) = swarm.settle(&mut two, now);
    assert_eq!(summary(&events), ["inventory y=1:vacant"]);
    assert_eq!(watch(&mut swarm, &mut two, now, 200), [(60, "y serves".to_owned())]);
}

#[test]
fn what_this_balancer_renews_is_not_abandoned() {
    let now = Instant::now();
    let (mut swarm, mut one) = (Swarm::default(), reconciler());
    swarm.make("y", 1, "other");
    swarm.make("a", 2, "other");
    for (id, name, number) in [(1, "y", 1), (3, "a", 2)] {
        swarm.run(name, &format!("task-{name}"));
        one.start(launch(id, name, number, Some(name)), format!("t{id}"));
    }
    swarm.settle(&mut one, now);
    one.start(successor(2, "x", 1), "t2".into());
    one.vacate(ReplicaId(3));
    one.forget(ReplicaId(3));
    let fates = watch(&mut swarm, &mut one, now, 300);
    // More often than each minute, after which others would take it for abandoned.
    let renewals = |wanted: &str| fates.iter().filter(|(_, deed)| deed == wanted).count();
    assert!(renewals("a vacant") > 5 && renewals("x beside y") > 5, "{fates:?}");
    assert_eq!(renewals("x beside y") + renewals("a vacant") + renewals("create x beside y"), fates.len());
    // A successor that nobody wants any more is one of nobody.
    one.forget(ReplicaId(2));
    let fates = watch(&mut swarm, &mut one, now + Duration::from_secs(301), 60);
    assert!(fates.iter().any(|(_, deed)| deed == "abandon x"), "{fates:?}");
}
