//! The status codes of gRPC, which calls are counted by.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// A status of gRPC; its number is that of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum GrpcCode { $($(#[$doc])* $name,)* }

        impl GrpcCode {
            /// All there are, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name in the protocol.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// It went well.
    Ok => "OK",
    /// Its client took it back.
    Cancelled => "CANCELLED",
    /// Another error, or one that is not known.
    Unknown => "UNKNOWN",
    /// The client asked for what cannot be.
    InvalidArgument => "INVALID_ARGUMENT",
    /// Its time was over.
    DeadlineExceeded => "DEADLINE_EXCEEDED",
    /// What it is about was not found.
    NotFound => "NOT_FOUND",
    /// What it is to make exists.
    AlreadyExists => "ALREADY_EXISTS",
    /// The client may not do that.
    PermissionDenied => "PERMISSION_DENIED",
    /// Something is used up.
    ResourceExhausted => "RESOURCE_EXHAUSTED",
    /// The system is not in a state for it.
    FailedPrecondition => "FAILED_PRECONDITION",
    /// It was broken off, as by another call at the same time.
    Aborted => "ABORTED",
    /// It went beyond a range.
    OutOfRange => "OUT_OF_RANGE",
    /// There is no such method.
    Unimplemented => "UNIMPLEMENTED",
    /// Something is broken.
    Internal => "INTERNAL",
    /// Nobody is there for it at the moment.
    Unavailable => "UNAVAILABLE",
    /// Data were lost.
    DataLoss => "DATA_LOSS",
    /// The client has not shown who it is.
    Unauthenticated => "UNAUTHENTICATED",
}

impl GrpcCode {
    /// The one of this number; `Unknown` if there is none.
    pub fn of(number: u32) -> Self {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        Self::ALL.get(index).copied().unwrap_or(Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_protocol() {
        assert_eq!(GrpcCode::ALL.len(), 17);
        assert_eq!((GrpcCode::Unavailable as u16, GrpcCode::Unauthenticated as u16), (14, 16));
        for (number, code) in GrpcCode::ALL.iter().enumerate() {
            assert_eq!((*code as usize, GrpcCode::of(number as u32)), (number, *code));
        }
        assert_eq!(GrpcCode::of(17), GrpcCode::Unknown);
    }
}
