//! The tunnels of one worker, by endpoint. A tunnel may last for hours; so when its replica is removed
//! it is ended before the replica is, and not all at one moment: their clients come back at once.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use fxhash::FxHashMap;

use super::clock::{Clock, TICK};
use super::request::RequestState;
use super::timeline::{Input, Millis};
use crate::cluster::Endpoint;

/// How long before its replica is stopped the last tunnel ends. Deadlines may be two ticks late.
const MARGIN: Millis = 4 * TICK.as_millis() as Millis;

/// All tunnels of a worker.
#[derive(Debug, Default)]
pub(crate) struct Tunnels(RefCell<FxHashMap<u64, Group>>);

/// Those to one endpoint.
#[derive(Debug)]
struct Group {
    endpoint: Arc<Endpoint>,
    /// Whether they were told that it leaves.
    told: bool,
    open: FxHashMap<*const RequestState, Rc<RequestState>>,
}

/// One of them, until it drops.
#[derive(Debug)]
pub(crate) struct Registered<'a> {
    tunnels: &'a Tunnels,
    request: &'a Rc<RequestState>,
    endpoint: u64,
}

impl Tunnels {
    /// Adds the tunnel that `request` has become.
    pub(crate) fn register<'a>(
        &'a self,
        request: &'a Rc<RequestState>,
        endpoint: &Arc<Endpoint>,
    ) -> Registered<'a> {
        let mut groups = self.0.borrow_mut();
        let new = || Group { endpoint: Arc::clone(endpoint), told: false, open: FxHashMap::default() };
        let group = groups.entry(endpoint.id).or_insert_with(new);
        group.open.insert(Rc::as_ptr(request), Rc::clone(request));
        // All are told once more, if their replica leaves already: that is rare.
        group.told = false;
        Registered { tunnels: self, request, endpoint: endpoint.id }
    }

    /// Gives each tunnel whose replica leaves its end.
    pub(crate) fn tick(&self, clock: &Clock, now: Instant) {
        for group in self.0.borrow_mut().values_mut().filter(|group| !group.told) {
            let Some(until) = group.endpoint.leaves() else { continue };
            group.told = true;
            let left = until.saturating_duration_since(now).as_millis() as Millis;
            for request in group.open.values() {
                request.on(Input::TunnelEnds(clock.now() + moment(left, fastrand::f64())));
            }
        }
    }
}

/// When within the time that is `left` a tunnel ends: somewhere in the last half of it, before its last
/// moments. `random` is below 1.
fn moment(left: Millis, random: f64) -> Millis {
    let half = left / 2;
    half + (half.saturating_sub(MARGIN) as f64 * random) as Millis
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut groups = self.tunnels.0.borrow_mut();
        if let Some(group) = groups.get_mut(&self.endpoint) {
            group.open.remove(&Rc::as_ptr(self.request));
            if group.open.is_empty() {
                groups.remove(&self.endpoint);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_ends_in_the_last_half_of_the_time() {
        assert_eq!((moment(10_000, 0.0), moment(10_000, 0.5)), (5_000, 7_400));
        assert!((9_700..10_000 - 2 * 50).contains(&moment(10_000, 0.999)));
        assert_eq!((moment(100, 0.9), moment(0, 0.9)), (50, 0));
    }
}
