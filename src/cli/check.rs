//! `ringherd check`: the effective configuration, or everything that is wrong with it.

use super::{Exit, Failure, print};
use crate::config::{self, Flags, Inputs};

/// Prints the configuration as TOML, each value with its source. Fails with all problems.
pub fn run(flags: &Flags) -> Result<(), Failure> {
    let loaded = config::explain(Inputs::of_process(flags))
        .map_err(|problems| Failure::new(Exit::Config, problems))?;
    print(&loaded.to_string())
}
