//! Where there are routes: which pool a request goes to, or where its client is sent instead.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Uri, Version};

use super::error::{Failure, Redirection};
use super::request::ActiveRequest;
use super::route::{self, Key};
use super::upload::RequestBody;
use crate::cluster::KeySource;
use crate::routes::{Action, Route, Routes};

/// Has a request go to the pool of its route, with the path that its replica is to see. Its key, where that is
/// taken from the request as it came: where several pools share a route, and where the path is the key and
/// changes. Then the key of the first pool says which of them it goes to: so a client stays on its side, and
/// takes its session with it.
///
/// # Errors
/// No route is for it, it is one that a replica may read as a request of another route, or it is redirected.
#[inline]
pub(super) fn follow_route(
    active: &ActiveRequest,
    request: &mut Request<RequestBody>,
    host: Option<&str>,
    id: &HeaderValue,
    address_key: u64,
) -> Result<Option<Key>, Failure> {
    if active.connection().worker.reader.with(|snapshot| snapshot.routes().is_none()) {
        active.goes_to(0);
        return Ok(None);
    }
    follow(active, request, host, id, address_key)
}

// Not where requests without routes pass.
#[inline(never)]
fn follow(
    active: &ActiveRequest,
    request: &mut Request<RequestBody>,
    host: Option<&str>,
    id: &HeaderValue,
    address_key: u64,
) -> Result<Option<Key>, Failure> {
    let reader = &active.connection().worker.reader;
    let (key, target) = reader.with(|snapshot| {
        let Some(routes) = snapshot.routes() else { return Ok((None, None)) };
        let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let forward = match action(routes, host.unwrap_or_default(), target)? {
            Action::Forward(forward) => forward,
            Action::Redirect(redirect) => {
                let location = HeaderValue::try_from(redirect.location(target));
                let location = location.map_err(|_| Failure::BadRequest("its target cannot be sent back"))?;
                let status = redirect.status().code();
                return Err(Failure::Redirected(Box::new(Redirection { status, location })));
            }
        };
        let mut pools = forward.split.pools();
        let first = pools.next().map_or(0, |(pool, _)| pool);
        active.goes_to(first);
        let source = &snapshot.pool(first).routing().key;
        let (is_split, strips) = (pools.next().is_some(), forward.strips());
        let is_path = matches!(source, KeySource::Path | KeySource::Uri);
        let key =
            (is_split || strips && is_path).then(|| route::key(active, source, request, id, address_key));
        if let Some(key) = key.as_ref().filter(|_| is_split) {
            active.goes_to(forward.split.side(key.hash));
        }
        active.record().routed(&active.pool().name);
        // A connection of HTTP/2 is not any one pool's.
        if request.version() < Version::HTTP_2 {
            active.take_connection()?;
        }
        if let Some(name) = &forward.name
            && let Some(rules) = active.connection().worker.config().route_rules.get(name)
        {
            active.has_rules(Arc::clone(rules));
        }
        if forward.timeouts.are_any() {
            active.is_limited(forward.timeouts);
        }
        Ok((key, strips.then(|| forward.target(target).into_owned())))
    })?;
    if let Some(target) = target {
        set_target(request, &target)?;
    }
    Ok(key)
}

/// What the route of a request does.
fn action<'a>(routes: &'a Routes, host: &str, target: &str) -> Result<&'a Action, Failure> {
    if let Some(why) = routes.ambiguity(host, target) {
        return Err(Failure::AmbiguousPath(why));
    }
    routes.find(host, target).map(Route::action).ok_or(Failure::NoRoute)
}

/// Has the request ask for another path and query at the same host.
fn set_target(request: &mut Request<RequestBody>, target: &str) -> Result<(), Failure> {
    const BAD: Failure = Failure::BadRequest("its target is not a path behind that of its route");
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).map_err(|_| BAD)?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| BAD)?;
    Ok(())
}
