//! The table of settings for the documentation.

use std::fmt::Write;

use super::setting::{DefaultValue, Setting};
use super::table;

/// All settings as a Markdown table, with a heading before each group.
pub fn markdown_table() -> String {
    let mut text = String::new();
    for group in &table::GROUPS {
        let _ = write!(text, "### {}\n\n", group.heading);
        text.push_str("| Setting | Default | Values | Re-read on SIGHUP | Meaning |\n");
        text.push_str("|---|---|---|---|---|\n");
        group.settings.iter().for_each(|setting| row(&mut text, setting));
        text.push('\n');
    }
    text
}

fn row(text: &mut String, setting: &Setting) {
    let default = match setting.default {
        DefaultValue::Value(value) => format!("`{value}`"),
        DefaultValue::Words(words) => words.to_owned(),
    };
    let reload = if setting.on_reload { "yes" } else { "no" };
    let _ = writeln!(
        text,
        "| `{}` | {} | {} | {reload} | {} |",
        setting.key,
        cell(&default),
        cell(&setting.kind.to_string()),
        cell(setting.help)
    );
}

/// A bar would end the cell, and an angle bracket would begin a tag.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}
