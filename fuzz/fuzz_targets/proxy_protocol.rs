//! Arbitrary bytes as a header of the PROXY protocol: what is taken for one says the same when it is written
//! again, and no more bytes are taken or waited for than it has.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringherd::listen::proxy_protocol::{Parsed, Version, parse};

fuzz_target!(|bytes: &[u8]| {
    let Ok(Parsed::Header(header, length)) = parse(bytes) else { return };
    assert!(length <= bytes.len());
    for cut in 0..length {
        match parse(&bytes[..cut]) {
            Ok(Parsed::Missing(missing)) => assert!((1..=length - cut).contains(&missing), "cut at {cut}"),
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
    for version in [Version::V1, Version::V2] {
        let again = header.encode(version);
        assert_eq!(parse(&again), Ok(Parsed::Header(header, again.len())));
    }
});
