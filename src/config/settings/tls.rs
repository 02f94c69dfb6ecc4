//! Settings of TLS towards clients.

use std::time::Duration;

use crate::config::model::{Array, Entry, Kind, Table, at};
use crate::config::tree::{CertificateSettings, Config};
use crate::config::types;
use crate::tls::ClientAuth;

/// Longest a handshake may take.
const LONGEST_HANDSHAKE: Duration = Duration::from_secs(5 * 60);

pub(super) const TLS: &[Entry<Config>] = &[
    Entry::new(
        "tls.listen",
        "tls-listen",
        "ADDRESS",
        at!(Config: tls_listen),
        types::ADDRESS,
        "Address that requests are taken on over TLS, besides --listen. Needs a certificate: --tls-certificate \
         with --tls-key, [[certificates]] in the file, or --tls-self-signed.",
    )
    .by_default("none"),
    Entry::new(
        "tls.certificate",
        "tls-certificate",
        "FILE",
        at!(Config: tls_certificate),
        types::PEM,
        "Certificate and those between it and its authority, in PEM. Read again when the file changes, and on \
         SIGHUP; a bad one leaves the one before in force.",
    )
    .by_default("none")
    .on_reload(),
    Entry::new(
        "tls.key",
        "tls-key",
        "FILE",
        at!(Config: tls_key),
        types::PEM,
        "Private key of --tls-certificate, in PEM and without a password.",
    )
    .by_default("none")
    .on_reload(),
    Entry::new(
        "tls.ocsp",
        "tls-ocsp",
        "FILE",
        at!(Config: tls_ocsp),
        types::PEM,
        "What the authority of --tls-certificate says of it (OCSP), in DER, to be sent with it while it counts. Read \
         again when the file changes, and on SIGHUP.",
    )
    .by_default("none")
    .on_reload(),
    Entry::new(
        "tls.self-signed",
        "tls-self-signed",
        "WHETHER",
        at!(Config: tls_self_signed),
        Kind::choice::<bool>(),
        "Make a certificate for localhost at each start, which nobody has signed: to try things out.",
    ),
    Entry::new(
        "tls.client-auth",
        "tls-client-auth",
        "WHETHER",
        at!(Config: tls.client_auth.mode),
        Kind::choice::<ClientAuth>(),
        "Whether clients are asked for a certificate that an authority of --tls-client-ca has signed. optional: \
         those without one are served too. required: there is no session without one. Replicas get its subject \
         in X-Client-Cert-Subject.",
    )
    .on_reload(),
    Entry::new(
        "tls.client-ca",
        "tls-client-ca",
        "FILE",
        at!(Config: tls_client_ca),
        types::PEM,
        "Certificates of the authorities of clients, in PEM. Read again when the file changes, and on SIGHUP.",
    )
    .by_default("none")
    .on_reload(),
    Entry::new(
        "tls.redirect",
        "https-redirect",
        "WHETHER",
        at!(Config: https_redirect),
        Kind::choice::<bool>(),
        "Answer every request on --listen with a redirect (308) to the same URL on --tls-listen.",
    )
    .on_reload(),
    Entry::new(
        "tls.handshake-timeout",
        "tls-handshake-timeout",
        "DURATION",
        at!(Config: proxy.handshake_timeout),
        Kind::duration(Duration::from_millis(100), LONGEST_HANDSHAKE),
        "Time a client has for the TLS handshake.",
    )
    .on_reload(),
];

/// Further certificates, in the file alone.
const CERTIFICATE: &[Entry<CertificateSettings>] = &[
    Entry::new(
        "certificates.cert",
        "",
        "FILE",
        at!(CertificateSettings: cert),
        types::PEM,
        "Certificate and those between it and its authority, in PEM. Its names say which hosts it is for. \
         Clients that name another host, or none, get the first of all certificates.",
    )
    .required(),
    Entry::new(
        "certificates.key",
        "",
        "FILE",
        at!(CertificateSettings: key),
        types::PEM,
        "Its private key, in PEM and without a password.",
    )
    .required(),
    Entry::new(
        "certificates.ocsp",
        "",
        "FILE",
        at!(CertificateSettings: ocsp),
        types::PEM,
        "What its authority says of it (OCSP), in DER.",
    )
    .by_default("none"),
];

pub(super) static CERTIFICATES: Array<Config, CertificateSettings> = Array {
    entries: CERTIFICATE,
    items: |config| &config.certificates,
    items_mut: |config| &mut config.certificates,
};

impl Table for CertificateSettings {}
