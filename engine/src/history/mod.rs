//! The history: every event, accepted or derived, in the machine's order, in segments with an index each.
//!
//! Read `history.rs` first (what lies on the disk, and opening it), then `writer` and `reader`. Below
//! them: `frame` (bytes of a segment), `segment` (one file and the form its index has),
//! `columns` (the index of the open segment, in memory), `index_build` and `index_file` (of a sealed
//! one, on the disk), `source` (what both answer), `select` (filter to rows), `page`, `count`.
//!
//! The history is derived from the log: it is never waited for before an answer, it is cut to the state's
//! position on open, and replay writes the same bytes again. It decides nothing.

mod columns;
mod count;
mod dictionary;
mod error;
mod facts;
mod frame;
#[expect(clippy::module_inception, reason = "the file is named for its main type")]
mod history;
mod index_build;
mod index_file;
mod indexer;
mod page;
mod reader;
mod segment;
mod select;
mod source;
#[cfg(test)]
mod tests;
mod token;
mod writer;

pub use count::{Count, Countable, Spans, TimeUnit};
pub use error::Error;
pub use frame::Cursor;
pub use history::{History, Options, Point};
pub use page::Page;
pub use reader::{PAGE_EVENTS_MAX, Reader, Stats};
pub use token::Token;
pub use writer::{Unsynced, Writer};
