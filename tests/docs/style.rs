//! Length and wording of the documents.

use std::fs;
use std::path::Path;

use crate::{documents, prose, root};

/// Lines of the README, at most.
const README_LINES: usize = 199;

/// Bytes of ARCHITECTURE.md, at most.
const ARCHITECTURE_BYTES: usize = 15 * 1024;

/// Documents that a program writes: their texts are elsewhere.
const GENERATED: &[&str] = &["docs/admin-api.md", "docs/experiments/summary.md"];

/// Turns of phrase that a reader stumbles over, and what is said instead.
const STUMBLING: &[(&str, &str)] = &[
    (" as ever", "as before"),
    (" but for ", "except"),
    (" hence", "so"),
    ("it is limited by", "limits"),
    ("must not fall back", "regressions"),
    (" one can ", "you can, or the thing itself as the subject"),
    (" one may ", "you may"),
    ("thereof", "of it"),
    ("who comes", "a client, an operator, a reader"),
    ("who reads", "a client, an operator, a reader"),
    ("whoever", "a client, an operator, a reader"),
];

fn text(document: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(document)).expect("a document")
}

#[test]
fn the_entrances_are_short() {
    let lines = text("README.md").lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines: move details to docs");
    let bytes = text("ARCHITECTURE.md").len();
    assert!(bytes <= ARCHITECTURE_BYTES, "ARCHITECTURE.md has {bytes} bytes: move details to docs/internals");
}

/// What people write of a document: neither code nor tables that are generated.
fn written(text: &str) -> String {
    let mut generated = false;
    let prose = prose(text);
    let lines = prose.lines().filter(|line| {
        let marker = line.starts_with("<!-- ");
        generated ^= marker;
        !generated && !marker
    });
    // A phrase may be wrapped.
    format!(" {}", lines.collect::<Vec<_>>().join(" ").to_lowercase())
}

#[test]
fn the_documents_are_written_in_plain_english() {
    let mut found = Vec::new();
    for document in documents() {
        if GENERATED.iter().any(|generated| document == Path::new(generated)) {
            continue;
        }
        let written = written(&text(&document));
        for (phrase, instead) in STUMBLING.iter().filter(|(phrase, _)| written.contains(phrase)) {
            found.push(format!("{}: '{}', say: {instead}", document.display(), phrase.trim()));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// The index of the decisions is complete, in order, and has their titles.
#[test]
fn the_decisions_are_all_listed() {
    let mut files: Vec<_> = documents().into_iter().filter(|path| path.starts_with("docs/adr")).collect();
    files.sort();
    let records = files.iter().filter(|path| !path.ends_with("README.md"));
    let expected = records.enumerate().map(|(index, path)| {
        let (name, text) = (path.file_name().expect("a name").to_string_lossy(), text(path));
        let number = index + 1;
        let title = text.lines().next().and_then(|line| line.strip_prefix(&format!("# {number}. ")));
        let title = title.unwrap_or_else(|| panic!("{name} must begin with '# {number}. '"));
        for section in ["Status: ", "## Context", "## Decision", "## Consequences"] {
            assert!(text.contains(&format!("\n{section}")), "{name} has no '{section}'");
        }
        format!("| [{number:04}]({name}) | {title} |")
    });
    let index = text("docs/adr/README.md");
    let listed = index.lines().filter(|line| line.starts_with("| ["));
    assert_eq!(listed.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}
