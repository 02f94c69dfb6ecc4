//! What tasks need to know about the engine and this balancer on it. Looked up at the first
//! connection; constant from then on.

use std::sync::Arc;

use rustix::system::uname;
use tokio::sync::{Mutex, Semaphore};

use super::DockerConfig;
use crate::runtime::engine::{CallError, Engine, EngineLogs, OwnContainer, naming, own_container};
#[cfg(test)]
use crate::runtime::engine::{Host, Spec};
use crate::runtime::output::{LogSource, Outputs, Run};

/// The engine's default network, which knows no host names.
pub(super) const DEFAULT_BRIDGE: &str = "bridge";

/// Limit of containers that are started or removed at a time. Each takes the engine a good part of a
/// second; more at a time would slow down all of them, and the pings too.
pub(super) const HEAVY_CALLS: u32 = 3;

/// The engine, and this balancer's identity on it.
#[derive(Debug)]
pub(super) struct EngineContext {
    /// Client of the engine's API.
    pub(super) engine: Engine,
    /// Configuration of the runtime.
    pub(super) config: Arc<DockerConfig>,
    /// Value of the instance label: tells this balancer from others on the engine.
    pub(super) instance: String,
    /// Value of the run label: a random word that tells this run from earlier ones of the instance.
    pub(super) run: String,
    /// The container that this balancer runs in, if it runs in one of this engine.
    pub(super) own_container: Option<OwnContainer>,
    /// Permits for [`HEAVY_CALLS`]; a task that takes all of them excludes the others.
    pub(super) heavy: Semaphore,
    /// Held while the network is created.
    pub(super) network_lock: Mutex<()>,
    /// Where the output of containers is read, and who is asked for it.
    pub(super) outputs: Outputs,
    pub(super) logs: Arc<dyn LogSource>,
}

/// The network that containers of replicas are attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Network {
    /// Name, or id if the configuration gives that.
    pub(super) name: String,
    /// Whether the balancer creates it when the first replica needs it, and removes it.
    pub(super) is_managed: bool,
}

impl EngineContext {
    /// Looks up the balancer's own container.
    ///
    /// # Errors
    /// The engine does not answer.
    pub(super) async fn look_up(
        engine: Engine,
        config: Arc<DockerConfig>,
        outputs: Outputs,
    ) -> Result<Self, CallError> {
        let own_container = own_container::find(&engine).await?;
        let instance = match &own_container {
            Some(own) => own.name.clone(),
            // A balancer on another host may use this engine and listen on the same address.
            None => format!("{}@{}", config.instance, uname().nodename().to_string_lossy()),
        };
        let run = format!("{:016x}", fastrand::u64(..));
        let heavy = Semaphore::new(HEAVY_CALLS as usize);
        let logs = Arc::new(EngineLogs::new(engine.host().clone()));
        let network_lock = Mutex::default();
        Ok(Self { engine, config, instance, run, own_container, heavy, network_lock, outputs, logs })
    }

    /// The output of the replica of this name, which has a container now.
    pub(super) fn output(&self, name: &str, container: &str) -> Run {
        self.outputs.begin_at(name, Arc::clone(&self.logs), &format!("containers/{container}"))
    }

    /// The network of the replicas: the configured one, that of our own container, or a managed one.
    pub(super) fn network(&self) -> Network {
        let own = self.own_container.as_ref();
        let given = self.config.spec.network.clone();
        let shared = given.or_else(|| own.and_then(|own| own.networks.first().cloned()));
        let bridged = own.filter(|own| own.on_default_bridge).map(|_| DEFAULT_BRIDGE.to_owned());
        match shared.or(bridged) {
            Some(name) => Network { name, is_managed: false },
            None => Network { name: naming::pool_network(&self.config.spec.pool), is_managed: true },
        }
    }

    /// The networks in which addresses of containers are looked for, the preferred one first.
    pub(super) fn networks(&self) -> Vec<String> {
        let shared = self.own_container.iter().flat_map(|own| own.networks.iter().cloned());
        std::iter::once(self.network().name).chain(shared).collect()
    }
}

#[cfg(test)]
impl EngineContext {
    /// A context for tests, made without an engine.
    pub(super) fn of_test(spec: Spec, own_container: Option<OwnContainer>) -> Self {
        Self {
            engine: Engine::new(&Host::default()).expect("a socket has a path"),
            config: Arc::new(DockerConfig { spec, ..DockerConfig::default() }),
            instance: "lb".to_owned(),
            run: "this".to_owned(),
            own_container,
            heavy: Semaphore::new(1),
            network_lock: Mutex::default(),
            outputs: Outputs::default(),
            logs: Arc::new(EngineLogs::new(Host::default())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(given: Option<&str>, own: Option<(&[&str], bool)>) -> EngineContext {
        let spec = Spec { network: given.map(str::to_owned), pool: "blue".to_owned(), ..Spec::default() };
        let own = own.map(|(networks, on_default_bridge)| OwnContainer {
            id: "c1".to_owned(),
            name: "lb".to_owned(),
            image: None,
            image_id: None,
            networks: networks.iter().map(|&name| name.to_owned()).collect(),
            on_default_bridge,
        });
        EngineContext::of_test(spec, own)
    }

    #[test]
    fn replicas_are_on_a_network_that_the_balancer_reaches() {
        let golden = [
            (context(Some("given"), Some((&["a"], true))), "given", false),
            (context(None, Some((&["a", "b"], true))), "a", false),
            (context(None, Some((&[], true))), "bridge", false),
            (context(None, Some((&[], false))), "ringherd-blue", true),
            (context(None, None), "ringherd-blue", true),
        ];
        for (context, name, is_managed) in golden {
            assert_eq!(context.network(), Network { name: name.to_owned(), is_managed });
        }
        assert_eq!(context(Some("x"), Some((&["a"], false))).networks(), ["x", "a"]);
    }
}
