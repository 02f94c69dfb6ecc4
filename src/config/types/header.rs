//! Lines and names of header rules.

use http::{HeaderName, HeaderValue};

use crate::config::model::Refusal;
use crate::proxy::{is_host, why_not};

/// The name of a field that rules may change.
fn name(text: &str) -> Result<HeaderName, Refusal> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        Refusal::new(format!("'{text}' is not the name of a header field"))
            .hint("use letters, digits and '-', without spaces")
    })?;
    match why_not(&name) {
        Some(why) => Err(Refusal::new(format!("{name} {why}")).hint("leave it out")),
        None => Ok(name),
    }
}

/// `Name: value`, taken apart.
pub(in crate::config) fn line(text: &str) -> Result<(HeaderName, HeaderValue), Refusal> {
    let (before, after) =
        text.split_once(':').ok_or_else(|| Refusal::new("has no ':'").hint("as in X-Frame-Options: DENY"))?;
    let name = name(before)?;
    let value = after.trim_matches([' ', '\t']);
    let value = HeaderValue::from_str(value).ok().filter(|value| value.to_str().is_ok());
    let value = value.ok_or_else(|| {
        Refusal::new("has a value that is not of visible ASCII characters, spaces and tabs")
    })?;
    let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if is_host(&name) && (value.is_empty() || !value.as_bytes().iter().copied().all(is_of_host)) {
        return Err(Refusal::new("sets Host to what is no host").hint("as in Host: app.internal:8080"));
    }
    Ok((name, value))
}

/// A line that is set.
pub(in crate::config) fn set(text: &str) -> Result<String, Refusal> {
    line(text).map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default()))
}

/// A line that is added.
pub(in crate::config) fn add(text: &str) -> Result<String, Refusal> {
    let (name, _) = line(text)?;
    if is_host(&name) {
        return Err(Refusal::new("there is exactly one Host").hint("put it under set"));
    }
    set(text)
}

/// A name that is removed.
pub(in crate::config) fn remove(text: &str) -> Result<String, Refusal> {
    let name = name(text)?;
    if is_host(&name) {
        return Err(Refusal::new("no request is without Host").hint("put another one under set"));
    }
    Ok(name.to_string())
}
