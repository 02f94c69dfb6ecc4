//! A container as the engine's API describes it, reduced to what matters for replicas. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use docker_api::models::{ContainerInspect200Response, ContainerState, ContainerSummary, EndpointSettings};

use super::signals;
use crate::runtime::engine::naming;
use crate::runtime::exit;

/// Whether a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContainerStatus {
    /// It was created and never started.
    Created,
    /// It runs, is paused, or is being restarted by the engine.
    Running,
    /// Its program has ended.
    Exited,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    /// Id, 64 hexadecimal digits.
    pub(super) id: String,
    /// Name, without the leading slash of the API.
    pub(super) name: String,
    /// Labels by key.
    pub(super) labels: HashMap<String, String>,
    /// Whether it runs.
    pub(super) status: ContainerStatus,
    /// Address by network, for networks that give it one.
    pub(super) addresses: BTreeMap<String, IpAddr>,
    /// When it was created, in seconds since the Unix epoch; 0 after an inspection.
    pub(super) created: i64,
    /// The signal it takes as a request to end; SIGTERM after a list, which does not say.
    pub(super) stop_signal: i32,
}

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunningContainer {
    /// Id of the container.
    pub(super) container: String,
    /// Where it takes requests.
    pub(super) address: SocketAddr,
    /// The signal that it takes as a request to end.
    pub(super) stop_signal: i32,
}

impl Container {
    /// Reads an entry of a list; `None` without an id.
    pub(super) fn listed(summary: ContainerSummary) -> Option<Self> {
        let name = summary.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        Some(Self {
            id: summary.id?,
            name: name.trim_start_matches('/').to_owned(),
            labels: summary.labels.unwrap_or_default(),
            status: status(summary.state.as_deref().unwrap_or_default()),
            addresses: addresses(summary.network_settings.and_then(|settings| settings.networks)),
            created: summary.created.unwrap_or_default(),
            stop_signal: signals::SIGTERM,
        })
    }

    /// Reads an inspection; also returns the state, which says how the container ended.
    pub(super) fn inspected(inspected: ContainerInspect200Response) -> Option<(Self, ContainerState)> {
        let config = inspected.config?;
        let container_state = inspected.state?;
        let stop_signal = config.stop_signal.as_deref().and_then(signals::number);
        let container = Self {
            id: inspected.id?,
            name: inspected.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            labels: config.labels.unwrap_or_default(),
            status: status(container_state.status.as_deref().unwrap_or_default()),
            addresses: addresses(inspected.network_settings.and_then(|settings| settings.networks)),
            created: 0,
            stop_signal: stop_signal.unwrap_or(signals::SIGTERM),
        };
        Some((container, container_state))
    }

    /// The name that it gets when its replica leaves: when that has left the ring, or another has its name.
    pub(super) fn leaving_name(&self) -> String {
        format!("{}{}", self.name, self.leaving_suffix())
    }

    /// The name that it had before, if it has such a name.
    pub(super) fn name_before_leaving(&self) -> Option<&str> {
        self.name.strip_suffix(&self.leaving_suffix())
    }

    /// Whether it has such a name.
    pub(super) fn is_leaving(&self) -> bool {
        self.name_before_leaving().is_some()
    }

    /// With its id, so that no other name is taken for one.
    fn leaving_suffix(&self) -> String {
        format!("-leaving-{}", naming::short(&self.id))
    }

    /// The container as one that takes requests on `port`, if it has an address.
    pub(super) fn running(&self, networks: &[String], port: u16) -> Option<RunningContainer> {
        let address = self.address(networks, port)?;
        Some(RunningContainer { container: self.id.clone(), address, stop_signal: self.stop_signal })
    }

    /// The address to send requests to: in the first of `networks` that gives it one, else in any.
    pub(super) fn address(&self, networks: &[String], port: u16) -> Option<SocketAddr> {
        let preferred = networks.iter().find_map(|network| self.addresses.get(network));
        preferred.or_else(|| self.addresses.values().next()).map(|ip| SocketAddr::new(*ip, port))
    }
}

fn status(word: &str) -> ContainerStatus {
    match word {
        "created" => ContainerStatus::Created,
        // A container that restarts has a policy that is not ours; it runs again soon.
        "running" | "paused" | "restarting" => ContainerStatus::Running,
        _ => ContainerStatus::Exited,
    }
}

fn addresses(networks: Option<HashMap<String, EndpointSettings>>) -> BTreeMap<String, IpAddr> {
    let ip = |endpoint: &EndpointSettings| {
        let texts = [&endpoint.ip_address, &endpoint.global_i_pv_6_address];
        texts.into_iter().flatten().find_map(|text| text.parse().ok())
    };
    let networks = networks.unwrap_or_default().into_iter();
    networks.filter_map(|(name, endpoint)| Some((name, ip(&endpoint)?))).collect()
}

/// How a container ended, in words.
///
/// The engine reports a signal as a shell does, by an exit code above 128.
pub(super) fn describe_exit(state: &ContainerState) -> String {
    if state.oom_killed.unwrap_or(false) {
        return "out of memory".to_owned();
    }
    let code = i32::try_from(state.exit_code.unwrap_or_default()).unwrap_or_default();
    let end = exit::describe(ExitStatus::from_raw((code & 0xff) << 8), true);
    match state.error.as_deref().filter(|error| !error.is_empty()) {
        Some(error) => format!("{end}: {error}"),
        None => end,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn inspected(state: &Value, networks: &Value) -> (Container, ContainerState) {
        let inspected = json!({
            "Id": "c1", "Name": "/web", "State": state,
            "Config": { "StopSignal": "SIGQUIT", "Labels": { "a": "b" } },
            "NetworkSettings": { "Networks": networks },
        });
        Container::inspected(serde_json::from_value(inspected).unwrap()).unwrap()
    }

    #[test]
    fn the_address_is_that_of_the_wanted_network() {
        let networks = json!({
            "a": { "IPAddress": "10.0.0.1" }, "b": { "IPAddress": "10.0.1.1" },
            "c": { "IPAddress": "" }, "d": { "IPAddress": "", "GlobalIPv6Address": "fd00::1" },
        });
        let (container, _) = inspected(&json!({ "Status": "running" }), &networks);
        let at = |network: &str| container.address(&[network.to_owned()], 80).unwrap().to_string();
        assert_eq!(at("b"), "10.0.1.1:80");
        assert_eq!(at("d"), "[fd00::1]:80");
        assert_eq!(at("c"), "10.0.0.1:80");
        assert_eq!(container.stop_signal, 3);
        let (bare, _) = inspected(&json!({ "Status": "running" }), &json!({}));
        assert_eq!(bare.address(&["a".to_owned()], 80), None);
    }

    #[test]
    fn exits_are_described() {
        let golden = [
            (json!({ "Status": "exited", "ExitCode": 3 }), "exit status 3"),
            (json!({ "Status": "exited", "ExitCode": 137 }), "killed by signal 9 (SIGKILL)"),
            (json!({ "Status": "exited", "ExitCode": 137, "OOMKilled": true }), "out of memory"),
            (
                json!({ "Status": "dead", "ExitCode": 127, "Error": "no such file" }),
                "exit status 127: no such file",
            ),
        ];
        for (state, words) in golden {
            let (container, state) = inspected(&state, &json!({}));
            assert_eq!((container.status, describe_exit(&state).as_str()), (ContainerStatus::Exited, words));
        }
    }

    #[test]
    fn a_listed_container_is_reduced_to_the_same() {
        let summary = json!({
            "Id": "c1", "Names": ["/web"], "State": "paused", "Created": 7, "Labels": { "a": "b" },
            "NetworkSettings": { "Networks": { "n": { "IPAddress": "10.0.0.1" } } },
        });
        let container = Container::listed(serde_json::from_value(summary).unwrap()).unwrap();
        assert_eq!(
            (container.name.as_str(), container.status, container.created),
            ("web", ContainerStatus::Running, 7)
        );
        assert_eq!(container.address(&[], 1), Some("10.0.0.1:1".parse().unwrap()));
    }
}
