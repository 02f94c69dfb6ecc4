//! The pools behind the admin API, by their names.

use std::sync::Arc;

use crate::control::{Control, View};

/// A handle on each pool, in their order. Clones share it.
#[derive(Clone, Debug)]
pub struct Pools(Arc<[(String, Control)]>);

impl Pools {
    /// These, of which the first is the one that paths without a pool are about.
    ///
    /// # Panics
    /// When there is none.
    pub fn new(pools: Vec<(String, Control)>) -> Self {
        assert!(!pools.is_empty(), "a balancer has a pool");
        Self(pools.into())
    }

    /// The pool of this name; without one, that which paths without a pool are about.
    pub(super) fn find(&self, name: Option<&str>) -> Option<&Control> {
        let found = |(other, _): &&(String, Control)| name.is_none_or(|name| other == name);
        self.0.iter().find(found).map(|(_, control)| control)
    }

    /// The names of all of them.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// All of them, as they are.
    pub(super) fn views(&self) -> Vec<PoolView> {
        self.0.iter().map(|(name, control)| PoolView { name: name.clone(), view: control.view() }).collect()
    }
}

/// A pool at one moment.
#[derive(Clone, Debug)]
pub(super) struct PoolView {
    pub(super) name: String,
    pub(super) view: Arc<View>,
}

impl PoolView {
    /// The label of its metrics.
    pub(super) fn label(&self) -> Vec<(&'static str, &str)> {
        vec![("pool", self.name.as_str())]
    }
}
