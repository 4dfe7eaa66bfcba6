//! What can go wrong with a log.

use std::{io, path::PathBuf};
use uuid::Uuid;

/// What can go wrong with a log. Messages read after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is out of its range: a mistake of the settings.
    #[error("use {field} = {given}: allowed is {allowed}")]
    Option {
        /// The option's name.
        field: &'static str,
        /// What was given.
        given: String,
        /// What would do.
        allowed: String,
    },
    /// Another process has this directory.
    #[error("open the log in {}: it is in use by process {process}", .directory.display())]
    InUse {
        /// The log's directory.
        directory: PathBuf,
        /// Its process id, as it wrote it down.
        process: String,
    },
    /// A file operation failed.
    #[error("{doing} {}", .path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Stored bytes changed after they had been made durable. Nothing is repaired by guessing.
    #[error("read {} at byte {offset}: {reason} where position {position} must stand", .path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Byte offset of the first bad frame.
        offset: u64,
        /// The position that should be there.
        position: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The files or the stream were written by a newer version, or by something else.
    #[error("read {name}: format {found} is not known here, {known} is")]
    Format {
        /// The file or stream.
        name: String,
        /// The format found.
        found: String,
        /// The format that this version writes.
        known: u32,
    },
    /// What was asked for has been removed by retention.
    #[error("read from position {from}: the log starts at {first}")]
    Trimmed {
        /// The position asked for.
        from: u64,
        /// The first one stored.
        first: u64,
    },
    /// The log ends before a position that had been durable: its storage lost something.
    #[error("go on after position {delivered}: the log ends at {last}, so its tail was lost")]
    TailLost {
        /// The last position known to have been stored.
        delivered: u64,
        /// The last one there is; `delivered - 1` if another entry stands in its place now.
        last: u64,
    },
    /// The stream got another log id: it was made anew, or another replica found its tail lost.
    #[error("go on with the log {known}: its id is now {found}")]
    OtherLog {
        /// The id that the log had.
        known: Uuid,
        /// The id that it has.
        found: Uuid,
    },
    /// [`super::Log::entries`] was called before.
    #[error("read the log twice: its entries are already being read")]
    EntriesTaken,
    /// The log was closed.
    #[error("use the log: it is closed")]
    Closed,
    /// The server is too old: it would ignore what we ask, in silence.
    #[error("use the NATS server at {server}: it is version {version}, needed is 2.12 or newer; upgrade it")]
    ServerTooOld {
        /// Where it was reached.
        server: String,
        /// What it says it is.
        version: String,
    },
    /// The stream exists but is set up otherwise.
    #[error("use the stream {stream}: {}; change it with `nats stream edit`, or choose another prefix", list(.differences))]
    StreamDiffers {
        /// The stream's name.
        stream: String,
        /// Every field that differs.
        differences: Vec<Difference>,
    },
    /// The NATS server could not be reached, or refused.
    #[error("{doing}: {reason}")]
    Nats {
        /// What was tried.
        doing: String,
        /// What the client or the server said.
        reason: String,
    },
}

/// One field of a stream that is not what we need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field's name in the stream's configuration.
    pub field: &'static str,
    /// What the server has.
    pub found: String,
    /// What we need.
    pub needed: String,
}

impl Error {
    /// For `map_err` of file operations.
    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}

fn list(differences: &[Difference]) -> String {
    let parts: Vec<_> =
        differences.iter().map(|d| format!("{} is {}, needed is {}", d.field, d.found, d.needed)).collect();
    parts.join("; ")
}
