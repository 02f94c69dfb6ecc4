//! Routes requests by path and method. Paths are compared as sent: nothing is decoded or normalized,
//! so that this router and the data plane cannot disagree about a path.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

use super::error::{Reason, Refusal};

/// Longest part of a path that a response quotes, in characters.
const MAX_QUOTED: usize = 100;

/// The listener that a request was received on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// That of the data plane, which serves only [`is_public_route`].
    Public,
    /// That of the admin API.
    Admin,
}

/// A resource that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// The dashboard.
    Page,
    /// All pools.
    Pools,
    Replicas,
    Ring,
    Sectors,
    /// The deploy that is under way, or the last one.
    Deploy,
    /// The last two minutes.
    Statistics,
    Version,
    Metrics,
    /// The `OpenAPI` document.
    Document,
    /// The stream of the journal.
    Events,
    /// What the replica of this name writes.
    Log(String),
    Alive,
    Ready,
}

impl Read {
    /// Whether it is for probes, which need no token and may use any host.
    pub(super) fn is_probe(&self) -> bool {
        matches!(self, Self::Alive | Self::Ready)
    }
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Write {
    Add,
    Remove,
    Ring,
    /// Sets the weight of the replica of this name.
    Weight(String),
    /// Kills the replica of this name.
    Kill(String),
    Deploy,
    Promote,
    AbortDeploy,
}

impl Write {
    /// Whether the path names a replica.
    pub(super) fn names_replica(&self) -> bool {
        matches!(self, Self::Weight(_) | Self::Kill(_))
    }

    /// Whether it says all that there is to say without a body. A page of another origin cannot send such a request
    /// unasked: its method is none of those of forms.
    pub(super) fn needs_no_body(&self) -> bool {
        matches!(self, Self::AbortDeploy)
    }
}

/// A route of the admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Read(Read),
    Write(Write),
}

/// Whether a request on the public listener is for the admin API: exactly `GET /rep`, `POST /add` or
/// `DELETE /rm`, with the path as sent and without the query. All others are routed to replicas. Runs
/// for every request, so the length is compared first.
#[inline]
pub fn is_public_route(method: &Method, path: &str) -> bool {
    match path.len() {
        3 => path == "/rm" && *method == Method::DELETE,
        4 => (path == "/rep" && *method == Method::GET) || (path == "/add" && *method == Method::POST),
        _ => false,
    }
}

/// A route, and the pool that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// As its path names it; `None` for the first, or where it is about all.
    pub(super) pool: Option<String>,
    pub(super) route: Route,
}

/// The route of a request: 404 for an unknown path, 405 for a known one with a wrong method.
pub(super) fn find(listener: Listener, method: &Method, path: &str) -> Result<Found, Refusal> {
    if listener == Listener::Public && !is_public_route(method, path) {
        return Err(not_found(path));
    }
    let Some(rest) = path.strip_prefix("/pools/") else {
        return find_route(method, path).map(|route| Found { pool: None, route });
    };
    // The rest is a path like those that are about the first pool.
    let end = rest.find('/').ok_or_else(|| not_found(path))?;
    match find_route(method, &rest[end..]) {
        Ok(route) if route.is_of_one_pool() => Ok(Found { pool: Some(decode(&rest[..end])?), route }),
        Err(refusal) if refusal.is_about_method() => Err(refusal),
        _ => Err(not_found(path)),
    }
}

/// Whether a path of the admin API names a pool that it is about.
pub(super) fn is_of_one_pool(method: &Method, path: &str) -> bool {
    find(Listener::Admin, method, path).is_ok_and(|found| found.pool.is_some())
}

impl Route {
    /// Whether it is about one pool.
    fn is_of_one_pool(&self) -> bool {
        match self {
            Self::Read(read) => matches!(
                read,
                Read::Replicas | Read::Ring | Read::Sectors | Read::Log(_) | Read::Deploy | Read::Statistics
            ),
            Self::Write(_) => true,
        }
    }
}

fn find_route(method: &Method, path: &str) -> Result<Route, Refusal> {
    match path {
        "/" => read(method, Read::Page),
        "/rep" => read(method, Read::Replicas),
        "/add" => write(method, &Method::POST, Write::Add),
        "/rm" => write(method, &Method::DELETE, Write::Remove),
        // The paths with reads and changes.
        "/ring" if *method == Method::PUT => Ok(Route::Write(Write::Ring)),
        "/ring" => read(method, Read::Ring).map_err(|_| Refusal::method("GET, HEAD, PUT")),
        "/deploy" if *method == Method::POST => Ok(Route::Write(Write::Deploy)),
        "/deploy" if *method == Method::DELETE => Ok(Route::Write(Write::AbortDeploy)),
        "/deploy" => read(method, Read::Deploy).map_err(|_| Refusal::method("GET, HEAD, POST, DELETE")),
        "/deploy/promote" => write(method, &Method::POST, Write::Promote),
        "/pools" => read(method, Read::Pools),
        "/metrics" => read(method, Read::Metrics),
        "/events" => stream(method, Read::Events),
        "/openapi.json" => read(method, Read::Document),
        "/ring/sectors" => read(method, Read::Sectors),
        "/statistics" => read(method, Read::Statistics),
        "/version" => read(method, Read::Version),
        "/healthz" => read(method, Read::Alive),
        "/readyz" => read(method, Read::Ready),
        _ => match path.strip_prefix("/replicas/").map(|rest| rest.split_once('/').unwrap_or((rest, ""))) {
            Some((name, "")) if !name.is_empty() && !path.ends_with('/') => {
                write(method, &Method::PUT, Write::Weight(decode(name)?))
            }
            Some((name, "kill")) if !name.is_empty() => {
                write(method, &Method::POST, Write::Kill(decode(name)?))
            }
            Some((name, "log")) if !name.is_empty() => stream(method, Read::Log(decode(name)?)),
            _ => Err(not_found(path)),
        },
    }
}

fn read(method: &Method, what: Read) -> Result<Route, Refusal> {
    match *method {
        Method::GET | Method::HEAD => Ok(Route::Read(what)),
        _ => Err(Refusal::method("GET, HEAD")),
    }
}

/// No HEAD: a stream has no length.
fn stream(method: &Method, what: Read) -> Result<Route, Refusal> {
    if *method == Method::GET { Ok(Route::Read(what)) } else { Err(Refusal::method("GET")) }
}

fn write(method: &Method, right: &Method, what: Write) -> Result<Route, Refusal> {
    if method == right { Ok(Route::Write(what)) } else { Err(Refusal::method(right.as_str())) }
}

fn not_found(path: &str) -> Refusal {
    let quoted: String = path.chars().take(MAX_QUOTED).collect();
    Refusal::new(Reason::NotFound, format!("'{quoted}' is not a path of the admin API"))
}

/// Percent-decodes `segment`, once. Stricter than the library, which keeps a `%` without two digits.
fn decode(segment: &str) -> Result<String, Refusal> {
    let begins_with_digits =
        |rest: &str| rest.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    if !segment.split('%').skip(1).all(begins_with_digits) {
        return Err(bad_name());
    }
    percent_decode_str(segment).decode_utf8().map(Cow::into_owned).map_err(|_| bad_name())
}

fn bad_name() -> Refusal {
    Refusal::new(Reason::BadRequest, "the name in the path is not percent-encoded UTF-8, such as Server%201")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_requests_are_public_and_nothing_near_them() {
        let public = [(Method::GET, "/rep"), (Method::POST, "/add"), (Method::DELETE, "/rm")];
        for (method, path) in &public {
            assert!(is_public_route(method, path), "{method} {path}");
            for near in [
                format!("/{path}"),
                format!("{path}/"),
                format!("/.{path}"),
                format!("/x/..{path}"),
                format!("{path};x"),
                format!("{path}%00"),
                format!("/\\{}", &path[1..]),
                format!("/%{:02x}{}", path.as_bytes()[1], &path[2..]),
                path.to_uppercase(),
                path[1..].to_owned(),
            ] {
                assert!(!is_public_route(method, &near), "{method} {near}");
            }
        }
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE, Method::OPTIONS]
        {
            for path in ["/rep", "/add", "/rm", "/ring", "/version", "", "/"] {
                let listed = public.contains(&(method.clone(), path));
                assert_eq!(is_public_route(&method, path), listed, "{method} {path}");
            }
        }
    }

    #[test]
    fn the_public_listener_serves_nothing_but_the_public_routes() {
        for path in
            ["/", "/ring", "/ring/sectors", "/statistics", "/version", "/healthz", "/readyz", "/replicas/a"]
        {
            for method in [Method::GET, Method::PUT] {
                let refusal = find(Listener::Public, &method, path).unwrap_err();
                assert_eq!(refusal.reason, Reason::NotFound, "{method} {path}");
            }
        }
    }

    #[test]
    fn names_in_paths_are_decoded_once() {
        let cases = [
            ("S4", Some("S4")),
            ("Server%201", Some("Server 1")),
            ("a%2Fb", Some("a/b")),
            ("a%2fb", Some("a/b")),
            ("Server%25201", Some("Server%201")),
            ("a+b", Some("a+b")),
            ("%C3%BC", Some("ü")),
            ("%C3", None),
            ("a%", None),
            ("a%2", None),
            ("a%+1", None),
            ("a%zz", None),
        ];
        for (segment, name) in cases {
            let route = find(Listener::Admin, &Method::PUT, &format!("/replicas/{segment}")).ok();
            let weight = |name: &str| Route::Write(Write::Weight(name.to_owned()));
            let found = |name: &str| Found { pool: None, route: weight(name) };
            assert_eq!(route, name.map(found), "{segment}");
        }
    }

    #[test]
    fn a_path_may_name_a_pool() {
        let found = |method: &Method, path: &str| find(Listener::Admin, method, path);
        for (method, path, route) in [
            (Method::GET, "/rep", Route::Read(Read::Replicas)),
            (Method::POST, "/add", Route::Write(Write::Add)),
            (Method::DELETE, "/rm", Route::Write(Write::Remove)),
            (Method::PUT, "/ring", Route::Write(Write::Ring)),
            (Method::POST, "/replicas/S%201/kill", Route::Write(Write::Kill("S 1".to_owned()))),
            (Method::GET, "/replicas/S%201/log", Route::Read(Read::Log("S 1".to_owned()))),
            (Method::GET, "/deploy", Route::Read(Read::Deploy)),
            (Method::GET, "/statistics", Route::Read(Read::Statistics)),
            (Method::POST, "/deploy", Route::Write(Write::Deploy)),
            (Method::DELETE, "/deploy", Route::Write(Write::AbortDeploy)),
            (Method::POST, "/deploy/promote", Route::Write(Write::Promote)),
        ] {
            assert_eq!(found(&method, path), Ok(Found { pool: None, route: route.clone() }));
            let of_pool = Found { pool: Some("web".to_owned()), route };
            assert_eq!(found(&method, &format!("/pools/web{path}")), Ok(of_pool), "{path}");
        }
        for path in
            ["/pools/web", "/pools/", "/pools//", "/pools/web/", "/pools/web/metrics", "/pools/web/pools"]
        {
            assert_eq!(
                found(&Method::GET, path).map_err(|refusal| refusal.reason),
                Err(Reason::NotFound),
                "{path}"
            );
        }
        let wrong = found(&Method::GET, "/pools/web/add").map_err(|refusal| refusal.reason);
        assert_eq!(wrong, Err(Reason::MethodNotAllowed));
    }
}
