//! SIGHUP: what a change of the file reaches in a running balancer, and what is said of the rest.

use std::time::Instant;

use rustix::process::Signal;

use crate::common::client::raw;
use crate::common::folder::Folder;
use crate::common::origin::Origin;
use crate::common::{Balancer, request, wait_until};

#[test]
fn the_file_is_read_again_and_a_bad_one_changes_nothing() {
    let folder = Folder::new("again");
    let write = |text: &str| folder.write("ringherd.toml", text);
    let file = write("[replicas]\ncount = 1\n[ring]\nvirtual-nodes = 128\n");
    let mut balancer = Balancer::start(&["--config", &file]);
    let virtual_nodes =
        |balancer: &Balancer| request(balancer.admin, "GET", "/ring", None).json()["virtual_nodes"].clone();
    assert_eq!(virtual_nodes(&balancer), 128);
    write("[replicas]\ncount = 1\n[ring]\nvirtual-nodes = 64\n[server]\ngrace = \"3s\"\n");
    balancer.signal(Signal::HUP);
    let reloaded = balancer.wait_for_log("configuration reloaded");
    assert_eq!(reloaded["needs_restart"], "grace", "what has changed and cannot be applied, no more");
    assert_eq!(virtual_nodes(&balancer), 64);
    write("[replicas]\ncount = 1\n[ring]\nvirtual-nodes = 0\nnonsense = 1\n");
    balancer.signal(Signal::HUP);
    balancer.wait_for_log("configuration not reloaded: nothing changed");
    assert_eq!(virtual_nodes(&balancer), 64);
}

#[test]
fn time_outs_and_limits_change_without_a_restart() {
    let (folder, origin) = (Folder::new("limits"), Origin::start());
    let upstream = format!("[replicas]\nupstreams = \"{}\"\n", origin.address);
    let file = folder.write("ringherd.toml", &upstream);
    let mut balancer = Balancer::start(&["--config", &file]);
    let status = |path: &str| request(balancer.public, "GET", path, None).status;
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {}\r\n\r\n", "x".repeat(3000));
    assert_eq!(status("/slow"), 200, "300 ms are within 30 s");
    assert_eq!(raw(balancer.public, &large).status, 200);

    let limits = "[timeouts]\nresponse = \"2s\"\n[limits]\nmax-header-bytes = 2048\n";
    folder.write(
        "ringherd.toml",
        &format!("{upstream}{limits}[log]\nformat = \"text\"\n[server]\nworkers = 1\n"),
    );
    let signalled = Instant::now();
    balancer.signal(Signal::HUP);
    // Workers take it over at their next tick.
    let public = balancer.public;
    wait_until("a limit is in force", || (raw(public, &large).status == 431).then_some(()));
    println!("a limit of the data plane was in force {:?} after SIGHUP", signalled.elapsed());
    let reloaded = balancer.wait_for_log("configuration reloaded");
    // The log's format was given as a flag, which wins.
    assert_eq!(reloaded["needs_restart"], "workers");
    wait_until("a time-out is in force", || {
        (request(public, "GET", "/stall", None).status == 504).then_some(())
    });
    assert_eq!(request(public, "GET", "/", None).status, 200);
}

#[test]
fn the_admin_token_changes_with_its_file() {
    let folder = Folder::new("token");
    let token = folder.write("token", "first-token\n");
    let mut balancer = Balancer::start(&["--replicas", "0", "--admin-token-file", &token]);
    let status = |balancer: &Balancer, token: &str| {
        let head = format!("GET /rep HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", balancer.admin);
        raw(balancer.admin, &format!("{head}Authorization: Bearer {token}\r\n\r\n")).status
    };
    assert_eq!((status(&balancer, "first-token"), status(&balancer, "second-token")), (200, 401));
    folder.write("token", "second-token\n");
    balancer.signal(Signal::HUP);
    let reloaded = balancer.wait_for_log("configuration reloaded");
    assert_eq!(reloaded["needs_restart"], "");
    assert_eq!((status(&balancer, "first-token"), status(&balancer, "second-token")), (401, 200));
    // One that is none changes nothing.
    folder.write("token", "short\n");
    balancer.signal(Signal::HUP);
    balancer.wait_for_log("configuration not reloaded: nothing changed");
    assert_eq!(status(&balancer, "second-token"), 200);
}

#[test]
fn upstreams_and_the_number_of_replicas_change_without_a_restart() {
    let (folder, origins) = (Folder::new("replicas"), [Origin::start(), Origin::start(), Origin::start()]);
    let write = |origins: &[&Origin]| {
        let list: Vec<_> = origins.iter().map(|origin| format!("'{}'", origin.address)).collect();
        folder.write("fixed.toml", &format!("[replicas]\nupstreams = [{}]\n", list.join(", ")))
    };
    let file = write(&[&origins[0], &origins[1]]);
    let mut balancer = Balancer::start(&["--config", &file]);
    balancer.wait_until_ready(2);
    write(&[&origins[1], &origins[2]]);
    balancer.signal(Signal::HUP);
    assert_eq!(balancer.wait_for_log("configuration reloaded")["needs_restart"], "");
    let expected = [&origins[2], &origins[1]].map(|origin| origin.address.to_string());
    let ring = balancer.wait_until_ready(2);
    let addresses: Vec<_> = ring.iter().map(|replica| replica["address"].as_str().unwrap_or("")).collect();
    assert_eq!(addresses, expected);

    let write = |text: &str| folder.write("process.toml", &format!("[replicas]\n{text}"));
    let file = write("count = 2\n");
    let mut balancer = Balancer::start(&["--config", &file]);
    balancer.wait_until_ready(2);
    write("count = 4\n");
    balancer.signal(Signal::HUP);
    balancer.wait_for_log("configuration reloaded");
    balancer.wait_until_ready(4);
    write("count = 1\ncommand = 'npm start'\n");
    balancer.signal(Signal::HUP);
    assert_eq!(balancer.wait_for_log("configuration reloaded")["needs_restart"], "");
    let made = "replicas keep what they were made of: restart the balancer to make them anew";
    let event = balancer.wait_for_log(made);
    assert_eq!((&event["level"], &event["settings"]), (&"WARN".into(), &"replica-command".into()));
    balancer.wait_until_ready(1);
    // Of another runtime only the need for a restart is told.
    write(&format!("upstreams = '{}'\n", origins[0].address));
    balancer.signal(Signal::HUP);
    let reloaded = balancer.wait_for_log("configuration reloaded");
    assert_eq!(reloaded["needs_restart"], "runtime");
    assert_eq!(balancer.ring().len(), 1);
}
