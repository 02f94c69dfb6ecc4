//! The cryptography under TLS and under what is signed: aws-lc-rs, or ring where the build says so. Never
//! both: each is a megabyte and more, and what is agreed on must not depend on which comes first.

#[cfg(all(feature = "aws-lc-rs", feature = "ring"))]
compile_error!("choose one of the features aws-lc-rs and ring: with ring, give --no-default-features");

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!("choose one of the features aws-lc-rs and ring");

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
#[cfg(feature = "aws-lc-rs")]
pub(crate) use aws_lc_rs::{digest, hmac};
#[cfg(feature = "ring")]
use ring::rand::{SecureRandom, SystemRandom};
#[cfg(feature = "ring")]
pub(crate) use ring::{digest, hmac};
#[cfg(feature = "aws-lc-rs")]
pub(super) use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
#[cfg(feature = "ring")]
pub(super) use rustls::crypto::ring::{Ticketer, default_provider};

/// Random bytes that nobody can guess; `None` if the system has none to give.
pub(crate) fn random<const COUNT: usize>() -> Option<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    SystemRandom::new().fill(&mut bytes).ok().map(|()| bytes)
}
