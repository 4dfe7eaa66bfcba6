//! What the log's two tasks and its callers share.

use super::super::{Error, Refused};
use super::{health::Health, link::Link, options::Options, stream, stream::Known};
use async_nats::{Client, jetstream::Context};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};
use tokio::sync::{Notify, watch};

pub(super) struct Shared {
    pub options: Options,
    pub client: Client,
    pub context: Context,
    pub link: watch::Receiver<Link>,
    pub health: Health,
    pub stage: watch::Sender<Stage>,
    /// The highest position acknowledged to our publisher.
    pub acked: watch::Sender<u64>,
    /// Something was put into the buffer.
    pub filled: Notify,
    pub commits: AtomicU64,
    pub records: AtomicU64,
    pub resends: AtomicU64,
    known: Mutex<Known>,
    delivered: Mutex<Mark>,
    buffer: Mutex<Buffer>,
    ended: Mutex<Option<Error>>,
}

/// How far closing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Running,
    /// Nothing new is taken; the publisher sends the rest.
    Publishing,
    /// The publisher has finished; the follower delivers the rest.
    Delivering,
    /// Both are to stop at once.
    Ended,
}

/// The last delivered entry.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    pub position: u64,
    /// Its time in Unix nanoseconds and its checksum, if this process delivered it itself.
    pub content: Option<(i128, u32)>,
}

/// Our records that have not been seen to come back, in order of their numbers.
#[derive(Default)]
struct Buffer {
    records: VecDeque<Bytes>,
    /// Number of the first.
    first: u64,
    bytes: usize,
    closed: bool,
}

impl Shared {
    pub fn new(
        options: Options,
        (client, context): (Client, Context),
        link: watch::Receiver<Link>,
        known: Known,
    ) -> Self {
        Self {
            options,
            client,
            context,
            link,
            health: Health::default(),
            stage: watch::Sender::new(Stage::Running),
            acked: watch::Sender::new(0),
            filled: Notify::new(),
            commits: AtomicU64::new(0),
            records: AtomicU64::new(0),
            resends: AtomicU64::new(0),
            known: Mutex::new(known),
            delivered: Mutex::default(),
            buffer: Mutex::new(Buffer { first: 1, ..Buffer::default() }),
            ended: Mutex::default(),
        }
    }

    /// Takes a record. Nothing is checked when the buffer is empty, so that no limit can lock a record out for ever.
    pub fn push(&self, number: u64, bytes: Bytes) -> Result<(), Refused> {
        let mut buffer = lock(&self.buffer);
        if buffer.closed {
            return Err(Refused::Closed);
        }
        let (count, bytes_max) = (buffer.records.len(), self.options.queue_bytes_max);
        if count > 0 && (count >= self.options.queue_records_max || buffer.bytes + bytes.len() > bytes_max) {
            return Err(Refused::Full { retry_after_seconds: 1 });
        }
        debug_assert_eq!(number, buffer.first + count as u64, "numbers follow each other");
        buffer.bytes += bytes.len();
        buffer.records.push_back(bytes);
        drop(buffer);
        self.filled.notify_one();
        Ok(())
    }

    /// Forgets the records up to `number`.
    pub fn seen(&self, number: u64) {
        let mut buffer = lock(&self.buffer);
        while buffer.first <= number
            && let Some(bytes) = buffer.records.pop_front()
        {
            buffer.first += 1;
            buffer.bytes -= bytes.len();
        }
    }

    /// Up to `count` unseen records from number `from` on, and the number of the first one.
    pub fn unseen(&self, from: u64, count: usize) -> (u64, Vec<Bytes>) {
        let buffer = lock(&self.buffer);
        let from = from.max(buffer.first);
        let skip = (from - buffer.first) as usize;
        (from, buffer.records.iter().skip(skip).take(count).cloned().collect())
    }

    pub fn unseen_count(&self) -> usize {
        lock(&self.buffer).records.len()
    }

    pub fn known(&self) -> Known {
        lock(&self.known).clone()
    }

    pub fn set_known(&self, known: Known) {
        *lock(&self.known) = known;
    }

    /// Something was delivered; the size is an estimate until the next look at the stream.
    pub fn grow(&self, last: u64, bytes: u64, last_time: i64) {
        let mut known = lock(&self.known);
        if last > known.last {
            known.bytes += bytes;
            (known.last, known.last_time) = (last, last_time);
        }
    }

    pub fn set_id(&self, id: uuid::Uuid) {
        lock(&self.known).id = id;
    }

    pub fn delivered(&self) -> Mark {
        *lock(&self.delivered)
    }

    pub fn set_delivered(&self, mark: Mark) {
        *lock(&self.delivered) = mark;
    }

    /// [`stream::check`] against what is known, which it brings up to date.
    pub async fn check(&self) -> Result<(), Error> {
        let (id, delivered) = (self.known().id, self.delivered());
        let known = stream::check(&self.client, &self.context, &self.options, (id, delivered)).await?;
        self.set_known(known);
        Ok(())
    }

    pub fn close_buffer(&self) {
        lock(&self.buffer).closed = true;
    }

    /// Ends the log with an error, which the reader gets.
    pub fn end(&self, error: Error) {
        tracing::error!(error = &error as &dyn std::error::Error, "the log on NATS ends");
        self.close_buffer();
        lock(&self.ended).get_or_insert(error);
        self.advance(Stage::Ended);
    }

    /// The error the log ended with, for the first who asks.
    pub fn take_end(&self) -> Option<Error> {
        lock(&self.ended).take()
    }

    /// Stages only go forward.
    pub fn advance(&self, stage: Stage) {
        self.stage.send_if_modified(|now| {
            let forward = stage > *now;
            *now = stage.max(*now);
            forward
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
