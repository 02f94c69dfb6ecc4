//! Sequences of commands, failures and waiting against the pure pool, in a simulated world:
//! the number of replicas is kept, numbers and names are unique, no storm of starts.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringherd::control::sim::run(data));
