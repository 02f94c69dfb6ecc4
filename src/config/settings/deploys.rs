//! Settings of deploys: how they go, and what can be deployed.

use std::time::Duration;

use super::{CONTAINERS_ONLY, HOUR, NOT_FIXED};
use crate::config::model::{Array, Entry, Kind, Refusal, Table, at};
use crate::config::tree::{Config, RevisionSettings};
use crate::config::types::{self, image, image_prefix, revision, variable};
use crate::control::DeployOrder;

pub(super) const DEPLOY: &[Entry<Config>] = &[
    Entry::new(
        "deploy.revision",
        "deploy-revision",
        "REVISION",
        at!(Config: deploy_revision),
        Kind::text("the name of a revision, or base", "v2"),
        "Revision that replicas have at the start; base is what the configuration says without one. Change it \
         after a deploy, so that the next start does not go back.",
    )
    .only_with(NOT_FIXED),
    Entry::new(
        "deploy.images",
        "deploy-images",
        "PREFIX",
        at!(Config: control.deploy.images),
        Kind::checked("what the name of an image begins with", "registry.example.org/shop", image_prefix),
        "What the name of an image begins with that may be deployed without a revision in the file, by tag or digest: \
         ringherd deploy registry.example.org/shop:v3. Needs an admin token.",
    )
    .by_default("none")
    .only_with(CONTAINERS_ONLY)
    .on_reload(),
    Entry::new(
        "deploy.order",
        "deploy-order",
        "ORDER",
        at!(Config: control.deploy.order),
        Kind::choice::<DeployOrder>(),
        "start-first starts the new replica of a number beside the old one, which stays until the deploy has ended. \
         stop-first is for what may be there only once, such as a lock or a fixed port: the old one has ended before \
         the new one starts, also where a replica that died is replaced.",
    )
    .only_with(NOT_FIXED)
    .on_reload(),
    Entry::new(
        "deploy.surge",
        "deploy-surge",
        "N",
        at!(Config: control.deploy.surge),
        Kind::integer(1, 1000, "replicas"),
        "Most replicas of the new revision that start at a time; with stop-first also the most numbers that nobody \
         serves meanwhile.",
    )
    .only_with(NOT_FIXED)
    .on_reload(),
    Entry::new(
        "deploy.min-healthy",
        "deploy-min-healthy",
        "DURATION",
        at!(Config: control.deploy.min_healthy),
        Kind::duration(Duration::ZERO, HOUR),
        "How long a replica of the new revision has to be ready before it takes the place of the old one, or with \
         stop-first before the window begins.",
    )
    .only_with(NOT_FIXED)
    .on_reload(),
    Entry::new(
        "deploy.window",
        "deploy-window",
        "DURATION",
        at!(Config: control.deploy.window),
        Kind::duration(Duration::ZERO, HOUR),
        "How long the requests of replicas that took their places are compared with the requests of the others, \
         before the next follow.",
    )
    .only_with(NOT_FIXED)
    .on_reload(),
    Entry::new(
        "deploy.max-errors",
        "deploy-max-errors",
        "POINTS",
        at!(Config: control.deploy.max_errors),
        Kind::Number { min: 0.0, max: 100.0 },
        "How many percent points more of the requests of the new revision may fail than of those of the old one. \
         Beyond that the deploy is taken back.",
    )
    .only_with(NOT_FIXED)
    .on_reload(),
    Entry::new(
        "deploy.max-slowdown",
        "deploy-max-slowdown",
        "FACTOR",
        at!(Config: control.deploy.max_slowdown),
        Kind::Number { min: 0.0, max: 1000.0 },
        "How many times longer the slowest hundredth of requests may take at the new revision than at the old \
         one, at least 1. Beyond that the deploy is taken back. 0 for any.",
    )
    .only_with(NOT_FIXED)
    .on_reload(),
];

const REVISION: &[Entry<RevisionSettings>] = &[
    Entry::new(
        "revision.command",
        "",
        "COMMAND",
        at!(RevisionSettings: command),
        types::COMMAND,
        "Program to run as a replica of this revision, with its arguments, in place of --replica-command.",
    )
    .by_default("that of all replicas")
    .on_reload(),
    Entry::new(
        "revision.image",
        "",
        "IMAGE",
        at!(RevisionSettings: image),
        Kind::checked("the name of an image", "registry.example.org/web:3", image),
        "Image that its replicas are made from, in place of --image. With --runtime docker or swarm.",
    )
    .by_default("that of all replicas")
    .on_reload(),
    Entry::new(
        "revision.env",
        "",
        "KEY=VALUE",
        at!(RevisionSettings: env),
        Kind::checked("KEY=VALUE", "FEATURE=on", variable),
        "Variables of the environment of its replicas, besides those of --replica-env, over which they win.",
    )
    .of_words()
    .by_default("none")
    .on_reload(),
];

pub(super) static REVISIONS: Array<Config, RevisionSettings> = Array {
    entries: REVISION,
    items: |config| &config.revision_tables,
    items_mut: |config| &mut config.revision_tables,
};

impl Table for RevisionSettings {
    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn set_name(&mut self, name: &str) -> Result<(), Refusal> {
        self.name = revision(name)?;
        Ok(())
    }
}
