//! The observed state of a pool in the Swarm: its services and their live tasks. Pure.

use std::collections::HashMap;
use std::net::IpAddr;

use docker_api::models;
use serde_json::Value;

use crate::runtime::engine::labels;

/// The services and tasks of a pool at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct ObservedState {
    /// In no particular order.
    pub(super) services: Vec<Service>,
    /// In no particular order; several tasks may belong to one service.
    pub(super) tasks: Vec<Task>,
}

/// The service of one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// Id of the service.
    pub(super) id: String,
    /// Name of the service.
    pub(super) name: String,
    /// Name of the replica.
    pub(super) replica: String,
    /// Name of its revision; empty for the one without a name.
    pub(super) revision: String,
    /// Number on the ring, from its label; `None` if the label is missing or wrong.
    pub(super) number: Option<u32>,
    /// Value of the label [`labels::LEAVING`].
    pub(super) leaving: Option<String>,
    /// Value of the label [`labels::LAUNCH`].
    pub(super) token: Option<String>,
    /// When it was created, in nanoseconds since the Unix epoch.
    pub(super) created: i64,
    /// Version of its specification; grows with each update.
    pub(super) version: u64,
}

/// A task of a service: one that the Swarm has not given up, or one that has not ended yet although
/// its service is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// Id of the task.
    pub(super) id: String,
    /// Id of its service.
    pub(super) service: String,
    /// Name of the node it is on; the id if the name is not known.
    pub(super) node: String,
    /// Address on the overlay network.
    pub(super) address: Option<IpAddr>,
    /// Whether it runs and the Swarm wants it to run.
    pub(super) runs: bool,
}

impl ObservedState {
    /// The service with this id.
    pub(super) fn service(&self, id: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.id == id)
    }

    /// The services that are not being removed, from the oldest to the youngest. All balancers see the
    /// same order.
    pub(super) fn staying(&self) -> Vec<&Service> {
        let mut staying: Vec<_> = self.services.iter().filter(|service| service.leaving.is_none()).collect();
        staying.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        staying
    }

    /// A task of a service that takes requests, and its address.
    pub(super) fn running(&self, service: &str) -> Option<(&Task, IpAddr)> {
        let of_service = |task: &&Task| task.service == service && task.runs;
        self.tasks.iter().filter(of_service).find_map(|task| Some((task, task.address?)))
    }

    /// Whether this task runs. A service that somebody has scaled up has several tasks.
    pub(super) fn runs(&self, task: &str) -> bool {
        self.tasks.iter().any(|found| found.id == task && found.runs)
    }

    /// The service that was created for the launch with this token.
    pub(super) fn with_token(&self, token: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.token.as_deref() == Some(token))
    }

    /// Whether a task of a service has not ended yet.
    pub(super) fn has_tasks(&self, service: &str) -> bool {
        self.tasks.iter().any(|task| task.service == service)
    }
}

impl Service {
    /// Reads a service; `None` if it is not that of a replica.
    pub(super) fn read(model: models::Service) -> Option<Self> {
        let spec = model.spec?;
        let found = spec.labels.unwrap_or_default();
        Some(Self {
            id: model.id?,
            name: spec.name?,
            replica: found.get(labels::NAME).filter(|name| !name.is_empty())?.clone(),
            number: found.get(labels::NUMBER).and_then(|number| number.parse().ok()).filter(|n| *n > 0),
            revision: found.get(labels::REVISION).cloned().unwrap_or_default(),
            leaving: found.get(labels::LEAVING).cloned(),
            token: found.get(labels::LAUNCH).cloned(),
            created: model.created_at.and_then(|at| at.timestamp_nanos_opt()).unwrap_or(i64::MAX),
            version: model.version.and_then(|version| version.index).unwrap_or_default(),
        })
    }
}

impl Task {
    /// Reads a task from the JSON of the engine, because `docker-api` does not have
    /// `NetworksAttachments`. `names` are the names of nodes by id.
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

/// The first address that is not on the ingress network, which is for published ports.
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
