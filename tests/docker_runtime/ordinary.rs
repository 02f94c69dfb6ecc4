//! An ordinary image, which expects more than a replica has by default: what it is refused, and the
//! options that open it.

use std::io::Write;

use ringherd::runtime::StopSignal;
use ringherd::runtime::engine::{ReadOnly, Spec};

use super::*;
use crate::engine::available;
use crate::engine::image::nginx_image;

/// Debian's nginx as a replica, with what `open` gives it; `None` where there is none.
async fn nginx(pool: &Pool, open: impl FnOnce(&mut Spec)) -> Option<Bench> {
    let Some(image) = nginx_image() else {
        let _ = writeln!(std::io::stderr(), "skipped: no nginx of Debian");
        return None;
    };
    let mut config = config(pool);
    config.spec.image = Some(image.to_owned());
    config.spec.port = 80;
    open(&mut config.spec);
    let (bench, _) = Bench::ready(config).await;
    bench.runtime.start(launch(1, "Web", None));
    Some(bench)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// How one that cannot run has ended: before it was seen running, or after.
async fn failure(bench: &mut Bench) -> String {
    loop {
        match bench.next().await {
            RuntimeEvent::StartFailed { reason, .. } | RuntimeEvent::Exited { reason, .. } => return reason,
            RuntimeEvent::Started { .. } => {}
            other => panic!("not failed: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_an_image_is_refused_names_the_option_that_opens_it() {
    if !available() {
        return;
    }
    let pool = Pool::new();
    let Some(mut bench) = nginx(&pool, |_| {}).await else { return };
    let reason = failure(&mut bench).await;
    assert!(reason.contains("Read-only file system") && reason.contains("--replica-tmpfs"), "{reason}");
    drop(bench);
    let pool = Pool::new();
    let folders = words(&["/run", "/var/lib/nginx", "/var/log/nginx"]);
    let Some(mut bench) = nginx(&pool, |spec| spec.tmpfs = folders).await else { return };
    let reason = failure(&mut bench).await;
    assert!(reason.contains("Operation not permitted") && reason.contains("--replica-cap"), "{reason}");
}

#[tokio::test]
async fn an_ordinary_image_runs_with_what_it_needs() {
    if !available() {
        return;
    }
    let capabilities = words(&["CHOWN", "SETUID", "SETGID", "DAC_OVERRIDE", "NET_BIND_SERVICE"]);
    let html = std::env::temp_dir().join(format!("ringherd-html-{}", std::process::id()));
    std::fs::create_dir_all(&html).unwrap();
    std::fs::write(html.join("index.html"), "mounted").unwrap();
    let volume = format!("{}:/var/www/html:ro", html.display());
    for read_only in [ReadOnly::On, ReadOnly::Off] {
        let pool = Pool::new();
        let open = |spec: &mut Spec| {
            spec.capabilities.clone_from(&capabilities);
            spec.read_only = read_only;
            if read_only == ReadOnly::On {
                spec.tmpfs = words(&["/run", "/var/lib/nginx", "/var/log/nginx:size=1m"]);
                spec.volumes = vec![volume.clone()];
            }
        };
        let Some(mut bench) = nginx(&pool, open).await else { return };
        let address = bench.started(1).await;
        let page = bounded(async {
            loop {
                match get(address, "/").await {
                    Ok(page) => return page,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        let expected = if read_only == ReadOnly::On { "mounted" } else { "hello" };
        let page = page.await;
        assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains(expected), "{page}");
        bench.runtime.stop(ReplicaId(1));
        bench.exited(1).await;
    }
    std::fs::remove_dir_all(&html).unwrap();
}

#[tokio::test]
async fn a_program_runs_as_the_user_that_is_asked_for() {
    if !available() {
        return;
    }
    let pool = Pool::new();
    let open = |spec: &mut Spec| {
        spec.user = Some("www-data:www-data".to_owned());
        spec.tmpfs = words(&["/run:mode=1777", "/var/lib/nginx:mode=1777", "/var/log/nginx:mode=1777"]);
    };
    let Some(mut bench) = nginx(&pool, open).await else { return };
    bench.started(1).await;
    let user = docker(&["inspect", "-f", "{{.Config.User}}", &pool.container("web")]).await;
    assert_eq!(user, "www-data:www-data");
}

/// SIGWINCH ends the workers of nginx, and not nginx.
#[tokio::test]
async fn a_program_is_told_to_end_by_the_signal_that_is_configured() {
    if !available() {
        return;
    }
    for (signal, ends) in [(StopSignal::Quit, true), (StopSignal::Winch, false)] {
        let pool = Pool::new();
        let open = |spec: &mut Spec| {
            spec.capabilities = words(&["CHOWN", "SETUID", "SETGID", "DAC_OVERRIDE", "NET_BIND_SERVICE"]);
            spec.read_only = ReadOnly::Off;
            spec.stop_signal = signal;
            spec.stop_timeout = Duration::from_secs(if ends { 30 } else { 1 });
        };
        let Some(mut bench) = nginx(&pool, open).await else { return };
        let address = bench.started(1).await;
        // Before it listens, any signal ends it.
        let ready = async {
            while get(address, "/").await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        bounded(ready).await;
        let told = docker(&["inspect", "-f", "{{.Config.StopSignal}}", &pool.container("web")]).await;
        assert_eq!(told, signal.name());
        bench.runtime.stop(ReplicaId(1));
        let end = bench.exited(1).await;
        assert_eq!(end, if ends { "exit status 0" } else { "killed by signal 9 (SIGKILL)" });
    }
}
