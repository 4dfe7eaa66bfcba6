//! [`Error`]: what can go wrong with the history.

use std::io;
use std::path::{Path, PathBuf};

/// Why the history could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused.
    #[error("{action} {path}")]
    Io {
        /// What was tried, as a verb: `read`, `write`, `sync`, …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Stored bytes are not what was written.
    #[error("read {path} at byte {offset}: {what}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the damaged part starts, in bytes.
        offset: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// An index file is damaged; its segment is not, so the index can be made again.
    #[error("read the index of segment {segment} at byte {offset}: checksum mismatch")]
    BrokenIndex {
        /// The segment's number.
        segment: u64,
        /// Where the damaged part starts, in bytes of the index file.
        offset: u64,
    },
    /// A segment that was indexed anew could not be read.
    #[error("index segment {path}: {reason}")]
    Unindexed {
        /// The segment's file.
        path: PathBuf,
        /// The error of that attempt, as text.
        reason: String,
    },
    /// A segment between two others, or the one to be cut, is not there.
    #[error("find segment {number} in {path}")]
    Missing {
        /// The segment's number.
        number: u64,
        /// The history's directory.
        path: PathBuf,
    },
    /// A segment ends before the point that was promised to be on disk.
    #[error("cut {path} to {wanted} bytes: it has only {found}")]
    Lost {
        /// The segment's file.
        path: PathBuf,
        /// Bytes up to the point.
        wanted: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// A page token that no earlier page gave out.
    #[error("read a page token: {reason}")]
    BadToken {
        /// What is wrong with it.
        reason: String,
    },
    /// A count over spans shorter than allowed.
    #[error("count by time: the interval is {given}, the least is {least}")]
    IntervalTooSmall {
        /// The interval asked for, in units.
        given: f64,
        /// The smallest allowed.
        least: f64,
    },
    /// A count over more spans than allowed.
    #[error(
        "count by time: the interval makes {spans} buckets of this time range, at most {most} are allowed; \
         take a longer interval or a shorter range"
    )]
    TooManySpans {
        /// Spans of the range that was asked for.
        spans: i64,
        /// The most that are allowed.
        most: i64,
    },
}

impl Error {
    /// Makes an [`Error::Io`] of what the system said about `path`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(super) fn corrupt(path: &Path, offset: u64, what: &'static str) -> Self {
        Self::Corrupt { path: path.to_owned(), offset, what }
    }
}
