//! [`Bucket`]: what one event trigger counts for one bucketing key.

use crate::firing::stored_event;
use pavlov_events::{Event, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One open count for one trigger and one bucketing key, with what must be remembered beside it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// When [`crate::on_bucket_deadline`] must be called: the deadline of an absence, or the time from which
    /// the memory is not needed any more.
    pub due: Option<Timestamp>,
    /// The window that is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The absence that was told and has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<Alarm>,
    /// With `after`: when the latest expected events occurred, ascending, for start events that come late.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) heard: Vec<Timestamp>,
    /// When the bucket was last used, by record time.
    pub(crate) touched: Timestamp,
    /// The last event seen, kept while an absence may have to show it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "stored_event")]
    pub(crate) last_event: Option<Arc<Event>>,
}

/// The span in which events count: from `start` up to but not including `end`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// The first instant that counts. For a Reactive trigger that fired, it lies ahead: quiet until then.
    pub start: Timestamp,
    /// The first instant that does not count any more.
    pub end: Timestamp,
    /// Expected events counted so far.
    pub count: i64,
    /// Proactive without `after`: expected events that occurred at or after the end, seen before the deadline.
    #[serde(default)]
    pub(crate) beyond: i64,
    /// The record time at which the window was opened.
    pub(crate) armed: Timestamp,
    /// Proactive with `after`: the latest start event since the one that opened the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restart: Option<Restart>,
}

/// A start event that came while a window was open.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Restart {
    /// When it occurred.
    pub(crate) at: Timestamp,
    /// Expected events known to have come after it.
    pub(crate) count: i64,
}

/// An absence that was told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// The start of the window in which too little came.
    pub since: Timestamp,
    /// When it was told, by record time.
    pub told: Timestamp,
    /// Expected events that occurred since `since`, as far as seen.
    pub count: i64,
}

impl Window {
    /// A window that nothing was counted in.
    pub(crate) fn open(start: Timestamp, end: Timestamp, armed: Timestamp) -> Self {
        Self { start, end, count: 0, beyond: 0, armed, restart: None }
    }
}
