//! One request from its head to its answer's head.

use std::convert::Infallible;
use std::rc::Rc;

use http::{Request, Response};
use hyper::body::Incoming;

use super::answer::AnswerBody;
use super::client::Client;
use super::exchange::Exchange;
use super::{Origin, forward};

/// Answers a request, whatever happens.
pub(crate) async fn handle(
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    client.progress.request_began();
    let mut exchange = Exchange::begin(Rc::clone(&client), &request);
    let worker = &client.worker;
    if let Some(local) = worker.local.as_deref()
        && local.claims(request.method(), request.uri().path())
    {
        let origin = Origin { peer: client.peer, flawed_target: client.progress.is_target_flawed() };
        let answer = local.serve(request, origin).await;
        exchange.answers(answer.status().as_u16());
        return Ok(answer.map(|body| AnswerBody::local(body, exchange)));
    }
    Ok(match forward::forward(&client, request, &mut exchange).await {
        Ok(answer) => {
            exchange.answers(answer.status().as_u16());
            answer.map(|body| AnswerBody::replica(body, exchange))
        }
        Err(failure) => {
            tracing::debug!(peer = %client.peer, %failure, "request not forwarded");
            let answer = failure.to_response();
            exchange.answers(answer.status().as_u16());
            exchange.failed(failure.reason());
            answer.map(|body| AnswerBody::local(body, exchange))
        }
    })
}
