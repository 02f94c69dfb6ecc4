//! Header rules of the operator: what is removed, set and added on requests to replicas and on responses.
//!
//! They are checked when they are read. Fields that concern one connection, that frame a message, or that
//! the balancer sets itself are out of their reach ([`why_not`]).

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::forwarding::is_of_way;
use super::headers::REQUEST_ID;

/// What rules are applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Requests, on their way to a replica.
    Request,
    /// Responses, on their way to the client.
    Response,
}

/// One change of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderChange {
    /// All fields of that name go.
    Remove(HeaderName),
    /// There is one field of that name, with this value.
    Set(HeaderName, HeaderValue),
    /// There is one field more.
    Add(HeaderName, HeaderValue),
}

/// All rules, in the order in which they are applied.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HeaderRules {
    requests: Vec<HeaderChange>,
    responses: Vec<HeaderChange>,
    /// Those of the responses that hold for the balancer's own too.
    own: Vec<HeaderChange>,
}

impl HeaderRules {
    /// Adds a change of such messages; with `always` it holds for the balancer's own responses too.
    pub fn push(&mut self, message: Message, change: HeaderChange, always: bool) {
        if message == Message::Request {
            return self.requests.push(change);
        }
        if always {
            self.own.push(change.clone());
        }
        self.responses.push(change);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.responses.is_empty()
    }

    /// Changes the head of a request to a replica.
    #[cold]
    pub(crate) fn change_request(&self, headers: &mut HeaderMap) {
        apply(&self.requests, headers);
    }

    /// Changes the head of a replica's response.
    #[cold]
    pub(crate) fn change_response(&self, headers: &mut HeaderMap) {
        apply(&self.responses, headers);
    }

    /// Changes the head of a response of the balancer itself.
    #[cold]
    pub(crate) fn change_own(&self, headers: &mut HeaderMap) {
        apply(&self.own, headers);
    }
}

fn apply(changes: &[HeaderChange], headers: &mut HeaderMap) {
    for change in changes {
        match change {
            HeaderChange::Remove(name) => drop(headers.remove(name)),
            HeaderChange::Set(name, value) => drop(headers.insert(name, value.clone())),
            // A head can have 24,576 fields, and has far fewer: those of a client are limited.
            HeaderChange::Add(name, value) => _ = headers.try_append(name, value.clone()),
        }
    }
}

/// Why no rule may name this field, in words that stand behind its name; `None` if one may. `Host` may be
/// set on requests, and nothing else.
pub fn why_not(name: &HeaderName) -> Option<&'static str> {
    const OF_ONE_CONNECTION: [HeaderName; 7] =
        [CONNECTION, TE, TRAILER, UPGRADE, EXPECT, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION];
    let text = name.as_str();
    if OF_ONE_CONNECTION.contains(name) || matches!(text, "keep-alive" | "proxy-connection") {
        Some("concerns one connection, and is never passed on as it is")
    } else if [CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) {
        Some("says where a message ends")
    } else if *name == REQUEST_ID
        || is_of_way(name)
        || text.starts_with("x-ringherd-")
        || matches!(text, "traceparent" | "tracestate" | "x-client-cert-subject")
    {
        Some("is set or checked by the balancer itself")
    } else {
        None
    }
}

/// Whether a name is that of `Host`.
pub fn is_host(name: &HeaderName) -> bool {
    *name == HOST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HeaderName {
        text.parse().unwrap()
    }

    fn value(text: &str) -> HeaderValue {
        text.parse().unwrap()
    }

    #[test]
    fn rules_are_applied_in_order() {
        let mut rules = HeaderRules::default();
        let changes = [
            HeaderChange::Remove(name("server")),
            HeaderChange::Set(name("x-frame-options"), value("DENY")),
            HeaderChange::Add(name("vary"), value("cookie")),
            HeaderChange::Set(name("x-twice"), value("1")),
            HeaderChange::Remove(name("x-twice")),
        ];
        for change in changes {
            rules.push(Message::Response, change, false);
        }
        rules.push(Message::Response, HeaderChange::Set(name("x-always"), value("1")), true);
        let list = |headers: &HeaderMap| {
            let pair =
                |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
            let mut list: Vec<_> = headers.iter().map(pair).collect();
            list.sort();
            list
        };
        let mut headers = HeaderMap::new();
        for (field, text) in
            [("server", "a"), ("server", "b"), ("vary", "accept"), ("x-frame-options", "ALLOW")]
        {
            headers.append(name(field), value(text));
        }
        rules.change_response(&mut headers);
        let expected = ["vary: accept", "vary: cookie", "x-always: 1", "x-frame-options: DENY"];
        assert_eq!(list(&headers), expected);
        let mut own = HeaderMap::new();
        rules.change_own(&mut own);
        assert_eq!(list(&own), ["x-always: 1"]);
        let mut request = HeaderMap::new();
        rules.change_request(&mut request);
        assert!(request.is_empty());
    }

    #[test]
    fn what_the_balancer_relies_on_is_out_of_reach() {
        for text in [
            "connection",
            "keep-alive",
            "te",
            "trailer",
            "upgrade",
            "content-length",
            "transfer-encoding",
            "expect",
            "x-forwarded-for",
            "x-forwarded-proto",
            "forwarded",
            "x-real-ip",
            "via",
            "x-request-id",
            "x-ringherd-error",
            "x-client-cert-subject",
            "traceparent",
        ] {
            assert!(why_not(&name(text)).is_some(), "{text}");
        }
        for text in
            ["host", "server", "set-cookie", "authorization", "x-forwarder", "strict-transport-security"]
        {
            assert_eq!(why_not(&name(text)), None, "{text}");
        }
    }
}
