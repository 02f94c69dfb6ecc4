//! Upgrades: what is forwarded of them, what becomes of those that are refused, and tunnels from their
//! first byte to their end.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

const UPGRADE: &str = "GET /x HTTP/1.1\r\nHost: a\r\nX-Request-Id: 7\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: z\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno";
/// What tempts the layers that look at request lines.
const TEMPTING: &str = "GET /\"a#b HTTP/1.1\r\nHost: a\r\n\r\nGET /{\u{e9}}#\r\n\r\n";

/// A tunnel: its client, what serves that, and its replica.
async fn tunnel(lab: &mut Lab, early: &str) -> (Peer, JoinHandle<()>, Peer) {
    let (mut client, serving) = lab.client(4096);
    client.send(&format!("{UPGRADE}{early}")).await;
    let mut replica = lab.replica().await;
    replica.read_to("\r\n\r\n").await;
    replica.send(SWITCH).await;
    client.read_to("\r\n\r\n").await;
    lab.settle().await;
    (client, serving, replica)
}

#[tokio::test]
async fn an_upgrade_becomes_a_tunnel() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, serving) = lab.client(4096);
        client.send(UPGRADE).await;
        let mut replica = lab.replica().await;
        let asked = replica.read_to("\r\n\r\n").await;
        for line in ["connection: upgrade", "upgrade: websocket", "sec-websocket-key: k"] {
            assert_eq!(asked.matches(&format!("\r\n{line}\r\n")).count(), 1, "{asked}");
        }
        assert_eq!(asked.matches("onnection:").count(), 1, "{asked}");
        replica.send(&format!("{SWITCH}first")).await;
        let head = client.read_to("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        for line in
            ["connection: upgrade", "upgrade: websocket", "sec-websocket-accept: z", "x-request-id: 7"]
        {
            assert_eq!(head.matches(&format!("\r\n{line}\r\n")).count(), 1, "{head}");
        }
        assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
        client.read_to("first").await;
        for _ in 0..3 {
            client.send(TEMPTING).await;
            assert_eq!(replica.read_to("#\r\n\r\n").await, TEMPTING);
            replica.send("pong").await;
            client.read_to("pong").await;
        }
        assert_eq!((lab.endpoint.in_flight(), lab.totals().open_tunnels()), (1, 1));
        assert_eq!((lab.totals().tunnel_sent, lab.totals().tunnel_received), (3 * TEMPTING.len() as u64, 17));
        assert!(!lab.worker.clients.displace(&lab.worker.newcomers), "it is not idle");
        client.0.shutdown().await.expect("an end");
        assert_eq!(replica.rest().await, "");
        replica.send("bye").await;
        drop(replica);
        assert_eq!(client.rest().await, "bye");
        serving.await.expect("the connection has ended");
        let totals = lab.totals();
        assert_eq!((lab.endpoint.in_flight(), totals.open_tunnels(), totals.tunnels_opened), (0, 0, 1));
        assert_eq!((totals.responses[0], totals.total.count(), totals.bytes), (1, 1, 0));
        assert_eq!(totals.reasons.iter().sum::<u64>(), 0);
    })
    .await;
}

#[tokio::test]
async fn what_comes_before_the_answer_waits_for_it() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, _serving) = lab.client(4096);
        client.send(&format!("{UPGRADE}one")).await;
        let mut replica = lab.replica().await;
        replica.read_to("\r\n\r\n").await;
        client.send(TEMPTING).await;
        lab.settle().await;
        let mut byte = [0];
        let waited = pin!(replica.0.read(&mut byte));
        assert!(at_once(waited).is_none(), "nothing of it was sent before the answer");
        replica.send(SWITCH).await;
        client.read_to("\r\n\r\n").await;
        client.send("two").await;
        assert_eq!(replica.read_to("two").await, format!("one{TEMPTING}two"));
    })
    .await;
}

/// What a future gives at once.
pub(super) fn at_once<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn what_came_before_a_refusal_is_no_request() {
    local(async {
        // With the head, and behind it.
        for together in [true, false] {
            let mut lab = Lab::new();
            let (mut client, serving) = lab.client(4096);
            if together {
                client.send(&format!("{UPGRADE}{GET}")).await;
            } else {
                client.send(UPGRADE).await;
                lab.settle().await;
                client.send(GET).await;
            }
            let mut replica = lab.replica().await;
            replica.read_to("\r\n\r\n").await;
            lab.settle().await;
            replica.send(REFUSED).await;
            let answer = client.rest().await;
            assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("\r\n\r\nno"), "{answer}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
            drop(client);
            serving.await.expect("the connection has ended");
            assert!(lab.dialled.try_recv().is_err(), "there was no other request");
            assert_eq!(lab.totals().total.count(), 1);
            assert!(at_once(pin!(replica.0.read_u8())).is_none(), "nothing of it came here");
        }
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_that_nobody_takes_closes_behind_early_bytes_too() {
    local(async {
        let mut lab = Lab::new();
        for replies in ["", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n", "garbage\r\n\r\n"] {
            let (mut client, _serving) = lab.client(4096);
            client.send(&format!("{UPGRADE}{GET}")).await;
            let mut replica = lab.replica().await;
            replica.read_to("\r\n\r\n").await;
            replica.send(replies).await;
            drop(replica);
            let answer = client.rest().await;
            assert!(
                answer.starts_with("HTTP/1.1 502 ") && answer.contains("connection: close\r\n"),
                "{answer}"
            );
            assert!(lab.dialled.try_recv().is_err(), "neither repeated nor followed by another");
        }
        let (mut client, _serving) = lab.client(4096);
        let upgrade = UPGRADE.replace("GET /x", "POST /local");
        client.send(&format!("{upgrade}{GET}")).await;
        assert!(client.rest().await.contains("connection: close\r\n"));
        assert!(lab.dialled.try_recv().is_err());
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_an_ordinary_response_behind_which_the_client_comes_again() {
    local(async {
        for half_close in [HalfClose::Abort, HalfClose::Serve] {
            let mut lab = Lab::with(ProxyConfig { half_close, ..ProxyConfig::default() });
            let (mut client, _serving) = lab.client(4096);
            client.send(UPGRADE).await;
            let mut replica = lab.replica().await;
            replica.read_to("\r\n\r\n").await;
            replica.send(REFUSED).await;
            let answer = client.read_to("no").await;
            assert!(
                answer.starts_with("HTTP/1.1 403 ") && answer.contains("connection: close\r\n"),
                "{answer}"
            );
            // Was this sent before the answer came?
            client.send(GET).await;
            assert_eq!(client.rest().await, "");
            let (mut client, _serving) = lab.client(4096);
            client.send(GET).await;
            let asked = replica.read_to("\r\n\r\n").await;
            assert!(
                asked.starts_with("GET /x ") && !asked.contains("upgrade"),
                "on the same connection: {asked}"
            );
            replica.send(OK).await;
            client.read_to("ok").await;
            assert_eq!(lab.totals().total.count(), 2);
            // An upgrade gets a connection of its own.
            client.send(UPGRADE).await;
            lab.replica().await.read_to("\r\n\r\n").await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_no_offer_is_forwarded_without_one() {
    local(async {
        let upgrade = |fields: &str| format!("GET /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        let with_body = "Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nhi";
        for request in [
            upgrade("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA"),
            upgrade("Upgrade: websocket"),
            upgrade("Connection: upgrade"),
            UPGRADE.replace("HTTP/1.1", "HTTP/1.0"),
            format!("POST /x HTTP/1.1\r\nHost: a\r\n{with_body}"),
        ] {
            let mut lab = Lab::new();
            let (mut client, _serving) = lab.client(4096);
            client.send(&request).await;
            let mut replica = lab.replica().await;
            let asked = replica.read_to("\r\n\r\n").await.to_ascii_lowercase();
            for gone in ["upgrade", "http2-settings", "connection"] {
                assert!(!asked.contains(gone), "{asked}");
            }
            replica.send(SWITCH).await;
            let answer = client.read_to("}").await;
            assert!(answer.contains("x-ringherd-error: bad-response\r\n"), "{answer}");
        }
    })
    .await;
}

#[tokio::test]
async fn either_side_may_end_first() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, serving, mut replica) = tunnel(&mut lab, "").await;
        replica.0.shutdown().await.expect("an end");
        assert_eq!(client.rest().await, "");
        for part in ["still", "here"] {
            client.send(part).await;
            replica.read_to(part).await;
        }
        drop(client);
        assert_eq!(replica.rest().await, "");
        serving.await.expect("the connection has ended");
        assert_eq!(lab.endpoint.in_flight(), 0);
        assert_eq!(lab.totals().reasons.iter().sum::<u64>(), 0);
    })
    .await;
}

#[tokio::test]
async fn what_a_replica_said_last_arrives_although_it_takes_no_more() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, serving, mut replica) = tunnel(&mut lab, "").await;
        replica.send("last").await;
        drop(replica);
        client.send("too late").await;
        assert_eq!(client.rest().await, "last");
        serving.await.expect("the connection has ended");
        assert_eq!(lab.failed(Reason::TunnelReset), 1);
    })
    .await;
}

#[tokio::test]
async fn who_does_not_read_is_not_read_ahead_for() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, _serving, mut replica) = tunnel(&mut lab, "").await;
        let all: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
        let mut sent = 0;
        lab.settle().await;
        while let Some(written) = at_once(pin!(replica.0.write(&all[sent..]))) {
            sent += written.expect("it is open");
            lab.settle().await;
        }
        // The buffers of both streams, and what one direction keeps.
        assert!(sent <= 64 * 1024 + 4096 + 16 * 1024, "{sent}");
        // Nothing of that hinders the other direction.
        client.send("other way").await;
        replica.read_to("other way").await;
        let rest = async {
            replica.0.write_all(&all[sent..]).await.expect("it is read again");
            replica.0.shutdown().await.expect("an end");
        };
        let mut read = Vec::new();
        let reading = client.0.read_to_end(&mut read);
        let ((), read_all) = tokio::join!(rest, tokio::time::timeout(PATIENCE, reading));
        read_all.expect("in time").expect("the end");
        assert!(read == all, "{} bytes of {}", read.len(), all.len());
    })
    .await;
}

#[tokio::test]
async fn a_tunnel_on_which_nothing_comes_is_ended() {
    local(async {
        let mut lab = Lab::with_pool(PoolConfig { stream_timeout: TICK * 20, ..PoolConfig::default() });
        let (mut client, serving, mut replica) = tunnel(&mut lab, "").await;
        for _ in 0..3 {
            lab.pass(TICK * 15).await;
            client.send("up").await;
            replica.read_to("up").await;
            lab.pass(TICK * 15).await;
            replica.send("down").await;
            client.read_to("down").await;
        }
        lab.pass(TICK * 20).await;
        assert!(!serving.is_finished(), "not a tick too early");
        lab.pass(TICK * 2).await;
        serving.await.expect("the connection has ended");
        assert_eq!((client.rest().await, replica.rest().await), (String::new(), String::new()));
        assert_eq!((lab.failed(Reason::TunnelIdle), lab.endpoint.in_flight()), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn tunnels_of_a_replica_that_leaves_end_before_it_and_not_all_at_once() {
    local(async {
        let mut lab = Lab::of(2, ProxyConfig::default(), PoolConfig::default());
        let mut open = Vec::new();
        for _ in 0..20 {
            open.push(tunnel(&mut lab, "").await);
        }
        let leaving = lab.busy();
        let leaving_tunnels = leaving.in_flight();
        let time = TICK * 200;
        leaving.leave(lab.start + lab.now.get() + time);
        lab.pass(time / 2).await;
        assert_eq!(leaving.in_flight(), leaving_tunnels, "not in the first half");
        let mut left = Vec::new();
        for _ in 0..98 {
            lab.pass(TICK).await;
            left.push(leaving.in_flight());
        }
        assert_eq!(left.last(), Some(&0), "{left:?}");
        left.dedup();
        assert!(left.len() > leaving_tunnels as usize / 3, "{left:?}");
        assert_eq!(lab.failed(Reason::TunnelDrained), leaving_tunnels);
        assert_eq!(lab.totals().open_tunnels(), 20 - leaving_tunnels, "those of the other go on");
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_that_is_taken_while_its_replica_leaves_ends_with_it() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, serving) = lab.client(4096);
        client.send(UPGRADE).await;
        let mut replica = lab.replica().await;
        lab.endpoint.leave(lab.start + TICK * 40);
        lab.pass(TICK * 4).await;
        replica.read_to("\r\n\r\n").await;
        replica.send(SWITCH).await;
        client.read_to("\r\n\r\n").await;
        lab.pass(TICK * 36).await;
        serving.await.expect("the connection has ended");
        assert_eq!(lab.failed(Reason::TunnelDrained), 1);
    })
    .await;
}

#[tokio::test]
async fn a_stop_and_an_ejection_leave_tunnels_alone() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, serving, mut replica) = tunnel(&mut lab, "").await;
        let (mut late, _late_serving) = lab.client(4096);
        late.send(UPGRADE).await;
        let mut late_replica = lab.replica().await;
        late_replica.read_to("\r\n\r\n").await;
        lab.endpoint.set_up(false);
        lab.pass(TICK * 2).await;
        lab.worker.begin_close();
        lab.pass(TICK * 20).await;
        client.send("on").await;
        replica.read_to("on").await;
        late_replica.send(SWITCH).await;
        let head = late.read_to("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 ") && !head.contains("close"), "{head}");
        late.send("too").await;
        late_replica.read_to("too").await;
        // What the end of the grace time does.
        serving.abort();
        assert_eq!((client.rest().await, replica.rest().await), (String::new(), String::new()));
        lab.settle().await;
        assert_eq!((lab.failed(Reason::Stopped), lab.totals().open_tunnels()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_ends_its_upgrade() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, serving) = lab.client(4096);
        client.send(UPGRADE).await;
        let mut replica = lab.replica().await;
        replica.read_to("\r\n\r\n").await;
        drop(client);
        assert_eq!(replica.rest().await, "");
        serving.await.expect("the connection has ended");
        assert_eq!((lab.failed(Reason::ClientGone), lab.endpoint.in_flight()), (1, 0));

        // And while it does not read the answer.
        let (mut client, serving) = lab.client(64);
        let sent = async { client.send(UPGRADE).await };
        let ((), mut replica) = tokio::join!(sent, lab.replica());
        replica.read_to("\r\n\r\n").await;
        replica.send(SWITCH).await;
        lab.pass(ProxyConfig::default().body_timeout + TICK * 3).await;
        serving.await.expect("the connection has ended");
        assert_eq!((lab.failed(Reason::ClientGone), lab.endpoint.in_flight()), (2, 0));
        assert_eq!(lab.totals().tunnels_opened, 0);
    })
    .await;
}
