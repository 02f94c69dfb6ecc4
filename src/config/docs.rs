//! The settings for the documentation.

use std::fmt::Write;

use super::model::{DefaultValue, Section, Setting, Shown};

/// All settings as Markdown tables, with a heading before each section.
pub(super) fn markdown<T: Default>(model: &'static [Section<T>]) -> String {
    let mut text = String::new();
    for section in model {
        let _ = write!(text, "### {}: `{}`\n\n", section.heading, section.header(""));
        of_pools(&mut text, section);
        text.push_str("| Key | Flag | Default | Values | Reload | Meaning |\n");
        text.push_str("|---|---|---|---|---|---|\n");
        for (setting, default) in section.with_defaults() {
            row(&mut text, setting, &default);
        }
        text.push('\n');
    }
    text
}

/// Says which of the settings a pool may have values of its own of.
fn of_pools<T>(text: &mut String, section: &Section<T>) {
    let of_pool = section.settings_of_pool();
    let what = match of_pool.len() {
        0 => return,
        count if count == section.settings_of_file().len() => "All keys".to_owned(),
        _ => of_pool.iter().map(|setting| format!("`{}`", setting.key())).collect::<Vec<_>>().join(", "),
    };
    let _ = write!(text, "Also for one pool, in `{}`: {what}.\n\n", section.header("pool.POOL."));
}

fn row(text: &mut String, setting: &Setting, default: &Shown) {
    let default = match (setting.default, default) {
        (DefaultValue::Words(words), _) => words.to_owned(),
        (DefaultValue::Required, _) => "must be given".to_owned(),
        (DefaultValue::OfTree, Shown::Nothing) => "none".to_owned(),
        (DefaultValue::OfTree, shown) => format!("`{shown}`"),
    };
    let key = if setting.path.is_empty() { "–".to_owned() } else { format!("`{}`", setting.key()) };
    let flag = if setting.flag.is_empty() { "–".to_owned() } else { format!("`--{}`", setting.flag) };
    let reload = setting.reload();
    let (default, values, help) = (cell(&default), cell(&setting.values()), cell(&setting.full_help()));
    let _ = writeln!(text, "| {key} | {flag} | {default} | {values} | {reload} | {help} |");
}

/// A bar would end the cell, and an angle bracket would begin a tag.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}
