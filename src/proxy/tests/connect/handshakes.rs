//! What a replica is asked, and what its client is told of the answer.

use super::*;
use crate::proxy::UpstreamHttp;

#[tokio::test]
async fn a_connect_becomes_a_handshake_and_then_a_tunnel() {
    local(async {
        let mut lab = Lab::new();
        let (client, serving) = client(&lab, WINDOW).await;
        let (response, mut body, mut replica, asked) = asked(&mut lab, &client).await;
        assert!(asked.starts_with("GET /chat?x=1 HTTP/1.1\r\n"), "{asked}");
        for line in [
            "host: a.example",
            "connection: upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            "sec-websocket-protocol: chat, superchat",
            "origin: https://a.example",
            "via: 2.0 ringherd-0000000000000007",
        ] {
            assert_eq!(asked.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line}: {asked}");
        }
        assert!(!asked.contains("content-length") && !asked.contains("transfer-encoding"), "{asked}");
        replica.send(&format!("{}first", switch(&asked))).await;
        let response = soon(response).await.expect("a response");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
        assert!(response.headers().contains_key("x-request-id"));
        for gone in ["connection", "upgrade", "sec-websocket-accept", "sec-websocket-key", "content-length"] {
            assert!(!response.headers().contains_key(gone), "{:?}", response.headers());
        }
        let mut receive = response.into_body();
        assert_eq!(read(&mut receive, 5).await.as_deref(), Ok("first"));
        for part in ["a", "b"] {
            body.send_data(Bytes::from(part), false).expect("it is open");
            replica.read_to(part).await;
            replica.send("pong").await;
            assert_eq!(read(&mut receive, 4).await.as_deref(), Ok("pong"));
        }
        lab.settle().await;
        assert_eq!((lab.endpoint.in_flight(), lab.totals().open_tunnels()), (1, 1));
        assert_eq!((lab.totals().tunnel_sent, lab.totals().tunnel_received), (2, 13));
        assert!(!lab.worker.clients.displace(&lab.worker.newcomers), "it is not idle");
        body.send_data(Bytes::new(), true).expect("it is open");
        assert_eq!(replica.rest().await, "");
        replica.send("bye").await;
        drop(replica);
        assert_eq!(read(&mut receive, usize::MAX).await.as_deref(), Ok("bye"), "and an end, no reset");
        lab.settle().await;
        let totals = lab.totals();
        assert_eq!((lab.endpoint.in_flight(), totals.open_tunnels(), totals.tunnels_opened), (0, 0, 1));
        assert_eq!((totals.responses[1], totals.total.count(), totals.bytes), (1, 1, 0));
        assert_eq!(totals.reasons.iter().sum::<u64>(), 0);
        assert!(!serving.is_finished(), "its connection goes on");
    })
    .await;
}

#[tokio::test]
async fn each_handshake_has_a_key_of_its_own() {
    local(async {
        let mut lab = Lab::new();
        let (client, _serving) = client(&lab, WINDOW).await;
        let mut keys = Vec::new();
        for _ in 0..2 {
            let (response, _body, _replica, asked) = asked(&mut lab, &client).await;
            drop(response);
            keys.push(asked.split("sec-websocket-key: ").nth(1).expect("one").get(..24).map(str::to_owned));
        }
        assert!(keys[0].is_some() && keys[0] != keys[1], "{keys:?}");
    })
    .await;
}

#[tokio::test]
async fn what_comes_before_the_answer_waits_for_it() {
    local(async {
        let mut lab = Lab::new();
        let (client, _serving) = client(&lab, WINDOW).await;
        let (response, mut body, mut replica, asked) = asked(&mut lab, &client).await;
        body.send_data(Bytes::from(GET), false).expect("it is open");
        lab.settle().await;
        assert!(at_once(pin!(replica.0.read_u8())).is_none(), "nothing of it was sent before the answer");
        replica.send(&switch(&asked)).await;
        assert_eq!(soon(response).await.expect("a response").status(), 200);
        assert_eq!(replica.read_to("\r\n\r\n").await, GET);
    })
    .await;
}

#[tokio::test]
async fn a_switch_that_proves_nothing_is_none() {
    local(async {
        let mut lab = Lab::new();
        let (client, _serving) = client(&lab, WINDOW).await;
        for (from, to) in [
            ("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x"),
            ("Sec-WebSocket-Accept: ", "X-Accept: "),
            ("Upgrade: websocket", "Upgrade: other"),
            ("Upgrade: websocket\r\n", ""),
        ] {
            let (response, mut body, mut replica, asked) = asked(&mut lab, &client).await;
            body.send_data(Bytes::from(GET), false).expect("it is open");
            replica.send(&switch(&asked).replace(from, to)).await;
            let response = soon(response).await.expect("a response");
            assert_eq!((response.status().as_u16(), reason_of(&response)), (502, "bad-response"), "{to:?}");
            assert_eq!(replica.rest().await, "", "neither what was sent nor a request");
        }
        assert_eq!((lab.totals().tunnels_opened, lab.failed(Reason::BadResponse)), (0, 4));
    })
    .await;
}

#[tokio::test]
async fn every_other_answer_is_an_ordinary_response() {
    local(async {
        let mut lab = Lab::new();
        let (client, serving) = client(&lab, WINDOW).await;
        for status in ["302 Found", "403 Forbidden", "426 Upgrade Required", "500 No"] {
            let (response, mut body, mut replica, _) = asked(&mut lab, &client).await;
            body.send_data(Bytes::from(GET), false).expect("it is open");
            replica.send(&format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nx-why: z\r\n\r\nno")).await;
            let (head, body) = whole(response).await;
            assert_eq!((head.status.as_str(), body.as_str()), (&status[..3], "no"));
            assert_eq!(
                (&head.headers["x-why"], &head.headers["content-length"]),
                (&"z".parse().unwrap(), &2.into())
            );
            assert!(!head.headers.contains_key("x-ringherd-error"));
        }
        // Which the client would take for a tunnel.
        for status in ["200 OK", "204 No Content"] {
            let (response, _body, mut replica, _) = asked(&mut lab, &client).await;
            replica.send(&format!("HTTP/1.1 {status}\r\n\r\n")).await;
            let response = soon(response).await.expect("a response");
            assert_eq!((response.status().as_u16(), reason_of(&response)), (502, "bad-response"), "{status}");
        }
        assert!(
            at_once(pin!(lab.outcomes.next())).is_none(),
            "no replica is blamed for not knowing WebSockets"
        );
        assert_eq!((lab.totals().tunnels_opened, lab.endpoint.in_flight()), (0, 0));
        assert!(!serving.is_finished(), "nor does their connection end");
        Tunnel::open(&mut lab, &client).await.is_open().await;
    })
    .await;
}

#[tokio::test]
async fn who_connects_for_something_else_is_refused() {
    local(async {
        let mut lab = Lab::new();
        let (client, _serving) = client(&lab, WINDOW).await;
        let plain = Request::connect("a.example:443").body(()).expect("a request");
        let mut call = connect("connect-udp");
        call.headers_mut().insert("content-type", "application/grpc".parse().expect("a value"));
        let mut local = connect("websocket");
        *local.uri_mut() = "https://a.example/local".parse().expect("a target");
        for request in [plain, connect("connect-udp"), call] {
            let (response, _body) = begin(&client, request).await;
            let response = soon(response).await.expect("a response");
            assert_eq!((response.status().as_u16(), reason_of(&response)), (501, "method-not-forwarded"));
        }
        let mut elsewhere = connect("websocket");
        elsewhere.headers_mut().insert("host", "b.example".parse().expect("a value"));
        let (response, _body) = begin(&client, elsewhere).await;
        assert_eq!(soon(response).await.expect("a response").status(), 400);
        assert!(lab.dialled.try_recv().is_err(), "no replica was asked");
        // What is answered here is no WebSocket, and its 200 would say so.
        let (response, _body) = begin(&client, local).await;
        let mut replica = lab.replica().await;
        assert!(replica.read_to("\r\n\r\n").await.starts_with("GET /local "));
        replica.send("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(soon(response).await.expect("a response").status(), 404);
    })
    .await;
}

/// gRPC says its errors with 200, which would be a tunnel.
#[tokio::test]
async fn a_connect_is_no_call() {
    local(async {
        let lab = Lab::new();
        lab.endpoint.set_up(false);
        let (client, _serving) = client(&lab, WINDOW).await;
        let mut call = connect("websocket");
        call.headers_mut().insert("content-type", "application/grpc".parse().expect("a value"));
        let (response, _body) = begin(&client, call).await;
        let response = soon(response).await.expect("a response");
        assert_eq!((response.status().as_u16(), reason_of(&response)), (503, "no-replica"));
    })
    .await;
}

#[tokio::test]
async fn replicas_that_speak_http2_get_none() {
    local(async {
        let config = PoolConfig { upstream_http: UpstreamHttp::H2, ..PoolConfig::default() };
        let mut lab = Lab::with_pool(config);
        let (client, _serving) = client(&lab, WINDOW).await;
        let (response, _body) = begin(&client, connect("websocket")).await;
        let response = soon(response).await.expect("a response");
        assert_eq!((response.status().as_u16(), reason_of(&response)), (501, "method-not-forwarded"));
        assert!(lab.dialled.try_recv().is_err());
    })
    .await;
}
