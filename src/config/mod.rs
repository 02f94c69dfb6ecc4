//! The configuration: settings from flags, environment and file become checked values.
//!
//! `settings` declares each setting once: names, bounds, help, and its place in `tree`, the typed
//! values. `model` is what such a declaration is made of, over any tree, and `types` reads the values
//! of our types. [`load`] lays flags over environment over file over default (`inputs`, `given`,
//! `file`), reads each value into its place and checks those that must agree (`agree`), before it
//! complains, so that all problems are reported together; `routes` and
//! `revisions` do so for those. `print`, `docs`, `example` and `schema`
//! tell the model in four ways. What is read comes in through [`Inputs`]: no test needs the state of
//! a process.
//!
//! Knows nothing of how a command line is parsed, nor of what the components do with their part.

mod agree;
mod connection_shares;
mod docs;
mod example;
mod file;
mod given;
mod header_rules;
mod inputs;
mod model;
mod pools;
mod print;
mod revisions;
mod routes;
mod schema;
mod settings;
mod suggest;
#[cfg(test)]
mod tests;
mod tree;
mod types;
mod words;

pub use inputs::{Flags, Inputs, ReadFile};
pub use model::{Entry, Kind, Problem, Problems, Section, Setting, Source};
pub use print::Loaded;
pub use tree::{Config, DEFAULT_POOL, RuntimeConfig};
pub use types::{CommandLine, OnExit, PublicAdmin, RuntimeKind};
pub use words::quote;

use given::Given;

/// The checked configuration, or all that is wrong. Called again with the same flags, it re-reads
/// the files.
pub fn load(inputs: Inputs<'_>) -> Result<Config, Problems> {
    explain(inputs).map(|loaded| loaded.config)
}

/// As [`load`], with the source of each value.
pub fn explain(inputs: Inputs<'_>) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let read_file = inputs.read_file;
    let mut given = Given::collect(inputs, &mut problems);
    let mut config = agree::agree(&mut given, read_file, &mut problems);
    config.named_pools = pools::named(&given, read_file, &mut problems);
    connection_shares::give(&mut config, &given.pools, &mut problems);
    let tables = given.tables.get("headers").map_or(&[][..], Vec::as_slice);
    header_rules::give(&mut config, tables, &mut problems);
    let tables = given.tables.get("route").map_or(&[][..], Vec::as_slice);
    routes::agree(&mut config, tables, &mut problems);
    Problems::none_or(problems)?;
    Ok(Loaded::new(config, given))
}

/// All settings by section, in the order of display.
pub fn sections() -> &'static [Section<Config>] {
    &settings::MODEL
}

/// All settings, in the order of display.
pub fn entries() -> impl Iterator<Item = &'static Entry<Config>> {
    model::entries(&settings::MODEL)
}

/// All settings as Markdown tables, with a heading before each section.
pub fn markdown_table() -> String {
    docs::markdown(&settings::MODEL)
}

/// A file with all settings, explained. Lines that begin with `#` and a key hold a default; without
/// the `#` they make the configuration that holds without a file.
pub fn example_file() -> String {
    example::example(&settings::MODEL)
}

/// JSON schema of the file (draft 2020-12).
pub fn schema() -> serde_json::Value {
    schema::schema(&settings::MODEL)
}
