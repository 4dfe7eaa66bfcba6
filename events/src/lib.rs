//! The words of Pavlov: what happened, to what, and when.
//!
//! Read [`event::Event`] first, then [`pattern`] (how names and labels are matched), [`filter`] (how
//! stored events are asked for) and [`read`] (how outside JSON is checked and its faults are named).
//! The crate does no input or output, reads no clock and knows nothing of triggers.

pub mod cloudevents;
pub mod event;
pub mod filter;
pub mod id;
pub mod limits;
pub mod pattern;
pub mod read;
pub mod resource;
pub mod time;

pub use event::Event;
pub use filter::EventFilter;
pub use id::Ids;
pub use read::{Fault, Faults, Loc, Reader};
pub use resource::Resource;
pub use time::Timestamp;
pub use uuid::Uuid;
