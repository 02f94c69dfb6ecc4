//! A container as the engine shows it in a list or by itself, reduced to what matters here. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use docker_api::models::{ContainerInspect200Response, ContainerState, ContainerSummary, EndpointSettings};

use super::hint;
use crate::runtime::process::exit;

/// Whether it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not yet.
    Created,
    /// It does, or is paused.
    Running,
    /// Not any more.
    Ended,
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its id.
    pub(super) id: String,
    /// Its name.
    pub(super) name: String,
    /// Its labels.
    pub(super) labels: HashMap<String, String>,
    /// Whether it runs.
    pub(super) state: State,
    /// Its address in each network that gives it one.
    pub(super) addresses: BTreeMap<String, IpAddr>,
    /// When it was created, in seconds of the epoch; 0 if not told.
    pub(super) created: i64,
    /// The signal it is stopped with; as usual if not told.
    pub(super) stop_signal: i32,
}

impl Seen {
    /// From a list.
    pub(super) fn listed(summary: ContainerSummary) -> Option<Self> {
        let name = summary.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        Some(Self {
            id: summary.id?,
            name: name.trim_start_matches('/').to_owned(),
            labels: summary.labels.unwrap_or_default(),
            state: state(summary.state.as_deref().unwrap_or_default()),
            addresses: addresses(summary.network_settings.and_then(|settings| settings.networks)),
            created: summary.created.unwrap_or_default(),
            stop_signal: hint::SIGTERM,
        })
    }

    /// From an inspection; also the state, for how it ended.
    pub(super) fn inspected(inspected: ContainerInspect200Response) -> Option<(Self, ContainerState)> {
        let config = inspected.config?;
        let container_state = inspected.state?;
        let stop_signal = config.stop_signal.as_deref().and_then(hint::number);
        let seen = Self {
            id: inspected.id?,
            name: inspected.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            labels: config.labels.unwrap_or_default(),
            state: state(container_state.status.as_deref().unwrap_or_default()),
            addresses: addresses(inspected.network_settings.and_then(|settings| settings.networks)),
            created: 0,
            stop_signal: stop_signal.unwrap_or(hint::SIGTERM),
        };
        Some((seen, container_state))
    }

    /// Its address in the first of `networks` that has one, else in any.
    pub(super) fn address(&self, networks: &[String], port: u16) -> Option<SocketAddr> {
        let preferred = networks.iter().find_map(|network| self.addresses.get(network));
        preferred.or_else(|| self.addresses.values().next()).map(|ip| SocketAddr::new(*ip, port))
    }
}

fn state(word: &str) -> State {
    match word {
        "created" => State::Created,
        // One that restarts has a policy, which is not ours; it is up again soon.
        "running" | "paused" | "restarting" => State::Running,
        _ => State::Ended,
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

/// How a container ended.
///
/// The engine tells a signal as a shell does, by a code above 128.
pub(super) fn end_in_words(state: &ContainerState) -> String {
    if state.oom_killed.unwrap_or(false) {
        return "out of memory".to_owned();
    }
    let code = i32::try_from(state.exit_code.unwrap_or_default()).unwrap_or_default();
    let end = exit::in_words(ExitStatus::from_raw((code & 0xff) << 8), true);
    match state.error.as_deref().filter(|error| !error.is_empty()) {
        Some(error) => format!("{end}: {error}"),
        None => end,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn inspected(state: &Value, networks: &Value) -> (Seen, ContainerState) {
        let inspected = json!({
            "Id": "c1", "Name": "/web", "State": state,
            "Config": { "StopSignal": "SIGQUIT", "Labels": { "a": "b" } },
            "NetworkSettings": { "Networks": networks },
        });
        Seen::inspected(serde_json::from_value(inspected).unwrap()).unwrap()
    }

    #[test]
    fn the_address_is_that_of_the_wanted_network() {
        let networks = json!({
            "a": { "IPAddress": "10.0.0.1" }, "b": { "IPAddress": "10.0.1.1" },
            "c": { "IPAddress": "" }, "d": { "IPAddress": "", "GlobalIPv6Address": "fd00::1" },
        });
        let (seen, _) = inspected(&json!({ "Status": "running" }), &networks);
        let at = |network: &str| seen.address(&[network.to_owned()], 80).unwrap().to_string();
        assert_eq!(at("b"), "10.0.1.1:80");
        assert_eq!(at("d"), "[fd00::1]:80");
        assert_eq!(at("c"), "10.0.0.1:80");
        assert_eq!(seen.stop_signal, 3);
        let (bare, _) = inspected(&json!({ "Status": "running" }), &json!({}));
        assert_eq!(bare.address(&["a".to_owned()], 80), None);
    }

    #[test]
    fn ends_have_their_words() {
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
            let (seen, state) = inspected(&state, &json!({}));
            assert_eq!((seen.state, end_in_words(&state).as_str()), (State::Ended, words));
        }
    }

    #[test]
    fn a_listed_container_is_reduced_to_the_same() {
        let summary = json!({
            "Id": "c1", "Names": ["/web"], "State": "paused", "Created": 7, "Labels": { "a": "b" },
            "NetworkSettings": { "Networks": { "n": { "IPAddress": "10.0.0.1" } } },
        });
        let seen = Seen::listed(serde_json::from_value(summary).unwrap()).unwrap();
        assert_eq!((seen.name.as_str(), seen.state, seen.created), ("web", State::Running, 7));
        assert_eq!(seen.address(&[], 1), Some("10.0.0.1:1".parse().unwrap()));
    }
}
