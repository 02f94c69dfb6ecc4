//! Interim responses: between the responses of a connection, in front of their own, and never within one.

use super::*;

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";

fn lab() -> Lab {
    Lab::with_pool(PoolConfig { early_hints: true, ..PoolConfig::default() })
}

/// The lines that the response to [`GET`] has beside those of the replica are not compared.
fn assert_ok(response: &str) {
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("\r\n\r\nok"), "{response}");
}

#[tokio::test]
async fn a_hint_comes_before_its_response() {
    local(async {
        let mut lab = lab();
        let (mut client, _serving, mut replica) = lab.asked().await;
        replica.send(HINT).await;
        assert_eq!(client.read_to("\r\n\r\n").await, HINT);
        replica.send("HTTP/1.1 102 Processing\r\nconnection: x\r\nx: 1\r\n\r\n").await;
        assert_eq!(client.read_to("\r\n\r\n").await, "HTTP/1.1 102 Processing\r\n\r\n");
        replica.send(OK).await;
        assert_ok(&client.read_to("ok").await);
        // The connections go on, and one that has come with its response is no less worth.
        client.send(GET).await;
        replica.read_to("\r\n\r\n").await;
        replica.send(&[HINT, OK].concat()).await;
        assert_eq!(client.read_to("\r\n\r\n").await, HINT);
        assert_ok(&client.read_to("ok").await);
        lab.settle().await;
        assert_eq!(lab.totals().responses[1], 2, "nothing of that is counted");
        assert!(lab.dialled.try_recv().is_err(), "no second connection");
    })
    .await;
}

#[tokio::test]
async fn who_knows_no_hints_gets_none() {
    local(async {
        for (config, version) in [(true, "1.0"), (false, "1.1")] {
            let mut lab = Lab::with_pool(PoolConfig { early_hints: config, ..PoolConfig::default() });
            let (mut client, _serving) = lab.client(4096);
            client.send(&GET.replace("1.1", version)).await;
            let mut replica = lab.replica().await;
            replica.read_to("\r\n\r\n").await;
            replica.send(&[HINT, OK].concat()).await;
            let response = client.read_to("ok").await;
            assert!(response[8..].starts_with(" 200 OK\r\n") && !response.contains("link"), "{response}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_is_told_to_continue_once_and_by_us() {
    local(async {
        let mut lab = lab();
        let (mut client, _serving) = lab.client(4096);
        client.send(&post("").replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n")).await;
        let mut replica = lab.replica().await;
        assert!(!replica.read_to("\r\n\r\n").await.contains("expect"));
        replica.send(&["HTTP/1.1 100 Continue\r\n\r\n", HINT].concat()).await;
        let both = [client.read_to("\r\n\r\n").await, client.read_to("\r\n\r\n").await];
        assert_eq!(both, ["HTTP/1.1 100 Continue\r\n\r\n", HINT]);
        client.send("abcd").await;
        replica.read_to("abcd").await;
        replica.send(OK).await;
        assert_ok(&client.read_to("ok").await);
    })
    .await;
}

#[tokio::test]
async fn those_of_a_flood_are_dropped() {
    local(async {
        let mut lab = lab();
        let (mut client, _serving, mut replica) = lab.asked().await;
        for _ in 0..100 {
            replica.send(HINT).await;
        }
        replica.send(OK).await;
        let got = client.read_to("ok").await;
        assert_eq!(got.matches("HTTP/1.1 103 ").count(), 8);
        assert_ok(&got[8 * HINT.len()..]);
    })
    .await;
}

/// A hint with a field of so many bytes.
fn large_hint(bytes: usize) -> String {
    HINT.replace("a.css", &"a".repeat(bytes))
}

#[tokio::test]
async fn a_hint_that_a_slow_client_has_begun_to_read_is_whole() {
    local(async {
        let mut lab = lab();
        let (mut client, _serving) = lab.client(64);
        client.send(GET).await;
        let mut replica = lab.replica().await;
        replica.read_to("\r\n\r\n").await;
        let hint = large_hint(4000);
        replica.send(&hint).await;
        lab.settle().await;
        replica.send(&[&large_hint(3000), OK].concat()).await;
        lab.settle().await;
        assert_eq!(client.read_to("\r\n\r\n").await, hint);
        assert_eq!(client.read_to("\r\n\r\n").await, large_hint(3000));
        assert_ok(&client.read_to("ok").await);
    })
    .await;
}

#[tokio::test]
async fn a_hint_comes_behind_the_response_before_it() {
    local(async {
        let mut lab = lab();
        let (mut client, _serving) = lab.client(128);
        client.send(&[GET, GET].concat()).await;
        let mut replica = lab.replica().await;
        replica.read_to("\r\n\r\n").await;
        // More than what may be on its way to the client, which reads nothing yet.
        let big = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(4000));
        replica.send(&[HINT, &big].concat()).await;
        lab.settle().await;
        assert_eq!(client.read_to("\r\n\r\n").await, HINT);
        let first = client.read_to("\r\n\r\n").await;
        assert!(first.starts_with("HTTP/1.1 200 OK\r\n") && !first.contains("link"), "{first}");
        replica.read_to("\r\n\r\n").await;
        replica.send(&[&large_hint(500), OK].concat()).await;
        assert_eq!(client.read_to("\r\n\r\n").await, large_hint(500));
        assert_ok(&client.read_to("ok").await);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_hint_is_cut_off() {
    local(async {
        let mut lab = lab();
        let (mut client, serving) = lab.client(64);
        client.send(GET).await;
        let mut replica = lab.replica().await;
        replica.read_to("\r\n\r\n").await;
        replica.send(&large_hint(4000)).await;
        lab.pass(ProxyConfig::default().body_timeout + TICK * 2).await;
        serving.await.expect("the connection has ended");
        assert_eq!(client.rest().await.len(), 64);
        assert_eq!((lab.failed(Reason::ClientGone), lab.endpoint.in_flight()), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn a_hint_is_no_response() {
    local(async {
        let mut lab = lab();
        let (mut client, _serving, mut replica) = lab.asked().await;
        let limit = PoolConfig::default().response_timeout;
        lab.pass(limit / 2).await;
        replica.send(HINT).await;
        assert_eq!(client.read_to("\r\n\r\n").await, HINT);
        lab.pass(limit / 2 + TICK * 2).await;
        assert!(client.read_to("}").await.contains("x-ringherd-error: response-timeout\r\n"));
        assert_eq!(lab.failed(Reason::ResponseTimeout), 1);
    })
    .await;
}

#[tokio::test]
async fn a_tunnel_begins_behind_its_hint() {
    local(async {
        let mut lab = lab();
        let (mut client, _serving) = lab.client(4096);
        client.send("GET /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
        let mut replica = lab.replica().await;
        replica.read_to("\r\n\r\n").await;
        let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello";
        replica.send(&[HINT, switch].concat()).await;
        assert_eq!(client.read_to("\r\n\r\n").await, HINT);
        assert!(client.read_to("hello").await.starts_with("HTTP/1.1 101 "));
        client.send("there").await;
        replica.read_to("there").await;
    })
    .await;
}
