//! Blocks: named settings of a type, such as "the Slack webhook of the on-call channel".
//!
//! A *block type* says what it is for, a *block schema* which fields it has and which of them are
//! secret, a *block document* holds the values. Read [`blocks`] (the collection), then [`command`] (what
//! can be asked for) and one of the files that apply it: [`types`], [`schemas`], [`documents`].
//! [`parse`] reads request bodies, [`query`] answers questions, [`secret`] keeps secrets out of the log
//! and of answers, [`system`] holds the types every server starts with, [`checksum()`] the digest by which
//! clients recognise a schema.
//!
//! Not here: encryption itself (the caller gives a function), calling what a block describes.

pub mod blocks;
pub mod checksum;
pub mod command;
pub mod documents;
pub mod filter;
pub mod parse;
pub mod query;
mod render;
pub mod row;
pub mod schemas;
pub mod secret;
pub mod system;
mod told;
pub mod types;

pub use blocks::Blocks;
pub use checksum::checksum;
pub use command::BlockCommand;
pub use row::{BlockDocument, BlockSchema, BlockType, RowKey};
