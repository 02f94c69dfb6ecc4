//! Finds the container that the balancer itself runs in, if it runs in one of this engine.

use std::fs;

use docker_api::models::ContainerInspect200Response;

use super::{CallError, Engine};

/// Networks that replicas cannot use: they have no host names, or no addresses.
const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];

/// The container that the balancer runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnContainer {
    /// Id, 64 hexadecimal digits.
    pub id: String,
    /// Name, which stays the same when the container is created again.
    pub name: String,
    /// Name of its image; by now it may be that of another image.
    pub image: Option<String>,
    /// Id of its image.
    pub image_id: Option<String>,
    /// The user-defined networks it is attached to, the one it was started with first.
    pub networks: Vec<String>,
    /// Whether it is attached to the engine's default network, which knows no host names.
    pub on_default_bridge: bool,
}

/// Finds our own container by what the kernel and the host name say, confirmed by the engine. `None`
/// on a host, or in a container of another engine.
///
/// # Errors
/// The engine does not respond.
pub async fn find(engine: &Engine) -> Result<Option<OwnContainer>, CallError> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let ids =
        candidates(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"), read("/etc/hostname").trim());
    for id in ids {
        let container = engine.docker().containers().get(id.as_str());
        match engine.call(container.inspect()).await {
            Ok(inspected) => {
                if let Some(own) = confirmed(&id, inspected) {
                    return Ok(Some(own));
                }
            }
            Err(CallError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Ids that may be ours, the most reliable source first.
fn candidates(mountinfo: &str, cgroup: &str, hostname: &str) -> Vec<String> {
    let mut found: Vec<String> = mountinfo.lines().filter_map(mounted_from).collect();
    found.extend(cgroup.lines().filter_map(last_id));
    // By default, the host name of a container is the start of its id.
    if hostname.len() == 12 && is_hex(hostname) {
        found.push(hostname.to_owned());
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|id| seen.insert(id.clone()));
    found
}

/// Id of the container from whose folder a file such as `/etc/hostname` is mounted. Other mounts
/// prove nothing: on the host, those of all containers are listed.
fn mounted_from(line: &str) -> Option<String> {
    let mut fields = line.split(' ').skip(3);
    let (root, target) = (fields.next()?, fields.next()?);
    let given = matches!(target, "/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf");
    let (_, rest) = root.split_once("/containers/")?;
    given.then(|| last_id(rest)).flatten()
}

/// The last run of 64 hexadecimal digits.
fn last_id(text: &str) -> Option<String> {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.rfind(|word| word.len() == 64 && is_hex(word)).map(str::to_owned)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn confirmed(asked: &str, inspected: ContainerInspect200Response) -> Option<OwnContainer> {
    let id = inspected.id.filter(|id| id.starts_with(asked))?;
    let running = inspected.state.and_then(|state| state.running).unwrap_or(false);
    let name = inspected.name?.trim_start_matches('/').to_owned();
    let first = inspected.host_config.as_ref().and_then(|config| config["NetworkMode"].as_str());
    let attached = inspected.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let on_default_bridge = attached.contains_key(BUILT_IN[0]);
    let mut networks: Vec<_> =
        attached.into_keys().filter(|name| !BUILT_IN.contains(&name.as_str())).collect();
    networks.sort_by_key(|name| (Some(name.as_str()) != first, name.clone()));
    let image = inspected.config.and_then(|config| config.image);
    running.then_some(OwnContainer {
        id,
        name,
        image,
        image_id: inspected.image,
        networks,
        on_default_bridge,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

    #[test]
    fn the_kernel_tells_a_container_its_id() {
        let hostname =
            format!("1 2 8:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 x rw");
        assert_eq!(candidates(&hostname, "0::/\n", "web"), [ID]);
        let cgroup = format!("5:memory:/docker/{ID}\n0::/system.slice/docker-{ID}.scope\n");
        assert_eq!(candidates("", &cgroup, "0f1e2d3c4b5a"), [ID, "0f1e2d3c4b5a"]);
    }

    #[test]
    fn a_host_is_no_container() {
        let shm = format!("1 2 0:5 / /var/lib/docker/containers/{ID}/mounts/shm rw - tmpfs shm rw");
        let layer = format!("1 2 0:5 / /var/lib/docker/overlay2/{ID}/merged rw - overlay overlay rw");
        let none: [&str; 0] = [];
        assert_eq!(candidates(&format!("{shm}\n{layer}\n"), "9:name=systemd:/\n0::/\n", "myhost"), none);
        assert_eq!(candidates("nonsense\n\n1 2 3", "", "ABCDEF123456"), none);
    }

    #[test]
    fn only_a_running_container_is_ours_and_its_first_network_leads() {
        let inspected = |running: bool| -> ContainerInspect200Response {
            serde_json::from_value(serde_json::json!({
                "Id": ID, "Name": "/lb", "Image": "sha256:1", "State": { "Running": running },
                "Config": { "Image": "ringherd:latest" }, "HostConfig": { "NetworkMode": "z" },
                "NetworkSettings": { "Networks": { "a": {}, "bridge": {}, "z": {} } },
            }))
            .unwrap()
        };
        let own = confirmed(&ID[..12], inspected(true)).unwrap();
        assert_eq!((own.name.as_str(), own.networks), ("lb", vec!["z".to_owned(), "a".to_owned()]));
        assert_eq!(confirmed(ID, inspected(false)), None);
        assert_eq!(confirmed("123", inspected(true)), None);
    }
}
