//! Sticky sessions: a cookie of the balancer's own, by which a client stays at its replica as far as the
//! ring allows.
//!
//! It holds a random id, whose hash is the key, and a signature. What somebody else has made, or for
//! another cookie, is as good as none: nobody can choose a replica, or have many clients go to one.

use std::cell::OnceCell;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use subtle::ConstantTimeEq;

use crate::ring;
use crate::tls::provider::{hmac, random};

/// Bytes of an id.
const ID: usize = 16;

/// Bytes of a signature: as many of HMAC-SHA-256 as nobody can guess.
const SIGNATURE: usize = 16;

/// Characters of either.
const TEXT: usize = 22;

/// Cookies of one name that are looked at; a client may have some of other paths or domains.
const MOST_COOKIES: usize = 4;

/// What is signed besides the id.
const CONTEXT: &[u8] = b"ringherd sticky session";

/// What signatures are made with. Clones share it.
#[derive(Clone, PartialEq, Eq)]
pub struct StickySecret(Arc<OnceLock<Box<[u8]>>>);

impl StickySecret {
    /// From what the operator has given.
    pub fn new(text: &str) -> Self {
        Self(Arc::new(OnceLock::from(Box::from(text.as_bytes()))))
    }

    /// One that nobody can guess. It is drawn when it is first needed: the first random numbers of a process
    /// cost four hundred million instructions, and most have no sticky sessions.
    pub fn drawn() -> Self {
        Self(Arc::default())
    }

    fn bytes(&self) -> &[u8] {
        // Without random numbers of the system, as good as those of its hash maps.
        let draw = || random::<32>().unwrap_or_else(|| std::array::from_fn(|_| fastrand::u8(..)));
        self.0.get_or_init(|| Box::from(draw()))
    }
}

impl fmt::Debug for StickySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StickySecret(..)")
    }
}

/// Sticky sessions as configured.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StickyConfig {
    /// What cookies are signed with; `None` for what was drawn at the start.
    pub secret: Option<StickySecret>,
    /// How long a cookie lasts; zero for as long as the client's session.
    pub max_age: Duration,
}

/// Makes and knows cookies.
#[derive(Debug)]
pub(crate) struct Sticky {
    secret: StickySecret,
    signer: OnceCell<hmac::Key>,
    max_age: Duration,
}

/// The session of a request.
#[derive(Debug)]
pub(crate) struct Session {
    /// The routing key.
    pub(crate) key: u64,
    /// The cookie that is to be set, if it came with none.
    pub(crate) cookie: Option<Box<HeaderValue>>,
}

impl Sticky {
    pub(crate) fn new(config: &StickyConfig, drawn: &StickySecret) -> Self {
        let secret = config.secret.as_ref().unwrap_or(drawn).clone();
        Self { secret, signer: OnceCell::new(), max_age: config.max_age }
    }

    /// The session of a request: that of its cookie called `name`, or a new one.
    #[cold]
    pub(crate) fn session(&self, headers: &HeaderMap, name: &str, is_secure: bool) -> Session {
        if let Some(id) = cookies(headers, name).take(MOST_COOKIES).find_map(|text| self.id_of(name, text)) {
            return Session { key: ring::hash_key(&id), cookie: None };
        }
        let Some(id) = random() else { return Session { key: fastrand::u64(..), cookie: None } };
        let cookie = HeaderValue::try_from(self.cookie(name, &id, is_secure)).ok();
        Session { key: ring::hash_key(&id), cookie: cookie.map(Box::new) }
    }

    fn sign(&self, name: &str, id: &[u8]) -> [u8; SIGNATURE] {
        let signer = self.signer.get_or_init(|| hmac::Key::new(hmac::HMAC_SHA256, self.secret.bytes()));
        let mut context = hmac::Context::with_key(signer);
        for part in [CONTEXT, b"\0", name.as_bytes(), b"\0", id] {
            context.update(part);
        }
        let mut signature = [0; SIGNATURE];
        signature.copy_from_slice(&context.sign().as_ref()[..SIGNATURE]);
        signature
    }

    /// The id in the value of a cookie, if it is one of ours.
    fn id_of(&self, name: &str, text: &[u8]) -> Option<[u8; ID]> {
        if text.len() != 2 * TEXT + 1 || text[TEXT] != b'.' {
            return None;
        }
        let (id, signature) = (decode::<ID>(&text[..TEXT])?, decode::<SIGNATURE>(&text[TEXT + 1..])?);
        let is_ours = bool::from(self.sign(name, &id).ct_eq(&signature));
        is_ours.then_some(id)
    }

    fn cookie(&self, name: &str, id: &[u8; ID], is_secure: bool) -> String {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let (value, signature) = (encode(id), encode(&self.sign(name, id)));
        let mut text = format!("{name}={value}.{signature}; Path=/; HttpOnly; SameSite=Lax");
        if is_secure {
            text.push_str("; Secure");
        }
        if !self.max_age.is_zero() {
            text = format!("{text}; Max-Age={}", self.max_age.as_secs().max(1));
        }
        text
    }
}

fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let length = BASE64_URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (length == N).then_some(bytes)
}

/// The values of all cookies of that name.
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(COOKIE).into_iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "SRV";

    fn sticky(secret: &str) -> Sticky {
        let config = StickyConfig { secret: Some(StickySecret::new(secret)), ..StickyConfig::default() };
        Sticky::new(&config, &StickySecret::drawn())
    }

    fn with(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookie).unwrap())])
    }

    /// The session of a client without a cookie, and its `NAME=VALUE`.
    fn begin(sticky: &Sticky) -> (Session, String) {
        let session = sticky.session(&HeaderMap::new(), NAME, false);
        let cookie = session.cookie.as_ref().unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
        (session, cookie)
    }

    #[test]
    fn a_cookie_brings_its_session_back() {
        let sticky = sticky("correct horse battery");
        let (session, cookie) = begin(&sticky);
        for sent in [cookie.clone(), format!("a=b; {cookie}; c=d"), format!("{NAME}=old; {cookie}")] {
            let again = sticky.session(&with(&sent), NAME, false);
            assert_eq!((again.key, again.cookie.is_none()), (session.key, true), "{sent}");
        }
        assert_ne!(begin(&sticky).0.key, session.key, "another client is another session");
    }

    #[test]
    fn what_is_not_ours_is_replaced() {
        let ours = sticky("correct horse battery");
        let (session, cookie) = begin(&ours);
        let (_, foreign) = begin(&sticky("another secret at all"));
        let altered = altered(&cookie);
        let other_name = cookie.replace(NAME, "OTHER");
        for sent in [&foreign, &altered, &other_name, "SRV=", "SRV=x.y", &cookie.replace('.', "_")] {
            let replaced = ours.session(&with(sent), NAME, false);
            assert!(replaced.cookie.is_some() && replaced.key != session.key, "{sent}");
        }
        let of_other = ours.session(&with(&other_name), "OTHER", false);
        assert!(of_other.cookie.is_some(), "a signature is for one name");
    }

    /// The same with another character in the id.
    fn altered(cookie: &str) -> String {
        let at = NAME.len() + 1;
        let other = if &cookie[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &cookie[..at], &cookie[at + 1..])
    }

    #[test]
    fn attributes_are_those_of_a_cookie_for_this_host_alone() {
        let sticky = Sticky { max_age: Duration::from_secs(3600), ..sticky("correct horse battery") };
        let cookie = |secure| {
            let session = sticky.session(&HeaderMap::new(), NAME, secure);
            session.cookie.unwrap().to_str().unwrap().split_once("; ").unwrap().1.to_owned()
        };
        assert_eq!(cookie(false), "Path=/; HttpOnly; SameSite=Lax; Max-Age=3600");
        assert_eq!(cookie(true), "Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=3600");
    }

    #[test]
    fn workers_draw_one_secret_together() {
        let drawn = StickySecret::drawn();
        let [one, other] = [(); 2].map(|()| Sticky::new(&StickyConfig::default(), &drawn));
        let (session, cookie) = begin(&one);
        assert_eq!(other.session(&with(&cookie), NAME, false).key, session.key);
        assert_ne!(StickySecret::drawn().bytes(), drawn.bytes());
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", StickySecret::new("secret")), "StickySecret(..)");
    }
}
