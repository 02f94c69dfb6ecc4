//! Sticky sessions by a signed cookie.

use std::collections::BTreeMap;
use std::process::Command;

use crate::common::backend::Backend;
use crate::common::client::{Answer, raw};
use crate::common::{Balancer, before, request};

const KEY: [&str; 2] = ["--key", "sticky:SRV"];

fn get(balancer: &Balancer, cookie: &str) -> Answer {
    let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    raw(balancer.public, &format!("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{cookie}\r\n"))
}

/// `NAME=VALUE` of the cookie that is set, if one is.
fn cookie(answer: &Answer) -> Option<String> {
    answer.header("set-cookie").map(|set| set.split(';').next().expect("a pair").to_owned())
}

#[test]
fn a_client_stays_at_its_replica_and_the_others_stay_too_when_one_is_added() {
    let backends = [Backend::start("one"), Backend::start("two")];
    let balancer = before(&backends, &KEY);
    let mut homes = BTreeMap::new();
    for _ in 0..40 {
        let first = get(&balancer, "");
        homes.insert(cookie(&first).expect("a cookie is set"), first.body);
    }
    assert_eq!(homes.len(), 40, "each client has a session of its own");
    for (cookie, home) in &homes {
        let again = get(&balancer, cookie);
        assert_eq!((&again.body, again.header("set-cookie")), (home, None));
    }
    let third = Backend::start("three");
    let body = format!(r#"{{"n":1,"endpoints":["{}"]}}"#, third.address);
    assert_eq!(request(balancer.admin, "POST", "/add", Some(&body)).status, 200);
    let mut moved = 0;
    for (cookie, home) in &homes {
        let now = get(&balancer, cookie);
        assert_eq!(now.header("set-cookie"), None);
        assert!(now.body == *home || now.body == "three", "from {home} to {}", now.body);
        moved += usize::from(now.body == "three");
    }
    assert!(moved > 0 && moved < homes.len(), "{moved}");
}

#[test]
fn a_forged_or_foreign_cookie_is_replaced_and_that_of_the_application_stays() {
    let backends = [Backend::start("one")];
    backends[0].add_lines("Set-Cookie: app=1\r\n");
    let secret = ("RINGHERD_STICKY_SECRET", "correct-horse-battery-staple");
    let upstream = backends[0].address.to_string();
    let args = ["--upstream", &upstream, KEY[0], KEY[1], "--sticky-max-age", "1h"];
    let start = |command: &mut Command| _ = command.env(secret.0, secret.1);
    let (balancer, other) = (Balancer::start_with(&args, start), Balancer::start_with(&args, start));
    balancer.wait_until_ready(1);
    other.wait_until_ready(1);
    let first = get(&balancer, "");
    let cookies: Vec<_> = first.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
    assert_eq!(cookies[0].1, "app=1");
    assert!(cookies[1].1.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600"), "{cookies:?}");
    let ours = cookies[1].1.split(';').next().expect("a pair").to_owned();

    let set = |answer: &Answer| answer.headers.iter().any(|(_, value)| value.starts_with("SRV="));
    assert!(!set(&get(&balancer, &ours)) && !set(&get(&other, &ours)), "both have the secret");
    let stranger = before(&backends, &KEY);
    assert!(set(&get(&stranger, &ours)), "one that was drawn knows it not");
    assert!(set(&get(&balancer, &ours.to_lowercase())) && set(&get(&balancer, "SRV=1.2")));
    // A response of the balancer itself sets none.
    backends[0].respond_with(0);
    let failed = get(&balancer, "");
    assert!(failed.status == 502 && !set(&failed), "{failed:?}");
}

#[test]
fn a_drawn_secret_is_told_and_a_bad_one_refused() {
    let backends = [Backend::start("one")];
    let mut balancer = before(&backends, &KEY);
    balancer.find_log("it is told", |event| {
        event["message"].as_str().is_some_and(|message| message.contains("--sticky-secret-file"))
    });
    let check = |args: &[&str], secret: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringherd"));
        let output = command.arg("check").args(args).env("RINGHERD_STICKY_SECRET", secret).output();
        let output = output.expect("the binary starts");
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let (good, text) = check(&[], "correct-horse-battery-staple");
    assert!(good && text.contains("secret-file = (set)  # RINGHERD_STICKY_SECRET"), "{text}");
    assert!(!text.contains("correct-horse"), "{text}");
    let (good, text) = check(&[], "short");
    assert!(!good && text.contains("RINGHERD_STICKY_SECRET: the secret has 5 characters"), "{text}");
    let (good, text) = check(&["--sticky-secret-file", "/nowhere"], "correct-horse-battery-staple");
    assert!(!good && text.contains("is set besides RINGHERD_STICKY_SECRET"), "{text}");
}
