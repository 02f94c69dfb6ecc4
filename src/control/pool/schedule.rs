//! What is due when. [`Schedule`] holds one deadline for each subject and knows the earliest;
//! [`Turns`] holds those who wait for their turn to start, all of whose deadlines move whenever
//! one of them comes up.
//!
//! Setting a deadline costs the logarithm of how many there are, and naming the earliest as
//! much; nothing is ever scanned.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fxhash::FxHashMap;

use crate::runtime::ReplicaId;

/// One that waits for its turn to start has at most so many times the usual time.
const MOST_WAITS: u32 = 6;

/// What a deadline is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Subject {
    /// The member of this number.
    Member(u32),
    /// The replica that leaves.
    Departure(ReplicaId),
}

/// Deadlines, one for each subject.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule {
    at: FxHashMap<Subject, Instant>,
    /// The same, the earliest first.
    queue: BTreeSet<(Instant, Subject)>,
}

impl Schedule {
    /// Sets the deadline of `subject`, or forgets it.
    pub(super) fn set(&mut self, subject: Subject, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.at.insert(subject, at),
            None => self.at.remove(&subject),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before, subject));
        }
        if let Some(at) = at {
            self.queue.insert((at, subject));
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|&(at, _)| at)
    }

    /// Takes out a subject whose deadline has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Subject> {
        let &(at, subject) = self.queue.first().filter(|&&(at, _)| at <= now)?;
        self.queue.remove(&(at, subject));
        self.at.remove(&subject);
        Some(subject)
    }
}

/// Members whose instance was launched and does not run yet, and may not take for ever. Runtimes
/// bring up a few at a time: the time of each counts from when the one before it came up.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    launched: FxHashMap<u32, Instant>,
    queue: BTreeSet<(Instant, u32)>,
    /// When an instance last came up.
    last: Option<Instant>,
}

impl Turns {
    /// The member of a number waits for its turn since it was launched, or does not.
    pub(super) fn set(&mut self, number: u32, launched: Option<Instant>) {
        let before = match launched {
            Some(launched) => self.launched.insert(number, launched),
            None => self.launched.remove(&number),
        };
        if let Some(before) = before.filter(|_| before != launched) {
            self.queue.remove(&(before, number));
        }
        if let Some(launched) = launched.filter(|_| before != launched) {
            self.queue.insert((launched, number));
        }
    }

    /// An instance has come up.
    pub(super) fn came_up(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// Until when one that was launched then may take. Never falls as `launched` rises: so the
    /// first that was launched is the first that is late.
    pub(super) fn deadline(&self, launched: Instant, limit: Duration) -> Instant {
        let turn = self.last.map_or(launched, |last| last.max(launched));
        (turn + limit).min(launched + limit * MOST_WAITS)
    }

    /// The earliest deadline, with `limit` for each turn.
    pub(super) fn next(&self, limit: Duration) -> Option<Instant> {
        self.queue.first().map(|&(launched, _)| self.deadline(launched, limit))
    }

    /// Takes out a member whose deadline has come.
    pub(super) fn take_due(&mut self, now: Instant, limit: Duration) -> Option<u32> {
        let &(launched, number) = self.queue.first()?;
        (self.deadline(launched, limit) <= now).then(|| self.set(number, None))?;
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_earliest_is_that_of_a_scan(changes in prop::collection::vec((0_u32..8, prop::option::of(0_u64..50)), 0..60)) {
            let start = Instant::now();
            let at = |ms| start + Duration::from_millis(ms);
            let mut schedule = Schedule::default();
            let mut plain = std::collections::BTreeMap::new();
            for (number, ms) in changes {
                schedule.set(Subject::Member(number), ms.map(at));
                match ms {
                    Some(ms) => plain.insert(number, at(ms)),
                    None => plain.remove(&number),
                };
                prop_assert_eq!(schedule.next(), plain.values().min().copied());
            }
            let mut due = Vec::new();
            while let Some(subject) = schedule.take_due(at(25)) {
                due.push(subject);
            }
            let mut expected: Vec<_> = plain.iter().filter(|&(_, &when)| when <= at(25)).collect();
            expected.sort_by_key(|&(&number, &when)| (when, number));
            let expected: Vec<_> = expected.into_iter().map(|(&number, _)| Subject::Member(number)).collect();
            prop_assert_eq!(due, expected);
        }

        #[test]
        fn the_first_launched_is_the_first_that_is_late(
            launched in prop::collection::vec(0_u64..100, 1..20), last in prop::option::of(0_u64..120)
        ) {
            let (start, limit) = (Instant::now(), Duration::from_millis(10));
            let at = |ms| start + Duration::from_millis(ms);
            let mut turns = Turns::default();
            if let Some(last) = last {
                turns.came_up(at(last));
            }
            for (number, &ms) in (1..).zip(&launched) {
                turns.set(number, Some(at(ms)));
            }
            let earliest = launched.iter().map(|&ms| turns.deadline(at(ms), limit)).min();
            prop_assert_eq!(turns.next(limit), earliest);
        }
    }
}
