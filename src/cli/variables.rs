//! What the variables of a balancer tell those who ask it: in its container, all that is needed.

use std::net::SocketAddr;

use crate::client::Url;

/// Where the admin API is unless somebody says otherwise.
pub(super) const DEFAULT_ADMIN: &str = "127.0.0.1:5001";

/// Where a balancer with these variables has its admin API.
pub(super) fn admin_url(variable: impl Fn(&str) -> Option<String>) -> Result<Url, String> {
    let address = variable("RINGHERD_ADMIN_LISTEN").filter(|address| !address.is_empty());
    let address = address.unwrap_or_else(|| DEFAULT_ADMIN.to_owned());
    match address.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(Url::local(address)),
        _ => Err(format!("RINGHERD_ADMIN_LISTEN={address:?} is no IP:PORT to ask; give --url")),
    }
}

/// The bearer token of admin requests: what is in the file (`given`, or else that of the
/// variable), or the variable that holds the token itself; none of them, none. Both variables are
/// refused, as the balancer refuses them.
pub(super) fn token(
    given: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
    read_file: impl Fn(&str) -> std::io::Result<String>,
) -> Result<Option<String>, String> {
    let variable = |name| variable(name).filter(|value| !value.is_empty());
    let of_variable =
        || variable("RINGHERD_ADMIN_TOKEN_FILE").map(|path| ("RINGHERD_ADMIN_TOKEN_FILE", path));
    let direct = variable("RINGHERD_ADMIN_TOKEN");
    if given.is_none() && direct.is_some() && of_variable().is_some() {
        return Err(
            "RINGHERD_ADMIN_TOKEN_FILE is set besides RINGHERD_ADMIN_TOKEN; unset one of them".to_owned()
        );
    }
    let (place, token) = match (given, direct) {
        (None, Some(token)) => ("RINGHERD_ADMIN_TOKEN".to_owned(), token),
        (given, _) => {
            let Some((name, path)) = given.map(|path| ("--token-file", path.to_owned())).or_else(of_variable)
            else {
                return Ok(None);
            };
            let place = format!("{name} {path:?}");
            let content = read_file(&path).map_err(|error| format!("{place} cannot be read: {error}"))?;
            (place, content)
        }
    };
    // Editors end a file with a newline that is not part of the token.
    let token =
        token.strip_suffix('\n').map_or(token.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("{place} holds no token: visible ASCII characters, without white space"));
    }
    Ok(Some(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(given: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let variable = |name: &str| {
            variables.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned())
        };
        token(given, variable, |path| match path {
            "good" => Ok("of-the-file\n".to_owned()),
            "bad" => Ok("s3cret s3cret".to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        })
    }

    #[test]
    fn a_token_comes_from_a_file_or_from_the_environment() {
        let direct = ("RINGHERD_ADMIN_TOKEN", "direct");
        let file = ("RINGHERD_ADMIN_TOKEN_FILE", "good");
        assert_eq!(found(None, &[]), Ok(None));
        assert_eq!(found(None, &[("RINGHERD_ADMIN_TOKEN", "")]), Ok(None));
        assert_eq!(found(None, &[direct]), Ok(Some("direct".to_owned())));
        assert_eq!(found(None, &[file]), Ok(Some("of-the-file".to_owned())));
        assert_eq!(found(Some("good"), &[direct]), Ok(Some("of-the-file".to_owned())));
        assert_eq!(found(Some("good"), &[direct, file]), Ok(Some("of-the-file".to_owned())));
        let both = found(None, &[direct, file]).unwrap_err();
        assert!(both.contains("is set besides RINGHERD_ADMIN_TOKEN"), "{both}");
    }

    #[test]
    fn what_is_no_token_is_not_repeated() {
        for (given, variables) in [
            (Some("bad"), &[][..]),
            (None, &[("RINGHERD_ADMIN_TOKEN", "s3cret s3cret")]),
            (Some("nowhere"), &[]),
        ] {
            let problem = found(given, variables).unwrap_err();
            assert!(!problem.contains("s3cret") && problem.contains("oken"), "{problem}");
        }
    }
}
