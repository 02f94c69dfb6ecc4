//! An example of the file, with every setting explained.
//!
//! Lines of prose begin with `# `, lines that hold a default with `#` alone. Without that `#` the
//! file makes the configuration that holds without it.

use std::fmt::Write;

use super::model::{Content, DefaultValue, Section, Setting, Shown};

/// Longest line of prose, in characters.
const WIDTH: usize = 96;

const HEAD: &str = "\
Settings of ringherd. Each line that begins with # and a key shows a default: remove the # to change \
it. Lines that begin with # and a space explain. A setting can also be a flag or an environment \
variable; flags win over variables, and variables over this file.";

const POOLS: &str = "\
Pools: any number of them, each with replicas and a ring of its own. What its tables do not say holds as it \
stands above. Without any there is one, called default.";

pub(super) fn example<T: Default>(model: &'static [Section<T>]) -> String {
    let mut text = String::new();
    prose(&mut text, HEAD);
    for section in model {
        let header = match section.content {
            Content::Settings(_) => section.header(""),
            Content::Tables(_) | Content::Named(_) => {
                format!("# Any number of these tables:\n#\n# {}", section.header(""))
            }
        };
        let _ = write!(text, "\n{header}\n");
        let inert = |setting: &Setting| {
            section.tables_of_any_kind().is_some() || !has_effect_by_default(section, setting)
        };
        for (setting, default) in section.with_defaults() {
            if !setting.path.is_empty() {
                explain(&mut text, setting);
                value(&mut text, setting, &default, inert(setting));
            }
        }
    }
    text.push('\n');
    prose(&mut text, POOLS);
    text.push_str("#\n# [pool.NAME.replicas]\n# count = 2\n");
    text
}

fn has_effect_by_default<T: Default>(section: &Section<T>, setting: &Setting) -> bool {
    let entry = section.entries().iter().find(|entry| entry.setting.path == setting.path);
    entry.is_none_or(|entry| entry.has_effect(&T::default()))
}

fn explain(text: &mut String, setting: &Setting) {
    text.push('\n');
    prose(text, &setting.full_help());
    prose(text, &format!("Values: {}.", setting.values()));
    if !setting.flag.is_empty() {
        let reload = match setting.reload() {
            "yes" => "A reload changes it.",
            "replicas" => "A change needs a restart, which makes the replicas anew.",
            _ => "A change needs a restart.",
        };
        prose(text, &format!("Flag: --{}; variable: {}. {reload}", setting.flag, setting.env()));
    }
}

/// The line with the value: prose where the default is no value, or would be refused beside the
/// other defaults.
fn value(text: &mut String, setting: &Setting, default: &Shown, inert: bool) {
    let key = setting.key();
    let default = match (setting.default, default.toml()) {
        (DefaultValue::OfTree, Some(value)) => {
            let mark = if inert { "# " } else { "#" };
            let _ = writeln!(text, "{mark}{key} = {value}");
            return;
        }
        (DefaultValue::OfTree, None) => "Default: none.".to_owned(),
        (DefaultValue::Words(words), _) => format!("Default: {words}."),
        (DefaultValue::Required, _) => "It must be given.".to_owned(),
    };
    prose(text, &default);
    if let Some(value) = sample(setting).toml() {
        let _ = writeln!(text, "# Example: {key} = {value}");
    }
}

/// A value that is no default.
fn sample(setting: &Setting) -> Shown {
    let text = setting.kind.example();
    if setting.repeatable() {
        return Shown::List(vec![text]);
    }
    match (setting.kind.takes_numbers(), text.parse(), text.parse()) {
        (true, Ok(number), _) => Shown::Integer(number),
        (true, _, Ok(number)) => Shown::Number(number),
        _ => Shown::Text(text),
    }
}

/// Words in lines of comment.
fn prose(text: &mut String, words: &str) {
    let mut width = 0;
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if width == 0 || width + 1 + length > WIDTH {
            text.push_str(if width == 0 { "# " } else { "\n# " });
            width = 1;
        } else {
            text.push(' ');
        }
        width += 1 + length;
        text.push_str(word);
    }
    text.push('\n');
}
