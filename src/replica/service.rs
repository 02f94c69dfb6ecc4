//! The responses of a replica: a pure function of its name and the path.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde::Serialize;

/// The JSON of every response with a body, with its fields in this order.
#[derive(Serialize)]
struct ResponseJson<'a> {
    message: &'a str,
    status: &'a str,
}

/// The service of one replica. Cheap to clone: each connection has one.
#[derive(Clone, Debug)]
pub(super) struct ReplicaService {
    home: Bytes,
}

impl ReplicaService {
    /// The service of the replica with this name.
    pub(super) fn new(name: &str) -> Self {
        Self { home: json(&format!("Request routed to {name}"), "successful") }
    }

    /// Reads the request to its end, and returns the response.
    ///
    /// The body is discarded. A response before its end would close the connection, and keeping it
    /// would use memory.
    pub(super) async fn respond<B>(self, request: Request<B>) -> Result<Response<Full<Bytes>>, B::Error>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (head, mut body) = request.into_parts();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok(self.response(head.uri.path()))
    }

    /// The response to any method on `path`.
    fn response(&self, path: &str) -> Response<Full<Bytes>> {
        match path {
            "/home" => with_json(StatusCode::OK, self.home.clone()),
            "/heartbeat" => Response::new(Full::default()),
            other => with_json(StatusCode::BAD_REQUEST, unknown(other)),
        }
    }
}

fn unknown(path: &str) -> Bytes {
    json(&format!("<Error> '{path}' endpoint does not exist in server replicas"), "failure")
}

fn with_json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn json(message: &str, status: &str) -> Bytes {
    serde_json::to_vec(&ResponseJson { message, status }).expect("two strings are always JSON").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response<Full<Bytes>>) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn responses_are_golden() {
        let golden = [
            ("/home", 200, r#"{"message":"Request routed to Server 1","status":"successful"}"#),
            ("/heartbeat", 200, ""),
            (
                "/other",
                400,
                r#"{"message":"<Error> '/other' endpoint does not exist in server replicas","status":"failure"}"#,
            ),
            (
                "/home/",
                400,
                r#"{"message":"<Error> '/home/' endpoint does not exist in server replicas","status":"failure"}"#,
            ),
            (
                "/a\"b",
                400,
                r#"{"message":"<Error> '/a\"b' endpoint does not exist in server replicas","status":"failure"}"#,
            ),
        ];
        for (path, status, body) in golden {
            let response = ReplicaService::new("Server 1").response(path);
            assert_eq!(response.status().as_u16(), status, "{path}");
            assert_eq!(response.headers().contains_key(CONTENT_TYPE), !body.is_empty(), "{path}");
            assert_eq!(text(response).await, body);
        }
    }

    #[tokio::test]
    async fn a_query_is_not_part_of_the_path() {
        let request = |uri: &str| Request::get(uri).body(Full::<Bytes>::default()).unwrap();
        let service = ReplicaService::new("a");
        assert_eq!(service.clone().respond(request("/home?id=1")).await.unwrap().status(), StatusCode::OK);
        let other = service.respond(request("/x?secret=1")).await.unwrap();
        assert!(text(other).await.contains("'/x' endpoint"));
    }
}
