//! What the authority of a certificate says of it (OCSP, RFC 6960), to be sent with it: who checks that then need
//! not ask the authority.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::asn1_rs::{Any, Class, FromDer, GeneralizedTime, Tag};

use super::file::{CertificateError, content};

/// A response of the authority of a certificate.
#[derive(Clone, Debug)]
pub(super) struct Staple {
    /// As it is sent.
    pub(super) der: Vec<u8>,
    /// Until when it counts; for ever if it does not say.
    pub(super) until: Option<SystemTime>,
}

/// What a response says.
struct Facts<'a> {
    serial: &'a [u8],
    is_good: bool,
    until: Option<SystemTime>,
}

impl Staple {
    /// Reads one for the certificate with this serial number. One that counts no more is read like any other.
    ///
    /// # Errors
    /// It cannot be read, is no response, is for another certificate, or says that this one is not good.
    pub(super) fn read(path: &Path, serial: &[u8]) -> Result<Self, CertificateError> {
        let bad =
            |reason: &str| CertificateError::Staple { path: path.to_owned(), reason: reason.to_owned() };
        let der = content(path).map_err(|error| match error {
            CertificateError::Read { source, .. } => bad(&format!("cannot be read: {source}")),
            error => error,
        })?;
        let facts = facts(&der).ok_or(bad("is no response of an authority: it must be OCSP in DER"))?;
        if facts.serial != serial {
            return Err(bad("is for another certificate"));
        }
        if !facts.is_good {
            return Err(bad("says that the certificate is revoked or unknown"));
        }
        let until = facts.until;
        Ok(Self { der, until })
    }

    /// How long ago it ceased to count, if it has.
    pub(super) fn expired(&self, now: SystemTime) -> Option<Duration> {
        now.duration_since(self.until?).ok()
    }
}

/// What is read of the first answer in a response; `None` if it is none, or not a successful one.
fn facts(der: &[u8]) -> Option<Facts<'_>> {
    let [status, body] = parts(only(der, Tag::Sequence)?)?;
    let is_successful = status.tag() == Tag::Enumerated && status.data == [0];
    let [_kind, response] = parts(only(explicit(&body, 0).filter(|_| is_successful)?, Tag::Sequence)?)?;
    let [data] = parts(only(response.data, Tag::Sequence)?)?;
    // The version, who responds, and when.
    let mut fields = all(data.data)?.into_iter().skip_while(|field| field.class() != Class::Universal);
    fields.next().filter(|field| field.tag() == Tag::GeneralizedTime)?;
    let [answer] = parts(fields.next()?.data)?;
    let answer = all(answer.data)?;
    let (certificate, status) = (answer.first()?, answer.get(1)?);
    let [_hash, _name, _key, serial] = parts(certificate.data)?;
    let until = answer.get(3).and_then(|field| explicit(field, 0)).map(time);
    let until = if let Some(until) = until { Some(until?) } else { None };
    let is_good = status.class() == Class::ContextSpecific && status.tag() == Tag(0);
    Some(Facts { serial: serial.data, is_good, until })
}

/// The content of the one value that `der` is.
fn only(der: &[u8], tag: Tag) -> Option<&[u8]> {
    let (rest, value) = Any::from_der(der).ok()?;
    (rest.is_empty() && value.tag() == tag).then_some(value.data)
}

/// All values within one.
fn all(mut der: &[u8]) -> Option<Vec<Any<'_>>> {
    let mut values = Vec::new();
    while !der.is_empty() {
        let (rest, value) = Any::from_der(der).ok()?;
        values.push(value);
        der = rest;
    }
    Some(values)
}

/// The first values within one.
fn parts<const COUNT: usize>(der: &[u8]) -> Option<[Any<'_>; COUNT]> {
    let mut values = all(der)?;
    values.truncate(COUNT);
    values.try_into().ok()
}

/// What an explicit tag holds.
fn explicit<'a>(value: &Any<'a>, tag: u32) -> Option<&'a [u8]> {
    (value.class() == Class::ContextSpecific && value.tag() == Tag(tag)).then_some(value.data)
}

fn time(der: &[u8]) -> Option<SystemTime> {
    let (_, time) = GeneralizedTime::from_der(der).ok()?;
    let seconds = time.utc_datetime().ok()?.unix_timestamp();
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const SERIAL: [u8; 2] = [0x12, 0x34];

    fn read(name: &str) -> Result<Staple, String> {
        let path = PathBuf::from(format!("{}/tests/data/ocsp/{name}", env!("CARGO_MANIFEST_DIR")));
        Staple::read(&path, &SERIAL).map_err(|error| error.to_string())
    }

    #[test]
    fn a_response_says_of_which_certificate_and_until_when() {
        let good = read("good.der").unwrap();
        // November 3, 2126.
        assert_eq!(good.until, Some(UNIX_EPOCH + Duration::from_secs(4_949_342_465)));
        assert_eq!(good.expired(SystemTime::now()), None);
        assert!(read("past.der").unwrap().expired(SystemTime::now()).is_some());
    }

    #[test]
    fn others_are_refused() {
        for (name, says) in [
            ("other.der", "is for another certificate"),
            ("revoked.der", "says that the certificate is revoked or unknown"),
            ("ca.pem", "it must be OCSP in DER"),
            ("none", "cannot be read"),
        ] {
            let error = read(name).unwrap_err();
            assert!(error.contains(name) && error.contains(says), "{error}");
        }
        let good = std::fs::read(format!("{}/tests/data/ocsp/good.der", env!("CARGO_MANIFEST_DIR"))).unwrap();
        for end in 0..good.len() {
            assert!(facts(&good[..end]).is_none());
        }
    }
}
