//! What holds for any sequence of reads, writes, flushes and shutdowns.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{bytes, on_ring, pair, reader};

#[derive(Clone, Debug)]
enum Action {
    Write(usize),
    TheyWrite(usize),
    Read(usize),
    TheyRead(usize),
    Flush,
    Shutdown,
    Yield,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        4 => (1usize..20_000).prop_map(Action::Write),
        4 => (1usize..20_000).prop_map(Action::TheyWrite),
        4 => (1usize..9000).prop_map(Action::Read),
        4 => (1usize..9000).prop_map(Action::TheyRead),
        4 => Just(Action::Flush),
        1 => Just(Action::Shutdown),
        4 => Just(Action::Yield),
    ];
    prop::collection::vec(action, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_way_is_a_pipe_of_bytes(actions in actions()) {
        on_ring(|| async move {
            let (mut ours, mut theirs) = pair();
            theirs.set_nonblocking(true).expect("an option");
            let all = bytes(1 << 20);
            let mut is_shut = false;
            let (mut sent, mut got, mut their_sent, mut their_got) = (0, 0, 0, 0);
            let cx = &mut Context::from_waker(Waker::noop());
            for action in actions {
                match action {
                    Action::Write(_) if is_shut => {}
                    Action::Write(length) => {
                        let part = &all[sent..sent + length];
                        if let Poll::Ready(written) = Pin::new(&mut ours).poll_write(cx, part) {
                            sent += written.expect("it is open");
                        }
                    }
                    Action::TheyWrite(length) => {
                        their_sent += theirs.write(&all[their_sent..their_sent + length]).unwrap_or(0);
                    }
                    Action::Read(length) => {
                        let mut space = vec![0; length];
                        let mut buf = ReadBuf::new(&mut space);
                        if let Poll::Ready(read) = Pin::new(&mut ours).poll_read(cx, &mut buf) {
                            read.expect("it is open");
                            assert!(!buf.filled().is_empty(), "no end");
                            assert!(all[got..].starts_with(buf.filled()));
                            got += buf.filled().len();
                        }
                    }
                    Action::TheyRead(length) => {
                        let mut space = vec![0; length];
                        if let Ok(read) = theirs.read(&mut space) {
                            assert!(all[their_got..].starts_with(&space[..read]));
                            their_got += read;
                        }
                    }
                    Action::Flush => assert!(!matches!(Pin::new(&mut ours).poll_flush(cx), Poll::Ready(Err(_)))),
                    Action::Shutdown => {
                        let shut = Pin::new(&mut ours).poll_shutdown(cx);
                        is_shut |= shut.map(|outcome| outcome.expect("it is open")).is_ready();
                    }
                    Action::Yield => tokio::time::sleep(Duration::ZERO).await,
                }
            }
            // Then all that is under way arrives.
            theirs.set_nonblocking(false).expect("an option");
            theirs.shutdown(Shutdown::Write).expect("it is open");
            let reader = reader(theirs);
            let mut rest = Vec::new();
            ours.read_to_end(&mut rest).await.expect("an end");
            assert!(rest == all[got..their_sent]);
            // A drop would take back what the peer has no room for.
            ours.shutdown().await.expect("it is read");
            assert!(reader.await.expect("it is well") == all[their_got..sent]);
        });
    }
}
