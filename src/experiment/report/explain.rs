//! The figures in words, and why they are what they are. Pure: every number is worked out or
//! measured, none is written here.

use crate::experiment::chart::thousands;
use crate::experiment::figures::{Kill, Latency, Movement, Popular, Spread, Sweep};
use crate::experiment::rings::first;
use crate::ring::{Family, Params, Placement, Ring};

/// Below this, chance is a poor explanation.
const SUSPICIOUS: f64 = 0.01;

/// Below this, it is one that the reader should know to be rare.
const UNUSUAL: f64 = 0.05;

/// A ring whose peak-to-average is below this is even, for as many requests as are sent.
const EVEN: f64 = 1.001;

/// What was sent on which ring, and whether it came where it belongs, for one N or several.
pub(super) fn spreads(spreads: &[Spread]) -> Vec<String> {
    let Some(first) = spreads.first() else { return Vec::new() };
    let ring = &first.ring;
    let what = format!(
        "Request ids are drawn from the six-digit numbers, each equally likely. Ring: {} hash family, {} \
         placement, {} slots, {} virtual nodes, key {}.",
        ring.family,
        ring.placement,
        thousands(ring.slots.into()),
        ring.virtual_nodes,
        first.key
    );
    let bound = match first.bounded_load {
        None => "Bounded load is off: what is measured is the ring's own shares.".to_owned(),
        Some(factor) => format!(
            "Bounded load is on with factor {factor} and cannot be changed from here: requests that its \
             owner had no room for are part of the figures."
        ),
    };
    vec![what, format!("{bound} {}", elsewhere(spreads))]
}

/// Whether requests came where they belong.
fn elsewhere(spreads: &[Spread]) -> String {
    let lost: u64 = spreads.iter().map(|spread| spread.lost).sum();
    let answered: u64 = spreads.iter().map(|spread| spread.requests).sum();
    match spreads.iter().map(|spread| spread.elsewhere).sum::<Option<u64>>() {
        None => "Replicas do not say their names: requests are counted by the balancer.".to_owned(),
        Some(_) if answered == 0 => "No request was answered.".to_owned(),
        Some(0) if lost == 0 => "Every request was answered by the replica that owns its key.".to_owned(),
        Some(0) => "Every request that was answered was by the replica that owns its key.".to_owned(),
        Some(count) => {
            let count = thousands(count);
            format!("{count} requests were answered by another replica than the owner of their key.")
        }
    }
}

/// A p-value, behind a `p`.
pub(super) fn probability(p_value: f64) -> String {
    if p_value < 0.001 { "< 0.001".to_owned() } else { format!("= {p_value:.3}") }
}

/// What a p-value says of an expectation that is to hold.
pub(super) fn verdict(p_value: f64) -> String {
    if p_value < SUSPICIOUS {
        format!("more than chance explains (p is below {SUSPICIOUS}).")
    } else if p_value < UNUSUAL {
        format!(
            "chance alone does as much in {:.1} of 100 runs. Another --seed tells whether it is more.",
            p_value * 100.0
        )
    } else {
        format!("no more than chance explains (p is not below {UNUSUAL}).")
    }
}

/// What the p-value against equal shares says. A ring that is not even is not expected to give equal
/// shares, so chance is no explanation for what it does; the question is only whether it shows.
pub(super) fn unevenness(spread: &Spread, p_value: f64) -> String {
    if spread.expected_peak_to_average < EVEN {
        return verdict(p_value);
    }
    let shares = || spread.replicas.iter().map(|replica| replica.expected_share * 100.0);
    let (least, most) = (shares().fold(f64::INFINITY, f64::min), shares().fold(0.0, f64::max));
    let seen =
        if p_value < UNUSUAL { "so many requests show that" } else { "so few requests do not show that" };
    format!(
        "this ring is not even by itself, it is to give {least:.2} % to {most:.2} % to a replica: {seen} (p is \
         {} {UNUSUAL}).",
        if p_value < UNUSUAL { "below" } else { "not below" }
    )
}

pub(super) fn kill(kill: &Kill) -> String {
    let lost = match kill.lost {
        0 => "no request was lost".to_owned(),
        lost => format!("{lost} requests were lost"),
    };
    format!(
        "'{}' was killed under {} requests a second: {lost}. The moments are those at which GET /ring first \
         showed them.",
        kill.replica,
        thousands(kill.requests_per_second.into())
    )
}

/// Why each ring spreads as it does.
pub(super) fn rings(sweeps: &[Sweep]) -> Vec<String> {
    sweeps.iter().filter_map(ring).collect()
}

fn ring(sweep: &Sweep) -> Option<String> {
    let params = Params::new(
        sweep.ring.family.parse().ok()?,
        sweep.ring.probing.parse().ok()?,
        sweep.ring.placement.parse().ok()?,
        sweep.ring.slots,
        sweep.ring.virtual_nodes,
    )
    .ok()?;
    let text = match (params.placement(), params.family()) {
        (Placement::Rendezvous, _) => rendezvous(),
        (Placement::Balanced, _) => balanced(),
        (Placement::Ring, Family::Classic) => classic(&params, sweep)?,
        (Placement::Ring, Family::Modified) => modified(&params, sweep)?,
    };
    Some(format!("{}: {text}", sweep.label))
}

fn classic(params: &Params, sweep: &Sweep) -> Option<String> {
    let (arc, owner) = longest_arc(&first(params, 3)?)?;
    let without = arc - 1;
    let default = Params::default();
    let (slots, virtual_nodes) = (default.slots(), default.virtual_nodes());
    let large =
        Params::new(params.family(), params.probing(), params.placement(), slots, virtual_nodes).ok()?;
    let large = first(&large, 3)?;
    let (large_arc, _) = longest_arc(&large)?;
    Some(format!(
        "H(r) = r\u{b2} + 2r + 17 = (r + 1)\u{b2} + 16 is a square, shifted, and squares take few values \
         modulo a power of two: request ids reach {} of {} slots. \u{3a6}(i, j) = i\u{b2} + j\u{b2} + 2j + 25 \
         = i\u{b2} + (j + 1)\u{b2} + 24 grows slowly from a small number, so the virtual nodes of all replicas lie \
         close to each other at the beginning of the circle. With three replicas an arc of {arc} of {} slots belongs \
         to replica {owner}, and {without} of these slots have no virtual node. More slots and virtual nodes do not \
         help: with the {} slots and {virtual_nodes} virtual nodes of the default no arc is longer than {} slots \
         ({:.2} %), but the virtual nodes of replicas 1, 2 and 3 stand together 1, 4 and 9 slots behind each \
         (shifted) square. Replica 1 is the first there, and takes the whole gap of about 2j slots from the square \
         before, the others 4 \u{2212} 1 = 3 and 9 \u{2212} 4 = 5: it owns {:.1} % of the slots, {:.2} times the average.",
        sweep.ring.reachable_slots,
        sweep.ring.slots,
        sweep.ring.slots,
        thousands(slots.into()),
        thousands(large_arc.into()),
        f64::from(large_arc) / f64::from(slots) * 100.0,
        large.share(0) * 100.0,
        large.peak_to_average()
    ))
}

fn modified(params: &Params, sweep: &Sweep) -> Option<String> {
    let (reached, slots) = (sweep.ring.reachable_slots, sweep.ring.slots);
    let (arc, _) = longest_arc(&first(params, 3)?)?;
    let sum = "H(r) = 3\u{b7}fx(r) + 5\u{b7}fx(r) + 20 = 8\u{b7}fx(r) + 20 is a multiple of 8, shifted, of a 64-bit hash.";
    let virtual_nodes = params.virtual_nodes();
    Some(if slots % 2 == 0 {
        format!(
            "{sum} The number of slots is a multiple of {} too, so request ids reach only every {}th slot: {reached} of \
             {slots}. \u{3a6} spreads the virtual nodes, but {virtual_nodes} for each replica are few: the arcs \
             between them differ much in length (the longest, with three replicas, is {arc} slots), and do not \
             average out.",
            slots / reached,
            slots / reached
        )
    } else {
        format!(
            "{sum} {} is a prime, so that 8 has an inverse modulo it and request ids reach all of its {} slots. \
             {virtual_nodes} virtual nodes for each replica make many short arcs (the longest, with three \
             replicas, is {:.2} % of the circle), whose lengths average out: a share differs from the average by about 1/\u{221a}{virtual_nodes} = \
             {:.1} % of it.",
            thousands(slots.into()),
            thousands(reached.into()),
            f64::from(arc) / f64::from(slots) * 100.0,
            100.0 / f64::from(virtual_nodes).sqrt()
        )
    })
}

fn rendezvous() -> String {
    "there are no arcs. Each slot goes to the replica with the highest score for it, independently of its \
     neighbours, so that the shares differ only as the outcomes of as many fair draws do."
        .to_owned()
}

fn balanced() -> String {
    "as rendezvous, but a replica that holds 1.6 % more than its due is full. What it does not hold goes to the next \
     highest score, so that the shares are even with any number of replicas."
        .to_owned()
}

/// The most slots in a row that belong to one virtual node, and its replica's number.
fn longest_arc(ring: &Ring) -> Option<(u32, u32)> {
    let nodes: Vec<(u32, usize)> = ring.virtual_nodes().collect();
    let last = nodes.last()?.0;
    let before = std::iter::once(last).chain(nodes.iter().map(|(slot, _)| *slot));
    let slots = ring.params().slots();
    let arcs = before.zip(&nodes).map(|(before, &(slot, node))| {
        let arc = (slot + slots - before - 1) % slots + 1;
        (arc, ring.nodes()[node].number)
    });
    arcs.max_by_key(|(arc, _)| *arc)
}

pub(super) fn movement(found: &[Movement]) -> Vec<String> {
    let mut text = vec![
        "When a replica goes for good, its own keys move, and those few beside them whose owners of higher \
         numbers take slots that it frees; with rendezvous placement there are none of the latter, and with balanced placement a few. So the part \
         that moves is what the replica had, which is 1/N if the ring is even. The first table and the bars \
         are of the busiest replica."
            .to_owned(),
        "When replica N comes, keys move to it and to nobody else (with balanced placement, next to nobody), as \
         many as the ring gives it; when it goes, exactly these keys go back, because a ring is a function of its \
         members. The second table and the marks are of that. Less than 1/N is no merit there: it is a ring that gives the newest replica less than its \
         part of the load."
            .to_owned(),
    ];
    let back: Vec<&Movement> =
        found.iter().filter(|movement| movement.changed_after_return.is_some()).collect();
    if !back.is_empty() {
        let changed = |movement: &&Movement| {
            format!("{} {}", movement.label, thousands(movement.changed_after_return.unwrap_or(0)))
        };
        let changed: Vec<String> = back.iter().map(changed).collect();
        text.push(format!(
            "Measured after 2 \u{2192} 6 \u{2192} 2 replicas, the requests that another replica answered than at \
             first: {}.",
            changed.join(", ")
        ));
    }
    text
}

pub(super) fn placements() -> Vec<String> {
    vec![
        "Computed, with 65,539 slots and equal weights: the placements of this balancer, Maglev's table (65,537 \
         entries) and ketama (160 points for each replica), as nginx, Envoy and others have them. All keys are \
         divided into equal parts, and each part has one owner: a slot, an entry, or for ketama one of 524,288 \
         sampled keys."
            .to_owned(),
        "When a replica goes, its own keys must move. The tables show what moves besides: keys of replicas that \
         stay. Times are of this machine, the fastest of six builds; requests do not wait for one."
            .to_owned(),
    ]
}

pub(super) fn zipf(popular: &Popular) -> Vec<String> {
    vec![
        format!(
            "{} keys, of which the one of rank k is asked for in proportion to k^\u{2212}{}: the first makes up \
             {:.1} % of the requests, and no ring can divide it. Five replicas.",
            thousands(popular.keys as u64),
            popular.exponent,
            popular.top_share * 100.0
        ),
        "\u{201c}If owners served\u{201d} is the peak-to-average if every request went to its owner. \u{201c}In flight\u{201d} is \
         that of the time requests spent at each replica, as the client sees it. The bound limits requests in \
         flight at the same moment, so it evens out as much as there is in flight."
            .to_owned(),
    ]
}

pub(super) fn latency(latency: &Latency) -> Vec<String> {
    vec![format!(
        "An open loop: {} requests at {} a second, due at even distances whatever became of those before. Latency \
         counts from when a request was due, so that a stall shows in each request that it held up; the second \
         row counts from when it was sent, as closed-loop tools do.",
        thousands(latency.requests),
        thousands(u64::from(latency.requests_per_second))
    )]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::figures::Count;
    use crate::experiment::rings::RingFacts;
    use crate::experiment::stats::{Summary, chi_squared};
    use crate::ring::{Node, Probing};

    /// What replicas got that were to get these shares.
    fn spread(counts: &[u64], shares: &[f64]) -> Spread {
        let count = |(index, (&requests, &share)): (usize, (&u64, &f64))| Count {
            number: index as u32 + 1,
            name: format!("Server {}", index + 1),
            requests,
            slot_share: share,
            expected_share: share,
            expected: 0.0,
        };
        Spread {
            ring: RingFacts::of(&Params::default()),
            key: "header:x-request-id".to_owned(),
            bounded_load: None,
            sent: counts.iter().sum(),
            requests: counts.iter().sum(),
            lost: 0,
            seconds: 1.0,
            replicas: counts.iter().zip(shares).enumerate().map(count).collect(),
            summary: Summary::of(counts),
            expected_peak_to_average: crate::experiment::rings::peak(shares),
            elsewhere: Some(0),
            chi_squared_ring: chi_squared(counts, shares),
            chi_squared_uniform: chi_squared(counts, &vec![1.0; counts.len()]),
            handled_by: Vec::new(),
        }
    }

    #[test]
    fn an_uneven_ring_is_not_excused_by_chance() {
        let uneven = spread(&[3_430, 3_302, 3_268], &[0.346, 0.3273, 0.3267]);
        let words = unevenness(&uneven, 0.042);
        assert!(!words.contains("chance") && words.contains("32.67 % to 34.60 %"), "{words}");
        assert!(words.contains("so many requests show that (p is below 0.05)"), "{words}");
        assert!(unevenness(&uneven, 0.3).contains("so few requests do not show that"));
        // Of an even one, chance is the question.
        let even = spread(&[5_000, 5_000], &[0.5, 0.5]);
        assert_eq!(unevenness(&even, 0.3), verdict(0.3));
        assert!(verdict(0.042).contains("4.2 of 100 runs"), "{}", verdict(0.042));
        assert!(verdict(0.009).starts_with("more than chance"));
    }

    #[test]
    fn the_longest_arc_is_found_across_the_end_too() {
        let params = Params::new(Family::Classic, Probing::Quadratic, Placement::Ring, 512, 1).unwrap();
        // Virtual nodes at 1 + 25 and 4 + 25.
        let ring = Ring::build(&params, &[Node::new(1), Node::new(2)]).unwrap();
        assert_eq!(longest_arc(&ring), Some((512 - 3, 1)));
        let alone = Ring::build(&params, &[Node::new(1)]).unwrap();
        assert_eq!(longest_arc(&alone), Some((512, 1)));
    }

    #[test]
    fn the_first_of_each_square_takes_the_gap_before_it() {
        let default = Params::default();
        let (slots, virtual_nodes) = (default.slots(), default.virtual_nodes());
        let params =
            Params::new(Family::Classic, default.probing(), default.placement(), slots, virtual_nodes)
                .unwrap();
        let ring = first(&params, 3).unwrap();
        // What the text says: 3 and 5 slots for each virtual node but for those that collide.
        for (index, gap) in [(1, 3), (2, 5)] {
            let owned = f64::from(ring.slots_owned()[index]);
            assert!((owned / f64::from(gap * virtual_nodes) - 1.0).abs() < 0.02, "{owned}");
        }
        assert!(ring.slots_owned()[0] > slots * 9 / 10);
    }
}
