//! `compose.yaml` as it stands, but for the port, the image and the names: the balancer in a
//! container, its replicas beside it.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use crate::cluster::{alone, docker, names};
use crate::common::client::{Answer, try_request};
use crate::common::{request, wait_until};
use crate::engine::{self, Pool, image};

/// A project of its own. Dropping it takes it down.
struct Project {
    pool: Pool,
    folder: PathBuf,
    public: SocketAddr,
}

impl Project {
    fn new() -> Self {
        let pool = Pool::new();
        let folder = std::env::temp_dir().join(format!("ringherd-compose-{}", pool.name));
        std::fs::create_dir_all(&folder).expect("a folder");
        // Free at this moment; nobody else is told of it before the engine takes it.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let mut text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("compose.yaml"))
            .expect("compose.yaml");
        // The image of CI, which scripts/image.sh made, or the binary under test.
        let image = std::env::var("TEST_IMAGE").unwrap_or_else(|_| image().to_owned());
        let network = format!("name: ringherd-{}", pool.name);
        for (from, to) in [
            ("127.0.0.1:5000:5000", format!("{free}:5000")),
            ("image: ringherd:latest", format!("image: {image}")),
            ("name: ringherd\n", format!("{network}\n")),
            ("- --runtime=docker\n", format!("- --runtime=docker\n      - --pool={}\n", pool.name)),
        ] {
            assert_eq!(text.matches(from).count(), 1, "{from:?} in compose.yaml");
            text = text.replace(from, &to);
        }
        std::fs::write(folder.join("compose.yaml"), text).expect("a file");
        Self { pool, folder, public: free }
    }

    fn compose(&self, args: &[&str]) -> Output {
        let mut command = match Command::new("docker").args(["compose", "version"]).output() {
            Ok(output) if output.status.success() => {
                let mut command = Command::new("docker");
                command.arg("compose");
                command
            }
            _ => Command::new("docker-compose"),
        };
        command.arg("-p").arg(&self.pool.name).arg("-f").arg(self.folder.join("compose.yaml")).args(args);
        command.output().expect("docker compose or docker-compose is installed")
    }

    fn must(&self, args: &[&str]) {
        let output = self.compose(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn rep(&self) -> Option<Answer> {
        // The port may not be published yet, or to nobody for a moment.
        try_request(self.public, "GET", "/rep", None).ok().filter(|answer| answer.status == 200)
    }

    fn wait_for(&self, replicas: &str) -> Answer {
        let answer = format!(r#"{{"message":{replicas},"status":"successful"}}"#);
        wait_until("the replicas are there", || {
            let good = self.rep().filter(|got| got.body.trim_end() == answer)?;
            let home = try_request(self.public, "GET", "/home", None).ok()?;
            (home.status == 200).then_some(good)
        })
    }

    /// All containers that carry the pool's label or the project's.
    fn containers(&self) -> Vec<String> {
        let project = format!("label=com.docker.compose.project={}", self.pool.name);
        let mut all = names(&["ps", "-aq", "--filter", &self.pool.filter()]);
        all.extend(names(&["ps", "-aq", "--filter", &project]));
        all
    }

    fn balancer(&self) -> String {
        let project = format!("label=com.docker.compose.project={}", self.pool.name);
        docker(&["ps", "-aq", "--no-trunc", "--filter", &project])
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.compose(&["kill"]);
        // Before the network goes, what is attached to it.
        self.pool.remove_containers();
        let _ = self.compose(&["down"]);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const THREE: &str = r#"{"N":3,"replicas":["Server 1","Server 2","Server 3"]}"#;

#[test]
fn the_session_works_with_compose_and_nothing_is_left_behind() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let project = Project::new();
    let began = Instant::now();
    project.must(&["up", "-d"]);
    project.wait_for(THREE);
    println!("compose up: three replicas after {:?}", began.elapsed());

    let body = Some(r#"{"n":2,"hostnames":["S4","S5"]}"#);
    assert_eq!(request(project.public, "POST", "/add", body).status, 200);
    project.wait_for(r#"{"N":5,"replicas":["Server 1","Server 2","Server 3","S4","S5"]}"#);
    assert_eq!(request(project.public, "DELETE", "/rm", body).status, 200);
    project.wait_for(THREE);

    let health = || docker(&["inspect", "--format", "{{.State.Health.Status}}", &project.balancer()]);
    if !docker(&["inspect", "--format", "{{.Config.Healthcheck}}", &project.balancer()]).contains("nil") {
        wait_until("the balancer's container is healthy", || (health() == "healthy").then_some(()));
    }

    docker(&["kill", &project.pool.container("server-2")]);
    wait_until("the replacement is there", || {
        let body = project.rep()?.body;
        (!body.contains("Server 2") && body.contains(r#""N":3"#)).then_some(())
    });

    // The balancer is killed and comes back, in the same container or another: the same replicas.
    let before = wait_until("all run, and no other", || {
        let listed: Vec<String> =
            serde_json::from_value(project.rep()?.json()["message"]["replicas"].clone()).expect("names");
        let slugs = listed.iter().map(|name| name.to_lowercase().replace(' ', "-"));
        let mut wanted: Vec<_> = slugs.map(|slug| project.pool.container(&slug)).collect();
        wanted.sort();
        let running = names(&["ps", "--filter", &project.pool.filter(), "--format", "{{.Names}}"]);
        (running == wanted).then(|| replicas(&project))
    });
    docker(&["kill", &project.balancer()]);
    project.must(&["up", "-d", "--force-recreate"]);
    wait_until("the next balancer serves", || {
        try_request(project.public, "GET", "/home", None).ok().filter(|answer| answer.status == 200)
    });
    assert_eq!(replicas(&project), before);

    let began = Instant::now();
    project.must(&["down"]);
    println!("compose down after {:?}", began.elapsed());
    assert_eq!(project.containers(), Vec::<String>::new());
    let network = format!("name=ringherd-{}", project.pool.name);
    assert_eq!(docker(&["network", "ls", "-q", "--filter", &network]), "");
}

fn replicas(project: &Project) -> Vec<String> {
    names(&["ps", "-q", "--no-trunc", "--filter", &project.pool.filter()])
}
