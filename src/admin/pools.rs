//! The pools behind the admin API, by their names.

use std::sync::Arc;

use crate::control::{Control, View};
use crate::runtime::output::Outputs;
use crate::telemetry::Upkeep;

/// A handle on each pool, in their order. Clones share it.
#[derive(Clone, Debug)]
pub struct Pools(Arc<[PoolHandle]>);

/// A handle on one pool.
#[derive(Clone, Debug)]
pub struct PoolHandle {
    /// Its name.
    pub name: String,
    /// What shows and changes it.
    pub control: Control,
    /// What its replicas write.
    pub outputs: Outputs,
    /// How often its supervisor did what.
    pub upkeep: Arc<Upkeep>,
}

impl Pools {
    /// These, of which the first is the one that paths without a pool are about.
    ///
    /// # Panics
    /// When there is none.
    pub fn new(pools: Vec<PoolHandle>) -> Self {
        assert!(!pools.is_empty(), "a balancer has a pool");
        Self(pools.into())
    }

    /// The pool of this name; without one, that which paths without a pool are about.
    pub(super) fn find(&self, name: Option<&str>) -> Option<&PoolHandle> {
        self.0.iter().find(|pool| name.is_none_or(|name| pool.name == name))
    }

    /// The names of all of them.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|pool| pool.name.as_str())
    }

    /// All of them, as they are.
    pub(super) fn views(&self) -> Vec<PoolView> {
        let view = |pool: &PoolHandle| PoolView {
            name: pool.name.clone(),
            view: pool.control.view(),
            upkeep: Arc::clone(&pool.upkeep),
        };
        self.0.iter().map(view).collect()
    }
}

/// A pool at one moment.
#[derive(Clone, Debug)]
pub(super) struct PoolView {
    pub(super) name: String,
    pub(super) view: Arc<View>,
    pub(super) upkeep: Arc<Upkeep>,
}

impl PoolView {
    /// The label of its metrics.
    pub(super) fn label(&self) -> Vec<(&'static str, &str)> {
        vec![("pool", self.name.as_str())]
    }
}
