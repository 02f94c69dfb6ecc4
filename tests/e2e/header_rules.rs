//! Header rules of the file: `[[headers]]`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use crate::common::backend::Backend;
use crate::common::{Balancer, request, wait_until};

/// A file of this test alone, which is removed with it.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringherd-{name}-{}.toml", std::process::id()));
        fs::write(&path, text).expect("it can be written");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn header<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let of_name = |line: &&str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
    head.lines().filter(of_name).filter_map(|line| Some(line.split_once(':')?.1.trim())).collect()
}

#[test]
fn rules_change_requests_and_responses_and_a_reload_changes_them() {
    let backend = Backend::start("one");
    backend.add_lines("Server: secret/1.0\r\nX-Powered-By: magic\r\nVary: Accept\r\n");
    let rules = "[[headers]]\non = 'request'\nremove = ['Cookie']\nset = ['Host: app.internal', 'X-Edge: a, b']\n\
        [[headers]]\non = 'response'\nremove = ['Server', 'X-Powered-By']\nadd = ['Vary: Origin']\n\
        [[headers]]\non = 'response'\nset = ['X-Frame-Options: DENY']\nalways = true\n";
    let file = File::new("header-rules", rules);
    let args = ["--config", file.path(), "--upstream", &backend.address.to_string()];
    let mut balancer = Balancer::start(&args);
    balancer.wait_until_ready(1);
    let text = "GET /x HTTP/1.1\r\nHost: a\r\nCookie: sid=1\r\nX-Edge: forged\r\nConnection: close\r\n\r\n";
    let answer = crate::common::client::raw(balancer.public, text);
    assert_eq!((answer.status, answer.header("server"), answer.header("x-powered-by")), (200, None, None));
    let vary: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name == "vary").map(|(_, v)| v.as_str()).collect();
    assert_eq!(vary, ["Accept", "Origin"]);
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    let head = backend.heads().pop().expect("it came");
    assert_eq!(header(&head, "host"), ["app.internal"]);
    assert_eq!((header(&head, "x-edge"), header(&head, "cookie")), (vec!["a, b"], vec![]));
    assert_eq!(header(&head, "x-forwarded-host"), ["a"], "what the client asked for");

    // Of the balancer's own responses only those that always hold.
    backend.respond_with(0);
    let own = request(balancer.public, "POST", "/x", None);
    assert_eq!((own.status, own.header("x-frame-options"), own.header("vary")), (502, Some("DENY"), None));
    backend.respond_with(200);

    // A bad file changes nothing, a good one all.
    fs::write(&file.0, "[[headers]]\non = 'response'\nset = ['Content-Length: 1']\n").expect("written");
    balancer.signal(Signal::HUP);
    balancer.wait_for_log("configuration not reloaded: nothing changed");
    assert_eq!(request(balancer.public, "GET", "/x", None).header("x-frame-options"), Some("DENY"));
    fs::write(&file.0, "[[headers]]\non = 'response'\nset = ['X-New: 1']\n").expect("written");
    balancer.signal(Signal::HUP);
    wait_until("the new rules hold", || {
        let answer = request(balancer.public, "GET", "/x", None);
        let is_new = answer.header("x-new") == Some("1") && answer.header("server") == Some("secret/1.0");
        // A request that is under way when they change has the old rules.
        let head = backend.heads().pop().expect("it came");
        (is_new && header(&head, "x-edge").is_empty()).then_some(())
    });
}

/// What a repeated request is sent with is saved before: the rules are in it.
#[test]
fn rules_hold_for_a_request_that_is_repeated() {
    let backends = [Backend::start("one"), Backend::start("two")];
    let file = File::new("repeated-rules", "[[headers]]\non = 'request'\nset = ['X-Edge: 1']\n");
    let upstreams = backends.each_ref().map(|backend| backend.address.to_string());
    let args = ["--config", file.path(), "--upstream", &upstreams[0], "--upstream", &upstreams[1]];
    let balancer = Balancer::start(&[&args[..], &["--key", "path"]].concat());
    balancer.wait_until_ready(2);
    let home = request(balancer.public, "GET", "/x", None).body;
    let (home, other) = if home == "one" { (0, 1) } else { (1, 0) };
    backends[home].respond_with(0);
    assert_eq!(request(balancer.public, "GET", "/x", None).status, 200);
    let head = backends[other].heads().pop().expect("it was repeated");
    assert_eq!(header(&head, "x-edge"), ["1"]);
}

#[test]
fn rules_that_cannot_be_are_refused_with_their_lines() {
    let check = |text: &str| {
        let file = File::new("bad-rules", text);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringherd"));
        let output = command.args(["check", "--config", file.path()]).output().expect("the binary starts");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), text)
    };
    let cases = [
        ("on = 'response'\nset = ['Connection: close']", ":3", "connection concerns one connection"),
        ("on = 'request'\nadd = ['Transfer-Encoding: chunked']", ":3", "says where a message ends"),
        ("on = 'request'\nset = ['X-Forwarded-For: 1']", ":3", "is set or checked by the balancer itself"),
        ("on = 'request'\nremove = ['Host']", ":3", "no request is without Host"),
        ("on = 'request'\nset = ['Host: a b']", ":3", "sets Host to what is no host"),
        ("on = 'response'\nset = ['Host: a']", ":1", "sets Host, which no response has"),
        ("on = 'request'\nset = ['a b: c']", ":3", "'a b' is not the name of a header field"),
        ("on = 'request'\nset = ['X-A: \u{e4}']", ":3", "not of visible ASCII"),
        ("on = 'request'\nset = ['X-A']", ":3", "has no ':'"),
        ("on = 'answer'", ":2", "request or response"),
        ("set = ['X-A: 1']", ":1", "is missing"),
        ("on = 'request'\nalways = true", ":1", "is about responses"),
    ];
    for (table, line, message) in cases {
        let (good, text) = check(&format!("[[headers]]\n{table}\n"));
        assert!(!good && text.contains(message) && text.contains(line), "{table}: {text}");
    }
    let (good, text) = check("[[headers]]\non = 'request'\nset = ['x-a:   1, 2']\n");
    assert!(good && text.contains("[[headers]]") && text.contains("x-a: 1, 2"), "{text}");
}
