//! What can go wrong in the engine.

use std::path::PathBuf;

/// A failure of the engine or of the world under it. Requests that are refused are no errors but
/// [`crate::command::Refusal`]s and [`SubmitError`]s.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A record of the log cannot be read.
    #[error("read a record: {reason}")]
    BadRecord {
        /// What is wrong with it.
        reason: String,
    },
    /// The log failed.
    #[error("use the log")]
    Log(#[from] crate::log::Error),
    /// The history failed.
    #[error("use the history")]
    History(#[from] crate::history::Error),
    /// A row of the state cannot be read.
    #[error("read row {key} of the state: {reason}")]
    BadRow {
        /// The row's key, as text.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The state's format is newer than this binary.
    #[error("read the state: its format {found} is newer than {known}, which this binary reads")]
    NewerFormat {
        /// The format found.
        found: u32,
        /// The newest format this binary reads.
        known: u32,
    },
    /// The store of the state failed.
    #[error("use the store {path}")]
    Store {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: sled::Error,
    },
    /// A file could not be read or written.
    #[error("use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A snapshot cannot be used.
    #[error("read snapshot {path}: {reason}")]
    BadSnapshot {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The log no longer reaches back to the state.
    #[error("replay the log from {wanted}: it starts at {first}, and no snapshot covers the gap")]
    LogGap {
        /// The first position wanted.
        wanted: u64,
        /// The first position there is.
        first: u64,
    },
    /// The engine stopped by itself.
    #[error("go on: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// The data directory belongs to another log.
    #[error(
        "use {data} with this log: its state belongs to the log {known}, and this is the log {found}; name the log \
         it belongs to, or start with an empty data directory"
    )]
    OtherLog {
        /// The data directory.
        data: PathBuf,
        /// The log that the state belongs to.
        known: pavlov_events::Uuid,
        /// The log that was opened.
        found: pavlov_events::Uuid,
    },
    /// A record was written by a newer binary.
    #[error("read a record: its version {found} is newer than {known}, which this binary reads")]
    NewerRecord {
        /// The version found.
        found: u32,
        /// The newest version this binary reads.
        known: u32,
    },
    /// Secrets cannot be encrypted or read.
    #[error("use the key of the secrets: {reason}")]
    Secret {
        /// What is wrong.
        reason: String,
    },
}

/// Why a submission was not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// Too much is waiting.
    #[error("the server is busy, try again in {retry_after_seconds} s")]
    Busy {
        /// When to come again.
        retry_after_seconds: u32,
    },
    /// The disk is nearly full.
    #[error("the disk has {free_percent:.1} % left, and nothing is written below 5 %")]
    DiskFull {
        /// What is free.
        free_percent: f32,
    },
    /// One record would be too large.
    #[error("{bytes} bytes are more than the {bytes_max} that one record may hold")]
    TooLarge {
        /// Bytes given.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// The engine stops or has stopped.
    #[error("the server is stopping")]
    Stopped,
    /// The record made the machine fail; nothing of it took effect.
    #[error("internal error, nothing was changed")]
    Internal,
}

/// A file error with its path.
pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.into();
    move |source| Error::File { path, source }
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
