//! Deploys under load: what clients notice of good revisions is nothing, and of bad ones what these said themselves.
//!
//! Some clients send GETs with keys of their own, so that it is seen who serves a key, and in which order. Others send
//! POSTs, each with an id that the replica that runs it writes down.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::common::folder::Folder;
use crate::common::load::read_answer;
use crate::common::{Balancer, connect, request, wait_until};
use crate::{alone, program};

/// Clients that send GETs, and the keys of each.
const READERS: usize = 6;
const KEYS: usize = 50;
/// Time between the GETs of one of them.
const READ_PAUSE: Duration = Duration::from_millis(15);
/// Clients that send POSTs, and the time between those of one of them.
const WRITERS: usize = 2;
const WRITE_PAUSE: Duration = Duration::from_millis(40);

const REVISIONS: &str = r#"
[replicas]
count = 3

[routing]
bounded-load = "off"               # whose key it is, serves it

[health]
interval = "50ms"

[deploy]
revision = "v1"
min-healthy = "100ms"
window = "200ms"
max-slowdown = 0                   # two busy cores say nothing of times

[revision.v1]
env = ["REVISION=v1"]

[revision.v2]
env = ["REVISION=v2"]

[revision.absent]
env = ["REVISION=bad", "BEHAVIOUR=does not start"]

[revision.short-lived]
env = ["REVISION=bad", "BEHAVIOUR=crashes:30"]

[revision.crashes]
env = ["REVISION=bad", "BEHAVIOUR=crashes:1000"]

[revision.hangs]
env = ["REVISION=bad", "BEHAVIOUR=hangs"]

[revision.fails]
env = ["REVISION=bad", "BEHAVIOUR=fails"]
"#;

/// The same with time to do something in the middle of it.
fn unhurried(settings: &str) -> String {
    settings
        .replace("min-healthy = \"100ms\"", "min-healthy = \"500ms\"")
        .replace("window = \"200ms\"", "window = \"1500ms\"")
}

/// The same for replicas of which no number may have two: each holds the lock of its number.
fn exclusive(order: &str) -> String {
    REVISIONS
        .replace("env = [", "env = [\"EXCLUSIVE=yes\", ")
        .replace("[deploy]", &format!("[deploy]\norder = \"{order}\""))
}

/// A balancer whose replicas write down what they run.
struct Herd {
    balancer: Balancer,
    folder: Folder,
}

impl Herd {
    fn start(name: &str) -> Self {
        Self::start_with(name, REVISIONS)
    }

    fn start_with(name: &str, settings: &str) -> Self {
        let folder = Folder::new(name);
        let (file, tally) = (folder.write("ringherd.toml", settings), folder.write("tally", ""));
        let tally = format!("TALLY={tally}");
        let args = ["--config", &file, "--replica-command", &program::command(), "--replica-env", &tally];
        let balancer = Balancer::start(&args);
        balancer.wait_until_ready(3);
        Self { balancer, folder }
    }

    fn get(&self, path: &str) -> Value {
        let answer = request(self.balancer.admin, "GET", path, None);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Whose the ring is: everything about it but who serves the numbers at the moment.
    fn ring(&self) -> Value {
        let ring = self.get("/ring");
        let place = |replica: &Value| json!([replica["number"], replica["weight"], replica["slots"]]);
        let places: Vec<_> = ring["replicas"].as_array().expect("an array").iter().map(place).collect();
        json!([ring["slots"], ring["virtual_nodes"], places, self.get("/ring/sectors")["sectors"]])
    }

    fn revisions(&self) -> Vec<String> {
        let revision = |replica: &Value| replica["revision"].as_str().expect("text").to_owned();
        self.balancer.ring().iter().map(revision).collect()
    }

    fn begin(&self, revision: &str) {
        let body = json!({ "revision": revision }).to_string();
        let begun = request(self.balancer.admin, "POST", "/deploy", Some(&body));
        assert_eq!(begun.status, 202, "{begun:?}");
    }

    /// Waits until the deploy is so far; the ring is the same all the while.
    fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let ring = self.ring();
        wait_until(what, || {
            let deploy = self.get("/deploy");
            assert_eq!(self.ring(), ring);
            is_so(&deploy).then_some(deploy)
        })
    }

    /// Waits until a number is so far.
    fn until_step(&self, number: usize, step: &str) {
        self.until(step, |deploy| {
            assert_eq!(deploy["ended"], false, "before number {number} was {step}: {deploy}");
            deploy["numbers"][number - 1]["step"] == step
        });
    }

    fn until_ended(&self) -> Value {
        self.until("the deploy ends", |deploy| deploy["ended"] == true)
    }

    fn deploy(&self, revision: &str) -> Value {
        self.begin(revision);
        self.until_ended()
    }

    fn load(&self) -> Load {
        let load = Load::start(self.balancer.public);
        load.wait_for_a_round();
        load
    }

    /// Ends the load, and returns what it saw. No POST has run twice, and those that were answered well once.
    fn stop(&self, load: Load) -> Seen {
        load.wait_for_a_round();
        let seen = load.stop();
        let mut runs = BTreeMap::<_, usize>::new();
        let tally = std::fs::read_to_string(self.folder.file("tally")).expect("a file");
        tally.lines().for_each(|id| *runs.entry(id.to_owned()).or_default() += 1);
        assert_eq!(runs.get(program::CONTENDED), None, "two replicas of a number were there at once");
        for (id, outcome) in &seen.posts {
            let runs = runs.get(id).copied().unwrap_or_default();
            assert!(runs <= 1, "POST {id} ran {runs} times: {outcome:?}");
            assert!(runs == 1 || outcome.is_err(), "POST {id} was not run: {outcome:?}");
        }
        seen
    }
}

/// What clients saw.
#[derive(Debug, Default)]
struct Seen {
    /// Revision and number that served each key, in their order, without repetitions.
    served: BTreeMap<String, Vec<(String, String)>>,
    gets: u64,
    failed: Vec<String>,
    posts: BTreeMap<String, Result<String, String>>,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.served.extend(other.served);
        self.gets += other.gets;
        self.failed.extend(other.failed);
        self.posts.extend(other.posts);
    }

    fn failed_posts(&self) -> Vec<&String> {
        self.posts.values().filter_map(|outcome| outcome.as_ref().err()).collect()
    }

    fn assert_nothing_failed(&self) {
        assert_eq!(self.failed, [""; 0]);
        assert_eq!(self.failed_posts(), [""; 0]);
    }

    /// Each key had one number all the while.
    fn assert_no_key_moved(&self) {
        assert_eq!(self.served.len(), READERS * KEYS);
        for (key, served) in &self.served {
            assert!(served.iter().all(|(_, number)| *number == served[0].1), "{key}: {served:?}");
        }
    }

    fn print(&self, what: &str) {
        let (posts, failed) = (self.posts.len(), self.failed_posts().len());
        println!("{what}: {} of {} GETs and {failed} of {posts} POSTs failed", self.failed.len(), self.gets);
    }
}

/// Clients at work.
struct Load {
    stop: Arc<AtomicBool>,
    /// How often each reader has asked for all its keys.
    rounds: Vec<Arc<AtomicU64>>,
    clients: Vec<JoinHandle<Seen>>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let (stop, mut clients) = (Arc::new(AtomicBool::new(false)), Vec::new());
        let rounds: Vec<Arc<AtomicU64>> = (0..READERS).map(|_| Arc::default()).collect();
        for (reader, rounds) in rounds.iter().cloned().enumerate() {
            let stop = Arc::clone(&stop);
            clients.push(std::thread::spawn(move || read(address, reader, &rounds, &stop)));
        }
        for writer in 0..WRITERS {
            let stop = Arc::clone(&stop);
            clients.push(std::thread::spawn(move || write(address, writer, &stop)));
        }
        Self { stop, rounds, clients }
    }

    /// Waits until each key was asked for once more.
    fn wait_for_a_round(&self) {
        let count = || self.rounds.iter().map(|rounds| rounds.load(SeqCst)).collect::<Vec<_>>();
        let before = count();
        wait_until("all keys are asked for", || {
            count().iter().zip(&before).all(|(now, before)| *now > before + 1).then_some(())
        });
    }

    fn stop(self) -> Seen {
        self.stop.store(true, SeqCst);
        let mut seen = Seen::default();
        self.clients.into_iter().for_each(|client| seen.add(client.join().expect("a client does not panic")));
        seen
    }
}

fn read(address: SocketAddr, reader: usize, rounds: &AtomicU64, stop: &AtomicBool) -> Seen {
    let (mut seen, mut connection) = (Seen::default(), None);
    while !stop.load(SeqCst) {
        for key in (0..KEYS).map(|key| format!("{reader}-{key}")) {
            let began = Instant::now();
            seen.gets += 1;
            let head = format!("GET /home HTTP/1.1\r\nHost: t\r\nX-Request-Id: {key}\r\n\r\n");
            match exchange(&mut connection, address, &head) {
                Ok(body) => {
                    let (revision, number) = body.split_once(' ').expect("two words");
                    let served = (revision.to_owned(), number.to_owned());
                    let before = seen.served.entry(key).or_default();
                    if before.last() != Some(&served) {
                        before.push(served);
                    }
                }
                Err(why) => seen.failed.push(why),
            }
            std::thread::sleep(READ_PAUSE.saturating_sub(began.elapsed()));
        }
        rounds.fetch_add(1, SeqCst);
    }
    seen
}

fn write(address: SocketAddr, writer: usize, stop: &AtomicBool) -> Seen {
    let (mut seen, mut connection) = (Seen::default(), None);
    for id in (0..).map(|count| format!("post-{writer}-{count}")) {
        if stop.load(SeqCst) {
            break;
        }
        let began = Instant::now();
        let length = id.len();
        let head = format!("POST /home HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n{id}");
        let outcome = exchange(&mut connection, address, &head);
        seen.posts.insert(id, outcome);
        std::thread::sleep(WRITE_PAUSE.saturating_sub(began.elapsed()));
    }
    seen
}

fn exchange(
    connection: &mut Option<BufReader<TcpStream>>,
    address: SocketAddr,
    request: &str,
) -> Result<String, String> {
    let reader = connection.get_or_insert_with(|| BufReader::new(connect(address)));
    let sent = reader.get_mut().write_all(request.as_bytes()).map_err(|error| error.to_string());
    let outcome = sent.and_then(|()| read_answer(reader));
    if outcome.is_err() {
        *connection = None;
    }
    outcome
}

#[test]
fn nobody_notices_good_revisions() {
    let _alone = alone();
    let herd = Herd::start("deploys");
    let ring = herd.ring();
    let load = herd.load();
    for revision in ["v2", "v1", "v2"] {
        let deploy = herd.deploy(revision);
        assert_eq!((&deploy["state"], &deploy["to"]), (&"succeeded".into(), &revision.into()), "{deploy}");
        assert_eq!((herd.ring(), herd.revisions()), (ring.clone(), vec![revision.to_owned(); 3]));
        println!("deployed {revision} to 3 numbers in {} s", deploy["took_seconds"]);
        load.wait_for_a_round();
    }
    let seen = herd.stop(load);
    seen.print("three deploys");
    seen.assert_nothing_failed();
    seen.assert_no_key_moved();
    for (key, served) in &seen.served {
        let revisions: Vec<_> = served.iter().map(|(revision, _)| revision.as_str()).collect();
        assert_eq!(revisions, ["v1", "v2", "v1", "v2"], "{key}: one, then the other, and never back");
    }
}

/// Deploys a bad revision under load, which has to be taken back: what clients saw, and the deploy.
fn taken_back(revision: &str) -> (Seen, Value) {
    // One that is bad is taken back as soon as that is seen.
    taken_back_from(&Herd::start_with(revision, &unhurried(REVISIONS)), revision)
}

fn taken_back_from(herd: &Herd, revision: &str) -> (Seen, Value) {
    let ring = herd.ring();
    let load = herd.load();
    let deploy = herd.deploy(revision);
    assert_eq!(deploy["state"], "reverted", "{deploy}");
    assert_eq!((herd.ring(), herd.revisions()), (ring, vec!["v1".to_owned(); 3]));
    let seen = herd.stop(load);
    seen.print(&format!("{revision}, {}", deploy["reason"]));
    // The last round came after the end.
    for (key, served) in &seen.served {
        assert_eq!(served.last().expect("an answer").0, "v1", "{key}");
    }
    (seen, deploy)
}

#[test]
fn nobody_notices_a_revision_that_does_not_get_ready() {
    let _alone = alone();
    for revision in ["absent", "short-lived"] {
        let (seen, _) = taken_back(revision);
        seen.assert_nothing_failed();
        assert!(seen.served.values().all(|served| served.len() == 1), "no key moved, and it had no requests");
    }
}

#[test]
fn a_revision_that_fails_is_taken_back_after_few_requests() {
    let _alone = alone();
    let (seen, deploy) = taken_back("fails");
    seen.assert_no_key_moved();
    let reason = deploy["reason"].as_str().expect("text");
    assert!(reason.contains("requests failed"), "{reason}");
    let failed = seen.failed.iter().chain(seen.failed_posts());
    let numbers: Vec<_> =
        failed.map(|why| why.strip_prefix("500 bad ").unwrap_or_else(|| panic!("{why}"))).collect();
    assert!(!numbers.is_empty());
    assert!(numbers.iter().all(|number| *number == numbers[0]), "only those of one number: {numbers:?}");
}

/// All clients wait at it soon, and go on elsewhere when it is stopped.
#[test]
fn a_revision_that_never_responds_is_taken_back_before_its_requests_are_given_up() {
    let _alone = alone();
    let settings = REVISIONS
        .replace("min-healthy = \"100ms\"", "min-healthy = \"1s\"")
        .replace("window = \"200ms\"", "window = \"10s\"")
        .replace("max-slowdown = 0 ", "max-slowdown = 10 ")
        .replace("count = 3", "count = 3\ndrain-timeout = \"200ms\"");
    let (seen, deploy) = taken_back_from(&Herd::start_with("hangs", &settings), "hangs");
    let reason = deploy["reason"].as_str().expect("text");
    assert!(reason.contains("without a response yet"), "{reason}");
    assert_eq!(seen.failed, [""; 0]);
    assert!(seen.failed_posts().len() <= WRITERS, "{:?}", seen.failed_posts());
}

#[test]
fn a_revision_that_crashes_in_its_place_fails_only_posts_in_flight_at_it() {
    let _alone = alone();
    let (seen, _) = taken_back("crashes");
    assert_eq!(seen.failed, [""; 0]);
    let failed = seen.failed_posts();
    assert!(failed.len() <= WRITERS, "{failed:?}");
    assert!(failed.iter().all(|why| why.contains("closed the connection before its response")), "{failed:?}");
}

#[test]
fn nobody_notices_that_a_deploy_is_taken_back_on_request() {
    let _alone = alone();
    let herd = Herd::start_with("aborted", &unhurried(REVISIONS));
    let load = herd.load();
    for (number, step) in [(1, "starting"), (1, "judging"), (2, "starting"), (3, "judging")] {
        herd.begin("v2");
        herd.until_step(number, step);
        let asked = request(herd.balancer.admin, "DELETE", "/deploy", None);
        assert_eq!(asked.status, 202, "{asked:?}");
        let deploy = herd.until_ended();
        assert_eq!(deploy["state"], "aborted", "{deploy}");
        assert_eq!(herd.revisions(), ["v1"; 3]);
    }
    let seen = herd.stop(load);
    seen.print("DELETE /deploy at four moments");
    seen.assert_nothing_failed();
    seen.assert_no_key_moved();
}

/// The incumbents that die: the one beside its successor, to which the number may go back, and one that nothing was
/// begun for.
#[test]
fn an_incumbent_that_is_killed_in_the_middle_is_replaced_and_the_deploy_goes_on() {
    let _alone = alone();
    for victim in ["Server 1", "Server 3"] {
        let herd = Herd::start_with("incumbent", &unhurried(REVISIONS));
        let pid = herd.balancer.replica_pid(victim);
        let load = herd.load();
        herd.begin("v2");
        herd.until_step(2, "starting");
        kill_process(pid, Signal::KILL).expect("it runs");
        let deploy = herd.until_ended();
        assert_eq!(deploy["state"], "succeeded", "{deploy}");
        assert_eq!(herd.revisions(), ["v2"; 3]);
        let seen = herd.stop(load);
        seen.print(&format!("'{victim}' killed in a deploy"));
        assert_eq!(seen.failed, [""; 0]);
        let failed = seen.failed_posts();
        assert!(failed.len() <= WRITERS, "{failed:?}");
    }
}

/// The same, and then it is to come back.
#[test]
fn a_number_goes_back_to_an_incumbent_that_was_killed_when_that_is_ready_again() {
    let _alone = alone();
    let mut herd = Herd::start_with("back", &unhurried(REVISIONS));
    let pid = herd.balancer.replica_pid("Server 1");
    let load = herd.load();
    herd.begin("v2");
    herd.until_step(1, "judging");
    kill_process(pid, Signal::KILL).expect("it runs");
    // Before that is known the number would go back to it, and its requests to the next on the ring.
    herd.balancer.wait_for_log("replica died");
    assert_eq!(request(herd.balancer.admin, "DELETE", "/deploy", None).status, 202);
    let deploy = herd.until_ended();
    assert_eq!(deploy["state"], "aborted", "{deploy}");
    assert_eq!(herd.revisions(), ["v1"; 3]);
    let seen = herd.stop(load);
    seen.print("an incumbent killed, then DELETE /deploy");
    seen.assert_nothing_failed();
    seen.assert_no_key_moved();
}

#[test]
fn with_stop_first_no_number_ever_has_two_replicas_and_nobody_notices() {
    let _alone = alone();
    let herd = Herd::start_with("exclusive", &exclusive("stop-first"));
    let ring = herd.ring();
    let load = herd.load();
    for revision in ["v2", "v1"] {
        let deploy = herd.deploy(revision);
        assert_eq!(
            (&deploy["state"], &deploy["order"]),
            (&"succeeded".into(), &"stop-first".into()),
            "{deploy}"
        );
        assert_eq!((herd.ring(), herd.revisions()), (ring.clone(), vec![revision.to_owned(); 3]));
        load.wait_for_a_round();
    }
    let seen = herd.stop(load);
    seen.print("two deploys with stop-first");
    seen.assert_nothing_failed();
    let mut went_elsewhere = 0;
    for (key, served) in &seen.served {
        let (first, last) = (&served[0], &served[served.len() - 1]);
        assert_eq!(first, last, "{key} has come back to its number and its revision");
        went_elsewhere += usize::from(served.iter().any(|(_, number)| *number != first.1));
    }
    assert!(went_elsewhere > 0, "no key was asked for while its number had nobody");
}

#[test]
fn with_stop_first_a_bad_revision_is_followed_by_the_one_before() {
    let _alone = alone();
    for revision in ["absent", "short-lived", "crashes", "fails"] {
        let settings = unhurried(&exclusive("stop-first"));
        let herd = Herd::start_with(&format!("exclusive-{revision}"), &settings);
        let (seen, deploy) = taken_back_from(&herd, revision);
        assert!(seen.failed.iter().all(|why| why.starts_with("500 bad ")), "{:?}", seen.failed);
        assert!(revision == "fails" || seen.failed.is_empty(), "{revision}: {:?}", seen.failed);
        let of_number = |why: &&String| !why.starts_with("500 bad ");
        let lost = seen.failed_posts().into_iter().filter(of_number).count();
        assert!(lost <= if revision == "absent" { 0 } else { WRITERS }, "{:?}", seen.failed_posts());
        assert_eq!(deploy["numbers"][0]["step"], "reverted", "{deploy}");
        assert_eq!(deploy["numbers"][1]["step"], "pending", "{deploy}");
    }
}

/// What the other order makes of such replicas: the lock is real.
#[test]
fn with_start_first_a_replica_that_needs_what_another_holds_does_not_start() {
    let _alone = alone();
    let herd = Herd::start_with("contended", &exclusive("start-first"));
    let deploy = herd.deploy("v2");
    assert_eq!(deploy["state"], "reverted", "{deploy}");
    let tally = std::fs::read_to_string(herd.folder.file("tally")).expect("a file");
    assert_eq!(tally.trim(), program::CONTENDED);
}

/// Healing waits for the end of the replica before, and a deploy goes on.
#[test]
fn with_stop_first_a_replica_that_is_killed_is_healed_and_the_deploy_goes_on() {
    let _alone = alone();
    let herd = Herd::start_with("exclusive-killed", &unhurried(&exclusive("stop-first")));
    let pid = herd.balancer.replica_pid("Server 3");
    let load = herd.load();
    herd.begin("v2");
    herd.until_step(1, "judging");
    kill_process(pid, Signal::KILL).expect("it runs");
    let deploy = herd.until_ended();
    assert_eq!(deploy["state"], "succeeded", "{deploy}");
    assert_eq!(herd.revisions(), ["v2"; 3]);
    let seen = herd.stop(load);
    seen.print("'Server 3' killed in a deploy with stop-first");
    assert_eq!(seen.failed, [""; 0]);
    assert!(seen.failed_posts().len() <= WRITERS, "{:?}", seen.failed_posts());
}
