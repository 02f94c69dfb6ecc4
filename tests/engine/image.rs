//! An image of the binary under test, made without a registry: the binary, the libraries it is
//! linked with, and nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::docker_blocking;

const BINARY: &str = env!("CARGO_BIN_EXE_ringherd");

/// What all images of tests are labelled with, so that old ones can be told.
const LABEL: &str = "io.ringherd.test.image";

/// The image's name. Made by the first test that asks, and kept for later runs with the same
/// binary; those of other binaries go when they are a day old.
pub(crate) fn image() -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let hash = Sha256::digest(fs::read(BINARY).expect("the binary was built"));
        let hash = hash.iter().take(6).fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        let hash = format!("{hash:012x}");
        let image = format!("ringherd-test:{hash}");
        if docker_blocking(&["images", "-q", &image]).is_empty() {
            let old = format!("label={LABEL}");
            docker_blocking(&["image", "prune", "-af", "--filter", &old, "--filter", "until=24h"]);
            make(&image, &hash);
        }
        image
    })
}

fn make(image: &str, hash: &str) {
    let root = std::env::temp_dir().join(format!("ringherd-image-{}-{hash}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).unwrap();
    let binary = root.join("ringherd");
    fs::copy(BINARY, &binary).unwrap();
    // Smaller, where there is a `strip`; as good without.
    let _ = Command::new("strip").arg(&binary).status();
    copy_libraries(BINARY, &root);
    let listen = "ENV RINGHERD_LISTEN=0.0.0.0:5000 RINGHERD_ADMIN_LISTEN=127.0.0.1:5001";
    let title = "LABEL org.opencontainers.image.title=ringherd";
    import(&root, image, &["ENTRYPOINT [\"/ringherd\"]", listen, title]);
    fs::remove_dir_all(&root).unwrap();
}

/// An image of the nginx that is installed here, as Debian packs it; `None` if there is none. It begins
/// as root on port 80, writes below `/var` and `/run`, and changes its user.
pub(crate) fn nginx_image() -> Option<&'static str> {
    const IMAGE: &str = "ringherd-test:nginx";
    const NGINX: &str = "/usr/sbin/nginx";
    static MADE: OnceLock<()> = OnceLock::new();
    if !Path::new(NGINX).exists() || !Path::new("/etc/nginx/sites-available/default").exists() {
        return None;
    }
    MADE.get_or_init(|| {
        let root = std::env::temp_dir().join(format!("ringherd-image-{}-nginx", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for folder in ["etc", "run", "tmp", "var/log/nginx", "var/lib/nginx", "var/www/html"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        // A tmpfs on one of these may take over its mode instead of the one that was asked for.
        for folder in ["run", "var/log/nginx", "var/lib/nginx"] {
            fs::set_permissions(root.join(folder), fs::Permissions::from_mode(0o1777)).unwrap();
        }
        for file in [NGINX, "/etc/nginx", "/etc/passwd", "/etc/group"] {
            let target = root.join(&file[1..]);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            assert!(Command::new("cp").arg("-a").arg(file).arg(&target).status().unwrap().success());
        }
        // Modules of other packages.
        fs::remove_dir_all(root.join("etc/nginx/modules-enabled")).unwrap();
        fs::write(root.join("var/www/html/index.html"), "hello").unwrap();
        copy_libraries(NGINX, &root);
        import(&root, IMAGE, &["CMD [\"/usr/sbin/nginx\", \"-g\", \"daemon off;\"]"]);
        fs::remove_dir_all(&root).unwrap();
    });
    Some(IMAGE)
}

fn copy_libraries(binary: &str, root: &Path) {
    for library in libraries(binary) {
        let target = root.join(library.strip_prefix("/").unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&library, target).unwrap();
    }
}

fn import(root: &Path, image: &str, changes: &[&str]) {
    let mut tar =
        Command::new("tar").arg("-C").arg(root).args(["-c", "."]).stdout(Stdio::piped()).spawn().unwrap();
    let label = format!("LABEL {LABEL}=yes");
    let imported = Command::new("docker")
        .arg("import")
        .args(changes.iter().chain([&label.as_str()]).flat_map(|change| ["--change", change]))
        .args(["-", image])
        .stdin(tar.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    assert!(tar.wait().unwrap().success());
}

/// The files that `ldd` names, the loader included.
fn libraries(binary: &str) -> Vec<PathBuf> {
    let listed = Command::new("ldd").arg(binary).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let words = listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    words.map(PathBuf::from).collect()
}
