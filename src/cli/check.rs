//! `ringherd check`: the effective configuration, or everything that is wrong with it.

use super::{Exit, Failure, print};
use crate::config::{self, Flags, Inputs};

/// Prints the configuration, each value with its source: as TOML, or as JSON. Fails with all problems,
/// which are then printed as JSON as well.
pub fn run(flags: &Flags, as_json: bool) -> Result<(), Failure> {
    match config::explain(Inputs::of_process(flags)) {
        Ok(loaded) if as_json => print(&format!("{:#}\n", loaded.to_json())),
        Ok(loaded) => print(&loaded.to_string()),
        Err(problems) => {
            if as_json {
                print(&format!("{:#}\n", problems.to_json()))?;
            }
            Err(Failure::new(Exit::Config, problems))
        }
    }
}
