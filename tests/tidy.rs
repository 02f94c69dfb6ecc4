//! The architecture, policed: who may import whom, and what every file owes its reader.

use std::collections::{BTreeMap, BTreeSet};
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
    ("tls", &["telemetry"]),
    ("cluster", &["ring", "routes"]),
    ("routes", &["names"]),
    ("proxy", &["ring", "routes", "cluster", "listen", "telemetry", "tls"]),
    // Of the replica only the words in which it reports to whoever started it, and the signals that end it.
    ("runtime", &["names", "replica", "telemetry", "http_client"]),
    ("control", &["names", "ring", "cluster", "runtime", "listen", "telemetry", "tls"]),
    ("admin", &["names", "ring", "cluster", "control", "listen", "runtime", "telemetry", "tls"]),
    ("client", &["names", "http_client"]),
    ("replica", &["listen"]),
    (
        "config",
        &["names", "ring", "cluster", "routes", "proxy", "runtime", "control", "admin", "telemetry", "tls"],
    ),
    ("experiment", &["names", "ring", "client"]),
    ("cli", &["names", "ring", "routes", "config", "replica", "client", "http_client", "experiment"]),
    (
        "serve",
        &["ring", "cluster", "proxy", "listen", "runtime", "control", "admin", "config", "telemetry", "tls"],
    ),
];

/// What the ring may be made of: it is a pure function.
const RING_MAY_USE: &[&str] = &["std", "core", "fxhash", "thiserror", "super", "self", "crate"];

const MAX_LINES: usize = 600;

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
    let files = ["src", "crates", "tests", "benches", "fuzz/fuzz_targets", "fuzz/src"].iter();
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

/// Modules whose files work on one state together, each on its part: a connection and its requests,
/// the pool and what each event does to it.
const MAY_HAVE_CIRCLES: &[&str] = &["control", "proxy"];

/// What ships of a text: neither comments nor the tests at its end.
fn shipped(text: &str) -> String {
    code(text).split("#[cfg(test)]\nmod tests {").next().expect("a first part").to_owned()
}

/// The path of the module that a file below `src` is.
fn module_path(path: &Path) -> Vec<String> {
    let below = path.strip_prefix("src").expect("a file of src").with_extension("");
    let mut segments: Vec<_> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    segments.pop_if(|last| last == "mod");
    segments
}

/// The paths that `text` has at its start, without their leading `::`: of `a::{b, c::d}` those of
/// `a::b` and `a::c::d`.
fn paths_of(text: &str) -> Vec<Vec<String>> {
    if let Some(group) = text.strip_prefix('{') {
        return top_level_items(group).iter().flat_map(|item| paths_of(item.trim())).collect();
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (segment, rest) = text.split_at(end);
    if segment.is_empty() {
        return Vec::new();
    }
    let tails = rest.strip_prefix("::").map(paths_of).filter(|tails| !tails.is_empty());
    let tails = tails.unwrap_or_else(|| vec![Vec::new()]);
    tails.into_iter().map(|tail| [vec![segment.to_owned()], tail].concat()).collect()
}

/// The absolute paths that the code of `module` names with `crate::` or `super::`.
fn named_paths(module: &[String], text: &str) -> Vec<Vec<String>> {
    let starts = ["crate::", "super::"].iter().flat_map(|start| text.match_indices(start));
    let starts = starts.filter(|(at, _)| {
        let before = &text[..*at];
        // Neither the middle of a path or a name, nor a visibility.
        !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') && !before.ends_with("(in ")
    });
    starts
        .flat_map(|(at, _)| paths_of(&text[at..]))
        .map(|path| {
            let up = path.iter().take_while(|segment| *segment == "super").count();
            let base = if up == 0 { &[][..] } else { &module[..module.len().saturating_sub(up)] };
            [base, &path[up.max(1)..]].concat()
        })
        .collect()
}

/// The names that a `mod.rs` imports from its submodules, with the submodule.
fn re_exports(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (at, marker) in text.match_indices("use ") {
        for path in paths_of(text[at + marker.len()..].trim_start_matches("self::")) {
            if let [child, .., name] = &path[..] {
                found.insert(name.clone(), child.clone());
            }
        }
    }
    found
}

/// For each folder of `src`, which of its files and subfolders import which others. What a file
/// takes from the `mod.rs` above it counts as an import of the submodule that the `mod.rs` has it
/// from, if it is not its own.
fn imports_by_folder() -> BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>> {
    let is_test = |path: &Path| path.iter().any(|part| part == "tests" || part == "tests.rs");
    let files: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| path.starts_with("src") && !is_test(path) && module_of(path).is_some())
        .map(|(path, text)| (module_path(&path), path.ends_with("mod.rs"), shipped(&text)))
        .collect();
    let folders = files.iter().filter(|(_, is_folder, _)| *is_folder);
    let folders: BTreeMap<_, _> =
        folders.map(|(module, _, text)| (module.clone(), re_exports(text))).collect();
    let mut imports: BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (module, _, text) in &files {
        let paths = named_paths(module, text);
        for (folder, re_exports) in folders.iter().filter(|(folder, _)| module.starts_with(folder)) {
            let Some(child) = module.get(folder.len()) else { continue };
            let below = paths.iter().filter(|path| path.starts_with(folder));
            for name in below.filter_map(|path| path.get(folder.len())) {
                let target = re_exports.get(name).unwrap_or(name);
                let submodule = [&folder[..], std::slice::from_ref(target)].concat();
                if target != child && files.iter().any(|(module, ..)| *module == submodule) {
                    let of_folder = imports.entry(folder.clone()).or_default();
                    of_folder.entry(child.clone()).or_default().insert(target.clone());
                }
            }
        }
    }
    imports
}

/// A circle in `imports` that is reached from the last of `way`, if there is one.
fn circle(imports: &BTreeMap<String, BTreeSet<String>>, way: &mut Vec<String>) -> Option<Vec<String>> {
    let last = way.last().expect("it begins somewhere").clone();
    for next in imports.get(&last).into_iter().flatten() {
        let seen = way.iter().position(|module| module == next);
        way.push(next.clone());
        let found = seen.map(|at| way[at..].to_vec()).or_else(|| circle(imports, way));
        if found.is_some() {
            return found;
        }
        way.pop();
    }
    None
}

/// The files of a folder are layers: imports go one way. What a `mod.rs` defines itself is the
/// folder's, and all files below may use it.
#[test]
fn imports_within_a_module_form_no_circle() {
    let mut circles = Vec::new();
    for (folder, imports) in imports_by_folder() {
        if MAY_HAVE_CIRCLES.contains(&folder[0].as_str()) {
            continue;
        }
        let found = imports.keys().find_map(|module| circle(&imports, &mut vec![module.clone()]));
        circles.extend(found.map(|circle| format!("{}: {}", folder.join("::"), circle.join(" -> "))));
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn the_circle_scanner_resolves_paths() {
    let module = ["a", "b", "c"].map(str::to_owned);
    let text = "use super::d::{self, E};\nuse crate::a::{f::G, h};\nlet x = super::super::i();\npub(in crate::a) fn y() {}";
    let mut found: Vec<_> = named_paths(&module, text).iter().map(|path| path.join("::")).collect();
    found.sort();
    assert_eq!(found, ["a::b::d::E", "a::b::d::self", "a::f::G", "a::h", "a::i"]);
    let re_exports = re_exports("pub use self::x::Y;\npub(crate) use z::{V, W};\nuse std::fmt;");
    assert_eq!(re_exports.get("Y").map(String::as_str), Some("x"));
    assert_eq!(re_exports.get("W").map(String::as_str), Some("z"));
    let set = |modules: &[&str]| modules.iter().map(|module| (*module).to_owned()).collect::<BTreeSet<_>>();
    let imports = BTreeMap::from([("a".to_owned(), set(&["b", "c"])), ("c".to_owned(), set(&["a"]))]);
    assert_eq!(
        circle(&imports, &mut vec!["a".to_owned()]).map(|circle| circle.join(" ")),
        Some("a c a".to_owned())
    );
    assert_eq!(circle(&BTreeMap::from([("a".to_owned(), set(&["b"]))]), &mut vec!["a".to_owned()]), None);
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
        if !["src", "crates"].iter().any(|folder| path.starts_with(folder))
            || path.iter().any(|part| part == "tests" || part == "tests.rs")
        {
            continue;
        }
        let shipped = code(&text).split("#[cfg(test)]\nmod tests {").next().expect("a first part").to_owned();
        assert!(!shipped.contains(".unwrap()"), "{} unwraps", path.display());
    }
}

/// `cargo bench -- --warm-up-time 1` hands its options to each bench target: what knows them is
/// Criterion, and not the harness of the unit tests.
#[test]
fn benches_understand_the_options_of_criterion() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let is = |target: &toml::Value, key: &str| target.get(key).and_then(toml::Value::as_bool);
    let targets = |kind: &str| manifest.get(kind).and_then(toml::Value::as_array).expect("targets").clone();
    let lib = manifest.get("lib").expect("a section for the library");
    assert_eq!(is(lib, "bench"), Some(false), "the library");
    for bin in targets("bin") {
        assert_eq!(is(&bin, "bench"), Some(false), "{bin}");
    }
    for bench in targets("bench") {
        assert_eq!(is(&bench, "harness"), Some(false), "{bench}");
    }
    // Targets that nobody declared have the harness.
    let declared = targets("bench");
    for path in rust_files(&root.join("benches")).iter().filter(|path| !path.ends_with("common/mod.rs")) {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        let is_declared = |bench: &toml::Value| bench.get("name").and_then(toml::Value::as_str) == Some(name);
        assert!(declared.iter().any(is_declared), "declare the bench {name} in Cargo.toml");
    }
    assert!(!root.join("src/bin").exists(), "declare the binaries in src/bin, without benches");
}

/// `unsafe` is in one crate, and there each use has its reason: the lints of that crate ask for it.
#[test]
fn only_the_ring_of_the_kernel_is_unsafe() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lints = |manifest: &str| {
        let text = fs::read_to_string(root.join(manifest)).expect("a manifest");
        let table: toml::Table = text.parse().expect("TOML");
        table["lints"].clone()
    };
    assert_eq!(lints("Cargo.toml")["rust"]["unsafe_code"].as_str(), Some("deny"));
    let uring = lints("crates/uring/Cargo.toml");
    assert_eq!(uring["clippy"]["undocumented_unsafe_blocks"].as_str(), Some("deny"));
    for (path, text) in sources() {
        let has_unsafe = code(&text).contains(&["unsafe", "{"].join(" "));
        assert!(!has_unsafe || path.starts_with("crates/uring/src"), "{}", path.display());
    }
}
