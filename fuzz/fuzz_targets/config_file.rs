//! Arbitrary configuration files: what is wrong with one is said, on a line that it has, and nothing panics.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use ringherd::config::{Flags, Inputs, Source, explain};

fuzz_target!(|text: &str| {
    let mut flags = Flags::new();
    flags.push("config", "ringherd.toml");
    let read_file = |_: &Path| Ok(text.to_owned());
    match explain(Inputs { flags: &flags, env: Vec::new(), read_file: &read_file }) {
        Ok(loaded) => drop(loaded.to_json()),
        Err(problems) => {
            assert!(!problems.to_string().is_empty());
            for problem in problems.iter() {
                if let Source::File { line, .. } = &problem.source {
                    assert!((1..=text.lines().count() + 1).contains(line), "line {line}");
                }
            }
        }
    }
});
