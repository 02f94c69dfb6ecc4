//! Connections that have sent nothing yet and are not served before they do: they make room for others like
//! those that are idle between two requests.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use tokio::sync::Notify;

use super::timeline::Millis;

/// Those of a worker.
#[derive(Debug, Default)]
pub(crate) struct Newcomers(RefCell<Vec<Rc<Newcomer>>>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) since: Millis,
    /// Its index among them.
    place: Cell<usize>,
    displaced: Notify,
}

impl Newcomer {
    /// Others need its place.
    pub(crate) fn displace(&self) {
        self.displaced.notify_one();
    }
}

impl Newcomers {
    /// Waits for the first bytes of one that came at `now`; `None` if others need its place before.
    pub(crate) async fn wait<F: Future>(&self, now: Millis, first: F) -> Option<F::Output> {
        let newcomer = {
            let mut newcomers = self.0.borrow_mut();
            let place = Cell::new(newcomers.len());
            newcomers.push(Rc::new(Newcomer { since: now, place, displaced: Notify::new() }));
            Listed(self, Rc::clone(&newcomers[newcomers.len() - 1]))
        };
        tokio::select! {
            biased;
            first = first => Some(first),
            () = newcomer.1.displaced.notified() => None,
        }
    }

    /// All there are.
    pub(crate) fn all(&self) -> Vec<Rc<Newcomer>> {
        self.0.borrow().clone()
    }
}

/// One, until it drops.
struct Listed<'a>(&'a Newcomers, Rc<Newcomer>);

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        let place = self.1.place.get();
        let mut newcomers = self.0.0.borrow_mut();
        newcomers.swap_remove(place);
        if let Some(moved) = newcomers.get(place) {
            moved.place.set(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_is_displaced_ends_and_the_others_wait_on() {
        let newcomers = Newcomers::default();
        let silent = std::future::pending::<()>;
        let displace = async {
            let all = newcomers.all();
            assert_eq!(all.iter().map(|newcomer| newcomer.since).collect::<Vec<_>>(), [1, 2, 3]);
            all[0].displace();
            tokio::task::yield_now().await;
            newcomers.all().iter().for_each(|newcomer| newcomer.displace());
        };
        let (first, second, third, ()) = tokio::join!(
            newcomers.wait(1, silent()),
            newcomers.wait(2, silent()),
            newcomers.wait(3, silent()),
            displace
        );
        assert_eq!((first, second, third), (None, None, None));
        assert!(newcomers.all().is_empty());
        assert_eq!(newcomers.wait(4, async { 7 }).await, Some(7));
        assert!(newcomers.all().is_empty());
    }
}
