//! A gate between a balancer and the engine: a socket that forwards to the engine's until it is
//! told to hang or to be gone, or to treat some requests worse than others.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// See the module. Threads of its own do the work, so that it can stand beside any program.
#[derive(Debug)]
pub(crate) struct Gate {
    path: PathBuf,
    way: Arc<Way>,
}

#[derive(Debug, Default)]
struct Way {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    hangs: bool,
    ended: bool,
    streams: Vec<UnixStream>,
    rules: Vec<(String, Rule)>,
    /// The first lines of requests that were refused.
    refused: Vec<String>,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// It passes after a while.
    Slow(Duration),
    /// It does not pass, and is answered with this status.
    Refuse(u16),
    /// It passes, and its answer does not.
    Mute,
}

impl Gate {
    /// An open gate.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ringherd-gate-{}-{count}.sock", std::process::id()));
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let way = Arc::new(Way::default());
        let accepting = Arc::clone(&way);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if accepting.state.lock().unwrap().ended {
                    return;
                }
                let way = Arc::clone(&accepting);
                std::thread::spawn(move || way.forward(stream));
            }
        });
        Self { path, way }
    }

    /// Its socket.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All passes.
    pub(crate) fn open(&self) {
        self.way.state.lock().unwrap().hangs = false;
        self.way.changed.notify_all();
        let _ = fs::rename(self.hidden(), &self.path);
    }

    /// Connections are taken, and stay; nothing passes any more.
    pub(crate) fn hang(&self) {
        self.way.state.lock().unwrap().hangs = true;
    }

    /// All connections end, and there is no socket any more.
    pub(crate) fn close(&self) {
        fs::rename(&self.path, self.hidden()).unwrap();
        self.cut();
    }

    /// All connections end; new ones pass.
    pub(crate) fn cut(&self) {
        for stream in self.way.state.lock().unwrap().streams.drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// New connections whose first line has the text in it are treated so, if no rule before says otherwise. A `*` in
    /// the text stands for anything.
    pub(crate) fn rule(&self, text: &str, rule: Rule) {
        self.way.state.lock().unwrap().rules.push((text.to_owned(), rule));
    }

    /// How many requests were refused whose first line has the text in it.
    pub(crate) fn refused(&self, text: &str) -> usize {
        let state = self.way.state.lock().unwrap();
        state.refused.iter().filter(|line| has(line, text)).count()
    }

    /// All requests are equal again.
    pub(crate) fn no_rule(&self) {
        self.way.state.lock().unwrap().rules.clear();
    }

    fn hidden(&self) -> PathBuf {
        self.path.with_extension("hidden")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
        self.way.state.lock().unwrap().ended = true;
        // Wakes the thread that accepts.
        let _ = UnixStream::connect(&self.path);
        self.cut();
        let _ = fs::remove_file(&self.path);
    }
}

impl Way {
    fn forward(self: &Arc<Self>, mut client: UnixStream) {
        let mut start = [0; 16 << 10];
        let Ok(count) = client.read(&mut start) else { return };
        let start = &start[..count];
        let line = String::from_utf8_lossy(start.split(|byte| *byte == b'\r').next().unwrap_or_default());
        let rules = self.state.lock().unwrap().rules.clone();
        let rule = rules.into_iter().find(|(text, _)| has(&line, text)).map(|(_, rule)| rule);
        match rule {
            Some(Rule::Slow(pause)) => std::thread::sleep(pause),
            Some(Rule::Refuse(status)) => {
                self.state.lock().unwrap().refused.push(line.into_owned());
                let body = r#"{"message":"the gate does not let it pass"}"#;
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} No\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                // The client may have gone.
                let _ = client.write_all(answer.as_bytes());
                return;
            }
            Some(Rule::Mute) | None => {}
        }
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| state.hangs).unwrap());
        let Ok(mut engine) = UnixStream::connect(super::socket()) else { return };
        let keep = [client.try_clone().unwrap(), engine.try_clone().unwrap()];
        self.state.lock().unwrap().streams.extend(keep);
        if engine.write_all(start).is_err() {
            return;
        }
        if !matches!(rule, Some(Rule::Mute)) {
            let (answers, asker) = (engine.try_clone().unwrap(), client.try_clone().unwrap());
            let way = Arc::clone(self);
            std::thread::spawn(move || way.copy(answers, asker));
        }
        self.copy(client, engine);
    }

    fn copy(&self, mut from: UnixStream, mut to: UnixStream) {
        let mut buffer = [0; 16 << 10];
        while let Ok(count) = from.read(&mut buffer) {
            let state = self.state.lock().unwrap();
            drop(self.changed.wait_while(state, |state| state.hangs).unwrap());
            if count == 0 || to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    }
}

/// Whether a line has the text in it, where `*` stands for anything.
fn has(line: &str, text: &str) -> bool {
    let mut rest = Some(line);
    for part in text.split('*') {
        rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, after)| after);
    }
    rest.is_some()
}
