//! Triggers: which events concern an automation, what is counted, and when it fires.
//!
//! Read [`trigger::Trigger`] first (the declared condition), then [`evaluate`] (what one event or one
//! deadline does to what is counted), [`reactive`] and [`proactive`] (the two postures), [`composite`]
//! (compounds and sequences) and [`index`] (which triggers could be interested in an event at all).
//! The semantics are written in `docs/spec/triggers.md`.
//!
//! The crate reads no clock, stores nothing and draws no random number: the caller hands in the time of
//! the record, the ids and a [`evaluate::TriggerStates`] to keep what is counted.
//!
//! ```
//! use pavlov_events::{Event, Reader, Resource, Timestamp, Uuid};
//! use pavlov_triggers::{Index, Trigger, first_mismatch};
//!
//! let declared = serde_json::json!({
//!     "type": "event", "posture": "Reactive", "expect": ["host.down"], "match": {"team": "sre"},
//! });
//! let mut faults = Vec::new();
//! let mut reader = Reader::new(&declared, "trigger", &mut faults);
//! let trigger = Trigger::read(&mut reader, &mut || Uuid::from_u128(1)).expect("a valid trigger");
//! let leaf = trigger.leaves()[0];
//!
//! let mut index = Index::new();
//! index.insert(7, 0, leaf);
//! let host = Resource::new("host.a").with("team", "sre");
//! let event = Event::new(Uuid::from_u128(2), Timestamp::from_micros(0), "host.down", host);
//! let mut candidates = Vec::new();
//! index.candidates(&event, &mut candidates);
//! assert_eq!(candidates, [(7, 0)]);
//! assert!(leaf.covers(&event) && first_mismatch(leaf, &event).is_none());
//! ```

pub mod bucket;
pub mod composite;
pub mod error;
pub mod evaluate;
pub mod event_trigger;
pub mod explain;
pub mod firing;
pub mod index;
pub mod limits;
mod names;
pub mod proactive;
pub mod reactive;
pub mod trigger;

pub use bucket::Bucket;
pub use composite::Composite;
pub use error::Error;
pub use evaluate::{Context, TriggerStates, arm, on_bucket_deadline, on_composite_deadline, on_event};
pub use event_trigger::{EventTrigger, Posture};
pub use explain::{Mismatch, first_mismatch};
pub use firing::{Firing, Reason, TriggerChange};
pub use index::Index;
pub use trigger::{Compound, Require, Sequence, Trigger};
