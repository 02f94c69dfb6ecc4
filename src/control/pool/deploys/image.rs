//! Images that a request may name.

/// What may stand behind the allowed part of an image's name.
fn is_rest(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:/@".contains(&b))
}

/// Whether an image may be deployed because its name begins with one of `prefixes`, as a whole word, and says by tag
/// or digest which one is meant: without one it would be `latest`, which is another one tomorrow.
///
/// # Errors
/// Why not, as the end of a sentence.
pub(super) fn check(image: &str, prefixes: &[String]) -> Result<(), &'static str> {
    let is_of = |prefix: &String| {
        image.strip_prefix(prefix.as_str()).is_some_and(|rest| {
            let is_whole = prefix.ends_with(['/', ':', '@']) || rest.starts_with(['/', ':', '@']);
            is_whole && is_rest(rest)
        })
    };
    if !prefixes.iter().any(is_of) {
        return Err("is not one that may be deployed (--deploy-images)");
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    let (_, mark) = last.split_once([':', '@']).unwrap_or((last, ""));
    if mark.is_empty() { Err("has neither a tag nor a digest") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_begins_with_an_allowed_word_and_has_a_tag_is_deployed() {
        let prefixes =
            ["registry.example.org/shop".to_owned(), "localhost:5000/".to_owned(), "web:".to_owned()];
        for image in [
            "registry.example.org/shop:v3",
            "registry.example.org/shop@sha256:0123",
            "registry.example.org/shop/api:1",
            "localhost:5000/x:2",
            "web:3",
        ] {
            assert_eq!(check(image, &prefixes), Ok(()), "{image}");
        }
        for image in [
            "registry.example.org/shop",
            "registry.example.org/shopping:v3",
            "registry.example.org/shop:",
            "registry.example.org/shop:v3 --privileged",
            "evil.example.org/shop:v3",
            "localhost:5000/x",
            "localhost:5000",
            "web",
            "webshop:3",
        ] {
            check(image, &prefixes).expect_err(image);
        }
        check("web:3", &[]).expect_err("nothing is allowed");
    }
}
