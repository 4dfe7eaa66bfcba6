//! What the log's threads share.

use super::super::{Delivery, Error};
use super::{frame, options::Options, queue::Queue};
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64},
};
use tokio::sync::mpsc::Sender;

pub(super) struct Shared {
    pub options: Options,
    pub queue: Queue,
    /// The preparer is to stop at once.
    pub stop: AtomicBool,
    pub commits: AtomicU64,
    pub records: AtomicU64,
    pub trouble: Mutex<Trouble>,
    book: Mutex<Book>,
}

/// What is durable, where it lies, and who listens.
pub(super) struct Book {
    /// Those that hold records, ascending.
    pub segments: Vec<Segment>,
    /// The last durable position.
    pub last: u64,
    /// The time of the last durable record.
    pub last_time: i64,
    /// Where groups go, once the stored tail has been read.
    pub live: Option<Sender<Delivery>>,
    /// The committer has stopped: nothing new will come.
    pub ended: bool,
}

pub(super) struct Segment {
    pub index: u64,
    /// Of the file.
    pub bytes: u64,
    pub first_position: u64,
    pub first_time: i64,
    /// Some frames' (position, offset), ascending, about one per [`MARK_BYTES`]; the first frame's always.
    pub marks: Vec<(u64, u64)>,
}

/// What keeps segments from being prepared, if anything.
#[derive(Default)]
pub(super) struct Trouble {
    pub now: bool,
    pub last: Option<String>,
    pub outages: u64,
}

/// A search for a position reads at most this much in vain.
const MARK_BYTES: u64 = 1 << 20;

impl Shared {
    pub fn new(options: Options, book: Book) -> Self {
        let queue = Queue::new(options.queue_bytes_max, options.queue_records_max);
        let (commits, records, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Self { options, queue, stop, commits, records, trouble: Mutex::default(), book: Mutex::new(book) }
    }

    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes on disk are unknown from here on: tells whoever reads, and ends the process.
    pub fn fatal(&self, error: &Error) {
        self.queue.close();
        let mut trouble = self.trouble();
        (trouble.now, trouble.last) = (true, Some(error.to_string()));
        drop(trouble);
        (self.options.host.fatal)(error);
    }
}

impl Book {
    /// The segment that holds a durable position.
    pub fn segment_of(&self, position: u64) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.first_position <= position);
        if position > self.last { None } else { self.segments.get(after.checked_sub(1)?) }
    }

    pub fn first(&self) -> u64 {
        self.segments.first().map_or(self.last + 1, |segment| segment.first_position)
    }
}

impl Segment {
    /// A segment of which only the first frame is known.
    pub fn new(index: u64, bytes: u64, first: &frame::Frame) -> Self {
        let marks = vec![(first.position, first.offset)];
        Self { index, bytes, first_position: first.position, first_time: first.time, marks }
    }

    /// Notes a frame that was written or read behind the ones before.
    pub fn note(&mut self, position: u64, offset: u64) {
        if self.marks.last().is_none_or(|(_, last)| offset >= last + MARK_BYTES) {
            self.marks.push((position, offset));
        }
    }

    /// Where to start reading to find `position`: a frame at or before it.
    pub fn mark(&self, position: u64) -> (u64, u64) {
        let after = self.marks.partition_point(|(marked, _)| *marked <= position);
        self.marks[after.saturating_sub(1)]
    }
}
