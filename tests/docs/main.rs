//! The documents: generated tables agree with the code, links lead somewhere, and length and wording
//! are those of CONTRIBUTING.md.
//!
//! `UPDATE_DOCS=1 cargo test --test docs` writes what is generated.

mod api;
mod style;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Holds the part of `file` between two lines `<!-- NAME -->` against `expected`.
fn assert_part(file: &str, name: &str, expected: &str) {
    let marker = format!("<!-- {name} -->\n");
    let path = root().join(file);
    let text = fs::read_to_string(&path).expect("a document");
    let parts: Vec<_> = text.split(&marker).collect();
    let [before, part, after] = parts[..] else { panic!("{file} must have the line {marker:?} twice") };
    let expected = format!("\n{expected}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, [before, &expected, after].join(&marker)).expect("it can be written");
        return;
    }
    assert!(part == expected, "{file} is out of date: UPDATE_DOCS=1 cargo test --test docs");
}

#[test]
fn the_table_of_settings_is_that_of_the_code() {
    assert_part("docs/configuration.md", "settings", &ringherd::config::markdown_table());
}

/// All documents, relative to the root.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in
        ["", "docs", "docs/adr", "docs/experiments", "docs/guides", "docs/internals", "examples/two-services"]
    {
        let entries = fs::read_dir(root().join(folder)).expect("a folder of documents");
        let names = entries.flatten().map(|entry| Path::new(folder).join(entry.file_name()));
        found.extend(names.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    found
}

/// The text outside of code, where brackets are brackets.
fn prose(text: &str) -> String {
    let mut inside = false;
    let outside = text.lines().filter(|line| {
        let fence = line.starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    outside.collect::<Vec<_>>().join("\n")
}

/// The anchors that headings make, as the usual renderers name them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let kept = line.trim_start_matches('#').trim().to_lowercase();
            let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(root().join(&document)).expect("a document");
        let prose = prose(&text);
        for target in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let folder = document.parent().expect("a folder");
            let path = root().join(if file.is_empty() { document.clone() } else { folder.join(file) });
            let leads = path.exists()
                && (anchor.is_empty()
                    || fs::read_to_string(&path).is_ok_and(|text| anchors(&text).contains(anchor)));
            if !leads {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
