//! The observed state of a pool in the Swarm: its services and their live tasks. Pure. What the services of a deploy
//! are to each other is found out in `places`.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use docker_api::models;
use serde_json::Value;

use crate::runtime::engine::labels;

/// What the error of a task begins with whose container has never run.
const NOT_STARTED: &str = "starting container failed";

/// The services and tasks of a pool at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct ObservedState {
    /// In no particular order.
    pub(super) services: Vec<Service>,
    /// In no particular order; several tasks may belong to one service.
    pub(super) tasks: Vec<Task>,
    /// Tasks that the Swarm has given up, the last one last: those of the services that were asked about.
    pub(super) ended: Vec<Task>,
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
    /// Value of the label [`labels::PLACE`].
    pub(super) place: Option<PlaceLabel>,
    /// Value of the label [`labels::LAUNCH`].
    pub(super) token: Option<String>,
    /// When it was created, in nanoseconds since the Unix epoch.
    pub(super) created: i64,
    /// Version of its specification; grows with each update.
    pub(super) version: u64,
}

/// Value of the label [`labels::PLACE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlaceLabel {
    /// What is claimed.
    pub(super) claim: Claim,
    /// When the claim was last renewed, by the clock of whoever did.
    pub(super) renewed: u64,
}

/// What a service claims to be to its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It was made beside the service with this id, which has the number.
    Beside(String),
    /// It has taken the number from the service with this id.
    Over(String),
    /// It has the number, and nobody is to serve it.
    Vacant,
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
    /// How far it has come.
    pub(super) progress: Progress,
    /// The [token](Service::token) that its service had when the task was made; `None` if an earlier version of a
    /// balancer made the service.
    pub(super) token: Option<String>,
}

/// How far a task has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It runs, and the Swarm wants it to run.
    Runs,
    /// It has run and ended by itself.
    Failed,
    /// It does not run yet, or never will, for this reason. The Swarm tries on, with this task or another.
    Hindered(String),
    /// It is about to run or to end, or was ended by the Swarm.
    Other,
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
        self.running_but(service, None)
    }

    /// The same, and another task than this one. A task that was made before the last update of its service is
    /// about to end.
    pub(super) fn running_but(&self, service: &str, task: Option<&str>) -> Option<(&Task, IpAddr)> {
        let is_current = self.is_current(service);
        let runs =
            |found: &&Task| found.service == service && found.runs() && Some(found.id.as_str()) != task;
        let mut current = self.tasks.iter().filter(runs).filter(|found| is_current(found));
        current.find_map(|found| Some((found, found.address?)))
    }

    /// Whether a task was made after the last update of its service, as far as that is known.
    fn is_current(&self, service: &str) -> impl Fn(&Task) -> bool {
        let token = self.service(service).and_then(|found| found.token.as_deref());
        move |task| match (task.token.as_deref(), token) {
            (Some(made_for), Some(token)) => made_for == token,
            _ => true,
        }
    }

    /// Whether this task runs. A service that somebody has scaled up has several tasks.
    pub(super) fn runs(&self, task: &str) -> bool {
        self.tasks.iter().any(|found| found.id == task && found.runs())
    }

    /// The last task of a service that has ended of those that were made for the launch with this token, if it has
    /// failed.
    pub(super) fn failed(&self, service: &str, token: &str) -> Option<&Task> {
        let is_of_launch = |task: &&Task| task.service == service && task.token.as_deref() == Some(token);
        self.ended.iter().rfind(is_of_launch).filter(|task| task.progress == Progress::Failed)
    }

    /// Why no task of a service runs yet, where the Swarm says so: what holds up the one it is about to start, or what
    /// became of the last one.
    pub(super) fn hindrance(&self, service: &str) -> Option<&str> {
        let is_current = self.is_current(service);
        let is_meant = |task: &&Task| task.service == service && is_current(task);
        let live = self.tasks.iter().filter(is_meant);
        let last = self.ended.iter().rfind(is_meant);
        live.chain(last).find_map(|task| match &task.progress {
            Progress::Hindered(reason) => Some(reason.as_str()),
            _ => None,
        })
    }

    /// The service that was created, or last updated, for the launch with this token.
    pub(super) fn with_token(&self, token: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.token.as_deref() == Some(token))
    }

    /// Whether a task of a service has not ended yet.
    pub(super) fn has_tasks(&self, service: &str) -> bool {
        self.tasks.iter().any(|task| task.service == service)
    }
}

impl PlaceLabel {
    /// Reads the value of the label; `None` if it cannot be read.
    fn read(value: &str) -> Option<Self> {
        let words: Vec<_> = value.split(' ').collect();
        let (claim, renewed) = match words[..] {
            ["beside", service, renewed] if !service.is_empty() => (Claim::Beside(service.into()), renewed),
            ["over", service, renewed] if !service.is_empty() => (Claim::Over(service.into()), renewed),
            ["vacant", renewed] => (Claim::Vacant, renewed),
            _ => return None,
        };
        Some(Self { claim, renewed: renewed.parse().ok()? })
    }
}

impl fmt::Display for PlaceLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let renewed = self.renewed;
        match &self.claim {
            Claim::Beside(service) => write!(f, "beside {service} {renewed}"),
            Claim::Over(service) => write!(f, "over {service} {renewed}"),
            Claim::Vacant => write!(f, "vacant {renewed}"),
        }
    }
}

impl Service {
    /// What the service claims to be to its number, if it takes part in a deploy.
    pub(super) fn claim(&self) -> Option<&Claim> {
        self.place.as_ref().map(|place| &place.claim)
    }

    /// Whether nobody is to serve its number.
    pub(super) fn is_vacant(&self) -> bool {
        self.claim() == Some(&Claim::Vacant)
    }

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
            place: found.get(labels::PLACE).and_then(|value| PlaceLabel::read(value)),
            token: found.get(labels::LAUNCH).cloned(),
            created: model.created_at.and_then(|at| at.timestamp_nanos_opt()).unwrap_or(i64::MAX),
            version: model.version.and_then(|version| version.index).unwrap_or_default(),
        })
    }
}

impl Task {
    /// Whether it runs, and the Swarm wants it to run.
    pub(super) fn runs(&self) -> bool {
        self.progress == Progress::Runs
    }

    /// Reads a task from the JSON of the engine, because `docker-api` does not have
    /// `NetworksAttachments`. `names` are the names of nodes by id.
    pub(super) fn read(json: &Value, names: &HashMap<String, String>) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let node = text(&json["NodeID"]).unwrap_or_default();
        let (id, node) = (text(&json["ID"])?, names.get(&node).cloned().unwrap_or(node));
        Some(Self {
            service: text(&json["ServiceID"])?,
            address: address(&json["NetworksAttachments"]),
            progress: Progress::read(json, &node),
            id,
            node,
            token: text(&json["Spec"]["ContainerSpec"]["Labels"][labels::LAUNCH]),
        })
    }
}

impl Progress {
    /// Reads that of a task, which is on this node. Reasons are the same for all tasks that it holds for.
    fn read(json: &Value, node: &str) -> Self {
        let desired = json["DesiredState"].as_str().unwrap_or_default();
        let error = json["Status"]["Err"].as_str().unwrap_or_default();
        match (json["Status"]["State"].as_str().unwrap_or_default(), desired) {
            ("running", "running") => Self::Runs,
            ("failed", _) if error.starts_with(NOT_STARTED) => {
                Self::Hindered(format!("node {node} could not start its task: {error}"))
            }
            ("failed" | "complete", _) => Self::Failed,
            ("pending", "running") if !error.is_empty() => {
                Self::Hindered(format!("the Swarm has no place for its task: {error}"))
            }
            ("rejected", _) => {
                let advice = if error.contains("No such image") {
                    "; have the image on all nodes, or in a registry that they reach"
                } else {
                    ""
                };
                Self::Hindered(format!("node {node} did not take its task: {error}{advice}"))
            }
            _ => Self::Other,
        }
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
        assert_eq!((running.runs(), running.node.as_str()), (true, "node1"));
        assert_eq!(running.address, Some("10.0.1.2".parse().unwrap()));
        assert!(!task("running", "starting").runs());
        assert!(!task("shutdown", "running").runs());
        assert!(!task("remove", "running").runs());
        assert_eq!(Task::read(&json!({ "ID": "t1" }), &names), None);
    }

    #[test]
    fn what_becomes_of_a_task_is_told_apart() {
        let names = HashMap::from([("n1".to_owned(), "node1".to_owned())]);
        let progress = |desired: &str, state: &str, error: &str| {
            let json = json!({
                "ID": "t1", "ServiceID": "s1", "NodeID": "n1", "DesiredState": desired,
                "Status": { "State": state, "Err": error },
            });
            Task::read(&json, &names).unwrap().progress
        };
        assert_eq!(progress("shutdown", "failed", "task: non-zero exit (64)"), Progress::Failed);
        assert_eq!(progress("shutdown", "complete", ""), Progress::Failed);
        let error = "starting container failed: no such program";
        let not_started = format!("node node1 could not start its task: {error}");
        assert_eq!(progress("shutdown", "failed", error), Progress::Hindered(not_started));
        assert_eq!(progress("running", "failed", "task: non-zero exit (64)"), Progress::Failed);
        for (desired, state) in [("shutdown", "shutdown"), ("running", "preparing"), ("running", "pending")] {
            assert_eq!(progress(desired, state, ""), Progress::Other);
        }
        let no_place = "the Swarm has no place for its task: no suitable node (1 node down)";
        let hindered = progress("running", "pending", "no suitable node (1 node down)");
        assert_eq!(hindered, Progress::Hindered(no_place.to_owned()));
        let no_image = "node node1 did not take its task: No such image: web:v9; have the image on all nodes, or in a \
                        registry that they reach";
        let hindered = progress("shutdown", "rejected", "No such image: web:v9");
        assert_eq!(hindered, Progress::Hindered(no_image.to_owned()));
    }

    #[test]
    fn a_task_of_before_an_update_does_not_count() {
        let service = |token: &str| {
            let json = json!({ "ID": "s1", "Spec": { "Name": "s", "Labels": {
                "io.ringherd.name": "A", "io.ringherd.launch": token,
            } } });
            Service::read(serde_json::from_value(json).unwrap()).unwrap()
        };
        let task = |id: &str, token: Value| {
            let json = json!({
                "ID": id, "ServiceID": "s1", "DesiredState": "running", "Status": { "State": "running" },
                "NetworksAttachments": [{ "Addresses": ["10.0.1.2/24"] }],
                "Spec": { "ContainerSpec": { "Labels": { "io.ringherd.launch": token } } },
            });
            Task::read(&json, &HashMap::new()).unwrap()
        };
        let mut observed = ObservedState {
            services: vec![service("t2")],
            tasks: vec![task("old", "t1".into())],
            ended: Vec::new(),
        };
        let running =
            |observed: &ObservedState, but| observed.running_but("s1", but).map(|(task, _)| task.id.clone());
        assert_eq!(running(&observed, None), None);
        observed.tasks.push(task("new", "t2".into()));
        assert_eq!(running(&observed, None).as_deref(), Some("new"));
        assert!(observed.runs("old"), "it has not ended yet");
        // Made by an earlier version, which gave tasks no token; or by hand.
        observed.tasks = vec![task("old", Value::Null), task("new", "t2".into())];
        assert_eq!(running(&observed, None).as_deref(), Some("old"));
        assert_eq!(running(&observed, Some("old")).as_deref(), Some("new"));
        observed.services[0].token = None;
        observed.tasks.remove(0);
        assert_eq!(running(&observed, None).as_deref(), Some("new"));
    }

    #[test]
    fn a_place_is_read_as_it_was_written() {
        for claim in [Claim::Beside("s1".into()), Claim::Over("s1".into()), Claim::Vacant] {
            let place = PlaceLabel { claim, renewed: 17 };
            assert_eq!(PlaceLabel::read(&place.to_string()), Some(place));
        }
        for value in
            ["", "vacant", "vacant x", "vacant s1 1", "over 1", "over  1", "under s1 1", "beside s1 1 "]
        {
            assert_eq!(PlaceLabel::read(value), None, "{value}");
        }
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
