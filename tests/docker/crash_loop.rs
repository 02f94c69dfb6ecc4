//! An image whose replicas end as soon as they start.

use std::time::{Duration, Instant, SystemTime};

use crate::cluster::{Cluster, alone, docker, events};
use crate::common::load::Load;
use crate::engine;

/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(60);

/// Three replicas serve; then the image goes bad, and one of them dies.
#[test]
fn a_crash_loop_costs_little_and_the_others_serve() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    cluster.kill_balancer();
    cluster.start_balancer(&["--replica-command", "replica --listen nowhere"]);
    let since = SystemTime::now();
    docker(&["kill", "-s", "KILL", &cluster.container("Server 2")]);
    let (began, cpu_before) = (Instant::now(), cpu_time(&cluster));
    let load = Load::start(cluster.balancer.public, 4, 20, "GET");
    while began.elapsed() < WATCHED {
        std::thread::sleep(Duration::from_millis(100));
    }
    let report = load.stop();
    let cpu = (cpu_time(&cluster) - cpu_before) / began.elapsed().as_secs_f64();
    let ring = cluster.balancer.ring();
    let note = ring[1]["note"].as_str().unwrap_or("");
    let events = events(&cluster.pool, since, &["start"], "{{.Time}}");
    let starts = events.lines().count();
    println!(
        "crash loop for {WATCHED:?}: {starts} starts, {:.1} % of a core, {} good, {} failed; note: {note}",
        cpu * 100.0,
        report.good.len(),
        report.failed.len()
    );
    assert!((2..=10).contains(&starts), "{starts} starts: {events}");
    assert!(cpu < 0.2, "{cpu} of a core");
    assert_eq!(report.failed, []);
    assert!(report.good.len() > 100);
    assert!(note.contains(" in a row, next start after "), "{note}");
    assert_eq!((&ring[0]["state"], &ring[2]["state"]), (&"ready".into(), &"ready".into()));
}

/// CPU time of the balancer in seconds, user and system.
fn cpu_time(cluster: &Cluster) -> f64 {
    let pid = cluster.balancer.pid().as_raw_nonzero();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<_> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    // utime and stime, in clock ticks of 10 ms.
    let ticks: u64 =
        [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    ticks as f64 / 100.0
}
