//! What bodies are taken and what is refused: tables, and laws over arbitrary input.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Parses with all five functions; none may panic.
fn parse_all(body: &[u8]) -> [bool; 5] {
    [
        parse_add(body).is_ok(),
        parse_remove(body).is_ok(),
        parse_ring_change(body).is_ok(),
        parse_weight(body).is_ok(),
        parse_deploy(body).is_ok(),
    ]
}

#[test]
fn what_is_meant_is_taken() {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        parse_add(br#" {"hostnames":["S4","Server 9"],"n":3,"endpoints":["a:1"]} "#).unwrap(),
        Add { count: 3, names: names(&["S4", "Server 9"]), endpoints: names(&["a:1"]) }
    );
    assert_eq!(parse_add(br#"{"n":4294967295}"#).unwrap().count, u32::MAX);
    assert_eq!(
        parse_remove(br#"{"n":2,"hostnames":["S4"]}"#).unwrap(),
        Remove { count: 2, names: names(&["S4"]) }
    );
    assert_eq!(parse_weight(br#"{"weight":0}"#), Ok(0));
    assert_eq!(parse_weight(br#"{"weight":100}"#), Ok(100));
    let deploy = |canary| DeployRequest { revision: "v2".to_owned(), canary };
    assert_eq!(parse_deploy(br#"{"revision":"v2"}"#), Ok(deploy(None)));
    assert_eq!(parse_deploy(br#"{"canary":99,"revision":"v2"}"#), Ok(deploy(Some(99))));
    let change = RingChange {
        family: Some(Family::Classic),
        probing: Some(Probing::Linear),
        placement: Some(Placement::Rendezvous),
        slots: Some(512),
        virtual_nodes: Some(9),
        key: Some(KeySource::Path),
    };
    let body = br#"{"family":"classic","probing":"linear","placement":"rendezvous",
        "slots":512,"virtual_nodes":9,"key":"path"}"#;
    assert_eq!(parse_ring_change(body), Ok(change));
}

#[test]
fn what_is_not_the_json_of_any_route_is_refused_by_all() {
    for body in [
        "",
        " ",
        "n=1",
        "null",
        "1",
        "\"n\"",
        "[]",
        "[1]",
        "[1,[]]",
        "[100]",
        "{}",
        "{",
        "{}{}",
        "{\"n\":1",
        "{\"n\":1,}",
        "{'n':1}",
        "\u{feff}{\"n\":1}",
        "{\"n\":1}{\"n\":1}",
        "{\"n\":1} x",
        "{\"n\":1,\"n\":1}",
        "{\"n\":1,\"x\":2}",
        "{\"N\":1}",
        "{\"weight\":1,\"weight\":1}",
        "{\"weight\":1,\"n\":1}",
        "{\"slots\":512,\"slots\":512}",
        "{\"slots\":512,\"version\":1}",
    ] {
        assert_eq!(parse_all(body.as_bytes()), [false; 5], "{body}");
    }
    assert_eq!(parse_all(b"{\"n\":1,\"hostnames\":[\"\xff\"]}"), [false; 5]);
    for (open, close) in [("[", "]"), ("{\"n\":", "}")] {
        let bomb = format!("{{\"n\":{}{}}}", open.repeat(10_000), close.repeat(10_000));
        assert_eq!(parse_all(bomb.as_bytes()), [false; 5]);
    }
}

#[test]
fn a_field_has_a_value_of_its_type() {
    for value in ["null", "\"3\"", "1.0", "1e3", "-1", "-0", "01", "[1]", "{}", "true", "NaN", "4294967296"] {
        for name in ["n", "weight", "slots", "virtual_nodes"] {
            let body = format!("{{\"{name}\":{value}}}");
            assert_eq!(parse_all(body.as_bytes()), [false; 5], "{body}");
        }
    }
    for value in ["null", "\"S4\"", "[1]", "[null]", "[[]]", "{}", "{\"0\":\"S4\"}"] {
        let body = format!("{{\"n\":1,\"hostnames\":{value}}}");
        assert_eq!(parse_all(body.as_bytes()), [false; 5], "{body}");
        let body = format!("{{\"n\":1,\"endpoints\":{value}}}");
        assert!(parse_add(body.as_bytes()).is_err(), "{body}");
    }
    for name in ["family", "probing", "placement", "key"] {
        for value in ["null", "1", "\"\"", "\"no such thing\"", "[\"linear\"]"] {
            let body = format!("{{\"{name}\":{value}}}");
            assert_eq!(parse_all(body.as_bytes()), [false; 5], "{body}");
        }
    }
    assert!(parse_weight(br#"{"weight":101}"#).is_err());
}

#[test]
fn errors_say_what_is_wrong_and_what_would_be_right() {
    let huge = format!("{{\"n\":1{}}}", "0".repeat(400));
    let long = format!("{{\"{}\":1}}", "ü".repeat(30_000));
    let cases = [
        (r#"{"n":1000000000000}"#, "`1000000000000`, expected an integer from 0 to 4294967295"),
        (r#"{"n":18446744073709551616}"#, "expected an integer from 0 to 4294967295"),
        (&huge, "number out of range"),
        (r#"{"n":-1}"#, "`-1`, expected an integer from 0"),
        (r#"{"hostnames":[]}"#, "missing field `n`"),
        (r#"{"n":1,"host":[]}"#, "unknown field `host`, expected one of `n`, `hostnames`, `endpoints`"),
        (r#"{"n":1,"n":2}"#, "duplicate field `n`"),
        ("[1]", "expected an object"),
        (r#"{"n":1}{"n":1}"#, "trailing characters"),
        (&long, "unknown field `üü"),
        (r#"{"n":0}"#, "n must be at least 1"),
        (r#"{"n":1,"hostnames":["A","B"]}"#, "Length of hostname list is more than newly added instances"),
    ];
    for (body, expected) in cases {
        let error = parse_add(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.len() < 500, "{} bytes", error.len());
    }
    let error = parse_remove(br#"{"n":1,"hostnames":["A","B"]}"#).unwrap_err().to_string();
    assert_eq!(error, "Length of hostname list is more than removable instances");
    assert_eq!(parse_ring_change(b"{}"), Err(BodyError::NoChange));
}

#[test]
fn choices_are_named() {
    for (field, choices) in [
        ("family", &["classic", "modified"][..]),
        ("probing", &["quadratic", "linear"]),
        ("placement", &["ring", "rendezvous", "balanced"]),
        ("key", &["request-id", "header:NAME"]),
    ] {
        let error = parse_ring_change(format!("{{\"{field}\":\"x\"}}").as_bytes()).unwrap_err().to_string();
        assert!(choices.iter().all(|choice| error.contains(choice)), "{error}");
    }
}

#[test]
fn names_that_could_do_harm_are_no_names() {
    let long = "A".repeat(64);
    for name in [
        "; touch pwn",
        "$(id)",
        "`id`",
        "../../etc",
        "-v/:/host",
        "--privileged",
        "a  b",
        "a\nb",
        "a\r\nX: y",
        "a\0b",
        "",
        ".",
        &long,
        "ünï",
        "a/b",
        "a:80",
        "a@b",
        "127.0.0.1",
        "localhost",
        "host.docker.internal",
        "169.254.169.254",
        "_x",
        "<script>",
        "a%2fb",
        "{{7*7}}",
    ] {
        let body = serde_json::to_vec(&json!({"n": 1, "hostnames": [name]})).unwrap();
        assert!(matches!(parse_add(&body), Err(BodyError::Rule(ControlError::Name(_)))), "{name:?}");
        assert!(matches!(parse_remove(&body), Err(BodyError::Rule(ControlError::Name(_)))), "{name:?}");
    }
    let twice = br#"{"n":2,"hostnames":["S4","s4"]}"#;
    let error = BodyError::Rule(ControlError::NameTwice("s4".to_owned()));
    assert_eq!(parse_add(twice), Err(error.clone()));
    assert_eq!(parse_remove(twice), Err(error));
}

/// Pieces of JSON, put together without sense.
fn scraps() -> impl Strategy<Value = String> {
    let scrap = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"n\"",
        "\"hostnames\"",
        "\"endpoints\"",
        "\"weight\"",
        "\"slots\"",
        "\"family\"",
        "\"classic\"",
        "\"S4\"",
        "\"key\"",
        "\"path\"",
        "1",
        "0",
        "-1",
        "1.5",
        "null",
        " ",
    ]);
    prop::collection::vec(scrap, 0..24).prop_map(|scraps| scraps.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        parse_all(&body);
    }

    #[test]
    fn what_is_accepted_obeys_the_rules(body in scraps()) {
        if let Ok(add) = parse_add(body.as_bytes()) {
            prop_assert!(add.count >= 1 && add.names.len() as u64 <= u64::from(add.count));
        }
        if let Ok(change) = parse_ring_change(body.as_bytes()) {
            prop_assert_ne!(change, RingChange::default());
        }
    }

    #[test]
    fn n_is_a_decimal_integer_and_nothing_else(
        text in "-?[0-9]{1,11}(\\.[0-9]{1,2})?([eE][+-]?[0-9]{1,2})?"
    ) {
        let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        let expected = if plain { text.parse::<u32>().ok() } else { None };
        let parsed = parse_add(format!("{{\"n\":{text}}}").as_bytes()).ok().map(|add| add.count);
        prop_assert_eq!(parsed, expected);
    }

    #[test]
    fn a_command_survives_being_written_and_read(
        names in prop::collection::vec("[a-z][a-z0-9_-]{0,20}", 0..5),
        endpoints in prop::collection::vec(any::<String>(), 0..5),
        more in 1_u32..1000,
    ) {
        let mut names = names;
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name::fold(name)));
        let count = names.len() as u32 + more;
        let body = json!({"endpoints": endpoints, "hostnames": names, "n": count}).to_string();
        prop_assert_eq!(parse_add(body.as_bytes()), Ok(Add { count, names: names.clone(), endpoints }));
        let body = json!({"hostnames": names, "n": count}).to_string();
        prop_assert_eq!(parse_remove(body.as_bytes()), Ok(Remove { count, names }));
    }
}
