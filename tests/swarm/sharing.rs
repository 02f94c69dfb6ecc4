//! Two balancers of one pool.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::balancer::{BalancerContainer, alone, wait_long};
use crate::lab::Lab;

const KEYS: u32 = 10_000;

/// How many of the keys have another owner at the second balancer than at the first.
fn differing(one: &BalancerContainer, two: &BalancerContainer) -> usize {
    let (first, second) = (one.owners(KEYS), two.owners(KEYS));
    first.iter().filter(|(key, owner)| second[key] != **owner).count()
}

/// Changes the pool through one balancer; returns how long after the answer the other agrees.
fn change(
    through: &BalancerContainer,
    other: &BalancerContainer,
    method: &str,
    path: &str,
    body: &str,
    names: &[&str],
) -> Duration {
    let answer = through.ask(method, path, Some(body));
    assert_eq!(answer.status, 200, "{answer:?}");
    let answered = Instant::now();
    other.wait_for(names);
    answered.elapsed()
}

#[test]
fn two_balancers_have_one_ring() {
    let _alone = alone();
    let Some(lab) = Lab::up("etwo", 2, 2) else { return };
    BalancerContainer::network(&lab);
    let began = Instant::now();
    let one = BalancerContainer::start(&lab, 1, "lb1", &[]);
    let two = BalancerContainer::start(&lab, 2, "lb2", &[]);
    let three = ["Server 1", "Server 2", "Server 3"];
    one.wait_for(&three);
    two.wait_for(&three);
    println!("two balancers started together: one pool of three after {:?}", began.elapsed());
    let at_first = differing(&one, &two);

    let s4 = r#"{"n":1,"hostnames":["S4"]}"#;
    let four = ["S4", "Server 1", "Server 2", "Server 3"];
    let added = change(&one, &two, "POST", "/add", s4, &four);
    let after_add = differing(&one, &two);
    let removed = change(&two, &one, "DELETE", "/rm", s4, &three);
    let after_rm = differing(&one, &two);
    println!("an /add is seen by the other balancer after {added:?}, an /rm after {removed:?}");

    // A killed task comes back under its name and number.
    let before = one.owners(KEYS);
    let address = |balancer: &BalancerContainer| balancer.ring()[1]["address"].clone();
    let was = address(&one);
    let find = ["ps", "-q", "--filter", "label=io.ringherd.name=Server 2"];
    let (node, container) = [1, 2]
        .into_iter()
        .map(|node| (node, lab.docker(node, &find)))
        .find(|(_, container)| !container.is_empty())
        .expect("it runs on one of the nodes");
    lab.docker(node, &["kill", &container]);
    let killed = Instant::now();
    wait_long("both have the new task", || {
        let moved = |balancer: &BalancerContainer| {
            address(balancer) != was && balancer.settled().is_some_and(|ring| ring.len() == 3)
        };
        (moved(&one) && moved(&two)).then_some(())
    });
    println!("a killed task: a new one serves at both balancers after {:?}", killed.elapsed());
    let after_kill = differing(&one, &two);
    assert_eq!(one.owners(KEYS), before);
    println!(
        "of {KEYS} keys differ: {at_first} at first, {after_add} after /add, {after_rm} after /rm, {after_kill} after a kill"
    );
    assert_eq!((at_first, after_add, after_rm, after_kill), (0, 0, 0, 0));
}

#[test]
fn adds_at_the_same_time_end_with_distinct_numbers() {
    let _alone = alone();
    let Some(lab) = Lab::up("erace", 2, 2) else { return };
    BalancerContainer::network(&lab);
    let one = BalancerContainer::start(&lab, 1, "lb1", &["--replicas=1"]);
    one.wait_for(&["Server 1"]);
    let two = BalancerContainer::start(&lab, 2, "lb2", &["--replicas=1"]);
    two.wait_for(&["Server 1"]);
    for round in 1..=3 {
        let add = |balancer: &BalancerContainer, name: &str| {
            let answer =
                balancer.ask("POST", "/add", Some(&format!(r#"{{"n":1,"hostnames":["{name}{round}"]}}"#)));
            assert_eq!(answer.status, 200, "{answer:?}");
        };
        std::thread::scope(|scope| {
            scope.spawn(|| add(&one, "A"));
            scope.spawn(|| add(&two, "B"));
        });
    }
    let agreed = wait_long("both agree", || {
        let (first, second) = (one.settled()?, two.settled()?);
        (first == second && first.len() == 7).then_some(first)
    });
    println!("three races of /add: {agreed:?}");
    let numbers: BTreeSet<_> = agreed.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=7).collect(), "{agreed:?}");
    assert_eq!(differing(&one, &two), 0);

    // What is taken is refused, whoever made it.
    let again = two.ask("POST", "/add", Some(r#"{"n":1,"hostnames":["a1"]}"#));
    assert_eq!(again.status, 400, "{again:?}");
}
