//! Handshakes of TLS as they are counted: which there were, and why some failed.

/// A handshake that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Whether the version is 1.3, and not 1.2.
    pub is_1_3: bool,
    /// Whether an earlier session was resumed.
    pub is_resumed: bool,
}

impl Handshake {
    /// All there are, by their numbers.
    pub const ALL: [Self; 4] = [
        Self { is_1_3: false, is_resumed: false },
        Self { is_1_3: false, is_resumed: true },
        Self { is_1_3: true, is_resumed: false },
        Self { is_1_3: true, is_resumed: true },
    ];

    /// Its place in [`Handshake::ALL`].
    pub fn number(self) -> usize {
        usize::from(self.is_1_3) * 2 + usize::from(self.is_resumed)
    }

    /// The version, as in the metrics.
    pub fn version(self) -> &'static str {
        if self.is_1_3 { "1.3" } else { "1.2" }
    }

    /// Whether a session was resumed, as in the metrics.
    pub fn resumed(self) -> &'static str {
        if self.is_resumed { "yes" } else { "no" }
    }
}

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// It took too long.
    Timeout,
    /// The client closed the connection or reset it.
    ClientLeft,
    /// The client speaks HTTP without TLS.
    PlainHttp,
    /// The client refuses what it got, most often the certificate.
    ClientRefused,
    /// The client has no version, cipher or the like in common with us.
    Incompatible,
    /// What came is not TLS, or not well formed.
    Protocol,
}

impl HandshakeFailure {
    /// All there are, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Timeout,
        Self::ClientLeft,
        Self::PlainHttp,
        Self::ClientRefused,
        Self::Incompatible,
        Self::Protocol,
    ];

    /// The code, which dashboards may rely on.
    pub fn code(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::ClientLeft => "client-left",
            Self::PlainHttp => "plain-http",
            Self::ClientRefused => "client-refused",
            Self::Incompatible => "incompatible",
            Self::Protocol => "protocol",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places() {
        for (index, handshake) in Handshake::ALL.into_iter().enumerate() {
            assert_eq!(handshake.number(), index);
        }
        for (index, failure) in HandshakeFailure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, index);
        }
    }
}
