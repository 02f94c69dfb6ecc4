//! gRPC by tonic: a service whose messages are bytes, and a client of it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::{Buf, BufMut, Bytes};
use futures_util::{Stream, StreamExt, stream};
use http::uri::PathAndQuery;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tonic::client::Grpc;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::StreamingService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};

use super::upstream::{Body, Speaks, Upstream};

/// Messages as they are, each in a frame of its own.
#[derive(Clone, Copy, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(64, 1)
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}

type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// The service: what it does is what the method is called.
struct Service(String);

impl StreamingService<Bytes> for Service {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Messages>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        Box::pin(serve(self.0.clone(), request.into_inner()))
    }
}

async fn serve(path: String, mut asked: Streaming<Bytes>) -> Result<Response<Messages>, Status> {
    let messages: Messages = match path.as_str() {
        "/test.All/Echo" => Box::pin(asked),
        // So many messages of one byte.
        "/test.All/Count" => {
            let first = asked.message().await?.unwrap_or_default();
            let count: usize = String::from_utf8_lossy(&first).parse().expect("a number");
            Box::pin(stream::iter((0..count).map(|_| Ok(Bytes::from_static(b"x")))))
        }
        // How many there were, and bytes of them.
        "/test.All/Sum" => {
            let (mut count, mut bytes) = (0, 0);
            while let Some(message) = asked.message().await? {
                (count, bytes) = (count + 1, bytes + message.len());
            }
            one(format!("{count} {bytes}"))
        }
        "/test.All/Fail" => {
            let mut status = Status::failed_precondition("50 % \u{fc}");
            status.metadata_mut().insert("x-large", "y".repeat(48_000).parse().expect("a value"));
            Box::pin(stream::iter([Ok(Bytes::from("first")), Err(status)]))
        }
        "/test.All/Begin" => Box::pin(stream::iter([Ok(Bytes::from("first"))]).chain(stream::pending())),
        "/test.All/Hang" => std::future::pending().await,
        "/grpc.health.v1.Health/Check" => {
            let question = asked.message().await?.unwrap_or_default();
            match &question[..] {
                b"" | b"\x0a\x04good" => one(Bytes::from_static(&[0x08, 1])),
                b"\x0a\x03bad" => one(Bytes::from_static(&[0x08, 2])),
                _ => return Err(Status::not_found("no such service")),
            }
        }
        _ => return Err(Status::unimplemented("no such method")),
    };
    Ok(Response::new(messages))
}

fn one(message: impl Into<Bytes>) -> Messages {
    Box::pin(stream::iter([Ok(message.into())]))
}

/// A replica with the service. Without the health service it answers heartbeats of HTTP only.
pub fn replica(speaks: Speaks, has_health: bool) -> Upstream {
    Upstream::start(speaks, move |request: http::Request<Incoming>| async move {
        let path = request.uri().path().to_owned();
        if path == "/heartbeat" {
            return http::Response::new(super::upstream::body(""));
        }
        let path = if has_health || !path.starts_with("/grpc.health") { path } else { "/none".to_owned() };
        let response = tonic::server::Grpc::new(Raw).streaming(Service(path), request).await;
        response.map(|body| -> Body { body.map_err(Into::into).boxed_unsync() })
    })
}

/// A client, through this address.
pub fn client(address: SocketAddr) -> Grpc<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
    Grpc::new(endpoint.http2_max_header_list_size(256 * 1024).connect_lazy())
}

/// The path of a method.
pub fn method(name: &str) -> PathAndQuery {
    format!("/test.All/{name}").parse().expect("a path")
}

/// One message, and the one that it is answered with.
pub async fn unary(client: &Grpc<Channel>, name: &str, message: &str) -> Result<Bytes, Status> {
    let mut client = client.clone();
    client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let message = Request::new(Bytes::from(message.to_owned()));
    Ok(client.unary(message, method(name), Raw).await?.into_inner())
}

/// Many messages, and the stream of those that they are answered with.
pub async fn streaming(
    client: &Grpc<Channel>,
    name: &str,
    messages: impl Stream<Item = Bytes> + Send + 'static,
) -> Result<Streaming<Bytes>, Status> {
    let mut client = client.clone();
    client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    Ok(client.streaming(Request::new(messages), method(name), Raw).await?.into_inner())
}
