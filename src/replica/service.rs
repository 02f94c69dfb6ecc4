//! What a replica answers: a pure function of its name and the path, around it the request body.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde::Serialize;

/// The object of every answer with a body; the order of its fields is that of the JSON text.
#[derive(Serialize)]
struct Answer<'a> {
    message: &'a str,
    status: &'a str,
}

/// The answers of one replica. Cheap to clone: one for each connection.
#[derive(Clone, Debug)]
pub(super) struct Replies {
    home: Bytes,
}

impl Replies {
    /// The answers of the replica with this name.
    pub(super) fn new(name: &str) -> Self {
        Self { home: json(&format!("Request routed to {name}"), "successful") }
    }

    /// Reads the request to its end and answers it.
    ///
    /// The body is dropped frame by frame: an answer before its end would cost the connection,
    /// and to keep it would cost memory.
    pub(super) async fn respond<B>(self, request: Request<B>) -> Result<Response<Full<Bytes>>, B::Error>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (head, mut body) = request.into_parts();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok(self.answer(head.uri.path()))
    }

    /// The answer to any method on `path`.
    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
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
    serde_json::to_vec(&Answer { message, status }).expect("two strings are always JSON").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response<Full<Bytes>>) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn answers_are_golden() {
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
            let response = Replies::new("Server 1").answer(path);
            assert_eq!(response.status().as_u16(), status, "{path}");
            assert_eq!(response.headers().contains_key(CONTENT_TYPE), !body.is_empty(), "{path}");
            assert_eq!(text(response).await, body);
        }
    }

    #[tokio::test]
    async fn a_query_is_not_part_of_the_path() {
        let request = |uri: &str| Request::get(uri).body(Full::<Bytes>::default()).unwrap();
        let replies = Replies::new("a");
        assert_eq!(replies.clone().respond(request("/home?id=1")).await.unwrap().status(), StatusCode::OK);
        let other = replies.respond(request("/x?secret=1")).await.unwrap();
        assert!(text(other).await.contains("'/x' endpoint"));
    }
}
