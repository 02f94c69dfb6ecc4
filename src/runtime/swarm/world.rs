//! What a Swarm has of a pool, as one look at it showed: services and their live tasks. Pure.

use std::collections::HashMap;
use std::net::IpAddr;

use docker_api::models;
use serde_json::Value;

use super::LEAVING;
use super::template::TOKEN;
use crate::runtime::engine::labels;

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) services: Vec<Service>,
    pub(super) tasks: Vec<Task>,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// Its id.
    pub(super) id: String,
    /// The service's name.
    pub(super) name: String,
    /// The replica's name.
    pub(super) replica: String,
    /// The number on its label.
    pub(super) number: Option<u32>,
    /// The value of [`LEAVING`].
    pub(super) leaving: Option<String>,
    /// The value of [`TOKEN`].
    pub(super) token: Option<String>,
    /// When it was created, in nanoseconds.
    pub(super) created: i64,
    /// Changes with each update.
    pub(super) version: u64,
}

/// One attempt at running a replica that has not been given up by the Swarm, or whose service is
/// gone and which has not ended yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) service: String,
    /// Name of the node it is on.
    pub(super) node: String,
    /// Where it is on the overlay network.
    pub(super) address: Option<IpAddr>,
    /// Whether it runs and is meant to.
    pub(super) runs: bool,
}

impl World {
    pub(super) fn service(&self, id: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.id == id)
    }

    /// The services that are not being removed, the oldest first: who is first at something
    /// keeps it. All balancers see the same order.
    pub(super) fn staying(&self) -> Vec<&Service> {
        let mut staying: Vec<_> = self.services.iter().filter(|service| service.leaving.is_none()).collect();
        staying.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        staying
    }

    /// The task of a service that takes requests, and where.
    pub(super) fn running(&self, service: &str) -> Option<(&Task, IpAddr)> {
        let of_service = |task: &&Task| task.service == service && task.runs;
        self.tasks.iter().filter(of_service).find_map(|task| Some((task, task.address?)))
    }

    /// Whether this very task runs: a service that others have scaled up has several.
    pub(super) fn runs(&self, task: &str) -> bool {
        self.tasks.iter().any(|found| found.id == task && found.runs)
    }

    /// The service that the launch with this token has made.
    pub(super) fn with_token(&self, token: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.token.as_deref() == Some(token))
    }

    /// Whether anything of a service has not ended yet.
    pub(super) fn has_tasks(&self, service: &str) -> bool {
        self.tasks.iter().any(|task| task.service == service)
    }
}

impl Service {
    /// What `docker-api` says of it; `None` if it is no replica's.
    pub(super) fn read(model: models::Service) -> Option<Self> {
        let spec = model.spec?;
        let found = spec.labels.unwrap_or_default();
        Some(Self {
            id: model.id?,
            name: spec.name?,
            replica: found.get(labels::NAME).filter(|name| !name.is_empty())?.clone(),
            number: found.get(labels::NUMBER).and_then(|number| number.parse().ok()).filter(|n| *n > 0),
            leaving: found.get(LEAVING).cloned(),
            token: found.get(TOKEN).cloned(),
            created: model.created_at.and_then(|at| at.timestamp_nanos_opt()).unwrap_or(i64::MAX),
            version: model.version.and_then(|version| version.index).unwrap_or_default(),
        })
    }
}

impl Task {
    /// What the engine says of it, whose `NetworksAttachments` `docker-api` has no words for.
    /// `names` are those of nodes, by their ids.
    pub(super) fn read(json: &Value, names: &HashMap<String, String>) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let node = text(&json["NodeID"]).unwrap_or_default();
        let runs = json["DesiredState"] == "running" && json["Status"]["State"] == "running";
        Some(Self {
            id: text(&json["ID"])?,
            service: text(&json["ServiceID"])?,
            node: names.get(&node).cloned().unwrap_or(node),
            address: address(&json["NetworksAttachments"]),
            runs,
        })
    }
}

/// The first address that is not of the network through which published ports arrive.
fn address(attachments: &Value) -> Option<IpAddr> {
    let attachments = attachments.as_array()?.iter();
    let own = attachments.filter(|attachment| attachment["Network"]["Spec"]["Ingress"] != true);
    let addresses = own.filter_map(|attachment| attachment["Addresses"].as_array()).flatten();
    addresses.filter_map(Value::as_str).find_map(|text| text.split('/').next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_takes_requests_when_it_runs_and_is_meant_to() {
        let names = HashMap::from([("n1".to_owned(), "node1".to_owned())]);
        let task = |desired: &str, state: &str| {
            let json = json!({
                "ID": "t1", "ServiceID": "s1", "NodeID": "n1", "DesiredState": desired, "Status": { "State": state },
                "NetworksAttachments": [
                    { "Network": { "Spec": { "Ingress": true } }, "Addresses": ["10.0.0.9/24"] },
                    { "Network": { "Spec": { "Name": "net" } }, "Addresses": ["10.0.1.2/24"] },
                ],
            });
            Task::read(&json, &names).unwrap()
        };
        let running = task("running", "running");
        assert_eq!((running.runs, running.node.as_str()), (true, "node1"));
        assert_eq!(running.address, Some("10.0.1.2".parse().unwrap()));
        assert!(!task("running", "starting").runs);
        assert!(!task("shutdown", "running").runs);
        assert!(!task("remove", "running").runs);
        assert_eq!(Task::read(&json!({ "ID": "t1" }), &names), None);
    }

    #[test]
    fn a_service_is_read_by_its_labels() {
        let read = |found: Value| {
            let json = json!({
                "ID": "s1", "CreatedAt": "2026-01-02T03:04:05.000000006Z",
                "Spec": { "Name": "ringherd-p-a", "Labels": found },
            });
            Service::read(serde_json::from_value(json).unwrap())
        };
        let service = read(json!({ "io.ringherd.name": "A", "io.ringherd.number": "7" })).unwrap();
        assert_eq!((service.replica.as_str(), service.number, service.leaving), ("A", Some(7), None));
        assert_eq!(service.created % 1_000_000_000, 6);
        let leaving = read(json!({ "io.ringherd.name": "A", "io.ringherd.leaving": "1" })).unwrap();
        assert_eq!((leaving.number, leaving.leaving.as_deref()), (None, Some("1")));
        assert_eq!(read(json!({ "io.ringherd.number": "7" })), None);
    }
}
