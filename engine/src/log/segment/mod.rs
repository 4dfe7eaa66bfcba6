//! The embedded log: files of this machine, made durable in groups.
//!
//! ```text
//! DIR/lock            one process per directory
//! DIR/log.json        {"format":1,"id":"…"}
//! DIR/0000000001.seg  segments: pre-zeroed files that are filled from the front
//! DIR/0000000002.seg  the next one, already zeroed and synced
//! ```
//!
//! One thread commits: everything queued becomes one group, one write, one `fdatasync`, and is delivered; then the
//! next group. A frame is `length, crc32c, position, time, position of its group's first record, body`, padded to
//! 8 bytes (`frame`). That a group's first position stands in every frame is what tells a torn tail (pages of the
//! one group that was never synced, in any order) from damage to a group that had been synced (`recovery`).

mod committer;
mod directory;
mod frame;
mod options;
mod preparer;
mod queue;
mod recovery;
mod segment_log;
mod shared;
mod tail;
#[cfg(test)]
mod tests;

pub use options::{Ask, Host, Options};
pub use segment_log::SegmentLog;
