//! The session of the README, to the letter.

use rustix::process::{Signal, kill_process};

use crate::common::{Balancer, is_alive, request, wait_until};

/// What an admin route answers, without the newline at its end.
fn admin(balancer: &Balancer, method: &str, path: &str, body: Option<&str>) -> (u16, String) {
    let (status, body) = answer(balancer, method, path, body);
    (status, body.strip_suffix('\n').expect("a newline at the end").to_owned())
}

fn answer(balancer: &Balancer, method: &str, path: &str, body: Option<&str>) -> (u16, String) {
    let answer = request(balancer.public, method, path, body);
    (answer.status, answer.body)
}

#[test]
fn the_first_interface_works_to_the_letter() {
    let balancer = Balancer::start(&[]);
    let three = r#"{"message":{"N":3,"replicas":["Server 1","Server 2","Server 3"]},"status":"successful"}"#;
    let five = r#"{"message":{"N":5,"replicas":["Server 1","Server 2","Server 3","S4","S5"]},"status":"successful"}"#;
    let two_named_one_added = Some(r#"{"n":1,"hostnames":["A","B"]}"#);
    let s4_and_s5 = Some(r#"{"n":2,"hostnames":["S4","S5"]}"#);

    assert_eq!(admin(&balancer, "GET", "/rep", None), (200, three.to_owned()));
    assert_eq!(admin(&balancer, "POST", "/add", s4_and_s5), (200, five.to_owned()));
    assert_eq!(admin(&balancer, "GET", "/rep", None), (200, five.to_owned()));
    assert_eq!(admin(&balancer, "DELETE", "/rm", s4_and_s5), (200, three.to_owned()));
    let (status, home) = answer(&balancer, "GET", "/home", None);
    assert_eq!(status, 200);
    let routed =
        |number| format!(r#"{{"message":"Request routed to Server {number}","status":"successful"}}"#);
    assert!((1..=3).any(|number| home == routed(number)), "{home}");
    assert_eq!(
        answer(&balancer, "GET", "/other", None),
        (
            400,
            r#"{"message":"<Error> '/other' endpoint does not exist in server replicas","status":"failure"}"#
                .to_owned()
        )
    );
    assert_eq!(
        admin(&balancer, "POST", "/add", two_named_one_added),
        (
            400,
            r#"{"message":"<Error> Length of hostname list is more than newly added instances","status":"failure"}"#
                .to_owned()
        )
    );
    assert_eq!(
        admin(&balancer, "DELETE", "/rm", Some(r#"{"n":1,"hostnames":["S4","S5"]}"#)),
        (
            400,
            r#"{"message":"<Error> Length of hostname list is more than removable instances","status":"failure"}"#
                .to_owned()
        )
    );
    assert_eq!(admin(&balancer, "GET", "/rep", None), (200, three.to_owned()));
}

#[test]
fn a_killed_replica_is_replaced_under_its_number() {
    let balancer = Balancer::start(&[]);
    kill_process(balancer.replica_pid("Server 2"), Signal::KILL).expect("it runs");
    let names = wait_until("the replacement is named", || {
        let names = balancer.replicas();
        (!names.contains(&"Server 2".to_owned())).then_some(names)
    });
    assert_eq!((names.len(), names[0].as_str(), names[2].as_str()), (3, "Server 1", "Server 3"));
    let tail = names[1].strip_prefix("Server-").expect("the name of a replacement");
    assert!(tail.len() == 6 && tail.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()), "{tail}");
    let ring = balancer.wait_until_ready(3);
    assert_eq!((&ring[1]["number"], &ring[1]["name"]), (&2.into(), &names[1].as_str().into()));
}

#[test]
fn both_listeners_show_the_same_cluster() {
    let balancer = Balancer::start(&["--replicas", "2"]);
    let public = request(balancer.public, "GET", "/rep", None);
    let admin = request(balancer.admin, "GET", "/rep", None);
    assert_eq!(public.body, admin.body);
    assert_eq!(request(balancer.admin, "GET", "/healthz", None).status, 200);
    assert_eq!(request(balancer.admin, "GET", "/readyz", None).status, 200);
    // On the public listener these are somebody else's paths.
    assert_eq!(request(balancer.public, "GET", "/healthz", None).status, 400);
}

#[test]
fn names_are_drawn_for_replicas_that_are_given_none() {
    let balancer = Balancer::start(&["--replicas", "1"]);
    let added = request(balancer.public, "POST", "/add", Some(r#"{"n":2,"hostnames":["Mine"]}"#));
    assert_eq!(added.status, 200, "{added:?}");
    let names = balancer.replicas();
    assert_eq!(&names[..2], ["Server 1", "Mine"]);
    assert!(names[2].starts_with("Server-"), "{names:?}");
    let removed = request(balancer.public, "DELETE", "/rm", Some(r#"{"n":2,"hostnames":["mine"]}"#));
    assert_eq!(removed.status, 200, "{removed:?}");
    assert_eq!(balancer.replicas().len(), 1);
}

#[test]
fn without_replicas_a_request_is_told_when_to_come_back() {
    let balancer = Balancer::start(&["--replicas", "0"]);
    let answer = request(balancer.public, "GET", "/home", None);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("x-ringherd-error"), Some("no-replica"));
    assert_eq!(request(balancer.admin, "GET", "/readyz", None).status, 503);
    assert_eq!(request(balancer.public, "POST", "/add", Some(r#"{"n":1}"#)).status, 200);
    assert_eq!(request(balancer.public, "GET", "/home", None).status, 200);
}

#[test]
fn a_replica_can_be_killed_and_is_replaced() {
    let balancer = Balancer::start(&["--replicas", "2"]);
    balancer.wait_until_ready(2);
    let pid = balancer.replica_pid("Server 2");
    let answer = request(balancer.admin, "POST", "/replicas/server_2/kill", Some("{}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    wait_until("its process is gone", || (!is_alive(pid)).then_some(()));
    // The balancer sees the end a moment later than whoever looks at the process.
    wait_until("it is replaced", || {
        let ring = balancer.wait_until_ready(2);
        (ring[1]["name"] != "Server 2").then_some(())
    });
    let again = request(balancer.admin, "POST", "/replicas/Server%202/kill", Some("{}"));
    assert_eq!(again.status, 404, "{again:?}");
}
