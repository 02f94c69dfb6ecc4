//! Kills a replica under load, and measures when that is noticed and repaired.
//!
//! The load is an open loop, so that a stall shows; the pool is polled with `GET /ring`.

use std::time::Duration;

use crate::client::{ReplicaReport, RingReport};
use crate::experiment::error::Error;
use crate::experiment::figures::Kill;
use crate::experiment::load::{self, Outcome, Plan, Record, Records, Running};
use crate::experiment::session::Session;

/// Requests a second.
const RATE: u32 = 1_000;

/// Time of load before the kill.
const BEFORE: Duration = Duration::from_millis(750);

/// Time of load after the replacement is ready.
const AFTER: Duration = Duration::from_millis(750);

/// Time limit for the replacement.
const LIMIT: Duration = Duration::from_secs(60);

/// Pause between two polls of the pool.
const LOOK: Duration = Duration::from_millis(2);

/// Width of a bucket of the timeline.
const BUCKET_MS: u32 = 50;

/// When each change was first observed, since the start of the load.
#[derive(Clone, Debug, Default)]
struct Observed {
    detected: Option<Duration>,
    replacing: Option<Duration>,
    normal: Option<Duration>,
    replacement: Option<String>,
}

/// Kills the second replica, or the only one. An error means that none was killed; what goes wrong
/// after the kill is a result.
pub(super) async fn run(session: &Session<'_>) -> Result<Kill, Error> {
    let ring = session.pool.ring().await?;
    let ready = |replica: &&ReplicaReport| replica.state == "ready";
    let members: Vec<&ReplicaReport> =
        ring.replicas.iter().filter(ready).filter(|replica| replica.weight > 0).collect();
    let victim = members.get(1).or(members.first());
    let victim = *victim.ok_or_else(|| Error::Unfit("there is no replica to kill".to_owned()))?;
    let lasting = (LIMIT + BEFORE + AFTER).as_secs() as u32;
    let plan = Plan { requests: RATE * lasting, rate: Some(RATE), ..session.plan(session.ids()) };
    let load = load::start(plan, &session.progress).map_err(Error::System)?;
    tokio::time::sleep(BEFORE).await;
    let killed = load.elapsed();
    if let Err(refused) = session.pool.kill(&victim.name).await {
        session.count(load.stop().await)?;
        return Err(refused);
    }
    let mut seen = Observed::default();
    let count = ring.replicas.iter().filter(ready).count();
    let watched = watch(&mut seen, session, &load, victim, count).await;
    tokio::time::sleep(AFTER).await;
    let records = session.count(load.stop().await)?;
    let after = session.pool.ring().await;
    let n_after = after.as_ref().ok().map(|ring| ring.replicas.len());
    let since = |at: Option<Duration>| at.map(|at| ms(at.saturating_sub(killed)));
    let (series, timeline) = timeline(&records, &[&victim.name], seen.replacement.as_deref());
    Ok(Kill {
        replica: victim.name.clone(),
        requests_per_second: RATE,
        requests: records.all.len() as u64,
        lost: records.lost,
        detected_ms: since(seen.detected),
        replacing_ms: since(seen.replacing),
        normal_ms: since(seen.normal),
        limit_seconds: LIMIT.as_secs(),
        problem: watched.err().or(after.err()).map(|error| error.to_string()),
        replacement: seen.replacement,
        longest_gap_ms: ms(longest_gap(&records.all, killed)),
        killed_at_ms: ms(killed),
        series,
        bucket_ms: BUCKET_MS,
        timeline,
        n_after,
        n_before: ring.replicas.len(),
    })
}

/// Polls the pool until as many replicas are ready as before, or the time is over.
async fn watch(
    seen: &mut Observed,
    session: &Session<'_>,
    load: &Running,
    victim: &ReplicaReport,
    count: usize,
) -> Result<(), Error> {
    let whole = async {
        while seen.normal.is_none() {
            let ring = session.pool.ring().await?;
            look(seen, &ring, victim, count, load.elapsed());
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    // After a timeout, some times are missing.
    tokio::time::timeout(LIMIT, whole).await.unwrap_or(Ok(()))
}

/// Records changes that are observed for the first time.
fn look(seen: &mut Observed, ring: &RingReport, victim: &ReplicaReport, count: usize, now: Duration) {
    let seat = ring.replicas.iter().find(|replica| replica.number == victim.number);
    let same = |replica: &&ReplicaReport| {
        replica.name == victim.name && replica.instance == victim.instance && replica.state == "ready"
    };
    if seat.is_some_and(|replica| same(&replica)) {
        return;
    }
    seen.detected.get_or_insert(now);
    let Some(seat) = seat.filter(|seat| seat.name != victim.name || seat.instance != victim.instance) else {
        return;
    };
    seen.replacing.get_or_insert(now);
    let ready = ring.replicas.iter().filter(|replica| replica.state == "ready").count();
    if seat.state == "ready" && ready == count {
        seen.normal = Some(now);
        seen.replacement = Some(seat.name.clone());
    }
}

/// The number of responses by bucket and replica, with the lost requests last. The killed replica and
/// its replacement come after the others.
fn timeline(records: &Records, first: &[&str], second: Option<&str>) -> (Vec<String>, Vec<Vec<u32>>) {
    let mut order: Vec<usize> = (0..records.names.len()).collect();
    let rank = |name: &str| match name {
        name if first.contains(&name) => 1,
        name if Some(name) == second => 2,
        _ => 0,
    };
    order.sort_by_key(|&index| (rank(&records.names[index]), records.names[index].clone()));
    let mut series: Vec<String> = order.iter().map(|&index| records.names[index].clone()).collect();
    if series.is_empty() {
        series.push("all replicas".to_owned());
    }
    let bucket = |record: &Record| (record.done.as_millis() / u128::from(BUCKET_MS)) as usize;
    let last = records.all.iter().map(bucket).max().unwrap_or(0);
    let mut buckets = vec![vec![0; series.len() + 1]; last + 1];
    for record in &records.all {
        let column = match record.outcome {
            Outcome::By(index) => order.iter().position(|&at| at == index).unwrap_or(0),
            Outcome::Unnamed => 0,
            Outcome::Lost => series.len(),
        };
        buckets[bucket(record)][column] += 1;
    }
    (series, buckets)
}

/// Longest time between two responses from `from` on.
fn longest_gap(records: &[Record], from: Duration) -> Duration {
    let good = records.iter().filter(|record| record.outcome != Outcome::Lost && record.done >= from);
    let mut at: Vec<Duration> = good.map(|record| record.done).collect();
    at.push(from);
    at.sort_unstable();
    at.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(done_ms: u64, outcome: Outcome) -> Record {
        let done = Duration::from_millis(done_ms);
        Record { index: 0, due: done, sent: done, done, outcome }
    }

    #[test]
    fn a_timeline_counts_each_request_in_its_bucket() {
        let all = vec![
            record(10, Outcome::By(0)),
            record(49, Outcome::By(1)),
            record(60, Outcome::By(2)),
            record(110, Outcome::Lost),
        ];
        let names = ["Victim", "Other", "New"].map(str::to_owned).to_vec();
        let records = Records { all, names, ..Records::default() };
        let (series, timeline) = timeline(&records, &["Victim"], Some("New"));
        assert_eq!(series, ["Other", "Victim", "New"]);
        assert_eq!(timeline, [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]);
    }

    #[test]
    fn a_gap_counts_from_the_kill_and_lost_requests_do_not_fill_it() {
        let records =
            [record(5, Outcome::Unnamed), record(130, Outcome::Lost), record(200, Outcome::Unnamed)];
        assert_eq!(longest_gap(&records, Duration::from_millis(100)), Duration::from_millis(100));
    }

    fn report(name: &str, state: &str) -> RingReport {
        let replica = |number: u32, name: &str, state: &str| {
            serde_json::json!({"number": number, "name": name, "address": null, "state": state, "weight": 100,
                "slots": 1, "share": 0.5, "in_flight": 0, "requests": 0, "instance": name})
        };
        serde_json::from_value(serde_json::json!({"family": "modified", "probing": "quadratic", "slots": 2,
            "virtual_nodes": 1, "placement": "ring", "version": 1, "peak_to_average": 1.0, "key": "path",
            "bounded_load": null, "replicas": [replica(1, "a", "ready"), replica(2, name, state)]}))
        .unwrap()
    }

    #[test]
    fn moments_are_noted_when_they_first_show() {
        let victim = report("b", "ready").replicas.pop().unwrap();
        let mut seen = Observed::default();
        let mut at = |ms, name: &str, state: &str| {
            look(&mut seen, &report(name, state), &victim, 2, Duration::from_millis(ms));
            [seen.detected, seen.replacing, seen.normal]
        };
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(at(1, "b", "ready"), [None, None, None]);
        assert_eq!(at(2, "b", "ejected"), [ms(2), None, None]);
        assert_eq!(at(3, "c", "starting"), [ms(2), ms(3), None]);
        assert_eq!(at(4, "c", "ready"), [ms(2), ms(3), ms(4)]);
        assert_eq!(seen.replacement.as_deref(), Some("c"));
    }
}
