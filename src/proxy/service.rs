//! One request from its head to its answer's head.

use std::convert::Infallible;
use std::rc::Rc;

use http::{Request, Response};
use hyper::body::Incoming;

use super::answer::AnswerBody;
use super::client::Client;
use super::{Origin, forward};

/// Answers a request, whatever happens.
pub(crate) async fn handle(
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    client.progress.request_began();
    let worker = &client.worker;
    if let Some(local) = worker.local.as_deref()
        && local.claims(request.method(), request.uri().path())
    {
        let origin = Origin { peer: client.peer, flawed_target: client.progress.is_target_flawed() };
        let answer = local.serve(request, origin).await;
        return Ok(answer.map(|body| AnswerBody::local(body, Rc::clone(&client.progress))));
    }
    Ok(forward::forward(&client, request).await.unwrap_or_else(|failure| {
        tracing::debug!(peer = %client.peer, %failure, "request not forwarded");
        failure.to_response().map(|body| AnswerBody::local(body, Rc::clone(&client.progress)))
    }))
}
