//! A worker: one thread, one runtime, one listening socket, its own connections to replicas.

use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime::LocalRuntime;
use tokio::sync::watch;

use super::clock::TICK;
use super::state::{Shared, Worker};
use super::{ProxyConfig, connection};
use crate::listen::accept_loop;
use crate::listen::open::Open;

/// How often idle connections to replicas are looked through.
const POOL_SWEEP: Duration = Duration::from_millis(500);

/// Starts worker `index` of `count` on `listener`. The thread ends after `shared.stop`: when the
/// last request in flight is answered, or after `grace`.
///
/// # Errors
/// When the operating system refuses the thread.
pub fn spawn(
    index: usize,
    count: usize,
    listener: StdListener,
    grace: Duration,
    shared: Shared,
) -> io::Result<JoinHandle<io::Result<()>>> {
    std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || LocalRuntime::new()?.block_on(run(listener, count.max(1), grace, shared)))
}

async fn run(listener: StdListener, count: usize, grace: Duration, shared: Shared) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let (mut stop, config) = (shared.stop.clone(), shared.config.clone());
    let worker = Rc::new(Worker::new(shared));
    let open = Rc::new(Open::default());
    let ticking = tokio::task::spawn_local(tick(Rc::clone(&worker), config));
    let stopped = async {
        // An error means that the balancer is gone, which is a stop as well.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let accept = |tcp, peer| {
        let (worker, counted) = (Rc::clone(&worker), open.enter());
        worker.recorder.accepted();
        tokio::task::spawn_local(async move {
            connection::serve(Rc::clone(&worker), tcp, peer).await;
            worker.recorder.closed();
            drop(counted);
        });
    };
    // The limit is that of the moment; a lower one ends no connection.
    let room = || open.fewer_than(worker.config().max_connections.div_ceil(count));
    accept_loop(listener, stopped, room, accept).await;
    worker.begin_close();
    if tokio::time::timeout(grace, open.fewer_than(1)).await.is_err() {
        tracing::warn!(
            connections = open.count(),
            "requests still in flight after the grace time are cut off"
        );
    }
    ticking.abort();
    Ok(())
}

async fn tick(worker: Rc<Worker>, mut config: watch::Receiver<ProxyConfig>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut swept = Instant::now();
    loop {
        interval.tick().await;
        let now = Instant::now();
        worker.clock.tick(now);
        worker.reader.refresh();
        // An error means that the balancer is ending, and nothing changes any more.
        if config.has_changed().unwrap_or(false) {
            worker.reconfigure(*config.borrow_and_update());
        }
        if now - swept >= POOL_SWEEP {
            swept = now;
            worker.reader.with(|snapshot| worker.pool.sweep(worker.clock.now(), snapshot));
        }
    }
}
