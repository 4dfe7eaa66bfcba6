//! [`Ctx`], what a command gets besides the state, and [`Applied`], what comes of it.

use crate::block::RowKey;
use pavlov_events::{Resource, Timestamp, Uuid};
use serde_json::Value;
use std::fmt;

/// What a command is applied with: the record's time and its generator of ids.
pub struct Ctx<'a> {
    /// The record's time.
    pub now: Timestamp,
    /// Gives the next id. The same record must get the same ids at every replay.
    pub ids: &'a mut dyn FnMut() -> Uuid,
}

/// What came of an accepted command.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// The body of the answer; null when there is none.
    pub answer: Value,
    /// The rows that were put or deleted, each once, in a fixed order. Empty when nothing changed, for
    /// example when what was to be created was there already.
    pub changes: Vec<RowKey>,
    /// The facts to tell, in order.
    pub events: Vec<Told>,
}

/// A fact that follows from a command; the caller gives it an id and the record's time.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The event's name, such as `prefect.block-document.created`.
    pub event: String,
    /// What it is about.
    pub resource: Resource,
    /// What else is involved.
    pub related: Vec<Resource>,
    /// The payload, an object.
    pub payload: Value,
}

impl Ctx<'_> {
    /// The next id.
    pub fn id(&mut self) -> Uuid {
        (self.ids)()
    }
}

impl fmt::Debug for Ctx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx").field("now", &self.now).finish_non_exhaustive()
    }
}
