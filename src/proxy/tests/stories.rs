//! One request after another, and what may become of each.

use super::*;

#[tokio::test]
async fn two_requests_share_both_connections() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, _serving) = lab.client(4096);
        client.send(GET).await;
        let mut replica = lab.replica().await;
        let asked = replica.read_to("\r\n\r\n").await;
        assert!(asked.starts_with("GET /x HTTP/1.1\r\n") && asked.contains("x-forwarded-for: 10.0.0.7\r\n"));
        assert_eq!(lab.endpoint.in_flight(), 1);
        replica.send(OK).await;
        assert!(client.read_to("ok").await.starts_with("HTTP/1.1 200 OK\r\n"));
        lab.settle().await;
        assert_eq!((lab.endpoint.in_flight(), lab.totals().total.count()), (0, 1));
        client.send(GET).await;
        assert_eq!(replica.read_to("\r\n\r\n").await, asked);
        replica.send(OK).await;
        client.read_to("ok").await;
        assert!(lab.dialled.try_recv().is_err(), "no second connection");
        assert_eq!(lab.totals().responses[1], 2);
    })
    .await;
}

#[tokio::test]
async fn a_body_passes_as_it_comes() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, _serving) = lab.client(4096);
        client.send(&post("ab")).await;
        let mut replica = lab.replica().await;
        replica.read_to("\r\n\r\nab").await;
        client.send("cd").await;
        replica.read_to("cd").await;
        replica.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").await;
        client.read_to("one\r\n").await;
        assert_eq!(lab.endpoint.in_flight(), 1, "the response has not ended");
        replica.send("0\r\n\r\n").await;
        client.read_to("0\r\n\r\n").await;
        lab.settle().await;
        assert_eq!(lab.endpoint.in_flight(), 0);
        client.send(GET).await;
        replica.read_to("\r\n\r\n").await;
    })
    .await;
}

#[tokio::test]
async fn an_upload_with_trailers_ends_with_them() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, _serving) = lab.client(4096);
        let head = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(&format!("{head}2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n")).await;
        let mut replica = lab.replica().await;
        replica.read_to("ab\r\n0\r\n").await;
        replica.send(OK).await;
        client.read_to("ok").await;
        client.send(GET).await;
        replica.read_to("GET /x HTTP/1.1\r\n").await;
        assert!(lab.dialled.try_recv().is_err(), "the connection is used again");
    })
    .await;
}

#[tokio::test]
async fn a_stop_does_not_cut_off_the_end_of_a_response() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, serving) = lab.client(128);
        client.send(GET).await;
        let mut replica = lab.replica().await;
        replica.read_to("\r\n\r\n").await;
        let body = "x".repeat(16 * 1024);
        replica.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
        lab.settle().await;
        lab.worker.begin_close();
        lab.pass(TICK * 20).await;
        client.read_to(&body).await;
        lab.pass(TICK * 8).await;
        assert_eq!(client.rest().await, "");
        serving.await.expect("the connection has ended");
        assert_eq!(lab.failed(Reason::ClientGone), 0);
    })
    .await;
}

#[tokio::test]
async fn a_connection_with_half_an_upload_on_it_is_not_used_again() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, _serving) = lab.client(4096);
        client.send(&post("ab")).await;
        let mut replica = lab.replica().await;
        replica.read_to("ab").await;
        replica.send(OK).await;
        client.read_to("ok").await;
        assert_eq!(replica.rest().await, "", "its end, and not the rest of the body");
        assert_eq!(lab.endpoint.in_flight(), 0);
        assert_eq!(lab.totals().total.count(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_does_not_respond_in_time() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, _serving, mut replica) = lab.asked().await;
        let limit = PoolConfig::default().response_timeout;
        lab.pass(limit).await;
        assert_eq!(lab.endpoint.in_flight(), 1, "not a tick too early");
        lab.pass(TICK * 2).await;
        assert!(client.read_to("}").await.contains("x-ringherd-error: response-timeout\r\n"));
        assert_eq!(replica.rest().await, "");
        assert_eq!(lab.outcomes.next().await.kind, Some(FailureKind::Timeout));
        assert_eq!((lab.endpoint.in_flight(), lab.failed(Reason::ResponseTimeout)), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn a_client_that_stops_sending_is_to_blame() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, serving) = lab.client(4096);
        client.send(&post("ab")).await;
        let mut replica = lab.replica().await;
        replica.read_to("ab").await;
        lab.pass(ProxyConfig::default().body_timeout + TICK * 2).await;
        assert!(client.rest().await.contains("x-ringherd-error: client-timeout\r\n"));
        lab.settle().await;
        assert!(!serving.is_finished(), "what still comes must not take the response away");
        lab.pass(Duration::from_secs(6)).await;
        serving.await.expect("the connection has ended");
        assert_eq!((lab.failed(Reason::ClientTimeout), lab.endpoint.failures()), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_connection() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, serving) = lab.client(128);
        client.send(GET).await;
        let mut replica = lab.replica().await;
        replica.read_to("\r\n\r\n").await;
        let body = "x".repeat(16 * 1024);
        replica.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", 2 * body.len())).await;
        lab.pass(ProxyConfig::default().body_timeout).await;
        assert!(!serving.is_finished());
        lab.pass(TICK * 2).await;
        serving.await.expect("the connection has ended");
        assert_eq!((lab.failed(Reason::ClientGone), lab.endpoint.failures()), (1, 0));
        assert_eq!(lab.endpoint.in_flight(), 0);
        drop(client);
    })
    .await;
}

#[tokio::test]
async fn a_response_that_stops_in_its_middle_is_cut() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, serving, mut replica) = lab.asked().await;
        replica.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
        client.read_to("half").await;
        lab.pass(ProxyConfig::default().body_timeout + TICK * 2).await;
        assert_eq!(client.rest().await, "");
        serving.await.expect("the connection has ended");
        assert_eq!((lab.failed(Reason::ResponseCut), lab.endpoint.failures()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_request_once() {
    local(async {
        let mut lab = Lab::new();
        let (client, serving, mut replica) = lab.asked().await;
        drop(client);
        assert_eq!(replica.rest().await, "", "the replica is told");
        serving.await.expect("the connection has ended");
        assert_eq!(lab.endpoint.in_flight(), 0);
        assert_eq!((lab.totals().total.count(), lab.failed(Reason::ClientGone)), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_response_ends_it() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, serving, mut replica) = lab.asked().await;
        replica.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").await;
        client.read_to("one\r\n").await;
        drop(client);
        assert_eq!(replica.rest().await, "", "the replica is told");
        serving.await.expect("the connection has ended");
        assert_eq!((lab.endpoint.in_flight(), lab.failed(Reason::ClientGone)), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn a_half_closed_client_is_served_on_request() {
    local(async {
        let mut lab = Lab::with(ProxyConfig { half_close: HalfClose::Serve, ..ProxyConfig::default() });
        let (mut client, _serving, mut replica) = lab.asked().await;
        client.0.shutdown().await.expect("an end");
        lab.settle().await;
        replica.send(OK).await;
        assert!(client.rest().await.ends_with("ok"));
        assert_eq!(lab.failed(Reason::ClientGone), 0);
    })
    .await;
}

#[tokio::test]
async fn a_stream_of_events_may_pause_for_long() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, _serving, mut replica) = lab.asked().await;
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked";
        replica.send(&format!("{head}\r\n\r\n")).await;
        client.read_to("\r\n\r\n").await;
        lab.pass(ProxyConfig::default().body_timeout * 2).await;
        replica.send("3\r\none\r\n").await;
        client.read_to("one\r\n").await;
        assert_eq!(lab.endpoint.in_flight(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_head_beyond_the_limits_has_a_reason_of_its_own() {
    local(async {
        let limits =
            PoolConfig { max_response_headers: 20, max_response_header_bytes: 2000, ..PoolConfig::default() };
        let field = |number| format!("x-{number}: {}\r\n", "y".repeat(20));
        for (fields, status) in [(10, "200"), (30, "502")] {
            let mut lab = Lab::with_pool(limits.clone());
            let (mut client, _serving, mut replica) = lab.asked().await;
            let fields: String = (0..fields).map(field).collect();
            // A space before a colon is removed.
            replica
                .send(&format!("HTTP/1.1 200 OK\r\n{fields}x-last : 1\r\ncontent-length: 0\r\n\r\n"))
                .await;
            let head = client.read_to("\r\n\r\n").await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert_eq!(head.contains("x-last: 1\r\n"), status == "200", "{head}");
            let reason = head.contains("x-ringherd-error: response-head-too-large\r\n");
            assert_eq!(reason, status == "502", "{head}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_stale_connection_costs_no_request() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, _serving, mut replica) = lab.asked().await;
        replica.send(OK).await;
        client.read_to("ok").await;
        drop(replica);
        client.send(&post("abcd")).await;
        let mut replica = lab.replica().await;
        replica.read_to("abcd").await;
        replica.send(OK).await;
        client.read_to("ok").await;
        assert_eq!(lab.totals().retries, 0);
    })
    .await;
}

#[tokio::test]
async fn only_a_request_that_may_run_twice_is_sent_twice() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, _serving) = lab.client(4096);
        client.send(GET).await;
        let mut replica = lab.replica().await;
        let first = replica.read_to("\r\n\r\n").await;
        drop(replica);
        let mut replica = lab.replica().await;
        assert_eq!(replica.read_to("\r\n\r\n").await, first, "the same head, field for field");
        replica.send(OK).await;
        client.read_to("ok").await;
        assert_eq!(lab.totals().retries, 1);

        let (mut client, _serving) = lab.client(4096);
        client.send(&post("abcd")).await;
        replica.read_to("abcd").await;
        drop(replica);
        assert!(client.read_to("}").await.starts_with("HTTP/1.1 502 "));
        assert_eq!(lab.totals().retries, 1);
    })
    .await;
}

#[tokio::test]
async fn local_routes_get_the_body() {
    local(async {
        let lab = Lab::new();
        let (mut client, _serving) = lab.client(4096);
        client.send("POST /local HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab").await;
        lab.pass(PoolConfig::default().response_timeout * 2).await;
        client.send("cd").await;
        client.read_to("abcd").await;
        client.send("HEAD /local HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.read_to("\r\n\r\n").await;
        lab.settle().await;
        assert_eq!((lab.totals().total.count(), lab.failed(Reason::ClientGone)), (2, 0));
    })
    .await;
}

#[tokio::test]
async fn a_stop_lets_a_request_finish_and_an_idle_client_linger() {
    local(async {
        let mut lab = Lab::new();
        let (mut busy, serving_busy) = lab.client(4096);
        let (mut idle, serving_idle) = lab.client(4096);
        busy.send(GET).await;
        let mut replica = lab.replica().await;
        replica.read_to("\r\n\r\n").await;
        lab.settle().await;
        lab.worker.begin_close();
        lab.settle().await;
        assert!(!serving_idle.is_finished(), "a request may be on its way");
        replica.send(OK).await;
        assert!(busy.rest().await.contains("connection: close\r\n"));
        serving_busy.await.expect("the connection has ended");
        lab.pass(TICK * 8).await;
        assert_eq!(idle.rest().await, "");
        serving_idle.await.expect("the connection has ended");
    })
    .await;
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    local(async {
        let lab = Lab::new();
        let (mut client, serving) = lab.client(4096);
        client.send("GET /x HTTP/1.1\r\n").await;
        let limit = ProxyConfig::default().header_timeout;
        for _ in 0..2 {
            lab.pass(limit * 2 / 5).await;
            client.send("A: b\r\n").await;
        }
        lab.pass(limit / 5 + TICK * 2).await;
        serving.await.expect("the connection has ended");
        assert_eq!(lab.totals().total.count(), 0, "it never was a request");
    })
    .await;
}
