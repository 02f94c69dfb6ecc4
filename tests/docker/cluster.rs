//! A balancer whose replicas are containers of a pool of its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use crate::common::load::owners;
use crate::common::{Balancer, request, wait_until};
pub(crate) use crate::engine::docker_blocking as docker;
use crate::engine::{Pool, image};

static ALONE: Mutex<()> = Mutex::new(());

/// A turn: one test at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a deploy may take, which is many steps of the engine, and the pause between two looks at it.
pub const DEPLOY: Duration = Duration::from_secs(180);
pub const PAUSE: Duration = Duration::from_millis(5);

/// What the engine has told of these actions on containers of a pool from then until now, in a line each.
pub fn events(pool: &Pool, since: SystemTime, actions: &[&str], format: &str) -> String {
    // With their fractions: `--until 0s` would end with the last whole second.
    let time = |time: SystemTime| {
        format!("{:.6}", time.duration_since(UNIX_EPOCH).expect("later than 1970").as_secs_f64())
    };
    let (since, until, pool) = (time(since), time(SystemTime::now()), pool.filter());
    let mut args = vec!["events", "--since", &since, "--until", &until, "--filter", &pool];
    let actions: Vec<_> = actions.iter().map(|action| format!("event={action}")).collect();
    args.extend(actions.iter().flat_map(|action| ["--filter", action]));
    args.extend(["--format", format]);
    docker(&args)
}

/// A balancer and its pool. What the balancer leaves behind is removed with the pool.
pub struct Cluster {
    pub balancer: Balancer,
    pub pool: Pool,
}

impl Cluster {
    /// Three replicas, and `args` besides.
    pub fn start(args: &[&str]) -> Self {
        Self::of_pool(Pool::new(), args)
    }

    /// The same in a pool that was named before.
    pub fn of_pool(pool: Pool, args: &[&str]) -> Self {
        let balancer = start(&pool, args);
        Self { balancer, pool }
    }

    /// `kill -9` of the balancer.
    pub fn kill_balancer(&mut self) {
        self.balancer.signal(Signal::KILL);
        self.balancer.wait();
    }

    /// Starts another in place of one that has ended.
    pub fn start_balancer(&mut self, args: &[&str]) {
        self.balancer = start(&self.pool, args);
    }

    /// The containers of the pool that run, by name.
    pub fn running(&self) -> Vec<String> {
        names(&["ps", "--filter", &self.pool.filter(), "--format", "{{.Names}}"])
    }

    /// All containers of the pool, by id.
    pub fn containers(&self) -> Vec<String> {
        names(&["ps", "-a", "--no-trunc", "--filter", &self.pool.filter(), "--format", "{{.ID}}"])
    }

    /// The name of the container of a replica.
    pub fn container(&self, replica: &str) -> String {
        self.pool.container(&replica.to_lowercase().replace(' ', "-"))
    }

    /// Waits until a replica has another state or another name than `state` and `name`.
    pub fn wait_for_change(&self, index: usize, name: &str, state: &str) {
        wait_until("the replica is out of the choice", || {
            let ring = self.balancer.ring();
            (ring[index]["state"] != state || ring[index]["name"] != name).then_some(())
        });
    }

    /// Waits until the replica at `index` is another than `name`, and ready.
    pub fn wait_for_replacement(&self, index: usize, name: &str) {
        wait_until("the replacement is on the ring", || {
            let ring = self.balancer.ring();
            (ring[index]["name"] != name && ring[index]["state"] == "ready").then_some(())
        });
    }

    /// Which replica answers for each of `count` request ids.
    pub fn owners(&self, count: u32) -> BTreeMap<u32, String> {
        owners(self.balancer.public, count)
    }

    /// Requests answered so far.
    pub fn answered(&self) -> u64 {
        self.balancer.ring().iter().map(|replica| replica["requests"].as_u64().expect("a number")).sum()
    }

    /// Waits for so many more.
    pub fn wait_for_requests(&self, more: u64) {
        // A replacement begins at zero.
        let goal = self.answered() + more;
        wait_until("requests go on", || (self.answered() >= goal).then_some(()));
    }

    /// `POST /add`.
    pub fn add(&self, body: &str) -> crate::common::client::Answer {
        request(self.balancer.admin, "POST", "/add", Some(body))
    }
}

fn start(pool: &Pool, args: &[&str]) -> Balancer {
    let mut all = vec!["--runtime", "docker", "--pool", &pool.name, "--image", image()];
    all.extend(args);
    let balancer = Balancer::start(&all);
    balancer.wait_until_ready(3);
    balancer
}

/// The lines of what `docker` prints, in order.
pub fn names(args: &[&str]) -> Vec<String> {
    let mut names: Vec<_> = docker(args).lines().map(str::to_owned).collect();
    names.sort();
    names
}
