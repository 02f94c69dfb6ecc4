//! What replicas in containers are made of: names of pools, images and networks, engines,
//! variables and labels.
//!
//! Names are checked as Docker does, so that a mistake is reported at the start and with its
//! place, and not by the engine when the first replica is made.

use crate::config::model::{Kind, Refusal, Shown, Value};
use crate::runtime::engine::Host;

/// Prefix of the labels by which replicas are known.
const OWN_LABELS: &str = "io.ringherd.";

/// Variables that each replica is given.
const OWN_VARIABLES: [&str; 4] = ["PORT", "SERVER_ID", "SERVER_NUMBER", "SERVER_REVISION"];

/// The name of a pool: part of names of containers, host names and labels.
pub(in crate::config) const POOL: Kind =
    Kind::checked("1 to 32 of a-z, 0-9 and '-', with none of the '-' at an end", "blue", pool);

/// Where the engine is.
impl Value for Host {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        if text.starts_with("https://") {
            return Err(without_tls("asks for TLS"));
        }
        text.parse().map_err(|_| {
            let refusal = Refusal::must_be(kind);
            if text.starts_with("ssh://") {
                let hint = "forward the socket, as in ssh -N -L /run/ringherd/docker.sock:/var/run/docker.sock HOST, \
                            and use unix:///run/ringherd/docker.sock";
                Refusal::new("asks for ssh, which is not spoken here").hint(hint)
            } else if text.starts_with('/') {
                refusal.hint(format!("write unix://{text}"))
            } else {
                refusal.hint("as in unix:///var/run/docker.sock or tcp://proxy:2375")
            }
        })
    }

    fn show(&self, _: &Kind) -> Shown {
        Shown::text(self)
    }
}

pub(in crate::config) fn without_tls(what: &str) -> Refusal {
    Refusal::new(format!("{what}, which is not spoken here"))
        .hint("use the engine's socket, or a proxy that speaks TLS to the engine")
}

pub(in crate::config) fn pool(text: &str) -> Result<String, Refusal> {
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good =
        text.len() <= 32 && text.bytes().all(letters) && !text.starts_with('-') && !text.ends_with('-');
    if good { Ok(text.to_owned()) } else { Err(Refusal::must_be(POOL)) }
}

/// The name of an image, with a tag or a digest or without: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`,
/// or an id.
pub(in crate::config) fn image(text: &str) -> Result<String, Refusal> {
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    // A ':' before the last '/' is that of a port.
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match name[slash..].split_once(':') {
        Some((last, tag)) => (&name[..slash + last.len()], Some(tag)),
        None => (name, None),
    };
    let good =
        text.len() <= 512 && is_repository(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
    if good {
        return Ok(text.to_owned());
    }
    let refusal = Refusal::must_be("the name of an image");
    Err(if name.bytes().any(|b| b.is_ascii_uppercase()) {
        refusal.hint("names of images are in lower case")
    } else {
        refusal.hint("as in ringherd, ringherd:0.1.0 or registry.example.org/web:2")
    })
}

/// What the name of an image begins with: a name, with `/`, `:` or `@` behind it or without.
pub(in crate::config) fn image_prefix(text: &str) -> Result<String, Refusal> {
    image(text.trim_end_matches(['/', ':', '@'])).map(|_| text.to_owned())
}

/// Words in lower case with '/' between them; the first may be a host and its port.
fn is_repository(name: &str) -> bool {
    let (host, path) = match name.split_once('/') {
        Some((first, rest)) if first == "localhost" || first.contains(['.', ':']) => (Some(first), rest),
        _ => (None, name),
    };
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let between = |text: &str| matches!(text, "." | "_" | "__") || text.bytes().all(|b| b == b'-');
    let is_word =
        |word: &str| word.starts_with(lower) && word.ends_with(lower) && word.split(lower).all(between);
    host.is_none_or(is_host) && path.split('/').all(is_word)
}

/// A host's name or address, with a port or without.
fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !(label.is_empty() || label.starts_with('-') || label.ends_with('-'))
    };
    host.split('.').all(is_label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_tag(text: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=128).contains(&text.len()) && text.bytes().all(letters) && !text.starts_with(['.', '-'])
}

fn is_digest(text: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let digits = |name: &str, count| text.strip_prefix(name).filter(|digits| digits.len() == count);
    let digits = digits("sha256:", 64).or(digits("sha384:", 96)).or(digits("sha512:", 128));
    digits.is_some_and(|digits| digits.bytes().all(hex))
}

/// The name of a network on which each container has an address.
pub(in crate::config) fn network(text: &str) -> Result<String, Refusal> {
    if matches!(text, "default" | "host" | "none" | "ingress") {
        let what = "is built in, and containers have no addresses of their own there";
        return Err(Refusal::new(what).hint("make one with docker network create, or leave it out"));
    }
    let letters = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let good = text.len() <= 255 && text.bytes().all(letters) && text.starts_with(char::is_alphanumeric);
    let refusal = || Refusal::new("must be the name of a network, of letters, digits, '_', '.' and '-'");
    if good { Ok(text.to_owned()) } else { Err(refusal()) }
}

/// Why the bridge of each engine does not do for a Swarm.
pub(in crate::config) fn no_overlay() -> Refusal {
    Refusal::new("is not an overlay network, and tasks of a Swarm are reached through no other")
        .hint("make one with docker network create --driver overlay --attachable, or leave it out")
}

/// A variable of a replica's environment.
pub(in crate::config) fn variable(text: &str) -> Result<String, Refusal> {
    let refusal = || Refusal::new("must be KEY=VALUE");
    let (key, _) = text
        .split_once('=')
        .ok_or_else(|| refusal().hint("nothing is taken from ringherd's own environment: add the value"))?;
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) || text.contains('\0') {
        return Err(refusal().hint("as in LOG_LEVEL=debug"));
    }
    if OWN_VARIABLES.contains(&key) {
        return Err(Refusal::new(format!("sets {key}, which each replica is given by ringherd")));
    }
    Ok(text.to_owned())
}

/// A folder in memory, as `PATH[:OPTIONS]`.
pub(in crate::config) fn tmpfs(text: &str) -> Result<String, Refusal> {
    let (path, options) = text.split_once(':').map_or((text, None), |(path, options)| (path, Some(options)));
    let good = is_folder(path) && options.is_none_or(|options| !options.is_empty() && is_plain(options));
    let refusal = || Refusal::new("must be an absolute path, with mount options behind ':' or without");
    if good { Ok(text.to_owned()) } else { Err(refusal().hint("as in /run or /run:size=1m,mode=755")) }
}

/// A volume or a folder of the host, as `SOURCE:TARGET[:ro]`.
pub(in crate::config) fn volume(text: &str) -> Result<String, Refusal> {
    let parts: Vec<_> = text.split(':').collect();
    let is_name = |source: &str| {
        let letters = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        source.starts_with(|c: char| c.is_ascii_alphanumeric()) && source.bytes().all(letters)
    };
    let good = match parts[..] {
        [source, target] | [source, target, "ro" | "rw"] => {
            (is_name(source) || is_folder(source)) && is_folder(target)
        }
        _ => false,
    };
    let refusal = || Refusal::new("must be SOURCE:TARGET, with :ro behind it or without");
    if good {
        return Ok(text.to_owned());
    }
    let relative = parts[0].starts_with('.') || (parts[0].contains('/') && !parts[0].starts_with('/'));
    Err(refusal().hint(if relative {
        "a folder of the host is an absolute path"
    } else {
        "as in data:/var/lib/data or /srv/www:/usr/share/nginx/html:ro"
    }))
}

/// An absolute path that is not the root.
fn is_folder(path: &str) -> bool {
    path.len() > 1 && path.starts_with('/') && is_plain(path)
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// A user and a group, by name or number.
pub(in crate::config) fn user(text: &str) -> Result<String, Refusal> {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(letters) && !name.starts_with('-');
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let good = is_name(user) && group.is_none_or(is_name);
    let refusal = || Refusal::new("must be a user's name or number, with a group behind ':' or without");
    if good { Ok(text.to_owned()) } else { Err(refusal().hint("as in www-data or 33:33")) }
}

/// The name of a capability, without `CAP_`.
pub(in crate::config) fn capability(text: &str) -> Result<String, Refusal> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') {
        return Ok(name.to_owned());
    }
    Err(Refusal::new("must be the name of a capability").hint("as in NET_BIND_SERVICE"))
}

/// A label of containers of others.
impl Value for (String, String) {
    fn read(_: &Kind, text: &str) -> Result<Self, Refusal> {
        let refusal = || Refusal::new("must be KEY=VALUE").hint("as in com.docker.compose.service=app");
        let (key, value) = text.split_once('=').ok_or_else(refusal)?;
        if key.is_empty() || value.is_empty() || text.chars().any(char::is_control) {
            return Err(refusal());
        }
        if key.starts_with(OWN_LABELS) {
            let what = format!("is a label of ringherd's own replicas ({OWN_LABELS}...)");
            return Err(Refusal::new(what).hint("choose one of the containers to be found"));
        }
        Ok((key.to_owned(), value.to_owned()))
    }

    fn show(&self, _: &Kind) -> Shown {
        let (key, value) = self;
        Shown::Text(format!("{key}={value}"))
    }
}
