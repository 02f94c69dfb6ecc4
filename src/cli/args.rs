//! Settings as arguments of clap, and back as [`Flags`].
//!
//! clap only takes the words apart: every value is a raw string to it, so that values are judged
//! in one place and all problems are reported together.

use std::fmt::Write;

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{self, Config, Entry, Flags};

/// `command` with a flag for each setting, under the headings of the sections.
pub(super) fn add(command: Command) -> Command {
    config::sections().iter().fold(command, |command, section| {
        let flags = section.entries().iter().map(|entry| flag(entry).help_heading(section.heading));
        command.args(flags)
    })
}

/// The flag for the file alone.
pub(super) fn config_file() -> Arg {
    flag(config::entries().find(|entry| entry.setting.flag == "config").expect("it is in the model"))
}

/// How `ringherd check` prints, and what it may print instead.
pub(super) fn of_check() -> [Arg; 3] {
    let instead =
        |name, help| Arg::new(name).long(name).action(ArgAction::SetTrue).exclusive(true).help(help);
    let json = "Print one JSON document, and all problems in it if there are any";
    [
        Arg::new("json").long("json").action(ArgAction::SetTrue).help(json),
        instead("example", "Print an example of the file instead, with every setting and its default"),
        instead("schema", "Print a JSON schema of the file instead, for editors"),
    ]
}

/// The flags that were given.
pub(super) fn flags(matches: &ArgMatches) -> Flags {
    let mut flags = Flags::new();
    for name in config::entries().map(|entry| entry.setting.flag) {
        let values = matches.get_raw(name).into_iter().flatten();
        values.for_each(|value| flags.push(name, value));
    }
    flags
}

fn flag(entry: &'static Entry<Config>) -> Arg {
    let setting = &entry.setting;
    // `--flag` alone turns it on.
    let argument = Arg::new(setting.flag);
    let argument = if setting.kind.takes_booleans() {
        argument.num_args(0..=1).default_missing_value("on")
    } else {
        argument
    };
    argument
        .long(setting.flag)
        .value_name(setting.value_name)
        .value_parser(OsStringValueParser::new())
        .allow_negative_numbers(true)
        .action(if setting.repeatable() { ArgAction::Append } else { ArgAction::Set })
        .help(short_help(entry))
        .long_help(long_help(entry))
}

/// The first sentence, up to a colon, and the default.
fn short_help(entry: &Entry<Config>) -> String {
    let help = entry.setting.help;
    let end = [". ", ": "].iter().filter_map(|end| help.find(end)).min();
    let first = &help[..end.unwrap_or(help.len())];
    format!("{} [default: {}]", first.trim_end_matches('.'), entry.default_text())
}

fn long_help(entry: &Entry<Config>) -> String {
    let setting = &entry.setting;
    let mut text = format!(
        "{}\n\nDefault: {}\nValues: {}\nEnvironment: {}",
        setting.full_help(),
        entry.default_for_help(),
        setting.values(),
        setting.env()
    );
    if !setting.path.is_empty() {
        let _ = write!(text, "\nFile: {} in [{}]", setting.key(), setting.section());
    }
    if setting.on_reload {
        text.push_str("\nA change in the file takes effect on SIGHUP.");
    }
    text
}
