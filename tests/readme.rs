//! The README's table of settings is the one in the code.
//!
//! `UPDATE_README=1 cargo test --test readme` writes it there.

use std::path::Path;

/// Stands on a line of its own before and after the table.
const MARKER: &str = "<!-- settings -->\n";

#[test]
fn the_readme_has_the_table_of_settings() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).expect("a README.md");
    let parts: Vec<_> = readme.split(MARKER).collect();
    let [before, table, after] = parts[..] else {
        panic!("README.md must have the line {MARKER:?} twice, around the table of settings");
    };
    let expected = format!("\n{}", ringherd::config::markdown_table());
    if std::env::var_os("UPDATE_README").is_some() {
        let readme = [before, &expected, after].join(MARKER);
        std::fs::write(&path, readme).expect("README.md can be written");
        return;
    }
    assert!(
        table == expected,
        "the table of settings is out of date: UPDATE_README=1 cargo test --test readme"
    );
}
