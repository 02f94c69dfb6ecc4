//! The architecture, policed: who may import whom, and what every file owes its reader.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules, and which others of ours each may name. What is not listed is forbidden; `serve`
/// and `cli` stand on top and nobody names them.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    // What every module may name.
    ("names", &[]),
    ("ring", &[]),
    ("telemetry", &[]),
    ("listen", &[]),
    ("http_client", &[]),
    ("cluster", &["ring"]),
    ("proxy", &["ring", "cluster", "listen", "telemetry"]),
    // Of the replica only the words in which it reports to whoever started it.
    ("runtime", &["names", "replica", "telemetry", "http_client"]),
    ("control", &["names", "ring", "cluster", "runtime", "listen", "telemetry", "http_client"]),
    ("admin", &["names", "ring", "cluster", "control", "listen", "runtime", "telemetry"]),
    ("client", &["names", "http_client"]),
    ("replica", &["listen"]),
    ("config", &["names", "ring", "cluster", "proxy", "runtime", "control", "admin", "telemetry"]),
    ("experiment", &["names", "ring", "client"]),
    ("cli", &["names", "ring", "config", "replica", "client", "http_client", "experiment"]),
    ("serve", &["ring", "cluster", "proxy", "listen", "runtime", "control", "admin", "config", "telemetry"]),
];

/// What the ring may be made of: it is a pure function.
const RING_MAY_USE: &[&str] = &["std", "core", "fxhash", "thiserror", "super", "self", "crate"];

const MAX_LINES: usize = 400;

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["src", "tests", "benches", "fuzz/fuzz_targets", "fuzz/src"].iter();
    files
        .flat_map(|folder| rust_files(&root.join(folder)))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file");
            (path.strip_prefix(root).expect("below the root").to_owned(), text)
        })
        .collect()
}

/// The module of a file below `src`, if it is in one.
fn module_of(path: &Path) -> Option<String> {
    let first = path.strip_prefix("src").ok()?.iter().next()?.to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(name, "lib" | "main")).then(|| name.to_owned())
}

/// The text without its comments, whose links may name what code must not.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules that follow `crate::` in a text, alone or in a group.
fn imported(text: &str) -> BTreeSet<String> {
    let word =
        |text: &str| text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().map(str::to_owned);
    let mut found = BTreeSet::new();
    for (at, marker) in text.match_indices("crate::") {
        let rest = &text[at + marker.len()..];
        match rest.strip_prefix('{') {
            None => found.extend(word(rest)),
            Some(group) => {
                let group = group.split_once(';').map_or(group, |(group, _)| group);
                found.extend(top_level_items(group).iter().filter_map(|item| word(item)));
            }
        }
    }
    found
}

/// The items of `a, b::{c, d}, e}`: those at depth zero.
fn top_level_items(group: &str) -> Vec<String> {
    let (mut items, mut item, mut depth) = (Vec::new(), String::new(), 0);
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            items.push(std::mem::take(&mut item));
        } else if !(item.is_empty() && c.is_whitespace()) {
            item.push(c);
        }
    }
    items.push(item);
    items
}

#[test]
fn modules_import_only_what_they_may() {
    let known: BTreeSet<&str> = MAY_IMPORT.iter().map(|(module, _)| *module).collect();
    let mut offences = Vec::new();
    for (path, text) in sources() {
        let Some(module) = module_of(&path) else { continue };
        let allowed = MAY_IMPORT.iter().find(|(name, _)| *name == module);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("'{module}' is new: add it to the table"));
        for import in imported(&code(&text)) {
            let ours = known.contains(import.as_str());
            if ours && import != module && !allowed.contains(&import.as_str()) {
                offences.push(format!("{} imports {import}", path.display()));
            }
        }
    }
    assert!(offences.is_empty(), "{offences:#?}");
}

#[test]
fn the_import_scanner_sees_through_groups() {
    let text = "use crate::{admin, control::{a, b}, proxy};\nlet x = crate::ring::f();";
    assert_eq!(imported(text), ["admin", "control", "proxy", "ring"].map(str::to_owned).into());
}

#[test]
fn the_ring_is_pure() {
    for (path, text) in sources() {
        if module_of(&path).as_deref() != Some("ring") {
            continue;
        }
        let shipped = code(&text).split("#[cfg(test)]").next().expect("a first part").to_owned();
        for line in shipped.lines().filter_map(|line| line.strip_prefix("use ")) {
            let root = line.split("::").next().expect("a first part").trim_end_matches(';');
            let own_module = line.starts_with(|c: char| c.is_lowercase()) && path.ends_with("mod.rs");
            assert!(RING_MAY_USE.contains(&root) || own_module, "{}: use {line}", path.display());
        }
        for forbidden in ["tokio", "tracing", "serde", "fastrand", "Instant", "SystemTime"] {
            assert!(!shipped.contains(forbidden), "{} names {forbidden}", path.display());
        }
    }
}

#[test]
fn each_file_says_what_it_is_for_and_is_not_long() {
    for (path, text) in sources() {
        let fuzz_target = path.starts_with("fuzz/fuzz_targets");
        let first = text.lines().find(|line| !line.starts_with("#!"));
        assert!(first.is_some_and(|line| line.starts_with("//!")) || fuzz_target, "{}", path.display());
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", path.display());
    }
}

/// A module with submodules is `folder/mod.rs`, never `folder.rs` beside `folder/`.
#[test]
fn a_module_with_submodules_is_a_mod_rs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, _) in sources() {
        assert!(
            !root.join(path.with_extension("")).is_dir(),
            "move {} to mod.rs in its folder",
            path.display()
        );
    }
}

#[test]
fn exceptions_to_lints_have_reasons() {
    for (path, text) in sources() {
        let text = code(&text);
        for marker in ["[allow(", "[expect("].map(|lint| format!("#{lint}")) {
            for (at, _) in text.match_indices(&marker) {
                let attribute = text[at..].split(")]").next().expect("a first part");
                assert!(attribute.contains("reason = "), "{}: {attribute}", path.display());
            }
        }
    }
}

/// `unwrap` says nothing of why it cannot fail; `expect` does.
#[test]
fn what_ships_does_not_unwrap() {
    for (path, text) in sources() {
        if !path.starts_with("src") || path.iter().any(|part| part == "tests" || part == "tests.rs") {
            continue;
        }
        let shipped = code(&text).split("#[cfg(test)]\nmod tests {").next().expect("a first part").to_owned();
        assert!(!shipped.contains(".unwrap()"), "{} unwraps", path.display());
    }
}
