//! WebSocket over HTTP/2: a `CONNECT` on one stream of a connection, which becomes a tunnel to a replica
//! that speaks HTTP/1.1.

mod handshakes;
mod streams;

use std::pin::pin;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{Reason as Code, RecvStream, SendStream};
use http::{Request, Response};

use super::http2::http2_client;
use super::tunnels::at_once;
use super::*;
use crate::tls::provider::digest;

/// What a client grants each response, where that does not matter.
const WINDOW: u32 = 65_535;

/// A `CONNECT` for a protocol.
fn connect(protocol: &'static str) -> Request<()> {
    let mut request = Request::connect("https://a.example/chat?x=1")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat, superchat")
        .header("origin", "https://a.example")
        .body(())
        .expect("a request");
    request.extensions_mut().insert(Protocol::from_static(protocol));
    request
}

/// A response with 101 that proves that the replica has read the key in this head.
fn switch(asked: &str) -> String {
    let key = asked.split("\r\n").find_map(|line| line.strip_prefix("sec-websocket-key: ")).expect("a key");
    let proved = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let proof = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, proved.as_bytes());
    let proof = BASE64_STANDARD.encode(proof.as_ref());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {proof}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )
}

/// Something of h2 that comes in time.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// A client's connection on which it knows what it may ask for, and what serves that.
async fn client(lab: &Lab, window: u32) -> (SendRequest<Bytes>, JoinHandle<()>) {
    let (client, serving) = http2_client(lab, window).await;
    lab.settle().await;
    assert!(client.is_extended_connect_protocol_enabled(), "it is told");
    (client, serving)
}

/// Sends a request whose stream stays open.
async fn begin(client: &SendRequest<Bytes>, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
    let mut client = soon(client.clone().ready()).await.expect("a connection");
    client.send_request(request, false).expect("it takes one")
}

/// A `CONNECT` that has reached a replica, and what that was asked.
async fn asked(
    lab: &mut Lab,
    client: &SendRequest<Bytes>,
) -> (ResponseFuture, SendStream<Bytes>, Peer, String) {
    let (response, body) = begin(client, connect("websocket")).await;
    let mut replica = lab.replica().await;
    let asked = replica.read_to("\r\n\r\n").await;
    (response, body, replica, asked)
}

/// Both ends of a tunnel; the client's is a stream.
struct Tunnel {
    send: SendStream<Bytes>,
    receive: RecvStream,
    replica: Peer,
}

impl Tunnel {
    async fn open(lab: &mut Lab, client: &SendRequest<Bytes>) -> Self {
        let (response, send, mut replica, asked) = asked(lab, client).await;
        replica.send(&switch(&asked)).await;
        let response = soon(response).await.expect("a response");
        assert_eq!(response.status(), 200);
        Self { send, receive: response.into_body(), replica }
    }

    fn send(&mut self, text: &'static str) {
        self.send.send_data(Bytes::from_static(text.as_bytes()), false).expect("it is open");
    }

    /// Has bytes pass both ways.
    async fn is_open(&mut self) {
        self.send("ping");
        self.replica.read_to("ping").await;
        self.replica.send("pong").await;
        assert_eq!(read(&mut self.receive, 4).await.as_deref(), Ok("pong"));
    }
}

/// What comes on a stream up to its end or so many bytes, or why it was reset.
async fn read(stream: &mut RecvStream, at_most: usize) -> Result<String, Option<Code>> {
    let mut read = BytesMut::new();
    while read.len() < at_most
        && let Some(part) = soon(stream.data()).await
    {
        let part = part.map_err(|error| error.reason())?;
        stream.flow_control().release_capacity(part.len()).expect("a window");
        read.extend_from_slice(&part);
    }
    Ok(String::from_utf8(read.to_vec()).expect("text"))
}

/// Reads a whole response.
async fn whole(response: ResponseFuture) -> (http::response::Parts, String) {
    let (head, mut body) = soon(response).await.expect("a response").into_parts();
    let body = read(&mut body, usize::MAX).await.expect("all of it");
    (head, body)
}

fn reason_of(response: &Response<RecvStream>) -> &str {
    response.headers().get("x-ringherd-error").map_or("", |reason| reason.to_str().expect("text"))
}
