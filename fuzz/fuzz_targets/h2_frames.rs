//! Arbitrary frames of a client that speaks HTTP/2: what goes to a replica is well-formed, and every connection
//! ends.

#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| ringherd::proxy::sim::http2(script));
