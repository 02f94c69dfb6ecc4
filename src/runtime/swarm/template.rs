//! The service of a replica, as the options that create it, and the changes that are made to it. Pure.

use docker_api::opts::ServiceOpts;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::context::SwarmContext;
use super::observed::PlaceLabel;
use crate::runtime::engine::{ReadOnly, Spec, labels, naming, program};
use crate::runtime::{Launch, StopSignal};

/// Longest name of a service that a Swarm accepts, in characters.
const MAX_NAME: usize = 63;

/// Processes and threads in one container.
const PIDS_LIMIT: u32 = 512;

/// Size of `/tmp` for programs of others, whose root is read-only; counts as their memory.
const SCRATCH_BYTES: u64 = 64 << 20;

/// Pause before the Swarm restarts a failed task, or one of a lost node on another: at most ten starts
/// a minute, the same limit as for replicas that a balancer restarts.
const RESTART_DELAY_NS: u64 = 6_000_000_000;

/// The name of a replica's service. If the names of pool and replica are long, it ends with a hash of
/// them; the label has the replica's full name.
pub(super) fn service_name(pool: &str, replica: &str) -> String {
    let name = naming::object_name(pool, replica);
    if name.len() <= MAX_NAME {
        return name;
    }
    let digest = Sha256::digest(name.as_bytes());
    let start = digest.iter().take(5).fold(0_u64, |start, byte| start << 8 | u64::from(*byte));
    let tail = format!("{start:010x}");
    let head: String = name.chars().take(MAX_NAME - 1 - tail.len()).collect();
    format!("{}-{tail}", head.trim_end_matches(['-', '_']))
}

/// The options that create the service of `launch`, with this place among those of its number.
///
/// # Errors
/// `docker-api` does not accept them.
pub(super) fn service(
    spec: &Spec,
    context: &SwarmContext,
    launch: &Launch,
    token: &str,
    place: Option<PlaceLabel>,
) -> Result<ServiceOpts, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot describe its service: {error}");
    let mut service_labels = labels::for_replica(&spec.pool, None, launch);
    service_labels.insert(labels::LAUNCH, token.to_owned());
    // What it replaces is in the place, which is taken away at the end of the deploy.
    service_labels.remove(labels::REPLACES);
    service_labels.extend(place.map(|place| (labels::PLACE, place.to_string())));
    // `docker-api` has these only as structs whose fields must all be given.
    let task = serde_json::from_value(task(spec, context, launch, token)).map_err(|error| failed(&error))?;
    let mode =
        serde_json::from_value(json!({ "Replicated": { "Replicas": 1 } })).map_err(|error| failed(&error))?;
    // By DNS, not by a virtual IP: requests go to the task itself, and the kernel needs no IPVS.
    let endpoint = serde_json::from_value(json!({ "Mode": "dnsrr" })).map_err(|error| failed(&error))?;
    ServiceOpts::builder()
        .name(service_name(&spec.pool, &launch.name))
        .labels(service_labels)
        .task_template(&task)
        .mode(&mode)
        .endpoint_spec(&endpoint)
        .build()
        .map_err(|error| failed(&error))
}

/// Sets a label in the specification of a service, or removes it.
pub(super) fn set_label(service: &mut Value, key: &str, value: Option<&str>) {
    match value {
        Some(value) => service["Labels"][key] = Value::from(value),
        None => {
            service["Labels"].as_object_mut().and_then(|labels| labels.remove(key));
        }
    }
}

/// Changes the specification of a service so that it runs the revision of `launch`, and serves its number.
pub(super) fn update(service: &mut Value, spec: &Spec, context: &SwarmContext, launch: &Launch, token: &str) {
    let networks = service["TaskTemplate"]["Networks"].take();
    service["TaskTemplate"] = task(spec, context, launch, token);
    if !networks.is_null() {
        // Those it has, under the ids that the Swarm gave them.
        service["TaskTemplate"]["Networks"] = networks;
    }
    let revision = Some(launch.revision.name.as_str()).filter(|name| !name.is_empty());
    set_label(service, labels::REVISION, revision);
    set_label(service, labels::LAUNCH, Some(token));
    set_label(service, labels::PLACE, None);
    // Never two at once; and what does not start is the balancer's to undo.
    service["UpdateConfig"] = json!({ "Parallelism": 1, "Order": "stop-first", "FailureAction": "continue" });
}

fn task(spec: &Spec, context: &SwarmContext, launch: &Launch, token: &str) -> Value {
    let mut limits = json!({ "Pids": PIDS_LIMIT });
    if let Some(memory) = spec.memory {
        limits["MemoryBytes"] = json!(memory);
    }
    if let Some(cpus) = spec.nano_cpus {
        limits["NanoCPUs"] = json!(cpus);
    }
    let slug = naming::slug(&launch.name);
    json!({
        "ContainerSpec": container(spec, context, launch, token),
        "Resources": { "Limits": limits },
        "RestartPolicy": { "Condition": "any", "Delay": RESTART_DELAY_NS },
        "Placement": { "Preferences": [{ "Spread": { "SpreadDescriptor": "node.id" } }] },
        "Networks": [{ "Target": context.network, "Aliases": [slug] }],
    })
}

fn container(spec: &Spec, context: &SwarmContext, launch: &Launch, token: &str) -> Value {
    let image = launch.revision.image.as_ref().unwrap_or(&context.image);
    // Another image is taken for one that knows by itself what to run.
    let own_image = context.own_image && *image == context.image;
    // Without the number: it may change on the service, which must not restart the task. With the token, which tells
    // the tasks of before an update from those after it.
    let container_labels = [
        (labels::POOL, spec.pool.clone()),
        (labels::NAME, launch.name.clone()),
        (labels::LAUNCH, token.to_owned()),
    ];
    let mut container = json!({
        "Image": image,
        "Hostname": naming::slug(&launch.name),
        "Env": program::environment(spec, launch),
        "Labels": container_labels.into_iter().collect::<std::collections::HashMap<_, _>>(),
        "ReadOnly": spec.read_only == ReadOnly::On,
        "CapabilityDrop": ["ALL"],
        "StopGracePeriod": spec.stop_timeout.as_nanos() as i64,
    });
    if let Some(user) = &spec.user {
        container["User"] = json!(user);
    }
    if spec.stop_signal != StopSignal::default() {
        container["StopSignal"] = json!(spec.stop_signal.name());
    }
    if !spec.capabilities.is_empty() {
        container["CapabilityAdd"] = json!(spec.capabilities);
    }
    let mounts = mounts(spec, own_image);
    if !mounts.is_empty() {
        container["Mounts"] = json!(mounts);
    }
    if let Some(arguments) = program::command(spec, launch, own_image) {
        container["Args"] = json!(arguments);
    }
    if own_image {
        // The image has a health check, but with one a Swarm takes a task for running only after the
        // first success, a whole interval after the start. Balancers notice a replica that hangs.
        container["HealthCheck"] = json!({ "Test": ["NONE"] });
    } else {
        // As process 1, a program without a handler for SIGTERM would ignore it.
        container["Init"] = json!(true);
    }
    container
}

/// Folders in memory, volumes, and folders of the node that a task runs on. A Swarm takes no options of
/// folders in memory, which the configuration refuses.
fn mounts(spec: &Spec, own_image: bool) -> Vec<Value> {
    let volume = |volume: &String| {
        let mut parts = volume.split(':');
        let (source, target) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let kind = if source.starts_with('/') { "bind" } else { "volume" };
        json!({ "Type": kind, "Source": source, "Target": target, "ReadOnly": parts.next() == Some("ro") })
    };
    let mut mounts: Vec<_> = spec.volumes.iter().map(volume).collect();
    let scratch = (!own_image).then_some("/tmp");
    for path in scratch.into_iter().chain(spec.tmpfs.iter().map(String::as_str)) {
        let options = json!({ "SizeBytes": SCRATCH_BYTES, "Mode": 0o1777 });
        if !mounts.iter().any(|mount| mount["Target"] == path) {
            mounts.push(json!({ "Type": "tmpfs", "Target": path, "TmpfsOptions": options }));
        }
    }
    mounts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::runtime::swarm::observed::Claim;
    use crate::runtime::{ReplicaId, Revision};

    fn launch() -> Launch {
        let (existing, revision, replaces) = Default::default();
        Launch { id: ReplicaId(1), name: "Server 1".into(), number: 7, existing, revision, replaces }
    }

    fn context(own_image: bool) -> SwarmContext {
        SwarmContext { image: "app:1".into(), own_image, network: "net".into() }
    }

    fn made_for(launch: &Launch, spec: &Spec, own_image: bool, place: Option<PlaceLabel>) -> Value {
        let options = service(spec, &context(own_image), launch, "t0", place).unwrap();
        serde_json::from_str(&options.serialize().unwrap()).unwrap()
    }

    fn made(spec: &Spec, own_image: bool) -> Value {
        made_for(&launch(), spec, own_image, None)
    }

    #[test]
    fn a_successor_is_made_beside_another_service() {
        let launch = Launch { replaces: Some("base".into()), ..launch() };
        let place = PlaceLabel { claim: Claim::Beside("s1".into()), renewed: 5 };
        let labels = &made_for(&launch, &Spec::default(), true, Some(place))["Labels"];
        assert_eq!(
            (&labels["io.ringherd.place"], &labels["io.ringherd.number"]),
            (&json!("beside s1 5"), &json!("7"))
        );
        assert_eq!(labels.get("io.ringherd.replaces"), None);
    }

    #[test]
    fn an_update_changes_what_runs_and_keeps_the_rest() {
        let mut service = made(&Spec::default(), true);
        let before = service.clone();
        assert_eq!(before["TaskTemplate"]["ContainerSpec"]["Labels"]["io.ringherd.launch"], "t0");
        service["TaskTemplate"]["Networks"] = json!([{ "Target": "id-of-net" }]);
        set_label(&mut service, "io.ringherd.place", Some("vacant 5"));
        let env = vec!["A=1".to_owned()];
        let revision =
            Arc::new(Revision { name: "v2".into(), image: Some("app:2".into()), env, ..Revision::default() });
        let next = Launch { revision, ..launch() };
        update(&mut service, &Spec::default(), &context(true), &next, "t1");
        let container = &service["TaskTemplate"]["ContainerSpec"];
        assert_eq!(
            (&container["Image"], &container["Labels"]["io.ringherd.launch"]),
            (&json!("app:2"), &json!("t1"))
        );
        assert!(container["Env"].as_array().unwrap().contains(&json!("A=1")));
        assert_eq!(service["TaskTemplate"]["Networks"], json!([{ "Target": "id-of-net" }]));
        let mut labels = before["Labels"].clone();
        labels["io.ringherd.launch"] = json!("t1");
        labels["io.ringherd.revision"] = json!("v2");
        assert_eq!(service["Labels"], labels);
        assert_eq!(service["UpdateConfig"]["Order"], "stop-first");
        assert_eq!((&service["Name"], &service["Mode"]), (&before["Name"], &before["Mode"]));
        // And back to the revision without a name.
        update(&mut service, &Spec::default(), &context(true), &launch(), "t0");
        assert_eq!(service["Labels"], before["Labels"]);
        assert_eq!(service["TaskTemplate"]["ContainerSpec"], before["TaskTemplate"]["ContainerSpec"]);
    }

    #[test]
    fn a_service_has_one_task_with_few_rights() {
        let spec = Spec { memory: Some(1 << 20), nano_cpus: Some(5), ..Spec::default() };
        let made = made(&spec, true);
        assert_eq!(made["Name"], "ringherd-default-server-1");
        assert_eq!(made["Labels"]["io.ringherd.name"], "Server 1");
        assert_eq!(made["Labels"]["io.ringherd.number"], "7");
        assert_eq!(made["Labels"].get("io.ringherd.instance"), None);
        assert_eq!(made["Mode"]["Replicated"]["Replicas"], 1);
        assert_eq!(made["EndpointSpec"]["Mode"], "dnsrr");
        let task = &made["TaskTemplate"];
        assert_eq!(task["Networks"][0]["Aliases"], json!(["server-1"]));
        assert_eq!(task["RestartPolicy"], json!({ "Condition": "any", "Delay": 6_000_000_000_u64 }));
        assert_eq!(task["Resources"]["Limits"]["MemoryBytes"], 1 << 20);
        assert_eq!(task["Resources"]["Limits"]["NanoCPUs"], 5);
        let container = &task["ContainerSpec"];
        assert_eq!(container["Args"], json!(["replica", "--listen", "0.0.0.0:5000"]));
        assert_eq!(container["HealthCheck"]["Test"], json!(["NONE"]));
        assert_eq!((&container["ReadOnly"], &container["CapabilityDrop"]), (&json!(true), &json!(["ALL"])));
        assert_eq!(container["StopGracePeriod"], 5_000_000_000_u64);
    }

    #[test]
    fn what_an_image_needs_is_opened_and_no_more() {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let spec = Spec {
            read_only: ReadOnly::Off,
            tmpfs: list(&["/run"]),
            volumes: list(&["/srv:/www:ro", "data:/data"]),
            user: Some("33".to_owned()),
            capabilities: list(&["CHOWN"]),
            stop_signal: StopSignal::Winch,
            ..Spec::default()
        };
        let container = &made(&spec, false)["TaskTemplate"]["ContainerSpec"];
        assert_eq!((&container["ReadOnly"], &container["User"]), (&json!(false), &json!("33")));
        assert_eq!(container["CapabilityAdd"], json!(["CHOWN"]));
        assert_eq!(container["StopSignal"], json!("SIGWINCH"));
        let mounts: Vec<_> = container["Mounts"].as_array().unwrap().iter().collect();
        let shown: Vec<_> = mounts.iter().map(|mount| (&mount["Type"], &mount["Target"])).collect();
        let words = [("bind", "/www"), ("volume", "/data"), ("tmpfs", "/tmp"), ("tmpfs", "/run")];
        let expected: Vec<_> = words.map(|(kind, target)| (json!(kind), json!(target))).into();
        assert!(shown.iter().copied().eq(expected.iter().map(|(kind, target)| (kind, target))), "{mounts:?}");
        assert_eq!((&mounts[0]["ReadOnly"], &mounts[1]["ReadOnly"]), (&json!(true), &json!(false)));
    }

    #[test]
    fn another_image_runs_what_it_runs_by_itself() {
        let made = made(&Spec::default(), false);
        let container = &made["TaskTemplate"]["ContainerSpec"];
        assert!(container.get("Args").is_none());
        assert!(container["HealthCheck"].is_null());
        assert_eq!(container["Init"], true);
        assert_eq!(container["Mounts"][0]["Target"], "/tmp");
    }

    #[test]
    fn long_names_are_shortened_and_stay_apart() {
        let pool = "p".repeat(32);
        let names = ["a", "b"].map(|end| service_name(&pool, &format!("{}-{end}", "x".repeat(61))));
        assert_ne!(names[0], names[1]);
        assert!(
            names.iter().all(|name| name.len() <= MAX_NAME && name.starts_with("ringherd-p")),
            "{names:?}"
        );
        assert_eq!(service_name("p", "Server 1"), "ringherd-p-server-1");
        // What is cut off may leave a '-' at the end, of which a name takes only one.
        let cut = service_name(&pool, &format!("{} {}", "y".repeat(9), "z".repeat(40)));
        assert!(!cut.contains("--"), "{cut}");
    }
}
