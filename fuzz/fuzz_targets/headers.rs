//! Arbitrary header fields: nothing of one connection is passed on to another, and nothing that a client claims
//! about its way.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| ringherd::proxy::sim::fields(text));
