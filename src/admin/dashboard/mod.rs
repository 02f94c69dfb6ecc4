//! The dashboard: one page that asks the admin API for everything it shows.
//!
//! The page is assembled once from files that are compiled in, and is the same for every client: it
//! contains neither the cluster nor the token. Its policy allows its own style and script, by their
//! hashes, and requests to its own origin, and nothing else. So the script sets no style attributes,
//! and shows names as text, never as markup.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response};
use sha2::{Digest, Sha256};

use super::response::AdminResponse;
use super::response_body::Body;

/// The page, with the placeholders `{{style}}` and `{{script}}`.
const FRAME: &str = include_str!("page.html");

const STYLE: &str = include_str!("style.css");

/// One module for the browser, in several files. Functions are hoisted; only the last file, which
/// starts the page, has to be the last.
const SCRIPT: &str = concat!(
    include_str!("script/dom.js"),
    include_str!("script/state.js"),
    include_str!("script/pools.js"),
    include_str!("script/api.js"),
    include_str!("script/stream.js"),
    include_str!("script/ring.js"),
    include_str!("script/charts.js"),
    include_str!("script/replicas.js"),
    include_str!("script/timeline.js"),
    include_str!("script/deploy.js"),
    include_str!("script/log.js"),
    include_str!("script/dialogs.js"),
    include_str!("script/forms.js"),
    include_str!("script/start.js"),
);

/// Keeps a page of another origin from accessing the window that it opened.
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The assembled page, and its content security policy.
struct Page {
    text: Bytes,
    policy: HeaderValue,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| Page {
    text: Bytes::from(FRAME.replace("{{style}}", STYLE).replace("{{script}}", SCRIPT)),
    policy: HeaderValue::from_str(&policy()).expect("base64 and ASCII words"),
});

/// The response with the page.
pub(super) fn page() -> AdminResponse {
    let mut response = Response::new(Body::from(PAGE.text.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, PAGE.policy.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// The content security policy. Images from `data:` URLs are for the icon in the browser's tab.
fn policy() -> String {
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'",
        hash(SCRIPT),
        hash(STYLE),
    )
}

/// SHA-256 in base64, as Content Security Policy Level 3 has it (section 2.3.1).
fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}
