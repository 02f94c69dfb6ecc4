//! What `ringherd ring` prints, and how it fails.

use serde_json::Value;

use super::*;

fn print(arguments: &[&str]) -> Result<String, RingCommandError> {
    let matches = command().try_get_matches_from([&["ring"], arguments].concat()).unwrap();
    let mut out = Vec::new();
    run(&matches, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn print_json(arguments: &str) -> Value {
    let arguments: Vec<&str> = arguments.split(' ').chain(["--json"]).collect();
    serde_json::from_str(&print(&arguments).unwrap()).unwrap()
}

/// Every golden ring, asked for by its arguments, has every golden field.
#[test]
fn json_has_the_golden_values() {
    let vectors = include_str!("../../../tests/data/ring_vectors.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    for vector in vectors["vectors"].as_array().unwrap() {
        let word = |field: &str| vector[field].as_str().unwrap().to_owned();
        let joined = |field: &str| {
            let items = vector[field].as_array().unwrap().iter();
            items.map(|item| item.get(0).unwrap_or(item).to_string()).collect::<Vec<_>>().join(",")
        };
        let printed = print_json(&format!(
            "--family {} --probing {} --slots {} --virtual-nodes {} --numbers {} --lookup {}",
            word("family"),
            word("probing"),
            vector["slots"],
            vector["virtual_nodes"],
            joined("ids"),
            joined("lookups"),
        ));
        for (field, value) in vector.as_object().unwrap() {
            assert_eq!(printed[field], *value, "{field} of {vector}");
        }
        assert_eq!(printed.get("virtual_node_slots").is_some(), vector["slots"].as_u64() <= Some(1_024));
    }
}

#[test]
fn json_says_what_moves() {
    let printed = print_json("--slots 503 --virtual-nodes 9 --numbers 1,2,4");
    assert_eq!(printed["moved"]["add"]["number"], 3);
    assert_eq!(printed["moved"]["add"]["ideal_share"], 0.25);
    let removed = printed["moved"]["remove"].as_array().unwrap();
    assert_eq!(removed.len(), 3);
    assert_eq!(removed[2]["slots"], printed["slots_owned"]["4"]);
    assert_eq!(print_json("--slots 512 --virtual-nodes 256 --numbers 1,2")["moved"]["add"], Value::Null);
}

#[test]
fn weights_and_keys_are_understood() {
    let printed = print_json("--slots 503 --virtual-nodes 10 --numbers 1:50,2:0,3 --lookup 007,home");
    assert_eq!(printed["weights"], serde_json::json!({ "1": 50, "2": 0, "3": 100 }));
    assert_eq!(printed["slots_owned"]["2"], 0);
    assert_eq!(printed["virtual_node_slots"].as_array().unwrap().len(), 15);
    assert_eq!(printed["lookups"][0][0], request_id(b"007"));
    assert_eq!(printed["lookups"][1][0], 17_300_916_665_149_286_280_u64);
    let drained = print_json("--numbers 1:0 --lookup 5");
    assert_eq!(drained["lookups"][0][2], Value::Null);
}

#[test]
fn rendezvous_moves_its_slots_only() {
    let printed = print_json("--placement rendezvous --slots 1000 --numbers 1,2,3");
    for remove in printed["moved"]["remove"].as_array().unwrap() {
        assert_eq!(remove["slots"], printed["slots_owned"][remove["number"].to_string()]);
        assert_eq!(remove["beyond_own"], 0);
    }
    assert!(printed.get("virtual_node_slots").is_none());
}

#[test]
fn balanced_has_the_golden_owners_and_says_what_moves_beside_its_own() {
    let vectors = include_str!("../../../tests/data/balanced_vectors.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let tenth = &vectors["vectors"][1];
    let printed = print_json("--placement balanced --numbers 1,2,3,4,5,6,7,8,9,10");
    assert_eq!(printed["owners_sha256_u32le"], tenth["owners_sha256_u32le"]);
    let moved = printed["moved"]["remove"].as_array().unwrap();
    let beyond = |remove: &Value| {
        let own = printed["slots_owned"][remove["number"].to_string()].as_u64();
        assert_eq!(remove["slots"].as_u64(), Some(own.unwrap() + remove["beyond_own"].as_u64().unwrap()));
        remove["beyond_own"].as_u64().unwrap()
    };
    assert!(moved.iter().map(beyond).any(|beyond| beyond > 0), "{printed}");
}

#[test]
fn text_is_a_table_for_each_question() {
    let text = print(&["--lookup", "1,132574"]).unwrap();
    assert!(
        text.starts_with(
            "modified hash family, ring placement, 65539 slots, of which request ids reach 65539"
        )
    );
    for line in ["longest probe      1 steps", "         1     100     22669  34.59 % #####################"]
    {
        assert!(text.lines().any(|printed| printed == line), "{line} is missing from\n{text}");
    }
    assert!(text.contains("\nadd             4 ") && text.contains("\nremove          3 "), "{text}");
    assert!(text.lines().last().unwrap().trim_start().starts_with("132574 "), "{text}");
}

#[test]
fn mistakes_are_the_users_and_say_what_would_do() {
    let error = print(&["--slots", "1000"]).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("use 991 or 1019, or linear probing"), "{error}");
    let error = print(&["--slots", "512"]).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("at most 2 fit"), "{error}");
    let error = print(&["--numbers", "1,1"]).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("number 1 is given twice"), "{error}");
}

#[test]
fn arguments_that_do_not_parse_are_refused_with_the_choices() {
    let refusal = |arguments: [&str; 2]| {
        let argument = arguments.join("=");
        command().try_get_matches_from(["ring", &argument]).unwrap_err().to_string()
    };
    assert!(refusal(["--family", "md5"]).contains("use classic or modified"));
    for numbers in ["x", "1:", "1:x", "1:2:3", "-1", ""] {
        let refusal = refusal(["--numbers", numbers]);
        assert!(refusal.contains("--numbers"), "{refusal}");
    }
}

/// Takes a few bytes, then fails.
struct Failing {
    left: usize,
    kind: io::ErrorKind,
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.left);
        self.left -= taken;
        if taken == 0 { Err(self.kind.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_pipe_ends_quietly_and_a_full_disk_does_not() {
    for arguments in [["ring"].as_slice(), &["ring", "--json"]] {
        let matches = command().try_get_matches_from(arguments).unwrap();
        for left in [0, 10, 400] {
            let run = |kind| run(&matches, &mut Failing { left, kind });
            assert!(run(io::ErrorKind::BrokenPipe).is_ok());
            assert!(matches!(run(io::ErrorKind::StorageFull), Err(error) if !error.is_usage()));
        }
    }
}

#[test]
fn the_command_is_well_formed() {
    command().debug_assert();
}
