//! Settings as arguments of clap, and back as [`Flags`].
//!
//! clap only takes the words apart: every value is a raw string to it, so that values are judged
//! in one place and all problems are reported together.

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{DefaultValue, Flags, Setting, table};

/// `command` with a flag for each setting, under the headings of the table.
pub(super) fn add(command: Command) -> Command {
    table::GROUPS.iter().fold(command, |command, group| {
        let flags = group.settings.iter().map(|setting| flag(setting).help_heading(group.heading));
        command.args(flags)
    })
}

/// The flags that were given.
pub(super) fn flags(matches: &ArgMatches) -> Flags {
    let mut flags = Flags::new();
    for setting in table::settings() {
        let values = matches.get_raw(setting.key).into_iter().flatten();
        values.for_each(|value| flags.push(setting.key, value));
    }
    flags
}

fn flag(setting: &'static Setting) -> Arg {
    Arg::new(setting.key)
        .long(setting.key)
        .value_name(setting.value_name)
        .value_parser(OsStringValueParser::new())
        .allow_negative_numbers(true)
        .action(if setting.repeatable() { ArgAction::Append } else { ArgAction::Set })
        .help(short_help(setting))
        .long_help(long_help(setting))
}

/// The first sentence, up to a colon, and the default.
fn short_help(setting: &Setting) -> String {
    let end = [". ", ": "].iter().filter_map(|end| setting.help.find(end)).min();
    let first = &setting.help[..end.unwrap_or(setting.help.len())];
    format!("{} [default: {}]", first.trim_end_matches('.'), setting.default.text())
}

fn long_help(setting: &Setting) -> String {
    let default = match setting.default {
        DefaultValue::Value(value) => value.to_owned(),
        DefaultValue::Words(words) => format!("({words})"),
    };
    let mut text = format!(
        "{}\n\nDefault: {default}\nValues: {}\nEnvironment: {}",
        setting.help,
        setting.kind,
        setting.env()
    );
    if setting.on_reload {
        text.push_str("\nA change in the file takes effect on SIGHUP.");
    }
    text
}
