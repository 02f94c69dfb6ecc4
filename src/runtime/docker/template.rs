//! The container of a replica, as the body of the request that creates it. Written as JSON because
//! `docker-api` has no options for a read-only root, dropped capabilities and a limit of processes.
//! Pure.

use serde_json::{Value, json};

use super::context::{DEFAULT_BRIDGE, EngineContext};
use crate::runtime::engine::{ReadOnly, Spec, labels, naming, program};
use crate::runtime::{Launch, StopSignal};

/// Processes and threads in one container.
const PIDS_LIMIT: u32 = 512;

/// Mount options of `/tmp` for programs of others, whose root is read-only; counts as their memory.
const SCRATCH: &str = "rw,nosuid,nodev,noexec,size=64m";

/// An image that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// Name or id.
    pub(super) reference: String,
    /// Whether it is ringherd's own: its program handles signals as process 1 and writes no files.
    pub(super) is_ours: bool,
}

/// The body that creates the container of `launch`.
pub(super) fn container(context: &EngineContext, launch: &Launch, image: &Image, network: &str) -> Value {
    let spec = &context.config.spec;
    let mut labels = labels::for_replica(&spec.pool, Some(&context.instance), launch);
    labels.insert(labels::RUN, context.run.clone());
    let slug = naming::slug(&launch.name);
    let mut endpoint = json!({});
    if network != DEFAULT_BRIDGE {
        endpoint["Aliases"] = json!([slug]);
    }
    let mut body = json!({
        "Image": image.reference,
        "Hostname": slug,
        "Env": program::environment(spec, launch),
        "Labels": labels,
        "HostConfig": host_config(spec, image, network),
        "NetworkingConfig": { "EndpointsConfig": { network: endpoint } },
    });
    if let Some(user) = &spec.user {
        body["User"] = json!(user);
    }
    if spec.stop_signal != StopSignal::default() {
        // For those who stop it in our place.
        body["StopSignal"] = json!(spec.stop_signal.name());
    }
    if let Some(command) = program::command(spec, launch, image.is_ours) {
        body["Cmd"] = json!(command);
    }
    body
}

fn host_config(spec: &Spec, image: &Image, network: &str) -> Value {
    let mut config = json!({
        "NetworkMode": network,
        // The pool restarts replicas; it knows more about them than the engine.
        "RestartPolicy": { "Name": "no" },
        "ReadonlyRootfs": spec.read_only == ReadOnly::On,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "PidsLimit": PIDS_LIMIT,
    });
    if let Some(memory) = spec.memory {
        config["Memory"] = json!(memory);
        // No swap: a replica that swaps is worse than one that is replaced.
        config["MemorySwap"] = json!(memory);
    }
    if let Some(cpus) = spec.nano_cpus {
        config["NanoCpus"] = json!(cpus);
    }
    if !spec.capabilities.is_empty() {
        config["CapAdd"] = json!(spec.capabilities);
    }
    if !spec.volumes.is_empty() {
        config["Binds"] = json!(spec.volumes);
    }
    let tmpfs = tmpfs(spec, image);
    if tmpfs.as_object().is_some_and(|tmpfs| !tmpfs.is_empty()) {
        config["Tmpfs"] = tmpfs;
    }
    if !image.is_ours {
        // As process 1, a program without a handler for SIGTERM would ignore it.
        config["Init"] = json!(true);
    }
    config
}

/// Folders in memory, with their mount options: `/tmp` for programs of others, unless something else is
/// mounted there, and those that are asked for.
fn tmpfs(spec: &Spec, image: &Image) -> Value {
    let mut folders = json!({});
    let target = |volume: &String| volume.split(':').nth(1).is_some_and(|target| target == "/tmp");
    if !image.is_ours && !spec.volumes.iter().any(target) {
        folders["/tmp"] = json!(SCRATCH);
    }
    for folder in &spec.tmpfs {
        let (path, options) = folder.split_once(':').unwrap_or((folder, SCRATCH));
        folders[path] = json!(options);
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::ReplicaId;

    fn body(spec: &Spec, is_ours: bool, network: &str) -> Value {
        let context = EngineContext { run: "first".into(), ..EngineContext::of_test(spec.clone(), None) };
        let launch = Launch {
            id: ReplicaId(1),
            name: "Server 1".into(),
            number: 7,
            existing: None,
            revision: std::sync::Arc::default(),
            replaces: None,
        };
        let image = Image { reference: "app:1".into(), is_ours };
        container(&context, &launch, &image, network)
    }

    #[test]
    fn a_container_has_no_more_rights_than_it_needs() {
        let config = &body(&Spec::default(), true, "net")["HostConfig"];
        assert_eq!(config["ReadonlyRootfs"], json!(true));
        assert_eq!(config["CapDrop"], json!(["ALL"]));
        assert_eq!(config["SecurityOpt"], json!(["no-new-privileges"]));
        assert_eq!(config["PidsLimit"], json!(PIDS_LIMIT));
        assert_eq!(config["RestartPolicy"]["Name"], json!("no"));
        assert!(config.get("Memory").is_none() && config.get("Init").is_none());
    }

    #[test]
    fn what_an_image_needs_is_opened_and_no_more() {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let spec = Spec {
            read_only: ReadOnly::Off,
            tmpfs: list(&["/var/cache/nginx", "/run:size=1m,mode=755"]),
            volumes: list(&["/srv/www:/usr/share/nginx/html:ro", "data:/data"]),
            user: Some("www-data:www-data".to_owned()),
            capabilities: list(&["CHOWN", "SETUID"]),
            stop_signal: StopSignal::Quit,
            ..Spec::default()
        };
        let body = body(&spec, false, "net");
        assert_eq!((&body["User"], &body["StopSignal"]), (&json!("www-data:www-data"), &json!("SIGQUIT")));
        let config = &body["HostConfig"];
        assert_eq!(config["ReadonlyRootfs"], json!(false));
        let tmpfs = json!({ "/tmp": SCRATCH, "/var/cache/nginx": SCRATCH, "/run": "size=1m,mode=755" });
        assert_eq!(config["Tmpfs"], tmpfs);
        assert_eq!(config["Binds"], json!(["/srv/www:/usr/share/nginx/html:ro", "data:/data"]));
        assert_eq!((&config["CapDrop"], &config["CapAdd"]), (&json!(["ALL"]), &json!(["CHOWN", "SETUID"])));
        let volumes = Spec { volumes: list(&["scratch:/tmp"]), ..Spec::default() };
        assert!(self::body(&volumes, false, "net")["HostConfig"].get("Tmpfs").is_none());
    }

    #[test]
    fn it_is_named_labelled_and_limited() {
        let spec = Spec { memory: Some(1 << 20), nano_cpus: Some(5), ..Spec::default() };
        let body = body(&spec, false, "net");
        assert_eq!(body["Hostname"], json!("server-1"));
        assert_eq!(body["NetworkingConfig"]["EndpointsConfig"]["net"]["Aliases"], json!(["server-1"]));
        assert_eq!(body["Labels"]["io.ringherd.instance"], json!("lb"));
        assert_eq!(body["Labels"]["io.ringherd.run"], json!("first"));
        assert_eq!(body["HostConfig"]["Memory"], json!(1 << 20));
        assert_eq!(body["HostConfig"]["NanoCpus"], json!(5));
        assert_eq!(body["HostConfig"]["Init"], json!(true));
        assert!(body.get("Cmd").is_none());
    }

    #[test]
    fn our_own_image_is_told_what_to_run_and_the_bridge_has_no_aliases() {
        let body = body(&Spec::default(), true, DEFAULT_BRIDGE);
        assert_eq!(body["Cmd"], json!(["replica", "--listen", "0.0.0.0:5000"]));
        assert_eq!(body["NetworkingConfig"]["EndpointsConfig"][DEFAULT_BRIDGE], json!({}));
    }
}
