//! Streams on a ring against real sockets of the standard library.

mod alarm;
mod laws;

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::JoinHandle;

use crate::buffers::{COUNT, SIZE};
use crate::{Listener, Runtime, Stream};

/// Nothing here takes that long unless it hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `test` on a thread with a ring, and checks that nothing is left of it.
fn on_ring<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let runtime = Runtime::new().expect("a kernel with io_uring");
    runtime.block_on(async { tokio::time::timeout(LIMIT, test()).await.expect("it ends") });
    runtime.block_on(until_empty(&runtime));
}

/// Waits until all sockets are closed and all buffers are with the kernel.
async fn until_empty(runtime: &Runtime) {
    let empty = async {
        while runtime.load() != (0, 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LIMIT, empty).await.expect("nothing is left");
}

/// Two ends of a connection: ours on the ring, and theirs.
fn pair() -> (Stream, TcpStream) {
    let (ours, theirs) = sockets();
    (Stream::from_std(ours).expect("a ring"), theirs)
}

fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let theirs = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    theirs.set_read_timeout(Some(LIMIT)).expect("an option");
    theirs.set_write_timeout(Some(LIMIT)).expect("an option");
    (listener.accept().expect("a connection").0, theirs)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// Reads all to the end on another thread.
fn reader(mut theirs: TcpStream) -> JoinHandle<Vec<u8>> {
    tokio::task::spawn_blocking(move || {
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).expect("an end");
        got
    })
}

#[test]
fn bytes_of_all_sizes_pass_both_ways() {
    on_ring(|| async {
        for length in [1, 100, SIZE - 1, SIZE, SIZE + 1, 3 * SIZE, 65_536, 1_000_000] {
            let (mut ours, mut theirs) = pair();
            let echo = thread::spawn(move || {
                let mut got = vec![0; length];
                theirs.read_exact(&mut got).expect("all of it");
                theirs.write_all(&got).expect("it is read");
            });
            ours.write_all(&bytes(length)).await.expect("it is read");
            ours.flush().await.expect("it is read");
            let mut got = Vec::new();
            ours.read_to_end(&mut got).await.expect("an end");
            assert!(got == bytes(length), "{length} bytes");
            echo.join().expect("it is well");
        }
    });
}

#[test]
fn small_and_large_writes_keep_their_order() {
    on_ring(|| async {
        let (mut ours, theirs) = pair();
        let reader = reader(theirs);
        let all = bytes(2_000_000);
        let mut rest = &all[..];
        for length in [10, 20_000, 4096, 1, 100_000, 4097, 5, 5].into_iter().cycle() {
            let (part, more) = rest.split_at(length.min(rest.len()));
            ours.write_all(part).await.expect("it is read");
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        ours.shutdown().await.expect("the last goes first");
        assert!(reader.await.expect("it is well") == all);
    });
}

#[test]
fn parts_are_written_as_one() {
    on_ring(|| async {
        for length in [10, 30_000] {
            let (mut ours, theirs) = pair();
            let reader = reader(theirs);
            let all = bytes(length);
            let (first, second) = all.split_at(3);
            let parts = [std::io::IoSlice::new(first), std::io::IoSlice::new(second)];
            assert!(ours.is_write_vectored());
            assert_eq!(ours.write_vectored(&parts).await.expect("it is read"), length);
            drop(ours);
            assert!(reader.await.expect("it is well") == all);
        }
    });
}

#[test]
fn what_comes_while_the_thread_waits_wakes_it() {
    on_ring(|| async {
        let (mut ours, mut theirs) = pair();
        for _ in 0..20 {
            let writer = thread::spawn(move || {
                // By then the thread of the ring waits in epoll.
                thread::sleep(Duration::from_millis(5));
                theirs.write_all(b"late").expect("there is room");
                theirs
            });
            let mut got = [0; 4];
            ours.read_exact(&mut got).await.expect("it comes");
            theirs = writer.join().expect("it is well");
        }
    });
}

#[test]
fn half_a_connection_may_be_closed() {
    on_ring(|| async {
        let (mut ours, mut theirs) = pair();
        theirs.write_all(b"last").expect("there is room");
        theirs.shutdown(Shutdown::Write).expect("it is open");
        let mut got = Vec::new();
        ours.read_to_end(&mut got).await.expect("an end");
        assert_eq!(got, b"last");
        assert_eq!(ours.read(&mut [0; 9]).await.expect("the end once more"), 0);
        ours.write_all(b"answer").await.expect("the other half is open");
        ours.shutdown().await.expect("it is open");
        assert_eq!(reader(theirs).await.expect("it is well"), b"answer");
        ours.shutdown().await.expect("a second one does no harm");
    });
}

#[test]
fn a_reset_is_an_error_once() {
    on_ring(|| async {
        let (mut ours, theirs) = pair();
        let mut space = [0; 9];
        let read = ours.read(&mut space);
        reset(theirs);
        assert_eq!(read.await.expect_err("it was reset").kind(), ErrorKind::ConnectionReset);
        assert_eq!(ours.read(&mut [0; 9]).await.expect("the end"), 0);
        let written = async {
            loop {
                ours.write_all(b"more").await?;
                ours.flush().await?;
                tokio::task::yield_now().await;
            }
        };
        let written: std::io::Result<()> = written.await;
        let kind = written.expect_err("nobody is there").kind();
        assert!(matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{kind:?}");
    });
}

/// Closes a connection so that the other end gets a reset.
fn reset(tcp: TcpStream) {
    let linger = rustix::net::sockopt::set_socket_linger(&tcp, Some(Duration::ZERO));
    linger.expect("an option");
    drop(tcp);
}

#[test]
fn what_was_queued_is_sent_before_the_end() {
    on_ring(|| async {
        let (mut ours, theirs) = pair();
        // Nothing gives the kernel the queue before the drop.
        ours.write_all(b"goodbye").await.expect("there is room");
        drop(ours);
        assert_eq!(reader(theirs).await.expect("it is well"), b"goodbye");
    });
}

#[test]
fn dropping_who_waits_closes_at_once() {
    on_ring(|| async {
        let (mut ours, theirs) = pair();
        assert!(is_pending(&mut ours));
        tokio::task::yield_now().await;
        drop(ours);
        assert_eq!(reader(theirs).await.expect("it is well"), b"");
    });
}

/// Whether there is nothing to read now.
fn is_pending(stream: &mut Stream) -> bool {
    let mut space = [0; 16];
    let mut buf = ReadBuf::new(&mut space);
    Pin::new(stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf).is_pending()
}

#[test]
fn dropping_who_writes_to_nobody_closes_at_once() {
    on_ring(|| async {
        for size in [100, 100_000] {
            let (mut ours, theirs) = pair();
            fill(&mut ours, size).await;
            drop(ours);
            reader(theirs).await.expect("an end behind what the kernel had");
        }
    });
}

/// Writes until the peer's buffers and ours are full, and a flush or a write waits.
async fn fill(stream: &mut Stream, size: usize) {
    let part = bytes(size);
    poll_fn(|cx| {
        let mut polled = Pin::new(&mut *stream).poll_write(cx, &part);
        if polled.is_ready() {
            polled = Pin::new(&mut *stream).poll_flush(cx).map_ok(|()| 0);
        }
        match polled {
            Poll::Pending => Poll::Ready(()),
            Poll::Ready(outcome) => {
                outcome.expect("it is open");
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await;
}

#[test]
fn a_flush_waits_for_a_peer_that_does_not_read() {
    on_ring(|| async {
        let (mut ours, theirs) = pair();
        fill(&mut ours, 4096).await;
        let waiting = tokio::time::timeout(Duration::from_millis(20), ours.flush()).await;
        assert!(waiting.is_err(), "it waits");
        let written = tokio::time::timeout(Duration::from_millis(20), ours.write(b"more")).await;
        assert!(written.is_err(), "it waits");
        let reader = reader(theirs);
        ours.flush().await.expect("it reads now");
        ours.write_all(b"more").await.expect("there is room");
        ours.shutdown().await.expect("it is open");
        assert!(reader.await.expect("it is well").ends_with(b"more"));
    });
}

#[test]
fn who_has_flushed_is_woken_when_the_peer_turns_out_not_to_read() {
    on_ring(|| async {
        let (ours, _theirs) = sockets();
        ours.set_nonblocking(true).expect("an option");
        while (&ours).write(&bytes(100_000)).is_ok() {
            while (&ours).write(&bytes(100_000)).is_ok() {}
            // What the peer has acknowledged makes room again.
            thread::sleep(Duration::from_millis(10));
        }
        let mut ours = Stream::from_std(ours).expect("a ring");
        let mut written = false;
        let stuck = poll_fn(|cx| {
            if !std::mem::replace(&mut written, true) {
                assert!(Pin::new(&mut ours).poll_write(cx, b"more").is_ready(), "it is queued");
                assert!(Pin::new(&mut ours).poll_flush(cx).is_ready(), "the kernel has not seen it");
                return Poll::Pending;
            }
            Poll::Ready(Pin::new(&mut ours).poll_flush(cx).is_pending())
        });
        assert!(stuck.await, "now it waits");
    });
}

#[test]
fn a_peek_reads_nothing() {
    on_ring(|| async {
        let (mut ours, mut theirs) = pair();
        theirs.write_all(b"PROXY").expect("there is room");
        let mut space = [0; 4];
        assert_eq!(ours.peek(&mut space).await.expect("it is open"), 4);
        assert_eq!(&space, b"PROX");
        assert_eq!(ours.peek(&mut [0; 99]).await.expect("it is open"), 5);
        let mut got = [0; 5];
        ours.read_exact(&mut got).await.expect("it is there");
        assert_eq!(&got, b"PROXY");
        drop(theirs);
        assert_eq!(ours.peek(&mut space).await.expect("an end"), 0);
        assert_eq!(ours.read(&mut space).await.expect("an end"), 0);
    });
}

#[test]
fn more_than_there_are_buffers_may_wait_to_be_read() {
    on_ring(|| async {
        let count = usize::from(COUNT) + 50;
        let mut pairs: Vec<_> = (0..count).map(|_| pair()).collect();
        assert!(pairs.iter_mut().all(|(ours, _)| is_pending(ours)));
        tokio::task::yield_now().await;
        for (_, theirs) in &mut pairs {
            theirs.write_all(&bytes(10)).expect("there is room");
        }
        // What comes takes all buffers; nobody reads yet.
        let runtime_is_idle = Duration::from_millis(20);
        tokio::time::sleep(runtime_is_idle).await;
        // The last first: those got none, and are read all the same.
        for (ours, _) in pairs.iter_mut().rev() {
            let mut got = [0; 10];
            ours.read_exact(&mut got).await.expect("it is there");
            assert!(got == *bytes(10));
        }
        // And the buffers are back.
        for (ours, theirs) in &mut pairs {
            theirs.write_all(b"again").expect("there is room");
            ours.read_exact(&mut [0; 5]).await.expect("it comes");
        }
    });
}

#[test]
fn a_drop_behind_the_shutdown_of_an_answer_loses_nothing_of_it() {
    on_ring(|| async {
        for length in [1, SIZE] {
            let (mut ours, theirs) = pair();
            assert!(is_pending(&mut ours));
            ours.write_all(&bytes(length)).await.expect("there is room");
            ours.shutdown().await.expect("it is open");
            ours.shutdown().await.expect("a second one does no harm");
            drop(ours);
            assert!(reader(theirs).await.expect("it is well") == bytes(length));
        }
    });
}

#[test]
fn large_and_small_parts_come_in_turn() {
    on_ring(|| async {
        let (mut ours, mut theirs) = pair();
        for length in [10, 20_000, 20_000, 10, SIZE, 10, SIZE + 1, SIZE + 1, 1, 70_000] {
            // By then somebody waits for it: for data behind a small one, and for news of it behind a large one.
            assert!(is_pending(&mut ours));
            tokio::time::sleep(Duration::ZERO).await;
            let sent = bytes(length);
            let writer = tokio::task::spawn_blocking(move || {
                theirs.write_all(&bytes(length)).expect("it is read");
                theirs
            });
            let mut got = vec![0; length];
            ours.read_exact(&mut got).await.expect("it comes");
            assert!(got == sent, "{length} bytes");
            theirs = writer.await.expect("it is well");
        }
        drop(theirs);
        assert_eq!(ours.read(&mut [0; 9]).await.expect("an end"), 0);
    });
}

#[test]
fn who_waits_for_news_of_data_is_told_of_an_end() {
    on_ring(|| async {
        for is_reset in [false, true] {
            let (mut ours, mut theirs) = pair();
            theirs.write_all(&bytes(20_000)).expect("there is room");
            ours.read_exact(&mut vec![0; 20_000]).await.expect("it comes");
            assert!(is_pending(&mut ours));
            tokio::time::sleep(Duration::ZERO).await;
            if is_reset {
                reset(theirs);
            } else {
                drop(theirs);
            }
            let read = ours.read(&mut [0; 9]).await;
            assert_eq!(
                read.map_err(|error| error.kind()),
                if is_reset { Err(ErrorKind::ConnectionReset) } else { Ok(0) }
            );
        }
    });
}

#[test]
fn a_listener_accepts_on_the_ring() {
    on_ring(|| async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let listener = Listener::from_std(listener).expect("a runtime");
        assert_eq!(listener.accept().expect_err("none waits").kind(), ErrorKind::WouldBlock);
        for _ in 0..3 {
            let connecting = tokio::task::spawn_blocking(move || {
                let mut theirs = TcpStream::connect(address).expect("it listens");
                theirs.write_all(b"hello").expect("there is room");
                theirs
            });
            let (mut ours, peer) = poll_fn(|cx| listener.poll_accept(cx)).await.expect("a connection");
            let theirs = connecting.await.expect("it is well");
            assert_eq!(peer, theirs.local_addr().expect("it is bound"));
            let mut got = [0; 5];
            ours.read_exact(&mut got).await.expect("it comes");
            assert_eq!(&got, b"hello");
            ours.write_all(b"and back").await.expect("there is room");
            ours.shutdown().await.expect("it is open");
            drop(ours);
            assert_eq!(reader(theirs).await.expect("it is well"), b"and back");
        }
    });
}

#[test]
fn a_flood_that_nobody_reads_holds_one_buffer() {
    let runtime = Runtime::new().expect("a kernel with io_uring");
    let (flooded, mut theirs) = sockets();
    theirs.set_nonblocking(true).expect("an option");
    runtime.block_on(async {
        let mut flooded = Stream::from_std(flooded).expect("a ring");
        assert!(is_pending(&mut flooded));
        let mut sent = 0;
        let flood = bytes(1 << 20);
        while let Ok(more) = theirs.write(&flood) {
            sent += more;
            tokio::task::yield_now().await;
        }
        tokio::time::timeout(LIMIT, async {
            while runtime.load().1 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("something comes");
        assert_eq!(runtime.load(), (1, 1));
        // Others are served meanwhile.
        let (mut ours, mut peer) = pair();
        peer.write_all(b"hello").expect("there is room");
        let mut got = [0; 5];
        ours.read_exact(&mut got).await.expect("it comes");
        assert_eq!(&got, b"hello");
        theirs.shutdown(Shutdown::Write).expect("it is open");
        let mut got = Vec::new();
        flooded.read_to_end(&mut got).await.expect("an end");
        assert_eq!(got.len(), sent);
    });
    runtime.block_on(until_empty(&runtime));
}

#[test]
fn a_thousand_connections_echo_at_once() {
    on_ring(|| async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let count = 1000;
        let accepting = thread::spawn(move || {
            let accepted: Vec<_> = (0..count).map(|_| listener.accept().expect("one more").0).collect();
            accepted
        });
        let clients: Vec<_> = (0..count).map(|_| TcpStream::connect(address).expect("it listens")).collect();
        let servers = accepting.join().expect("it is well");
        let echo = |tcp| async move {
            let mut stream = Stream::from_std(tcp).expect("a ring");
            let mut space = vec![0; 8192];
            loop {
                let read = stream.read(&mut space).await.expect("it is open");
                if read == 0 {
                    return;
                }
                stream.write_all(&space[..read]).await.expect("it is read");
                stream.flush().await.expect("it is read");
            }
        };
        let served: Vec<_> = servers.into_iter().map(|tcp| tokio::task::spawn_local(echo(tcp))).collect();
        let asked = clients.into_iter().enumerate().map(|(at, tcp)| {
            tokio::task::spawn_local(async move {
                let mut stream = Stream::from_std(tcp).expect("a ring");
                for round in 0..5 {
                    let sent = bytes(1 + (at * 7 + round * 1000) % 9000);
                    stream.write_all(&sent).await.expect("it is read");
                    let mut got = vec![0; sent.len()];
                    stream.read_exact(&mut got).await.expect("it comes back");
                    assert!(got == sent);
                }
            })
        });
        for task in asked.collect::<Vec<_>>().into_iter().chain(served) {
            task.await.expect("it is well");
        }
    });
}

#[test]
fn tasks_that_never_pause_leave_others_their_data() {
    on_ring(|| async {
        let (mut ours, mut theirs) = pair();
        let (mut idle, _their_idle) = pair();
        // It reads in vain at each turn, and is never done.
        let busy = tokio::task::spawn_local(poll_fn(move |cx| {
            assert!(is_pending(&mut idle));
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        theirs.write_all(b"hello").expect("there is room");
        let mut got = [0; 5];
        ours.read_exact(&mut got).await.expect("it comes");
        busy.abort();
    });
}

#[test]
fn tokio_wakes_the_thread_as_ever() {
    on_ring(|| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let (send, receive) = tokio::sync::oneshot::channel();
        let other = thread::spawn(move || send.send(7));
        assert_eq!(receive.await.expect("it is sent"), 7);
        other.join().expect("it is well").expect("it is received");
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (connected, accepted) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        let connected = connected.expect("it listens").into_std().expect("it is tokio's");
        let (mut ours, mut theirs) =
            (Stream::from_std(connected).expect("a ring"), accepted.expect("a connection").0);
        ours.write_all(b"from ring to epoll").await.expect("there is room");
        let mut got = [0; 18];
        theirs.read_exact(&mut got).await.expect("it comes");
        theirs.write_all(&got).await.expect("there is room");
        ours.read_exact(&mut got).await.expect("it comes back");
        assert_eq!(&got, b"from ring to epoll");
    });
}

#[test]
fn a_runtime_that_ends_closes_what_its_tasks_have() {
    let mut theirs = Vec::new();
    let thread = thread::spawn(move || {
        let runtime = Runtime::new().expect("a kernel with io_uring");
        runtime.block_on(async {
            for _ in 0..100 {
                let (mut ours, peer) = pair();
                theirs.push(peer);
                tokio::task::spawn_local(async move {
                    ours.write_all(b"hello").await.expect("there is room");
                    let _ = ours.read(&mut [0; 9]).await;
                });
            }
            tokio::task::yield_now().await;
            for peer in &theirs {
                peer.set_nonblocking(true).expect("an option");
                let read = peer.peek(&mut [0; 9]);
                assert!(!matches!(read, Ok(0)), "the task holds its end");
                peer.set_nonblocking(false).expect("an option");
            }
        });
        drop(runtime);
        theirs
    });
    for mut theirs in thread.join().expect("it ends") {
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).expect("an end");
        assert_eq!(got, b"hello");
    }
}

#[test]
fn without_a_runtime_there_is_no_stream() {
    let (ours, _theirs) = sockets();
    assert!(Stream::from_std(ours).is_err());
    let runtime = Runtime::new().expect("a kernel with io_uring");
    assert!(Runtime::new().is_err(), "one a thread");
    drop(runtime);
    Runtime::new().expect("one after another");
    crate::is_available().expect("a kernel with io_uring");
}
