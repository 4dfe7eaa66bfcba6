//! The thread that applies: record after record from the log into the machine, and then whatever follows.
//!
//! After each group: the history is flushed, so that what was answered can be read; senders are told;
//! attempts begin; and now and then the changed rows go to the store.

use crate::effects::Effects;
use crate::error::{Error, SubmitError, chain};
use crate::handle::{Inner, Progress};
use crate::history::{Cursor, Writer};
use crate::log::{Delivery, Entry, Source};
use crate::machine::{Applied, Machine, Place, Reply};
use crate::persist::Persister;
use crate::record::Record;
use crate::submit::Told;
use pavlov_events::{Timestamp, Uuid};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

/// Longest time that a changed row waits for its batch.
const COMMIT_AFTER: Duration = Duration::from_secs(1);
/// Bytes of records that are applied under one lock: about a millisecond's work.
const PART_BYTES: usize = 256 * 1024;
/// How often the history's oldest segments are looked at.
const EXPIRE_AFTER: Duration = Duration::from_secs(60);
/// Changed rows that make a batch due at once.
const COMMIT_ROWS: usize = 50_000;

/// What the thread needs.
pub(crate) struct Applier {
    pub(crate) inner: Arc<Inner>,
    pub(crate) entries: Receiver<Delivery>,
    pub(crate) writer: Writer,
    pub(crate) persister: Persister,
    pub(crate) effects: Effects,
    pub(crate) runtime: tokio::runtime::Handle,
    /// The log's last position at the start: what comes up to it is replayed, not new.
    pub(crate) replay_until: u64,
    pub(crate) retention: Retention,
}

/// How much of the history is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Events received longer ago go. Default: 7 days, as Prefect's.
    pub age: Duration,
    /// The oldest events go when all together take more bytes. Default: 50 GiB.
    pub bytes_max: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Duration::from_secs(7 * 86_400), bytes_max: 50 << 30 }
    }
}

/// What one group leaves to be done after the machine is unlocked.
#[derive(Default)]
struct After {
    told: Vec<(oneshot::Sender<Told>, Told)>,
    starts: Vec<Uuid>,
    cursor: Option<Cursor>,
    position: u64,
    next_deadline: Option<Timestamp>,
}

impl Applier {
    /// Applies until the log ends. Returns why, if it ended by itself.
    pub(crate) fn run(mut self) -> Option<String> {
        let (mut last_commit, mut last_expiry) = (Instant::now(), Instant::now());
        let ended = loop {
            match self.next_group(last_commit) {
                Next::Group(group) => {
                    if let Err(reason) = self.apply_group(group) {
                        break Some(reason);
                    }
                }
                Next::Idle => {}
                Next::End => break None,
                Next::Failed(reason) => break Some(reason),
            }
            let due = last_commit.elapsed() >= COMMIT_AFTER || self.dirty_len() >= COMMIT_ROWS;
            if due && !self.persister.is_busy() {
                last_commit = Instant::now();
                let expiring = last_expiry.elapsed() >= EXPIRE_AFTER;
                if expiring {
                    last_expiry = Instant::now();
                }
                if let Err(reason) = self.commit().and_then(|()| self.expire(expiring)) {
                    break Some(reason);
                }
            }
        };
        // After a failure the state may be half changed: what the store holds is right, and the log has the rest.
        let closing = if ended.is_none() { self.commit() } else { Ok(()) };
        let failure = ended.or(self.persister.finish().err()).or(closing.err());
        self.inner.submitter.abandon();
        self.inner.progress.send_modify(|progress| progress.failure.clone_from(&failure));
        failure
    }

    /// The next group of the log; without one, the moment for a commit that is due.
    fn next_group(&mut self, last_commit: Instant) -> Next {
        let received = if self.has_changes() {
            let wait = COMMIT_AFTER.saturating_sub(last_commit.elapsed()).max(Duration::from_millis(5));
            let next = self.runtime.block_on(async { tokio::time::timeout(wait, self.entries.recv()).await });
            match next {
                Ok(received) => received,
                Err(_elapsed) => return Next::Idle,
            }
        } else {
            self.entries.blocking_recv()
        };
        match received {
            None => Next::End,
            Some(Ok(group)) => Next::Group(group),
            Some(Err(error)) => Next::Failed(chain(&error)),
        }
    }

    fn has_changes(&self) -> bool {
        let machine = self.inner.machine.read().unwrap_or_else(PoisonError::into_inner);
        machine.state.meta.position > self.persister.position()
    }

    fn dirty_len(&self) -> usize {
        self.inner.machine.read().unwrap_or_else(PoisonError::into_inner).state.dirty_len()
    }

    /// Applies a group in parts, so that who reads the state or waits for an answer does not wait for all of it.
    fn apply_group(&mut self, group: Vec<Entry>) -> Result<(), String> {
        let mut entries = group.into_iter().peekable();
        while entries.peek().is_some() {
            let mut after = After::default();
            let inner = Arc::clone(&self.inner);
            let mut machine = inner.machine.write().unwrap_or_else(PoisonError::into_inner);
            let (mut own, mut bytes) = (0, 0);
            while bytes < PART_BYTES
                && let Some(entry) = entries.next()
            {
                bytes += entry.bytes.len();
                self.apply_entry(&mut machine, &entry, &mut after, &mut own)?;
            }
            self.writer.flush().map_err(|error| chain(&error))?;
            if own > 0 {
                inner.submitter.seen(own);
            }
            after.position = machine.state.meta.position;
            after.next_deadline = machine.state.deadlines.next();
            drop(machine);
            self.follow_up(after);
        }
        Ok(())
    }

    fn apply_entry(
        &mut self,
        machine: &mut Machine,
        entry: &Entry,
        after: &mut After,
        own: &mut u64,
    ) -> Result<(), String> {
        let place = Place {
            position: entry.position,
            time: Timestamp::from_micros(entry.time),
            checksum: crc32c::crc32c(&entry.bytes),
        };
        let (record, sender) = match &entry.source {
            Source::Outside { .. } => (None, None),
            Source::Record => match self.record_of(entry, own) {
                Some((record, sender)) => (Some(record), sender),
                None => {
                    machine.skip(place);
                    return Ok(());
                }
            },
        };
        if let Some(Err(error @ Error::NewerRecord { .. })) = &record {
            // Passing it over would lose it for good.
            return Err(chain(error));
        }
        let origin = Record::peek(&entry.bytes);
        let outcome = catch_unwind(AssertUnwindSafe(|| match (record, &entry.source) {
            (Some(Ok(record)), _) => machine.apply(place, record),
            (Some(Err(error)), _) => machine.pass_over(place, origin, &chain(&error)),
            (None, Source::Outside { subject }) => machine.apply_outside(place, subject, &entry.bytes),
            (None, Source::Record) => Applied::default(),
        }));
        let Ok(applied) = outcome else {
            self.inner.gauges.panics.fetch_add(1, Ordering::Relaxed);
            if let Some(sender) = sender {
                let _gone = sender.send(Err(SubmitError::Internal));
            }
            // The state may be half changed: it is loaded anew, and this record is passed over.
            return Err(self.persister.note_poison(entry.position));
        };
        self.take(applied, entry, sender, after)
    }

    /// What to apply: our own record as it was submitted, or a foreign one parsed. `None` for a resent copy.
    #[expect(clippy::type_complexity, reason = "the pair is taken apart at once by the only caller")]
    fn record_of(
        &self,
        entry: &Entry,
        own: &mut u64,
    ) -> Option<(Result<Record, Error>, Option<oneshot::Sender<Told>>)> {
        if self.persister.is_poisoned(entry.position) {
            let reason = "it made the machine fail".to_owned();
            return Some((Err(Error::BadRecord { reason }), None));
        }
        match Record::peek(&entry.bytes) {
            Some((origin, number)) if origin == self.inner.submitter.origin() => {
                let returned = self.inner.submitter.returned(number)?;
                *own = (*own).max(number);
                Some((Ok(returned.record), returned.sender))
            }
            _ => Some((Record::decode(&entry.bytes), None)),
        }
    }

    fn take(
        &mut self,
        applied: Applied,
        entry: &Entry,
        sender: Option<oneshot::Sender<Told>>,
        after: &mut After,
    ) -> Result<(), String> {
        for (index, event) in applied.events.iter().enumerate() {
            let cursor = Cursor { position: entry.position, index: index as u32 };
            self.writer.append(cursor, event).map_err(|error| chain(&error))?;
            after.cursor = Some(cursor);
        }
        if entry.position > self.replay_until {
            after.starts.extend(applied.starts);
        }
        if let Some(sender) = sender {
            after.told.push((sender, Ok(applied.reply.unwrap_or(Reply::Noted))));
        }
        Ok(())
    }

    fn follow_up(&mut self, after: After) {
        for (sender, told) in after.told {
            // A sender that no longer waits loses nothing: the record stands.
            let _gone = sender.send(told);
        }
        self.effects.start(after.starts);
        self.inner.next_deadline.send_if_modified(|next| {
            let changed = *next != after.next_deadline;
            *next = after.next_deadline;
            changed
        });
        self.inner.progress.send_modify(|progress: &mut Progress| {
            progress.position = after.position;
            progress.cursor = after.cursor.or(progress.cursor);
        });
    }

    /// Lets go of the history's oldest segments. No decision reads them.
    fn expire(&mut self, due: bool) -> Result<(), String> {
        if due {
            let age = i64::try_from(self.retention.age.as_micros()).unwrap_or(i64::MAX);
            let before = crate::clock::now().plus_micros(age.saturating_neg());
            self.writer.expire(before, self.retention.bytes_max).map_err(|error| chain(&error))?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), String> {
        if !self.has_changes() {
            return Ok(());
        }
        let syncing = self.writer.unsynced().map_err(|error| chain(&error))?;
        let inner = Arc::clone(&self.inner);
        let mut machine = inner.machine.write().unwrap_or_else(PoisonError::into_inner);
        machine.state.meta.history = syncing.point();
        let position = machine.state.meta.position;
        let batch = machine.state.take_changes();
        drop(machine);
        self.inner.gauges.commits.fetch_add(1, Ordering::Relaxed);
        self.persister.commit(position, batch, syncing)
    }
}

enum Next {
    Group(Vec<Entry>),
    Idle,
    End,
    Failed(String),
}
