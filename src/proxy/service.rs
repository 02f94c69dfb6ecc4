//! One request from its head to its response's head: answered by the balancer itself, or forwarded.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONNECTION, LOCATION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::Full;

use super::connection::Connection;
use super::error::Failure;
use super::forwarding::WayFields;
use super::headers::REQUEST_ID;
use super::request::{ActiveRequest, End};
use super::response::{ReplicaBody, ResponseBody};
use super::timeline::Input;
use super::tunnel::Tunnel;
use super::upload::RequestBody;
use super::{Origin, forward, http2, redirect};

/// Begins a request and responds to it, whatever happens.
pub(crate) fn handle<B>(
    connection: Rc<Connection>,
    request: Request<B>,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let active = ActiveRequest::begin(&connection, &request);
    respond(connection, active, request)
}

/// Responds to a request that was begun.
pub(crate) async fn respond<B>(
    connection: Rc<Connection>,
    active: ActiveRequest,
    request: Request<B>,
) -> Result<Response<ResponseBody>, Infallible>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let recorder = &connection.worker.recorder;
    let mut request = request.map(RequestBody::new);
    request.body_mut().belongs_to(active.state());
    if request.version() == Version::HTTP_2
        && let Err(failure) = http2::to_http1(&mut request)
    {
        let to_head = *request.method() == Method::HEAD;
        return Ok(failed(&failure, to_head, active, Some(&request)));
    }
    let https = connection.worker.config().https_port.filter(|_| connection.tls.is_none());
    if let Some(port) = https
        && !(connection.is_trusted && redirect::came_over_tls(request.headers()))
    {
        return Ok(redirected(&request, port, active));
    }
    if let Some(local) = connection.worker.local.as_deref()
        && local.claims(request.method(), request.uri().path())
        // Outsiders reach what is for this machine alone through a proxy on this machine.
        && (connection.is_trusted || !WayFields::of(request.headers()).tells_of_a_proxy())
    {
        active.on(Input::Local);
        let origin = Origin {
            peer: connection.peer,
            is_secure: connection.tls.is_some(),
            invalid_target: connection.has_invalid_target(),
        };
        let to_head = *request.method() == Method::HEAD;
        if request.headers().contains_key(UPGRADE) {
            active.offers_upgrade();
        }
        let mut response = local.serve(request, origin).await;
        close_where_due(&active, response.headers_mut());
        active.record().responds(response.status().as_u16(), recorder);
        return Ok(ResponseBody::local(response, to_head, active));
    }
    let to_head = *request.method() == Method::HEAD;
    let mut request = Some(request);
    Ok(match forward::forward(&active, &mut request).await {
        Ok(mut response) => {
            active.record().responds(response.status().as_u16(), recorder);
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(switch(response, active));
            }
            close_where_due(&active, response.headers_mut());
            ResponseBody::replica(response, active)
        }
        Err(failure) => failed(&failure, to_head, active, request.as_ref()),
    })
}

/// Applies the header rules that hold for responses of our own.
fn change_own(active: &ActiveRequest, headers: &mut HeaderMap) {
    if let Some(rules) = &active.connection().worker.config().header_rules {
        rules.change_own(headers);
    }
}

/// Our own response to a request that is not forwarded, of which `request` is what was not sent.
fn failed<B>(
    failure: &Failure,
    to_head: bool,
    active: ActiveRequest,
    request: Option<&Request<B>>,
) -> Response<ResponseBody> {
    tracing::debug!(peer = %active.connection().peer, %failure, "request not forwarded");
    if let Some(request) = request {
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
    change_own(&active, response.headers_mut());
    close_where_due(&active, response.headers_mut());
    if active.is_client_gone() {
        // Nobody gets the response.
        active.end(End::Aborted);
    } else {
        active.on(Input::Local);
        active.record().responds(response.status().as_u16(), &active.connection().worker.recorder);
        active.record().failed(failure.reason());
    }
    ResponseBody::local(response, to_head, active)
}

/// The response with 101 that the replica gave; behind it the connection becomes a tunnel.
fn switch(response: Response<ReplicaBody>, active: ActiveRequest) -> Response<ResponseBody> {
    let (head, body) = response.into_parts();
    if let Some((in_flight, lease)) = body.into_exchange() {
        let connection = Rc::clone(active.connection());
        if in_flight.is_watched() {
            in_flight.went_well(&connection.worker.outcomes);
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

/// Sends a request on to HTTPS. Its method and body are to be sent again there.
fn redirected<B>(request: &Request<B>, port: u16, active: ActiveRequest) -> Response<ResponseBody> {
    let mut response = Response::new(Full::default());
    match redirect::location(request, port) {
        Ok(location) => {
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, location);
        }
        Err(failure) => {
            active.record().failed(failure.reason());
            response = failure.to_response().map(Full::new);
        }
    }
    change_own(&active, response.headers_mut());
    if request.headers().contains_key(UPGRADE) {
        active.offers_upgrade();
    }
    close_where_due(&active, response.headers_mut());
    active.on(Input::Local);
    active.record().responds(response.status().as_u16(), &active.connection().worker.recorder);
    ResponseBody::local(response, *request.method() == Method::HEAD, active)
}
