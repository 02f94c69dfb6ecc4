//! The dashboard's page: who may open it, and what its headers allow it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use sha2::{Digest, Sha256};

use super::script::{Bench, CONTEXT, Call, Got};
use crate::admin::{AdminConfig, Context, Listener};

fn locked() -> Bench {
    Bench::new(
        AdminConfig {
            token: Some("s3cret".to_owned()),
            hosts: vec!["lb.example".to_owned()],
            ..AdminConfig::default()
        },
        Ok(&[]),
    )
}

/// The one piece of `text` between `open` and `close`.
fn between<'a>(text: &'a str, open: &str, close: &str) -> &'a str {
    assert_eq!((text.matches(open).count(), text.matches(close).count()), (1, 1), "{open} and {close}");
    let (_, rest) = text.split_once(open).unwrap();
    rest.split_once(close).unwrap().0
}

fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

/// The value of a directive of the page's policy.
fn directive(got: &Got, name: &str) -> Option<String> {
    let policy = got.header("content-security-policy").expect("a policy");
    let mut directives = policy.split(';').map(str::trim);
    directives.find_map(|directive| Some(directive.strip_prefix(name)?.strip_prefix(' ')?.to_owned()))
}

#[tokio::test]
async fn the_policy_allows_the_script_and_the_style_in_the_page_and_nothing_else() {
    let got = locked().send(Call::new("GET", "/")).await;
    assert_eq!(got.status, StatusCode::OK);
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
    for (name, value) in [
        ("default-src", "'none'"),
        ("script-src", &source(between(&got.text, "<script type=\"module\">", "</script>"))),
        ("style-src", &source(between(&got.text, "<style>", "</style>"))),
        ("connect-src", "'self'"),
        ("img-src", "data:"),
        ("base-uri", "'none'"),
        ("form-action", "'none'"),
        ("frame-ancestors", "'none'"),
    ] {
        assert_eq!(directive(&got, name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn the_page_is_whole_and_holds_nothing_that_its_policy_forbids() {
    let text = locked().send(Call::new("GET", "/")).await.text;
    assert!(text.starts_with("<!doctype html>\n") && text.ends_with("</html>\n"));
    assert!(!text.contains("{{"), "a part is missing");
    for forbidden in
        [" style=\"", " onclick=", " onload=", "javascript:", "innerHTML", "src=\"http", "@import"]
    {
        assert!(!text.contains(forbidden), "{forbidden}");
    }
    // An HTML parser in a script goes astray after this.
    assert!(!between(&text, "<script type=\"module\">", "</script>").contains("<!--"));
}

/// An edge may serve the page below a path, where the root is somebody else's.
#[tokio::test]
async fn the_page_asks_for_nothing_from_the_root() {
    let text = locked().send(Call::new("GET", "/")).await.text;
    let script = between(&text, "<script type=\"module\">", "</script>");
    assert!(script.contains("fetch(under("), "every request is made below the page");
    for (at, call) in script.match_indices("fetch(").chain(script.match_indices("call('")) {
        let line = script[at..].lines().next().unwrap();
        assert!(!line.contains("'/") && !line.contains("`/"), "{call}: {line}");
    }
    for attribute in ["href=\"/", "src=\"/", "action=\"/"] {
        assert!(!text.contains(attribute), "{attribute}");
    }
}

#[tokio::test]
async fn the_page_needs_no_token_and_may_be_linked_to_but_what_it_asks_for_needs_all() {
    let bench = locked();
    for page in [
        Call::new("GET", "/"),
        Call::new("HEAD", "/"),
        Call::new("GET", "/?x"),
        Call::new("GET", "/").host("LB.example"),
        Call::new("GET", "/").with("sec-fetch-site", "cross-site").with("sec-fetch-mode", "navigate"),
        Call::new("GET", "/").with("origin", "http://evil.example"),
    ] {
        assert_eq!(bench.send(page.clone()).await.status, StatusCode::OK, "{page:?}");
    }
    for path in ["/ring", "/ring/sectors", "/statistics"] {
        assert_eq!(bench.send(Call::new("GET", path)).await.status, StatusCode::UNAUTHORIZED, "{path}");
        let call = Call::new("GET", path).with("authorization", "Bearer s3cret");
        assert_eq!(bench.send(call.clone()).await.status, StatusCode::OK, "{path}");
        let foreign = bench.send(call.with("sec-fetch-site", "cross-site")).await;
        assert_eq!(foreign.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn the_page_is_for_requests_to_this_balancer_by_the_admin_listener() {
    let bench = locked();
    let flawed = Context { flawed_target: true, ..CONTEXT };
    let public = Context { listener: Listener::Public, ..CONTEXT };
    for (call, status) in [
        // A name that was made to resolve to our address.
        (Call::new("GET", "/").host("evil.example"), 421),
        (Call::new("GET", "/").without("host"), 400),
        (Call::new("GET", "/").context(flawed), 400),
        (Call::new("POST", "/").with("authorization", "Bearer s3cret"), 405),
        (Call::new("POST", "/"), 401),
        (Call::new("GET", "//"), 401),
        (Call::new("GET", "//").with("authorization", "Bearer s3cret"), 404),
        (Call::new("GET", "/").context(public).with("authorization", "Bearer s3cret"), 404),
    ] {
        let got = bench.send(call.clone()).await;
        assert_eq!(got.status.as_u16(), status, "{call:?}");
        assert_eq!(got.header("content-security-policy"), None, "{call:?}");
    }
}
