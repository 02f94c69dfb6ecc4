//! The worker threads as the control thread sees them.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::proxy::worker::Listeners;
use crate::proxy::{ProxyConfig, Shared, worker};

/// The running workers.
pub(super) struct Workers {
    /// Each worker's last word: `None` after a stop, else what ended it.
    last_words: mpsc::UnboundedReceiver<Option<String>>,
    running: usize,
    config: watch::Sender<ProxyConfig>,
}

impl Workers {
    /// Starts one worker on each socket, with one of those for TLS if there are any. `config` is the sending end of `shared.config`.
    pub(super) fn spawn(
        config: watch::Sender<ProxyConfig>,
        grace: Duration,
        public: Vec<TcpListener>,
        tls: Vec<TcpListener>,
        shared: &Shared,
    ) -> io::Result<Self> {
        let (send, last_words) = mpsc::unbounded_channel();
        let running = public.len();
        let mut tls = tls.into_iter();
        for (index, plain) in public.into_iter().enumerate() {
            let listeners = Listeners { plain, tls: tls.next() };
            let worker = worker::spawn(index, listeners, grace, shared.clone())?;
            let (send, stop) = (send.clone(), shared.stop.clone());
            // A join blocks, so each worker has somebody to wait for it.
            std::thread::Builder::new().name(format!("join-{index}")).spawn(move || {
                let why = match worker.join() {
                    Ok(Ok(())) if *stop.borrow() => None,
                    Ok(Ok(())) => Some("it stopped serving".to_owned()),
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some("it panicked; please report this".to_owned()),
                };
                // Nobody listens any more when the balancer is gone.
                let _ = send.send(why);
            })?;
        }
        Ok(Self { last_words, running, config })
    }

    /// Has all workers take over `config` at their next tick, within 50 ms. Requests under way
    /// keep the deadlines that are set.
    pub(super) fn reconfigure(&self, config: ProxyConfig) {
        self.config.send_replace(config);
    }

    /// Waits until a worker ends that was not told to, and says why. Cancel safe.
    pub(super) async fn ended(&mut self) -> String {
        loop {
            match self.last_words.recv().await {
                Some(None) => self.running -= 1,
                Some(Some(why)) => {
                    self.running -= 1;
                    return why;
                }
                None => std::future::pending().await,
            }
        }
    }

    /// Waits until all have ended. Cancel safe.
    pub(super) async fn finish(&mut self) {
        while self.running > 0 {
            match self.last_words.recv().await {
                Some(_) => self.running -= 1,
                None => return,
            }
        }
    }
}
