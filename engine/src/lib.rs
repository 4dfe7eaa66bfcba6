//! The sentence running: event → log → match → trigger state → firing → action → outcome event.
//!
//! Read [`machine`] first: what one record does. Then [`record`] (what the log can hold), [`applier`] (the
//! thread that applies), [`effects`] (what is done outside), [`recovery`] (what a start does) and [`engine`]
//! (how it is put together). [`log`], [`history`] and [`state`] are the three things on disk.
//!
//! Nothing here knows of HTTP. The machine knows of nothing at all but its state and the record.

mod applier;
pub mod clock;
pub mod command;
pub mod deadlines;
mod effects;
pub mod engine;
pub mod error;
pub mod events_stream;
pub mod handle;
pub mod history;
pub mod ledger;
pub mod log;
pub mod machine;
mod persist;
pub mod record;
pub mod recovery;
pub mod rules;
pub mod secret;
pub mod seen;
pub mod settings;
pub mod state;
pub mod submit;
mod telling;
pub mod waiting;
pub mod world;

pub use command::{Answer, Command, Refusal, RefusalKind};
pub use engine::{Engine, LogOptions, Options};
pub use error::{Error, SubmitError};
pub use handle::{Handle, Progress};
pub use machine::Receipt;
pub use settings::Settings;
