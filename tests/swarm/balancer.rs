//! A balancer in a container of a lab, and what a client in the same network sees of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use crate::common::client::{Answer, try_request};
use crate::common::{load, wait_within};
use crate::lab::Lab;

static ONE_LAB: Mutex<()> = Mutex::new(());

/// A turn: labs are heavy.
pub fn alone() -> MutexGuard<'static, ()> {
    ONE_LAB.lock().unwrap_or_else(PoisonError::into_inner)
}

const PUBLIC: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5001);
const NETWORK: &str = "herd";

/// How long a change may take: the engines of a lab are many for one machine. A deploy that its balancer has abandoned is
/// waited for, for two minutes.
const PATIENCE: Duration = Duration::from_secs(180);

/// Asks again and again, a little apart, until there is an answer.
pub fn wait_long<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, Duration::from_millis(100), what, ask)
}

/// See the module.
pub struct BalancerContainer {
    netns: PathBuf,
}

impl BalancerContainer {
    /// A balancer on a node; the first one also makes the network.
    pub fn start(lab: &Lab, node: u32, name: &str, args: &[&str]) -> Self {
        // A bound depends on what each balancer has in flight itself.
        let mut all =
            vec!["--runtime=swarm", "--image=ringherd:lab", "--bounded-load=off", "--stop-timeout=2s"];
        // None is slow but for the machine.
        all.push("--start-timeout=25s");
        if !args.iter().any(|arg| arg.starts_with("--health-timeout=")) {
            all.push("--health-timeout=5s");
        }
        lab.balancer(node, name, NETWORK, &[&all, args].concat());
        Self::at(lab, node, name)
    }

    /// The balancer in this container.
    pub fn at(lab: &Lab, node: u32, container: &str) -> Self {
        Self { netns: lab.netns(node, container) }
    }

    /// The network that balancers and replicas share.
    pub fn network(lab: &Lab) {
        lab.network(NETWORK);
    }

    /// Runs `act` on a thread in the balancer's network, as are the threads that it starts.
    pub fn within<T: Send>(&self, act: impl FnOnce(SocketAddr, SocketAddr) -> T + Send) -> T {
        let netns = File::open(&self.netns).expect("the container runs");
        let moved = move || {
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network)).expect("we are root");
            act(PUBLIC, ADMIN)
        };
        std::thread::scope(|scope| scope.spawn(moved).join().expect("it does not panic"))
    }

    /// A request to the admin API.
    pub fn ask(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.within(|_, admin| {
            let answered = || try_request(admin, method, path, body).ok();
            wait_long("the balancer answers", answered)
        })
    }

    /// The replicas of `GET /ring`.
    pub fn ring(&self) -> Vec<Value> {
        let answer = self.ask("GET", "/ring", None).json();
        answer["replicas"].as_array().cloned().unwrap_or_default()
    }

    /// Numbers and names on the ring, where all are ready.
    pub fn settled(&self) -> Option<Vec<(u64, String)>> {
        let member = |replica: &Value| {
            let ready = replica["state"] == "ready";
            ready.then(|| Some((replica["number"].as_u64()?, replica["name"].as_str()?.to_owned())))?
        };
        self.ring().iter().map(member).collect()
    }

    /// Waits until exactly these are ready.
    pub fn wait_for(&self, names: &[&str]) {
        wait_long("the replicas are those that are wanted", || {
            let mut found: Vec<_> = self.settled()?.into_iter().map(|(_, name)| name).collect();
            found.sort();
            (found == names).then_some(())
        });
    }

    /// Which replica answers for each of `count` request ids.
    pub fn owners(&self, count: u32) -> BTreeMap<u32, String> {
        self.within(|public, _| load::owners(public, count))
    }
}
