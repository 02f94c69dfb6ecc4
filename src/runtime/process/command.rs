//! The command that is run for a replica: program, arguments, environment. Runs nothing itself.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use super::ProcessConfig;
use super::ports::{PortLease, Ports};
use crate::replica::StopSignal;
use crate::runtime::Launch;

/// Prefix of the variables that configure the balancer; one holds the admin token.
const OWN_PREFIX: &str = "RINGHERD_";

/// Makes the commands of replicas.
#[derive(Clone, Debug)]
pub(super) struct CommandTemplate {
    program: PathBuf,
    /// Program and arguments; empty for the built-in replica.
    command: Vec<String>,
    env: Vec<String>,
    dir: Option<PathBuf>,
    stop_signal: StopSignal,
    ports: Ports,
}

/// The command of one replica.
#[derive(Debug)]
pub(super) struct PreparedCommand {
    /// The command, ready to be spawned.
    pub(super) command: Command,
    /// The port it is given; `None` if it chooses one itself and reports it.
    pub(super) port: Option<PortLease>,
}

impl CommandTemplate {
    /// A template for the command of `config`, or for the built-in replica if that is empty.
    pub(super) fn new(config: ProcessConfig) -> Self {
        let ProcessConfig { command, env, dir, stop_signal, stop_timeout: _ } = config;
        Self { program: own_program(), command, env, dir, stop_signal, ports: Ports::default() }
    }

    /// The same template with another program in place of our own binary.
    pub(super) fn with_program(&self, program: PathBuf) -> Self {
        Self { program, ..self.clone() }
    }

    /// What an error of the start means.
    pub(super) fn explain(&self, error: &io::Error) -> String {
        match &self.dir {
            Some(dir) if !dir.is_dir() => {
                format!("cannot enter '{}': {error}; check --replica-dir", dir.display())
            }
            _ => {
                let program = self.program.display();
                format!(
                    "cannot run '{program}': {error}; check the file and the limits of processes and files"
                )
            }
        }
    }

    /// What tells another program than the built-in replica to end.
    pub(super) fn stop_signal(&self) -> StopSignal {
        self.stop_signal
    }

    /// Where the command of `launch` is configured.
    pub(super) fn origin(launch: &Launch) -> String {
        match &launch.revision.command {
            Some(_) => format!("the command of revision '{}'", launch.revision.shown()),
            None => "--replica-command".to_owned(),
        }
    }

    /// The command for one replica, which its revision may say in place of the configuration.
    ///
    /// # Errors
    /// No port is free for a program that needs one.
    pub(super) fn prepare(&self, launch: &Launch) -> io::Result<PreparedCommand> {
        let words = launch.revision.command.as_ref().unwrap_or(&self.command);
        let port = if words.is_empty() { None } else { Some(self.ports.lease()?) };
        let mut command = self.base(launch);
        match &port {
            None => command.args(["--listen", "127.0.0.1:0", "--exit-with-stdin"]),
            Some(port) => command
                .env("PORT", port.number().to_string())
                .args(["--exec", "--stop-signal", self.stop_signal.name(), "--"])
                .args(words.iter().map(|word| launch.fill_in(word, port.number()))),
        };
        Ok(PreparedCommand { command, port })
    }

    /// The part that both kinds share: `ringherd replica --name NAME`, in a process group, with pipes.
    fn base(&self, launch: &Launch) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg0(env!("CARGO_PKG_NAME"))
            .args(["replica", "--name", &launch.name])
            .env("SERVER_ID", &launch.name)
            .env("SERVER_NUMBER", launch.number.to_string())
            .env("SERVER_REVISION", launch.revision.shown())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for key in own_keys(std::env::vars_os().map(|(key, _)| key)) {
            command.env_remove(key);
        }
        // The later one of a name wins.
        let variables = self.env.iter().chain(&launch.revision.env);
        command.envs(variables.filter_map(|variable| variable.split_once('=')));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }
}

/// Our own binary, also after the file was replaced or deleted, so that replicas have the version of
/// their balancer.
fn own_program() -> PathBuf {
    let linked = PathBuf::from("/proc/self/exe");
    if linked.exists() { linked } else { std::env::current_exe().unwrap_or(linked) }
}

/// The variables that configure the balancer, which replicas do not get.
fn own_keys(keys: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    keys.filter(|key| key.as_encoded_bytes().starts_with(OsStr::new(OWN_PREFIX).as_encoded_bytes()))
}

/// The addresses at which a program that was given `port` may take requests.
pub(super) fn addresses_of(port: &PortLease) -> [SocketAddr; 2] {
    let port = port.number();
    [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::runtime::{ReplicaId, Revision};

    fn launch() -> Launch {
        Launch {
            id: ReplicaId(1),
            name: "Server 1".into(),
            number: 7,
            existing: None,
            revision: Arc::default(),
            replaces: None,
        }
    }

    fn words(command: &Command) -> Vec<String> {
        command.as_std().get_args().map(|word| word.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_built_in_replica_chooses_its_port() {
        let prepared = CommandTemplate::new(ProcessConfig::default()).prepare(&launch()).unwrap();
        let expected = ["replica", "--name", "Server 1", "--listen", "127.0.0.1:0", "--exit-with-stdin"];
        assert_eq!(words(&prepared.command), expected);
        assert!(prepared.port.is_none());
    }

    #[test]
    fn another_program_is_given_one() {
        let command = ["prog", "--id={name}/{number}", "{port}{port}", "{x}"].map(String::from).to_vec();
        let config = ProcessConfig {
            command,
            env: vec!["A=b=c".to_owned()],
            dir: Some("/".into()),
            stop_signal: StopSignal::Quit,
            ..Default::default()
        };
        let prepared = CommandTemplate::new(config).prepare(&launch()).unwrap();
        let port = prepared.port.unwrap().number().to_string();
        let twice = format!("{port}{port}");
        let expected = [
            "replica",
            "--name",
            "Server 1",
            "--exec",
            "--stop-signal",
            "SIGQUIT",
            "--",
            "prog",
            "--id=Server 1/7",
            &twice,
            "{x}",
        ];
        assert_eq!(words(&prepared.command), expected);
        let environment: Vec<_> = prepared.command.as_std().get_envs().collect();
        for (key, value) in [
            ("PORT", port.as_str()),
            ("SERVER_ID", "Server 1"),
            ("SERVER_NUMBER", "7"),
            ("SERVER_REVISION", "base"),
            ("A", "b=c"),
        ] {
            assert!(environment.contains(&(OsStr::new(key), Some(OsStr::new(value)))), "{key}");
        }
    }

    fn of_revision(revision: Revision) -> Launch {
        Launch { revision: Arc::new(revision), ..launch() }
    }

    #[test]
    fn a_revision_has_a_command_of_its_own() {
        let of = |configured: &[&str], revised: Option<&[&str]>| {
            let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
            let config = ProcessConfig { command: list(configured), ..Default::default() };
            let revision = Revision { command: revised.map(list), ..Default::default() };
            let prepared = CommandTemplate::new(config).prepare(&of_revision(revision)).unwrap();
            (words(&prepared.command)[3..].to_vec(), prepared.port.is_some())
        };
        let built_in = || ["--listen", "127.0.0.1:0", "--exit-with-stdin"].map(String::from).to_vec();
        let program =
            |name: &str| ["--exec", "--stop-signal", "SIGTERM", "--", name].map(String::from).to_vec();
        assert_eq!(of(&["old"], None), (program("old"), true));
        assert_eq!(of(&["old"], Some(&["{number}"])), (program("7"), true));
        assert_eq!(of(&["old"], Some(&[])), (built_in(), false));
        assert_eq!(of(&[], Some(&["new"])), (program("new"), true));
    }

    #[test]
    fn where_a_command_comes_from() {
        let of = |command| {
            let revision = Revision { name: "v2".into(), command, ..Default::default() };
            CommandTemplate::origin(&of_revision(revision))
        };
        assert_eq!(of(None), "--replica-command");
        assert_eq!(of(Some(vec!["new".to_owned()])), "the command of revision 'v2'");
    }

    #[test]
    fn the_environment_of_a_revision_wins_over_the_configured_one() {
        let list = |entries: &[&str]| entries.iter().map(|&entry| entry.to_owned()).collect();
        let config = ProcessConfig { env: list(&["A=1", "B=1"]), ..Default::default() };
        let revision = Revision { name: "v2".into(), env: list(&["B=2", "C=2"]), ..Default::default() };
        let prepared = CommandTemplate::new(config).prepare(&of_revision(revision)).unwrap();
        let environment: Vec<_> = prepared.command.as_std().get_envs().collect();
        for (key, value) in [("A", "1"), ("B", "2"), ("C", "2"), ("SERVER_REVISION", "v2")] {
            assert!(environment.contains(&(OsStr::new(key), Some(OsStr::new(value)))), "{key}");
        }
    }

    #[test]
    fn a_name_that_looks_like_a_placeholder_stays_as_it_is() {
        let launch = Launch { name: "{number}".into(), ..launch() };
        assert_eq!(launch.fill_in("{name}", 1), "{number}");
    }

    #[test]
    fn only_own_variables_are_withheld() {
        let keys = ["RINGHERD_ADMIN_TOKEN", "PATH", "RINGHERD_", "XRINGHERD_Y", "RINGHERD"];
        let own: Vec<_> = own_keys(keys.into_iter().map(OsString::from)).collect();
        assert_eq!(own, ["RINGHERD_ADMIN_TOKEN", "RINGHERD_"]);
    }
}
