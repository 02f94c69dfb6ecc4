//! Golden tables of values: what is taken, as what, and what is refused, with which hint.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::entries;
use crate::config::model::{Kind, Refusal, Value};
use crate::config::types::{ADDRESS, COMMAND, CommandLine, HOST_PORT, URL_PATH, host, token};
use crate::control::BoundedLoad;
use crate::names::HostPort;
use crate::telemetry::access::Format;

const SECONDS: Kind = Kind::Duration { min: Duration::from_millis(10), max: Duration::from_secs(3600) };
const SMALL: Kind = Kind::Integer { min: 1, max: 100, unit: "things" };
const FACTOR: Kind = Kind::Factor { min: 1.0, max: 1000.0 };

/// What is wrong and the hint, in one line.
fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
    let refusal = result.expect_err("refused");
    format!("{}; {}", refusal.what, refusal.hint.unwrap_or_default())
}

#[test]
fn integers() {
    assert_eq!(u64::read(&SMALL, "1"), Ok(1));
    assert_eq!(u64::read(&SMALL, "0100"), Ok(100));
    for text in ["0", "101", "-1", "+1", "1.0", "1e1", "x", " 1", "99999999999999999999999", "٣"] {
        let refusal = refused(u64::read(&SMALL, text));
        assert_eq!(refusal, "must be a whole number of things, 1 to 100; ", "{text}");
    }
    assert!(refused(u64::read(&SMALL, "64KiB")).ends_with("write the number alone, without a unit"));
}

#[test]
fn every_bound_is_inclusive() {
    for setting in entries().map(|entry| &entry.setting) {
        match &setting.kind {
            kind @ Kind::Integer { min, max, .. } => {
                assert_eq!(u64::read(kind, &min.to_string()), Ok(*min), "{}", setting.path);
                assert_eq!(u64::read(kind, &max.to_string()), Ok(*max), "{}", setting.path);
                assert!(u64::read(kind, &(max + 1).to_string()).is_err(), "{}", setting.path);
                assert!(*min == 0 || u64::read(kind, &(min - 1).to_string()).is_err(), "{}", setting.path);
            }
            kind @ Kind::Duration { min, max } => {
                let text = |duration: Duration| humantime::format_duration(duration).to_string();
                assert_eq!(Duration::read(kind, &text(*min)), Ok(*min), "{}", setting.path);
                assert_eq!(Duration::read(kind, &text(*max)), Ok(*max), "{}", setting.path);
                let above = *max + Duration::from_nanos(1);
                assert!(Duration::read(kind, &text(above)).is_err(), "{}", setting.path);
            }
            _ => {}
        }
    }
}

#[test]
fn durations() {
    for (text, millis) in [("10ms", 10), ("1s", 1000), ("2m", 120_000), ("1m 30s", 90_000), ("1h", 3_600_000)]
    {
        assert_eq!(Duration::read(&SECONDS, text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["500", "0", "1.5"] {
        let refusal = refused(Duration::read(&SECONDS, text));
        assert!(refusal.starts_with("has no unit; must be a duration, 10ms to 1h"), "{refusal}");
        assert!(refusal.ends_with(&format!("add one, as in {text}ms or {text}s")), "{refusal}");
    }
    for text in ["9ms", "0s", "61m", "1000000000000000y"] {
        assert!(
            refused(Duration::read(&SECONDS, text)).starts_with("must be a duration, 10ms to 1h"),
            "{text}"
        );
    }
    for text in ["soon", "-1s", "1 fortnight", "s", "inf", "nan"] {
        assert!(refused(Duration::read(&SECONDS, text)).contains("such as 500ms, 1s or 2m"), "{text}");
    }
}

#[test]
fn factors() {
    assert_eq!(BoundedLoad::read(&FACTOR, "auto"), Ok(BoundedLoad::Auto));
    assert_eq!(BoundedLoad::read(&FACTOR, "off"), Ok(BoundedLoad::Off));
    for (text, value) in [("1", 1.0), ("1.25", 1.25), ("1e3", 1000.0)] {
        assert_eq!(BoundedLoad::read(&FACTOR, text), Ok(BoundedLoad::Factor(value)));
    }
    for text in ["0.99", "1000.1", "-1", "nan", "inf", "on", "1.25x"] {
        assert_eq!(
            refused(BoundedLoad::read(&FACTOR, text)),
            "must be auto, off or a number, 1 to 1000; ",
            "{text}"
        );
    }
}

#[test]
fn choices_suggest_what_may_have_been_meant() {
    let kind = Kind::choice::<Format>();
    assert_eq!(Format::read(&kind, "common"), Ok(Format::Common));
    assert_eq!(refused(Format::read(&kind, "comon")), "must be json or common; did you mean \"common\"?");
    assert_eq!(refused(Format::read(&kind, "clf")), "must be json or common; ");
}

#[test]
fn addresses() {
    for text in ["127.0.0.1:0", "0.0.0.0:65535", "[::1]:5000"] {
        assert_eq!(SocketAddr::read(&ADDRESS, text).unwrap().to_string(), text);
    }
    for (text, hint) in [
        (":5000", "for all addresses write 0.0.0.0:5000"),
        ("*:5000", "for all addresses write 0.0.0.0:5000"),
        ("localhost:5000", "write 127.0.0.1:5000"),
        ("5000", "write 127.0.0.1:5000"),
        ("127.0.0.1", "add the port"),
        ("::1", "add the port"),
        ("127.0.0.1:65536", "as in 127.0.0.1:5000 or [::1]:5000"),
        ("example.org:80", "as in 127.0.0.1:5000 or [::1]:5000"),
    ] {
        assert_eq!(refused(SocketAddr::read(&ADDRESS, text)), format!("must be IP:PORT; {hint}"), "{text}");
    }
}

#[test]
fn upstreams_say_how_to_write_them() {
    assert_eq!(HostPort::read(&HOST_PORT, "[::1]:8080"), Ok("[::1]:8080".parse().unwrap()));
    let refusal = refused(HostPort::read(&HOST_PORT, "-a:80"));
    assert_eq!(refusal, "must be HOST:PORT; as in 10.0.0.7:8080 or [::1]:8080");
}

#[test]
fn hosts_are_the_same_in_any_case() {
    assert_eq!(host("Ops.Example.ORG").as_deref(), Ok("ops.example.org"));
    for text in ["*", "a b", "a..b", ".a", "-a", "a-", "ü", &"a".repeat(64), &"a.".repeat(127)] {
        assert!(host(text).is_err(), "{text}");
    }
    assert!(refused(host("ops:443")).ends_with("leave out scheme and port"));
}

#[test]
fn url_paths() {
    for text in ["/", "/heartbeat", "/a/b?c=d&e", "/%20"] {
        assert_eq!(String::read(&URL_PATH, text).as_deref(), Ok(text));
    }
    for text in ["heartbeat", "/a b", "/a\r\nb", "/ü", "/a#b", "http://x/"] {
        assert!(
            refused(String::read(&URL_PATH, text)).starts_with("must be a path that starts with '/'"),
            "{text:?}"
        );
    }
}

#[test]
fn commands() {
    let read = |text| CommandLine::read(&COMMAND, text);
    assert_eq!(read("serve --port={port} 'a b'").unwrap().0, ["serve", "--port={port}", "a b"]);
    for (text, what) in [
        ("   ", "names no program"),
        ("'' {port}", "names no program"),
        ("serve '{port}", "has a ' without its partner"),
        ("serve {port}\0", "contains a NUL"),
    ] {
        assert!(refused(read(text)).starts_with(what), "{text}");
    }
    // It may take its port from PORT.
    assert_eq!(read("npm start").unwrap().0, ["npm", "start"]);
}

#[test]
fn tokens_are_checked_and_never_repeated() {
    assert_eq!(token("12345678").as_deref(), Ok("12345678"));
    for text in ["", "1234567", "123 45678", "12345678\n", "1234567\u{7f}", "pässword", &"x".repeat(1025)] {
        let refusal = refused(token(text));
        assert!(text.is_empty() || !refusal.contains(text), "{refusal}");
    }
}

#[test]
fn numbers() {
    let kind = Kind::Number { min: 0.01, max: 1024.0 };
    assert_eq!(f64::read(&kind, "0.5"), Ok(0.5));
    for text in ["0", "-1", "1025", "nan", "inf", "half", ""] {
        assert_eq!(refused(f64::read(&kind, text)), "must be a number, 0.01 to 1024; ", "{text}");
    }
}
