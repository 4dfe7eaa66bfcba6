//! [`Deadlines`]: what is due when, in the order in which ticks fire it.

use pavlov_events::{Timestamp, Uuid};
use std::collections::BTreeSet;

/// What is due. The order of the variants and fields is the order of firing at the same instant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// An event waited long enough for the one that it follows.
    Waiting(Uuid),
    /// A bucket of a trigger, by trigger and key.
    Bucket(Uuid, Vec<String>),
    /// Child firings of a composite trigger fall out of its window.
    Composite(Uuid),
    /// The next attempt at an effect.
    Ledger(Uuid),
}

/// All deadlines. They are no rows of their own: each is the `due` of a row, and loading rebuilds them.
#[derive(Debug, Default)]
pub struct Deadlines {
    set: BTreeSet<(Timestamp, Due)>,
}

impl Deadlines {
    /// Replaces a deadline; either may be missing.
    pub fn replace(&mut self, old: Option<Timestamp>, new: Option<Timestamp>, due: Due) {
        if old == new {
            return;
        }
        match (old, new) {
            (Some(old), Some(new)) => {
                let mut entry = (old, due);
                self.set.remove(&entry);
                entry.0 = new;
                self.set.insert(entry);
            }
            (Some(old), None) => {
                self.set.remove(&(old, due));
            }
            (None, Some(new)) => {
                self.set.insert((new, due));
            }
            (None, None) => {}
        }
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Timestamp> {
        self.set.first().map(|(time, _)| *time)
    }

    /// The earliest deadline, if it is due by `now`. It stays until it is replaced.
    pub fn due(&self, now: Timestamp) -> Option<(Timestamp, Due)> {
        self.set.first().filter(|(time, _)| *time <= now).cloned()
    }

    /// How many are armed.
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether none is armed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// How many are overdue at `now`, counted up to `most`.
    pub fn overdue(&self, now: Timestamp, most: usize) -> usize {
        self.set.iter().take(most).take_while(|(time, _)| *time <= now).count()
    }
}
