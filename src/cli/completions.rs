//! `ringherd completions`: completion scripts for shells.

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::{Shell, generate};

use super::{Failure, print};

const LONG_ABOUT: &str = "\
Prints what a shell needs to complete subcommands and flags, for example:

  ringherd completions bash > ~/.local/share/bash-completion/completions/ringherd
  ringherd completions zsh > ~/.zfunc/_ringherd       (with ~/.zfunc in $fpath)
  ringherd completions fish > ~/.config/fish/completions/ringherd.fish";

/// The subcommand `completions` with its arguments.
pub fn command() -> Command {
    Command::new("completions").about("Print completions for a shell").long_about(LONG_ABOUT).arg(
        Arg::new("shell")
            .value_name("SHELL")
            .required(true)
            .value_parser(value_parser!(Shell))
            .help("Which shell"),
    )
}

/// Prints the script for a shell.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let shell = *matches.get_one::<Shell>("shell").expect("a required argument");
    print(&script(shell))
}

fn script(shell: Shell) -> String {
    let mut command = super::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use clap::ValueEnum;

    use super::*;

    #[test]
    fn each_shell_learns_each_subcommand() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for subcommand in super::super::command().get_subcommands() {
                assert!(script.contains(subcommand.get_name()), "{shell}: {}", subcommand.get_name());
            }
            assert!(script.contains("replica-command"), "{shell}");
        }
    }

    #[test]
    fn bash_can_read_its_own() {
        let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().expect("bash runs");
        bash.stdin.take().expect("piped").write_all(script(Shell::Bash).as_bytes()).expect("bash reads");
        assert!(bash.wait().expect("a child").success());
    }
}
