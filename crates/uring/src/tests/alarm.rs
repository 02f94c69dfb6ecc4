//! What a thread does if the kernel says wrongly that there is work.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{LIMIT, pair, until_empty};
use crate::Runtime;

/// Runs `test` on a thread with a ring of its own, which may never come back.
fn in_time(test: impl FnOnce(&Runtime) + Send + 'static) {
    let (over, is_over) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Runtime::new().expect("a kernel with io_uring");
        test(&runtime);
        drop(runtime);
        over.send(()).expect("it is awaited");
    });
    is_over.recv_timeout(LIMIT).expect("it ends well");
}

#[test]
fn a_thread_with_nothing_to_do_rests() {
    in_time(|runtime| {
        runtime.tell_falsely();
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
    });
}

#[test]
fn a_thread_with_something_to_do_does_it() {
    in_time(|runtime| {
        runtime.block_on(async {
            let (mut ours, mut theirs) = pair();
            let echo = thread::spawn(move || {
                let mut got = [0; 4];
                theirs.read_exact(&mut got).expect("all of it");
                theirs.write_all(&got).expect("it is read");
            });
            runtime.tell_falsely();
            ours.write_all(b"ping").await.expect("it is read");
            ours.flush().await.expect("it is read");
            runtime.tell_falsely();
            let mut got = Vec::new();
            ours.read_to_end(&mut got).await.expect("an end");
            assert_eq!(got, b"ping");
            echo.join().expect("it ends");
        });
        runtime.tell_falsely();
        runtime.block_on(until_empty(runtime));
        runtime.tell_falsely();
    });
}

/// As a worker's, where the kernel was met with this.
#[test]
fn connections_that_all_end_at_once_leave_a_thread_that_goes_on() {
    in_time(|runtime| {
        runtime.block_on(async {
            for _ in 0..20 {
                let (ours, theirs): (Vec<_>, Vec<_>) = (0..100).map(|_| pair()).unzip();
                let reading = ours.into_iter().map(|mut ours| {
                    tokio::task::spawn_local(async move { ours.read(&mut [0]).await.expect("an end") })
                });
                let reading: Vec<_> = reading.collect();
                tokio::task::yield_now().await;
                let closing = thread::spawn(move || drop(theirs));
                for read in reading {
                    assert_eq!(read.await.expect("it ends"), 0);
                }
                closing.join().expect("it ends");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    });
}
