//! Where this balancer stands: its engine, its name there, its network. Found out on the first
//! contact, and the same from then on.

use std::sync::Arc;

use rustix::system::uname;
use tokio::sync::{Mutex, Semaphore};

use super::DockerConfig;
use crate::runtime::engine::raw::CallError;
use crate::runtime::engine::{Engine, Own, naming, own};
#[cfg(test)]
use crate::runtime::engine::{Host, Spec};

/// The engine's default network, which knows no host names.
pub(super) const DEFAULT_BRIDGE: &str = "bridge";

/// Starts and removals at the same time. Each costs the engine a good part of a second; many at
/// once would make all of them slow, and the pings with them.
pub(super) const HEAVY_CALLS: u32 = 3;

/// What all tasks need to know.
#[derive(Debug)]
pub(super) struct Place {
    /// The engine.
    pub(super) engine: Engine,
    /// The configuration.
    pub(super) config: Arc<DockerConfig>,
    /// Our name among the balancers of this engine.
    pub(super) instance: String,
    /// What tells this life of the balancer from others under the same name: a random word.
    pub(super) run: String,
    /// The container we run in.
    pub(super) own: Option<Own>,
    /// Permits for [`HEAVY_CALLS`]; all of them for what must be alone.
    pub(super) heavy: Semaphore,
    /// Held while the network is made, if it is.
    pub(super) making_network: Mutex<()>,
}

/// The network that replicas are attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Network {
    /// Its name.
    pub(super) name: String,
    /// Whether it is made when it is needed.
    pub(super) is_ours: bool,
}

impl Place {
    /// Asks the engine where we are.
    ///
    /// # Errors
    /// If it does not answer.
    pub(super) async fn find(engine: Engine, config: Arc<DockerConfig>) -> Result<Self, CallError> {
        let own = own::find(&engine).await?;
        let instance = match &own {
            Some(own) => own.name.clone(),
            // The same address may be listened on by another host that uses this engine.
            None => format!("{}@{}", config.instance, uname().nodename().to_string_lossy()),
        };
        let run = format!("{:016x}", fastrand::u64(..));
        let heavy = Semaphore::new(HEAVY_CALLS as usize);
        Ok(Self { engine, config, instance, run, own, heavy, making_network: Mutex::default() })
    }

    /// The network of the replicas: the one asked for, that of our own container, or our own.
    pub(super) fn network(&self) -> Network {
        let own = self.own.as_ref();
        let given = self.config.spec.network.clone();
        let shared = given.or_else(|| own.and_then(|own| own.networks.first().cloned()));
        let bridged = own.filter(|own| own.on_default_bridge).map(|_| DEFAULT_BRIDGE.to_owned());
        match shared.or(bridged) {
            Some(name) => Network { name, is_ours: false },
            None => Network { name: naming::pool_network(&self.config.spec.pool), is_ours: true },
        }
    }

    /// The networks in which addresses are looked for, the best first.
    pub(super) fn networks(&self) -> Vec<String> {
        let shared = self.own.iter().flat_map(|own| own.networks.iter().cloned());
        std::iter::once(self.network().name).chain(shared).collect()
    }
}

#[cfg(test)]
impl Place {
    /// One that was never looked for.
    pub(super) fn of_test(spec: Spec, own: Option<Own>) -> Self {
        Self {
            engine: Engine::new(&Host::default()).expect("a socket has a path"),
            config: Arc::new(DockerConfig { spec, ..DockerConfig::default() }),
            instance: "lb".to_owned(),
            run: "this".to_owned(),
            own,
            heavy: Semaphore::new(1),
            making_network: Mutex::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(given: Option<&str>, own: Option<(&[&str], bool)>) -> Place {
        let spec = Spec { network: given.map(str::to_owned), pool: "blue".to_owned(), ..Spec::default() };
        let own = own.map(|(networks, on_default_bridge)| Own {
            id: "c1".to_owned(),
            name: "lb".to_owned(),
            image: None,
            image_id: None,
            networks: networks.iter().map(|&name| name.to_owned()).collect(),
            on_default_bridge,
        });
        Place::of_test(spec, own)
    }

    #[test]
    fn replicas_live_where_the_balancer_can_reach_them() {
        let golden = [
            (place(Some("given"), Some((&["a"], true))), "given", false),
            (place(None, Some((&["a", "b"], true))), "a", false),
            (place(None, Some((&[], true))), "bridge", false),
            (place(None, Some((&[], false))), "ringherd-blue", true),
            (place(None, None), "ringherd-blue", true),
        ];
        for (place, name, is_ours) in golden {
            assert_eq!(place.network(), Network { name: name.to_owned(), is_ours });
        }
        assert_eq!(place(Some("x"), Some((&["a"], false))).networks(), ["x", "a"]);
    }
}
