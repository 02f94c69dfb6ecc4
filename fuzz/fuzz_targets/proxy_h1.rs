//! Arbitrary bytes of a client and of replicas over HTTP/1: what goes to a replica is what the client asked,
//! well-formed, each request once, and every connection ends.

#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| ringherd::proxy::sim::http1(script));
