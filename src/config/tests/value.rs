//! Golden tables of values: what is taken, as what, and what is refused, with which hint.

use std::time::Duration;

use crate::config::setting::Kind;
use crate::config::table;
use crate::config::value::*;
use crate::control::BoundedLoad;

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
    assert_eq!(integer(&SMALL, "1"), Ok(1));
    assert_eq!(integer(&SMALL, "0100"), Ok(100));
    for text in ["0", "101", "-1", "+1", "1.0", "1e1", "x", " 1", "99999999999999999999999", "٣"] {
        let refusal = refused(integer(&SMALL, text));
        assert_eq!(refusal, "must be a whole number of things, 1 to 100; ", "{text}");
    }
    assert!(refused(integer(&SMALL, "64KiB")).ends_with("write the number alone, without a unit"));
}

#[test]
fn every_bound_of_the_table_is_inclusive() {
    for setting in table::settings() {
        match &setting.kind {
            kind @ Kind::Integer { min, max, .. } => {
                assert_eq!(integer(kind, &min.to_string()), Ok(*min), "{}", setting.key);
                assert_eq!(integer(kind, &max.to_string()), Ok(*max), "{}", setting.key);
                assert!(integer(kind, &(max + 1).to_string()).is_err(), "{}", setting.key);
                assert!(*min == 0 || integer(kind, &(min - 1).to_string()).is_err(), "{}", setting.key);
            }
            kind @ Kind::Duration { min, max } => {
                let text = |duration: Duration| humantime::format_duration(duration).to_string();
                assert_eq!(duration(kind, &text(*min)), Ok(*min), "{}", setting.key);
                assert_eq!(duration(kind, &text(*max)), Ok(*max), "{}", setting.key);
                assert!(duration(kind, &text(*max + Duration::from_nanos(1))).is_err(), "{}", setting.key);
            }
            _ => {}
        }
    }
}

#[test]
fn durations() {
    for (text, millis) in [("10ms", 10), ("1s", 1000), ("2m", 120_000), ("1m 30s", 90_000), ("1h", 3_600_000)]
    {
        assert_eq!(duration(&SECONDS, text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["500", "0", "1.5"] {
        let refusal = refused(duration(&SECONDS, text));
        assert!(refusal.starts_with("has no unit; must be a duration, 10ms to 1h"), "{refusal}");
        assert!(refusal.ends_with(&format!("add one, as in {text}ms or {text}s")), "{refusal}");
    }
    for text in ["9ms", "0s", "61m", "1000000000000000y"] {
        assert!(refused(duration(&SECONDS, text)).starts_with("must be a duration, 10ms to 1h"), "{text}");
    }
    for text in ["soon", "-1s", "1 fortnight", "s", "inf", "nan"] {
        assert!(refused(duration(&SECONDS, text)).contains("such as 500ms, 1s or 2m"), "{text}");
    }
}

#[test]
fn factors() {
    assert_eq!(factor(&FACTOR, "auto"), Ok(BoundedLoad::Auto));
    assert_eq!(factor(&FACTOR, "off"), Ok(BoundedLoad::Off));
    for (text, value) in [("1", 1.0), ("1.25", 1.25), ("1e3", 1000.0)] {
        assert_eq!(factor(&FACTOR, text), Ok(BoundedLoad::Factor(value)));
    }
    for text in ["0.99", "1000.1", "-1", "nan", "inf", "on", "1.25x"] {
        assert_eq!(refused(factor(&FACTOR, text)), "must be auto, off or a number, 1 to 1000; ", "{text}");
    }
}

#[test]
fn choices_suggest_what_may_have_been_meant() {
    const KIND: Kind = Kind::Choice(&["classic", "modified"]);
    assert_eq!(choice(&KIND, "classic"), Ok("classic"));
    assert_eq!(refused(choice(&KIND, "clasic")), "must be classic or modified; did you mean \"classic\"?");
    assert_eq!(refused(choice(&KIND, "md5")), "must be classic or modified; ");
}

#[test]
fn addresses() {
    for text in ["127.0.0.1:0", "0.0.0.0:65535", "[::1]:5000"] {
        assert_eq!(address(text).unwrap().to_string(), text);
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
        assert_eq!(refused(address(text)), format!("must be IP:PORT; {hint}"), "{text}");
    }
}

#[test]
fn endpoints() {
    for text in ["10.0.0.7:8080", "web-1.internal:80", "[::1]:8080", "web_1:1"] {
        assert_eq!(endpoint(text).as_deref(), Ok(text));
    }
    for text in [
        "web",
        "web:",
        ":80",
        "web:0",
        "web:65536",
        "web:+1",
        "::1:80",
        "[::1]",
        "[web]:80",
        "a b:80",
        "http://web:80",
        "a..b:80",
        "-a:80",
        "web:80/",
    ] {
        assert!(refused(endpoint(text)).starts_with("must be HOST:PORT; as in"), "{text}");
    }
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
        assert_eq!(url_path(text).as_deref(), Ok(text));
    }
    for text in ["heartbeat", "/a b", "/a\r\nb", "/ü", "/a#b", "http://x/"] {
        assert!(refused(url_path(text)).starts_with("must be a path that starts with '/'"), "{text:?}");
    }
}

#[test]
fn commands() {
    assert_eq!(command("serve --port={port} 'a b'").unwrap(), ["serve", "--port={port}", "a b"]);
    for (text, what) in [
        ("   ", "names no program"),
        ("'' {port}", "names no program"),
        ("serve", "has no {port}"),
        ("{port}", "has no {port}"),
        ("serve '{port}", "has a ' without its partner"),
        ("serve {port}\0", "contains a NUL"),
    ] {
        assert!(refused(command(text)).starts_with(what), "{text}");
    }
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
fn a_command_in_a_container_may_know_its_port() {
    assert_eq!(command_in_container("serve --all").unwrap(), ["serve", "--all"]);
    for (text, what) in [("''", "names no program"), ("serve '", "has a '"), ("serve \0", "contains a NUL")] {
        assert!(refused(command_in_container(text)).starts_with(what), "{text}");
    }
}

#[test]
fn numbers() {
    let kind = Kind::Number { min: 0.01, max: 1024.0 };
    assert_eq!(number(&kind, "0.5"), Ok(0.5));
    for text in ["0", "-1", "1025", "nan", "inf", "half", ""] {
        assert_eq!(refused(number(&kind, text)), "must be a number, 0.01 to 1024; ", "{text}");
    }
}
