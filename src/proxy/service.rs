//! One request from its head to its response's head: answered by the balancer itself, or forwarded.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONNECTION, LOCATION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;

use super::apply_rules;
use super::connection::Connection;
use super::error::Failure;
use super::forwarding::WayFields;
use super::headers::REQUEST_ID;
use super::request::{ActiveRequest, End};
use super::response::{ReplicaBody, ResponseBody};
use super::timeline::Input;
use super::tunnel::Tunnel;
use super::upload::RequestBody;
use super::{LocalResponse, Origin, forward, redirect, websocket};

/// Begins a request and responds to it, whatever happens.
pub(crate) fn handle<B>(
    connection: &Rc<Connection>,
    request: Request<B>,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> + use<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let active = ActiveRequest::begin(connection, &request);
    let request = request.map(|body| RequestBody::of(body, active.state()));
    respond(active, request)
}

/// Responds to a request that was begun and says what it says as HTTP/1 does.
///
/// hyper moves the future of each request, whatever it waits for. So this is no `async fn`, which would keep room for
/// the request as it was given beside the room for what it makes of it.
pub(crate) fn respond(
    active: ActiveRequest,
    request: Request<RequestBody>,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> {
    let to_head = *request.method() == Method::HEAD;
    let mut request = Some(request);
    async move {
        if let Some(redirected) = request.as_ref().and_then(|request| redirected(request, &active)) {
            return Ok(ResponseBody::local(redirected, to_head, active));
        }
        if let Some(serving) = serve_locally(&active, &mut request) {
            let mut response = serving.await;
            close_where_due(&active, response.headers_mut());
            responds(&active, response.status());
            return Ok(ResponseBody::local(response, to_head, active));
        }
        let forwarded = forward::forward(&active, &mut request).await;
        active.connection().outbox.response_begins();
        Ok(match forwarded {
            Ok(mut response) => {
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    return Ok(switch(response, active));
                }
                responds(&active, response.status());
                close_where_due(&active, response.headers_mut());
                ResponseBody::replica(response, active)
            }
            Err(failure) => refuse(&failure, to_head, active, request.as_ref()),
        })
    }
}

/// A response with this status begins.
fn responds(active: &ActiveRequest, status: StatusCode) {
    active.record().responds(status.as_u16(), &active.connection().worker.recorder);
}

/// Takes a request that is for the balancer itself out of `request`, and serves it.
fn serve_locally(
    active: &ActiveRequest,
    request: &mut Option<Request<RequestBody>>,
) -> Option<LocalResponse> {
    let connection = active.connection();
    let local = connection.worker.local.as_deref()?;
    let is_ours = |request: &mut Request<RequestBody>| {
        local.claims(request.method(), request.uri().path())
            // Outsiders reach what is for this machine alone through a proxy on this machine.
            && (connection.is_trusted || !WayFields::of(request.headers()).tells_of_a_proxy())
            && *request.method() != Method::CONNECT
    };
    let request = request.take_if(is_ours)?;
    active.on(Input::Local);
    if request.headers().contains_key(UPGRADE) {
        active.offers_upgrade();
    }
    let origin = Origin {
        peer: connection.peer,
        is_secure: connection.tls.is_some(),
        invalid_target: connection.has_invalid_target(),
    };
    Some(local.serve(request, origin))
}

/// Our own response to a request that is not forwarded, of which `request` is what was not sent.
pub(super) fn refuse<B>(
    failure: &Failure,
    to_head: bool,
    active: ActiveRequest,
    request: Option<&Request<B>>,
) -> Response<ResponseBody> {
    tracing::debug!(peer = %active.connection().peer, %failure, "request not forwarded");
    // A status of gRPC comes with 200, which tells who connects that it may.
    if let Some(request) = request.filter(|request| !websocket::is_connect(request)) {
        active.may_be_call(request.headers());
    }
    let mut response = match active.call() {
        Some(call) => call.refuse(failure),
        None => failure.to_response(),
    }
    .map(Full::new);
    if let Some(id) = active.record().id() {
        response.headers_mut().insert(REQUEST_ID, id.clone());
    }
    apply_rules::to_own(&active, response.headers_mut());
    close_where_due(&active, response.headers_mut());
    if active.is_client_gone() {
        // Nobody gets the response.
        active.end(End::Aborted);
    } else {
        active.on(Input::Local);
        responds(&active, response.status());
        if let Some(reason) = failure.reason() {
            active.record().failed(reason);
        }
    }
    ResponseBody::local(response, to_head, active)
}

/// The response with 101 that the replica gave; behind it the connection becomes a tunnel, or the stream.
fn switch(response: Response<ReplicaBody>, active: ActiveRequest) -> Response<ResponseBody> {
    let (mut head, body) = response.into_parts();
    if active.connection().is_http2() {
        // What says the same there (RFC 8441, section 5).
        head.status = StatusCode::OK;
    }
    responds(&active, head.status);
    if let Some((in_flight, lease)) = body.into_exchange() {
        let connection = Rc::clone(active.connection());
        if in_flight.is_watched() {
            in_flight.went_well(&active.pool().outcomes);
        }
        connection.becomes(Tunnel::new(active, in_flight, lease));
    }
    Response::from_parts(head, ResponseBody::none())
}

/// Has the connection end behind the response to an upgrade, if this is not a 101, and behind the last
/// response that it may have. What the client has sent before it saw that an upgrade is refused was meant
/// for another protocol, and may look like a request. When it was sent cannot be told from when it comes.
fn close_where_due(active: &ActiveRequest, headers: &mut HeaderMap) {
    let connection = active.connection();
    if active.is_offering_upgrade() || connection.is_used_up() {
        connection.ends_behind_response();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Sends a request on to HTTPS, if it is to come that way. Its method and body are to be sent again there.
fn redirected<B>(request: &Request<B>, active: &ActiveRequest) -> Option<Response<Full<Bytes>>> {
    let connection = active.connection();
    let port = connection.worker.config().https_port.filter(|_| connection.tls.is_none())?;
    if connection.is_trusted && redirect::came_over_tls(request.headers()) {
        return None;
    }
    let mut response = Response::new(Full::default());
    match redirect::location(request, port) {
        Ok(location) => {
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, location);
        }
        Err(failure) => {
            if let Some(reason) = failure.reason() {
                active.record().failed(reason);
            }
            response = failure.to_response().map(Full::new);
        }
    }
    apply_rules::to_own(active, response.headers_mut());
    if request.headers().contains_key(UPGRADE) {
        active.offers_upgrade();
    }
    close_where_due(active, response.headers_mut());
    active.on(Input::Local);
    responds(active, response.status());
    Some(response)
}
