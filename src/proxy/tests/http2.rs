//! What happens over HTTP/2 alone.

use bytes::{Bytes, BytesMut};
use http::Request;

use super::*;

/// A client of HTTP/2 that grants each response so many bytes at first.
pub(super) async fn http2_client(lab: &Lab, window: u32) -> (h2::client::SendRequest<Bytes>, JoinHandle<()>) {
    let (stream, serving) = lab.connect(64 * 1024);
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window);
    let (client, connection) = builder.handshake(stream).await.expect("it speaks HTTP/2");
    tokio::task::spawn_local(connection);
    (client, serving)
}

/// A response of 10,000 bytes whose client has a window for 1,000, and what keeps its connection.
async fn waiting_response(
    lab: &mut Lab,
) -> (http::Response<h2::RecvStream>, h2::client::SendRequest<Bytes>, JoinHandle<()>) {
    let (mut client, serving) = http2_client(lab, 1000).await;
    let request = Request::get("http://a/x").body(()).expect("a request");
    let (response, _) = client.send_request(request, true).expect("it takes one");
    let mut replica = lab.replica().await;
    replica.read_to("\r\n\r\n").await;
    let body = "x".repeat(10_000);
    replica.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
    (response.await.expect("a response"), client, serving)
}

#[tokio::test]
async fn a_stop_does_not_cut_off_what_waits_for_a_window() {
    local(async {
        let mut lab = Lab::new();
        let (response, _client, serving) = waiting_response(&mut lab).await;
        let mut stream = response.into_body();
        lab.settle().await;
        assert_eq!(lab.totals().total.count(), 1, "as far as its replica is concerned it is over");
        lab.worker.begin_close();
        // Much longer than an idle connection has.
        lab.pass(TICK * 100).await;
        let mut read = BytesMut::new();
        while let Some(part) = stream.data().await {
            let part = part.expect("all of it");
            stream.flow_control().release_capacity(part.len()).expect("a window");
            read.extend_from_slice(&part);
        }
        assert_eq!(read, "x".repeat(10_000));
        lab.pass(TICK * 8).await;
        serving.await.expect("the connection has ended");
    })
    .await;
}

#[tokio::test]
async fn a_window_that_stays_closed_does_not_hold_up_a_stop() {
    local(async {
        let mut lab = Lab::new();
        let (_response, _client, serving) = waiting_response(&mut lab).await;
        lab.worker.begin_close();
        lab.pass(ProxyConfig::default().body_timeout).await;
        assert!(!serving.is_finished(), "not too early");
        lab.pass(TICK * 10).await;
        serving.await.expect("the connection has ended");
    })
    .await;
}

#[tokio::test]
async fn a_request_that_says_it_has_no_body_is_forwarded_when_it_has_ended() {
    local(async {
        let mut lab = Lab::new();
        let (client, _serving) = http2_client(&lab, 1000).await;
        let post = async |path: &str| {
            let request = Request::post(format!("http://a{path}")).header("content-length", 0);
            let mut client = client.clone().ready().await.expect("it has room");
            client.send_request(request.body(()).expect("a request"), false).expect("it takes one")
        };
        let (malformed, mut stream) = post("/malformed").await;
        lab.settle().await;
        stream.send_data(Bytes::from_static(b"x"), true).expect("it is open");
        malformed.await.expect_err("its stream is reset");
        let (good, mut stream) = post("/good").await;
        lab.settle().await;
        stream.send_data(Bytes::new(), true).expect("it is open");
        // The first one that a replica gets.
        let mut replica = lab.replica().await;
        let head = replica.read_to("\r\n\r\n").await;
        assert!(head.starts_with("POST /good HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("content-length: 0\r\n"), "{head}");
        replica.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(good.await.expect("a response").status(), 204);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_says_it_has_no_body_has_time_to_end() {
    local(async {
        let lab = Lab::new();
        let (client, _serving) = http2_client(&lab, 1000).await;
        for length in ["0", "00"] {
            let mut client = client.clone().ready().await.expect("it has room");
            let request = Request::post("http://a/never").header("content-length", length).body(());
            let (response, _stream) =
                client.send_request(request.expect("a request"), false).expect("it takes one");
            lab.settle().await;
            lab.pass(ProxyConfig::default().body_timeout + TICK * 10).await;
            assert_eq!(response.await.expect("a response").status(), 408);
        }
    })
    .await;
}
