//! `ringherd man`: the manual pages, generated from the help.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::{Exit, Failure, print};

/// Defines a straight apostrophe for each formatter.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

const LONG_ABOUT: &str = "\
Prints the manual page ringherd(1), or writes it and one for each subcommand into a folder:

  ringherd man | man -l -
  ringherd man --out ~/.local/share/man/man1";

/// The subcommand `man` with its arguments.
pub fn command() -> Command {
    Command::new("man").about("Print the manual page, or write all of them").long_about(LONG_ABOUT).arg(
        Arg::new("out")
            .long("out")
            .value_name("DIR")
            .value_parser(value_parser!(PathBuf))
            .help("Write ringherd.1, ringherd-serve.1 and so on into this folder, which is made if need be"),
    )
}

/// Prints the page of the command, or writes all pages to a folder.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let pages = pages();
    let Some(folder) = matches.get_one::<PathBuf>("out") else {
        return pages.first().map_or(Ok(()), |(_, page)| print(page));
    };
    write(folder, &pages)
        .map_err(|error| Failure::new(Exit::Output, format!("cannot write to {}: {error}", folder.display())))
}

fn write(folder: &Path, pages: &[(String, String)]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    pages.iter().try_for_each(|(name, page)| std::fs::write(folder.join(name), page))
}

/// File names and pages, that of the command itself first.
fn pages() -> Vec<(String, String)> {
    let mut command = super::command().disable_help_subcommand(true);
    command.build();
    let subcommands = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
    std::iter::once(&command).chain(subcommands).map(page).collect()
}

fn page(command: &Command) -> (String, String) {
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    render(&man, command, &mut text).expect("memory takes what is written to it");
    // Each section begins with the preamble; the page needs it once.
    let text = String::from_utf8_lossy(&text).replace(PREAMBLE, "");
    let name = man.get_filename();
    let title = name.strip_suffix(".1").unwrap_or(&name);
    let version = concat!("ringherd ", env!("CARGO_PKG_VERSION"));
    (name.clone(), format!("{PREAMBLE}.TH \"{title}\" 1 \"\" \"{version}\" \"ringherd\"\n{text}"))
}

/// Renders all sections. The title is written by hand, because the crate omits an empty date.
fn render(man: &Man, command: &Command, out: &mut Vec<u8>) -> io::Result<()> {
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(out)?;
    }
    let notes = command.get_after_long_help().or(command.get_after_help());
    notes.map_or(Ok(()), |notes| sections(&notes.to_string()).to_writer(out))
}

/// Renders paragraphs that begin with a heading, such as `Exit codes:`; lines are not filled.
fn sections(text: &str) -> Roff {
    let mut roff = Roff::new();
    for paragraph in text.split("\n\n") {
        let mut lines = paragraph.lines().peekable();
        if let Some(heading) = lines.next_if(|line| !line.starts_with(' ') && line.ends_with(':')) {
            roff.control("SH", [heading.trim_end_matches(':').to_uppercase().as_str()]);
        } else {
            roff.control("PP", []);
        }
        roff.control("nf", []);
        for line in lines {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    roff
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn each_subcommand_has_a_page() {
        let pages = pages();
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[0], "ringherd.1");
        for subcommand in super::super::command().get_subcommands() {
            let name = format!("ringherd-{}.1", subcommand.get_name());
            assert!(names.contains(&name.as_str()), "{name} is not in {names:?}");
        }
        for (name, page) in &pages {
            for part in [
                ".TH \"ringherd",
                "\" 1 \"\" \"ringherd 0.",
                ".SH NAME\nringherd",
                ".SH SYNOPSIS",
                ".SH DESCRIPTION",
            ] {
                assert!(page.contains(part), "{name} has no {part:?}:\n{page}");
            }
            let requests = page.lines().filter(|line| line.starts_with('.'));
            let known = ["TH", "SH", "SS", "TP", "PP", "RS", "RE", "IP", "br", "nf", "fi", "ie", "el"];
            for request in requests {
                let word = request[1..].split([' ', '\\']).next().expect("a first part");
                assert!(known.contains(&word), "{name}: {request}");
            }
        }
        assert!(pages[0].1.contains(".SH \"EXIT CODES\""), "{}", pages[0].1);
    }

    /// Checked by man-db or mandoc if one is installed.
    #[test]
    fn the_formatter_has_nothing_to_complain_of() {
        for (_, page) in pages() {
            let file = std::env::temp_dir().join(format!("ringherd-man-{}.1", std::process::id()));
            std::fs::write(&file, page).expect("a temporary file");
            let ran = Command::new("man")
                .args(["--warnings", "-E", "UTF-8", "-l"])
                .arg(&file)
                .env("MANPAGER", "cat")
                .stdin(Stdio::null())
                .output();
            std::fs::remove_file(&file).expect("it was there");
            let Ok(ran) = ran else { return println!("skipped: no man") };
            assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
        }
    }
}
