//! Images that a deploy needs: found, pulled from a registry, or not to be had.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use ringherd::runtime::Revision;

use super::*;

/// A registry on this machine, with its images in a folder of its own.
struct Registry {
    process: Child,
    folder: std::path::PathBuf,
    /// `host:port`.
    address: String,
    /// Names of images that the engine may have from there.
    names: RefCell<Vec<String>>,
}

impl Registry {
    /// `None` if the program is not installed, unless engine and tools are required.
    fn start() -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("ringherd-registry-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\n",
            folder.display()
        );
        let file = folder.join("config.yml");
        std::fs::write(&file, config).expect("a file");
        let started = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut process) = started else {
            let _ = std::fs::remove_dir_all(&folder);
            assert!(std::env::var_os("REQUIRE_DOCKER").is_none(), "docker-registry is not installed");
            let _ = writeln!(std::io::stderr(), "skipped: docker-registry is not installed");
            return None;
        };
        // It is to go on writing.
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let port = lines.by_ref().find_map(|line| {
            let line = line.expect("text");
            let at = line.split("listening on 127.0.0.1:").nth(1)?;
            at.split(|c: char| !c.is_ascii_digit()).next().map(str::to_owned)
        });
        std::thread::spawn(move || lines.for_each(drop));
        let address = format!("127.0.0.1:{}", port.expect("it says where it listens"));
        Some(Self { process, folder, address, names: RefCell::default() })
    }

    /// Puts the image of the tests there under this name, which the engine does not keep. Returns its digest.
    async fn put(&self, name: &str) -> String {
        let reference = format!("{}/{name}", self.address);
        docker(&["tag", image(), &reference]).await;
        docker(&["push", "--quiet", &reference]).await;
        let format = "{{range .RepoDigests}}{{println .}}{{end}}";
        let digests = docker(&["image", "inspect", "--format", format, &reference]).await;
        docker(&["image", "rm", &reference]).await;
        let digest = digests.lines().find(|digest| digest.starts_with(&self.address)).expect("it was pushed");
        self.names.borrow_mut().extend([reference, digest.to_owned()]);
        digest.to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
        for name in self.names.take() {
            // It may have neither.
            let _ = Command::new("docker").args(["image", "rm", &name]).output();
        }
    }
}

impl Bench {
    /// What came of preparing a deploy of this image, or of the configured one.
    async fn prepare(&mut self, deploy: u64, image: Option<String>) -> Result<(), String> {
        self.runtime.prepare(deploy, Arc::new(Revision { image, ..Revision::default() }));
        match self.next().await {
            RuntimeEvent::Prepared { deploy: prepared, result } if prepared == deploy => result,
            other => panic!("not prepared: {other:?}"),
        }
    }

    /// Why a replica of this image does not start.
    async fn start_of(&mut self, image: &str) -> String {
        let revision = Arc::new(Revision { image: Some(image.to_owned()), ..Revision::default() });
        self.runtime.start(Launch { revision, ..launch(1, "S1", None) });
        self.start_failed(1).await
    }
}

#[tokio::test]
async fn an_image_is_pulled_before_a_deploy_if_the_engine_does_not_have_it() {
    if !engine::available() {
        return;
    }
    let Some(registry) = Registry::start() else { return };
    let pool = Pool::new();
    let (mut bench, _) = Bench::ready(config(&pool)).await;
    assert!(bench.runtime.prepares());
    assert_eq!(bench.prepare(1, None).await, Ok(()), "it is there");

    let reference = format!("{}/shop:1", registry.address);
    let digest = registry.put("shop:1").await;
    let missing = bench.start_of(&reference).await;
    assert!(missing.starts_with(&format!("the engine has no image '{reference}'")), "{missing}");
    assert_eq!(bench.prepare(2, Some(reference.clone())).await, Ok(()));
    let tags = docker(&[
        "image",
        "ls",
        "--format",
        "{{.Repository}}:{{.Tag}}",
        "--filter",
        &format!("reference={}/*", registry.address),
    ])
    .await;
    assert_eq!(tags, reference, "that one alone");
    docker(&["image", "rm", &reference]).await;
    assert_eq!(bench.prepare(3, Some(digest)).await, Ok(()));

    let unknown = format!("{}/shop:2", registry.address);
    let reason = bench.prepare(4, Some(unknown.clone())).await.unwrap_err();
    println!("docker: {reason}");
    assert!(
        reason.starts_with(&format!("the engine has no image '{unknown}', and cannot pull it: ")),
        "{reason}"
    );
    let reason = bench.prepare(5, Some("not an image".to_owned())).await.unwrap_err();
    assert_eq!(
        reason,
        "'not an image' is not the name of an image; correct --image or the image of the revision"
    );

    let gone = registry.address.clone();
    drop(registry);
    let reason = bench.prepare(6, Some(format!("{gone}/shop:1"))).await.unwrap_err();
    println!("docker: {reason}");
    assert!(reason.contains("and cannot pull it: "), "{reason}");
}
