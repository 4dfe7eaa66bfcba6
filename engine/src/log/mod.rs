//! The durable log: one ordered sequence of records, acknowledged only once it cannot be lost.
//!
//! Two back ends stand behind [`Log`]: [`segment`] (files on this machine, `fdatasync` per group) and [`nats`]
//! (one JetStream stream). `contract.rs` is the one test suite that both pass.
//!
//! Reading order: this page, `segment/committer.rs`, `segment/recovery.rs`, `nats/publisher.rs`, `nats/follower.rs`.
//!
//! What a log does **not** do: it never looks into a record, never drops a duplicate (the machine does, by origin
//! and number), never acknowledges (the record coming back through [`Log::entries`] is the acknowledgement), and
//! never decides what may be removed (the engine calls [`Log::trim`] with what its snapshots cover).
//!
//! All methods are synchronous and may be called from any thread. Those that return [`Error`] may touch a disk or
//! the network and must not be called from an async task; [`Log::append`] and [`Log::seen`] never wait.

mod clock;
#[cfg(test)]
mod contract;
mod error;
mod id;
pub mod nats;
mod retention;
pub mod segment;

pub use clock::BootClock;
pub use error::{Difference, Error};
pub use retention::{Retention, trim_below};

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;

/// Largest record in bytes that any back end takes: NATS refuses messages over 1 MiB by default, headers included.
pub const RECORD_BYTES_MAX: usize = 900 * 1024;

/// What [`Log::entries`] delivers: groups in log order. An error is always the last item.
pub type Delivery = Result<Vec<Entry>, Error>;

/// One stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Place in the log, from 1, strictly increasing; without gaps in the segment log, the stream sequence on NATS.
    pub position: u64,
    /// When the log stored it: Unix microseconds. In the segment log never less than the entry before; on NATS it is
    /// the server's time, which may step back: the machine takes the largest so far.
    pub time: i64,
    /// Who wrote it.
    pub source: Source,
    /// The record, exactly as appended.
    pub bytes: Bytes,
}

/// Who wrote an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A Pavlov process, through [`Log::append`].
    Record,
    /// Some other program that published on `<prefix>.in.>`; NATS only. Nothing about its bytes is known.
    Outside {
        /// The whole subject it was published on.
        subject: String,
    },
}

/// A durable, ordered log of records.
pub trait Log: Send + Sync {
    /// Queues one of our own records; never waits. It comes back through [`Log::entries`] once durable, and that is
    /// the only acknowledgement. `number` is our origin's sequence number: 1, 2, 3, … in call order.
    ///
    /// # Errors
    /// [`Refused`]: nothing was queued, and the same number is to be used again for the next record.
    fn append(&self, number: u64, bytes: Bytes) -> Result<(), Refused>;

    /// Tells that our records up to `number` have come back. A back end that resends forgets them.
    fn seen(&self, number: u64);

    /// Starts the delivery at position `from`: first what is stored, then each group as it becomes durable. May be
    /// called once. The channel is bounded: a reader that stops reading fills the queue, and `append` refuses.
    /// The channel ends without an error only after [`Log::close`].
    ///
    /// # Errors
    /// [`Error::Trimmed`] if `from` is gone, [`Error::TailLost`] if the log ends before `from - 1`,
    /// [`Error::EntriesTaken`] at the second call.
    fn entries(&self, from: u64) -> Result<Receiver<Delivery>, Error>;

    /// The first position still stored; one more than the last when nothing is.
    fn first_position(&self) -> u64;

    /// The last durable position that this process knows of; 0 when nothing was ever stored.
    fn last_position(&self) -> u64;

    /// The log's random id, made with the log.
    fn id(&self) -> Uuid;

    /// Gives the log a new id, durably: after a lost tail, so that other replicas notice.
    ///
    /// # Errors
    /// When it could not be stored; the old id then still holds.
    fn set_id(&self, id: Uuid) -> Result<(), Error>;

    /// The crc32c of the bytes at `position`; none if nothing is stored there.
    ///
    /// # Errors
    /// When the log cannot be read.
    fn checksum(&self, position: u64) -> Result<Option<u32>, Error>;

    /// Removes entries strictly below `below`: whole pieces only, so fewer may go. What the newest piece holds stays.
    ///
    /// # Errors
    /// When the removal failed; part of it may have happened.
    fn trim(&self, below: u64) -> Result<(), Error>;

    /// The pieces that [`Log::trim`] can remove, oldest first; see [`trim_below`].
    fn pieces(&self) -> Vec<Piece>;

    /// How the log is doing.
    fn status(&self) -> Status;

    /// Makes what is queued durable, delivers it, and stops. Waits for the reader of [`Log::entries`], so that
    /// reader must go on reading (or be dropped) meanwhile. Queued records that cannot be stored are given up.
    fn close(&self);
}

/// Why a record was not queued.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Too much waits to be stored or applied.
    #[error("the log's queue is full; try again in {retry_after_seconds} s")]
    Full {
        /// When trying again makes sense.
        retry_after_seconds: u32,
    },
    /// The file system is nearly full; reading goes on.
    #[error("only {free_percent:.1} % of the log's disk is free")]
    DiskFull {
        /// What is left, in percent of the file system.
        free_percent: f32,
    },
    /// The record is over the limit.
    #[error("a record has {bytes} bytes, allowed are {bytes_max}")]
    TooLarge {
        /// Bytes of the record.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// The log was closed, or ended with an error that [`Log::entries`] delivered.
    #[error("the log is closed")]
    Closed,
}

/// One removable piece of a log: a segment, or a whole stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Position of its first entry.
    pub first: u64,
    /// Position of its last entry.
    pub last: u64,
    /// Bytes it takes on disk.
    pub bytes: u64,
    /// No entry in it is younger than this (Unix microseconds).
    pub time_max: i64,
}

/// How a log is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether records are being stored just now.
    pub healthy: bool,
    /// The newest trouble, kept after it is over.
    pub last_error: Option<String>,
    /// Bytes stored, pre-zeroed ones included.
    pub bytes: u64,
    /// Records queued or sent that are not durable yet (on NATS: not seen to come back yet).
    pub queued: usize,
    /// What an acknowledgement is worth.
    pub durability: Durability,
    /// What has happened since the log was opened.
    pub counters: Counters,
}

/// What an acknowledgement is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On this machine's disk: `fdatasync` has returned.
    Fdatasync,
    /// Stored by the stream's quorum.
    Stream {
        /// Copies that the stream keeps.
        replicas: usize,
        /// Whether the setting says that the server runs with `sync_interval: always`. If not, a power cut of all
        /// replicas at once may lose the last moments (two minutes by the server's default); it cannot be asked.
        sync_always: bool,
    },
}

/// What has happened since the log was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Groups made durable (segments), or acknowledgements got (NATS; an atomic batch is one).
    pub commits: u64,
    /// Records that these held.
    pub records: u64,
    /// Records sent again, since it was not known whether they had been stored.
    pub resends: u64,
    /// Times when storing or reading stopped and went on later.
    pub outages: u64,
}
