//! What automations act on, as pure functions: (state, command, now, ids) → changes and events, or a refusal.
//!
//! Read [`block`] first: the settings that actions use, such as where a message goes. The crate does no
//! input or output, reads no clock, draws no random number and knows no status codes: whoever calls it
//! gives the time and the ids, stores the rows it names and sends the answers it returns.

pub mod apply;
pub mod block;
pub mod error;

pub use apply::{Applied, Ctx};
pub use error::{Error, Refusal, RefusalKind};
