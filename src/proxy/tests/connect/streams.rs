//! Tunnels on streams, from their first byte to their end.

use std::future::poll_fn;

use super::*;

#[tokio::test]
async fn either_side_may_end_first() {
    local(async {
        let mut lab = Lab::new();
        let (client, _serving) = client(&lab, WINDOW).await;
        let mut tunnel = Tunnel::open(&mut lab, &client).await;
        tunnel.replica.0.shutdown().await.expect("an end");
        assert_eq!(read(&mut tunnel.receive, usize::MAX).await.as_deref(), Ok(""), "END_STREAM");
        for part in ["still", "here"] {
            tunnel.send(part);
            tunnel.replica.read_to(part).await;
        }
        tunnel.send.send_data(Bytes::from_static(b"end"), true).expect("it is open");
        assert_eq!(tunnel.replica.rest().await, "end");
        lab.settle().await;
        assert_eq!((lab.endpoint.in_flight(), lab.totals().open_tunnels()), (0, 0));
        assert_eq!(lab.totals().reasons.iter().sum::<u64>(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_reset_ends_its_tunnel_alone() {
    local(async {
        let mut lab = Lab::new();
        let (client, serving) = client(&lab, WINDOW).await;
        let mut other = Tunnel::open(&mut lab, &client).await;
        // More than a client may take back of requests: to end a tunnel is nothing bad.
        for code in [Code::CANCEL, Code::NO_ERROR, Code::INTERNAL_ERROR].into_iter().cycle().take(150) {
            let mut tunnel = Tunnel::open(&mut lab, &client).await;
            tunnel.send("last");
            tunnel.send.send_reset(code);
            assert!(["", "last"].contains(&&*tunnel.replica.rest().await));
        }
        lab.settle().await;
        assert_eq!((lab.failed(Reason::ClientGone), lab.endpoint.in_flight()), (150, 1));
        other.is_open().await;
        // Also when its end has come before.
        let mut tunnel = Tunnel::open(&mut lab, &client).await;
        tunnel.send.send_data(Bytes::new(), true).expect("it is open");
        assert_eq!(tunnel.replica.rest().await, "");
        tunnel.send.send_reset(Code::CANCEL);
        lab.settle().await;
        assert_eq!((lab.failed(Reason::ClientGone), lab.endpoint.in_flight()), (151, 1));
        assert!(!serving.is_finished());
    })
    .await;
}

#[tokio::test]
async fn what_a_replica_said_last_arrives_although_it_takes_no_more() {
    local(async {
        let mut lab = Lab::new();
        let (client, _serving) = client(&lab, WINDOW).await;
        let mut tunnel = Tunnel::open(&mut lab, &client).await;
        tunnel.replica.send("last").await;
        drop(tunnel.replica);
        tunnel.send.send_data(Bytes::from_static(b"too late"), false).expect("it is open");
        assert_eq!(read(&mut tunnel.receive, usize::MAX).await.as_deref(), Ok("last"));
        lab.settle().await;
        assert_eq!((lab.failed(Reason::TunnelReset), lab.endpoint.in_flight()), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_all_of_its_tunnels() {
    local(async {
        let mut lab = Lab::new();
        let (stream, serving) = lab.connect(64 * 1024);
        let (client, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
        let connection = tokio::task::spawn_local(connection);
        lab.settle().await;
        let mut tunnels = Vec::new();
        for _ in 0..3 {
            tunnels.push(Tunnel::open(&mut lab, &client).await);
        }
        // And one that has no answer yet.
        let (_response, _body, mut waiting, _) = asked(&mut lab, &client).await;
        connection.abort();
        for tunnel in &mut tunnels {
            assert_eq!(tunnel.replica.rest().await, "");
        }
        assert_eq!(waiting.rest().await, "");
        serving.await.expect("the connection has ended");
        assert_eq!((lab.failed(Reason::ClientGone), lab.totals().open_tunnels()), (4, 0));
    })
    .await;
}

#[tokio::test]
async fn who_does_not_read_is_not_read_ahead_for() {
    const GRANTED: usize = 1000;
    local(async {
        let mut lab = Lab::new();
        let (client, _serving) = client(&lab, GRANTED as u32).await;
        let mut tunnel = Tunnel::open(&mut lab, &client).await;
        let mut other = Tunnel::open(&mut lab, &client).await;
        let all: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 127) as u8).collect();
        let mut sent = 0;
        lab.settle().await;
        while let Some(written) = at_once(pin!(tunnel.replica.0.write(&all[sent..]))) {
            sent += written.expect("it is open");
            lab.settle().await;
        }
        // The buffer of the stream, what one direction keeps, and five parts that are handed to h2.
        assert!(sent <= 64 * 1024 + GRANTED + 6 * 16 * 1024, "{sent}");
        // Nothing of that hinders the other direction, nor the other streams.
        tunnel.send("other way");
        tunnel.replica.read_to("other way").await;
        other.is_open().await;
        let (response, _) = begin(&client, Request::get("https://a/x").body(()).expect("a request")).await;
        let mut third = lab.replica().await;
        third.read_to("\r\n\r\n").await;
        third.send(OK).await;
        assert_eq!(whole(response).await.1, "ok");
        let rest = async {
            tunnel.replica.0.write_all(&all[sent..]).await.expect("it is read again");
            tunnel.replica.0.shutdown().await.expect("an end");
        };
        let ((), read) = tokio::join!(rest, read(&mut tunnel.receive, usize::MAX));
        assert!(read.expect("all, and an end").as_bytes() == all);
    })
    .await;
}

#[tokio::test]
async fn what_a_replica_does_not_read_stays_with_the_client() {
    local(async {
        let mut lab = Lab::new();
        let (client, _serving) = client(&lab, WINDOW).await;
        let mut tunnel = Tunnel::open(&mut lab, &client).await;
        let mut other = Tunnel::open(&mut lab, &client).await;
        let all: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 127) as u8).collect();
        let mut sent = 0;
        tunnel.send.reserve_capacity(all.len());
        lab.settle().await;
        while let Some(capacity) = at_once(pin!(poll_fn(|cx| tunnel.send.poll_capacity(cx)))) {
            let capacity = capacity.expect("it is open").expect("it is open").min(all.len() - sent);
            tunnel.send.send_data(Bytes::copy_from_slice(&all[sent..sent + capacity]), false).expect("room");
            sent += capacity;
            tunnel.send.reserve_capacity(all.len() - sent);
            lab.settle().await;
        }
        // The buffer of the replica's stream, what one direction keeps, and the window.
        assert!(sent <= 64 * 1024 + 16 * 1024 + 64 * 1024, "{sent}");
        tunnel.replica.send("other way").await;
        assert_eq!(read(&mut tunnel.receive, 9).await.as_deref(), Ok("other way"));
        other.is_open().await;
        let mut arrived = vec![0; all.len()];
        let stream = &mut tunnel.send;
        let rest = async {
            while sent < all.len() {
                stream.reserve_capacity(all.len() - sent);
                let capacity = soon(poll_fn(|cx| stream.poll_capacity(cx))).await;
                let capacity = capacity.expect("it is open").expect("it is open").min(all.len() - sent);
                stream.send_data(Bytes::copy_from_slice(&all[sent..sent + capacity]), false).expect("room");
                sent += capacity;
            }
        };
        let ((), read) = tokio::join!(rest, soon(tunnel.replica.0.read_exact(&mut arrived)));
        read.expect("all of it");
        assert!(arrived == all);
    })
    .await;
}

/// A socket that is full concerns all streams: nothing is taken from replicas for it.
#[tokio::test]
async fn a_client_that_takes_nothing_from_its_socket_is_cut_off_with_its_tunnels() {
    local(async {
        let mut lab = Lab::new();
        let (stream, serving) = lab.connect(16 * 1024);
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(10_000_000).initial_connection_window_size(10_000_000);
        let (client, connection) = builder.handshake::<_, Bytes>(stream).await.expect("it speaks HTTP/2");
        // Driven by hand from where it does not read any more.
        let mut connection = Box::pin(connection);
        let mut tunnel = {
            let opening = async {
                while !client.is_extended_connect_protocol_enabled() {
                    tokio::task::yield_now().await;
                }
                Tunnel::open(&mut lab, &client).await
            };
            tokio::select! {
                tunnel = opening => tunnel,
                ended = &mut connection => panic!("{ended:?}"),
            }
        };
        let mut sent = 0;
        lab.settle().await;
        while let Some(written) = at_once(pin!(tunnel.replica.0.write(b"a message of 24 bytes..."))) {
            sent += written.expect("it is open");
            lab.settle().await;
        }
        // The buffers of both streams, what one direction keeps, and what h2 has begun to send.
        assert!(sent <= 64 * 1024 + 16 * 1024 + 5 * 16 * 1024, "{sent}");
        lab.pass(ProxyConfig::default().body_timeout + TICK * 3).await;
        serving.await.expect("the connection has ended");
        assert_eq!((lab.endpoint.in_flight(), lab.totals().open_tunnels()), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_tunnel_on_which_nothing_comes_is_ended() {
    local(async {
        let mut lab = Lab::with_pool(PoolConfig { stream_timeout: TICK * 20, ..PoolConfig::default() });
        let (client, serving) = client(&lab, WINDOW).await;
        let mut idle = Tunnel::open(&mut lab, &client).await;
        let mut busy = Tunnel::open(&mut lab, &client).await;
        lab.pass(TICK * 15).await;
        busy.is_open().await;
        lab.pass(TICK * 5).await;
        assert_eq!(lab.totals().open_tunnels(), 2, "not a tick too early");
        lab.pass(TICK * 2).await;
        assert_eq!(read(&mut idle.receive, usize::MAX).await, Err(Some(Code::CANCEL)));
        assert_eq!(idle.replica.rest().await, "");
        busy.is_open().await;
        assert_eq!((lab.failed(Reason::TunnelIdle), lab.endpoint.in_flight()), (1, 1));
        assert!(!serving.is_finished());
    })
    .await;
}

#[tokio::test]
async fn tunnels_of_a_replica_that_leaves_end_before_it_and_those_of_another_go_on() {
    local(async {
        let mut lab = Lab::of(2, ProxyConfig::default(), PoolConfig::default());
        let (client, _serving) = client(&lab, WINDOW).await;
        let mut open = Vec::new();
        for _ in 0..20 {
            open.push(Tunnel::open(&mut lab, &client).await);
        }
        let leaving = lab.busy();
        let count = leaving.in_flight();
        let time = TICK * 200;
        leaving.leave(lab.start + lab.now.get() + time);
        lab.pass(time / 2).await;
        assert_eq!(leaving.in_flight(), count, "not in the first half");
        lab.pass(time / 2).await;
        assert_eq!((leaving.in_flight(), lab.failed(Reason::TunnelDrained)), (0, count));
        let (mut reset, mut went_on) = (0, 0);
        for tunnel in &mut open {
            if let Some(part) = at_once(pin!(tunnel.receive.data())) {
                assert_eq!(part.expect("not an end").expect_err("a reset").reason(), Some(Code::CANCEL));
                assert_eq!(tunnel.replica.rest().await, "");
                reset += 1;
            } else {
                tunnel.is_open().await;
                went_on += 1;
            }
        }
        assert_eq!((reset, went_on), (count, 20 - count));
    })
    .await;
}

#[tokio::test]
async fn a_stop_tells_the_client_and_leaves_its_tunnels_alone() {
    local(async {
        let mut lab = Lab::new();
        let (client, serving) = client(&lab, WINDOW).await;
        let mut tunnel = Tunnel::open(&mut lab, &client).await;
        let (late, mut late_body, mut late_replica, asked) = asked(&mut lab, &client).await;
        lab.endpoint.set_up(false);
        lab.pass(TICK * 2).await;
        lab.worker.begin_close();
        lab.pass(TICK * 20).await;
        assert!(soon(client.clone().ready()).await.is_err(), "GOAWAY");
        tunnel.is_open().await;
        late_replica.send(&switch(&asked)).await;
        assert_eq!(soon(late).await.expect("a response").status(), 200);
        late_body.send_data(Bytes::from_static(b"too"), false).expect("it is open");
        late_replica.read_to("too").await;
        // What the end of the grace time does.
        serving.abort();
        assert_eq!(tunnel.replica.rest().await, "");
        assert_eq!(late_replica.rest().await, "");
        lab.settle().await;
        assert_eq!((lab.failed(Reason::Stopped), lab.totals().open_tunnels()), (2, 0));
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_was_told_to_end_ends_with_its_last_tunnel() {
    local(async {
        let mut lab = Lab::new();
        let (client, serving) = client(&lab, WINDOW).await;
        let mut tunnel = Tunnel::open(&mut lab, &client).await;
        lab.worker.begin_close();
        lab.pass(TICK * 40).await;
        tunnel.is_open().await;
        tunnel.send.send_data(Bytes::new(), true).expect("it is open");
        drop(tunnel.replica);
        assert_eq!(read(&mut tunnel.receive, usize::MAX).await.as_deref(), Ok(""));
        lab.pass(TICK * 10).await;
        serving.await.expect("the connection has ended");
    })
    .await;
}

#[tokio::test]
async fn a_connect_that_its_client_takes_back_ends() {
    local(async {
        let mut lab = Lab::new();
        let (client, _serving) = client(&lab, WINDOW).await;
        let (response, mut body, mut replica, _) = asked(&mut lab, &client).await;
        body.send_reset(Code::CANCEL);
        assert_eq!(replica.rest().await, "");
        lab.settle().await;
        assert_eq!((lab.failed(Reason::ClientGone), lab.endpoint.in_flight()), (1, 0));
        drop(response);
    })
    .await;
}
