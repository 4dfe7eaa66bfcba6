//! [`Handle`]: what the rest of the program may ask of a running engine. Cheap to clone.

use crate::command::{Answer, Command};
use crate::error::SubmitError;
use crate::history::{self, Cursor};
use crate::log::Log;
use crate::machine::{Machine, Receipt, Reply};
use crate::record::{Body, CommandRecord};
use crate::state::State;
use crate::submit::Submitter;
use pavlov_events::limits::{EVENT_BYTES_MAX, EVENTS_PER_RECORD_MAX};
use pavlov_events::{Event, Timestamp, Uuid};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// Bytes of events that one record gathers before the next one is begun.
const EVENT_RECORD_BYTES: usize = 600_000;

/// A running engine.
#[derive(Clone)]
pub struct Handle {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) machine: RwLock<Machine>,
    pub(crate) submitter: Submitter,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) history: history::Reader,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) next_deadline: watch::Sender<Option<Timestamp>>,
    pub(crate) gauges: Gauges,
}

/// How far the engine has come. Changes wake those who wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last applied position.
    pub position: u64,
    /// The last event in the history.
    pub cursor: Option<Cursor>,
    /// Whether the log was read to its end and this replica leads.
    pub ready: bool,
    /// Why the engine stopped by itself.
    pub failure: Option<String>,
}

/// Numbers for people who watch, beside [`crate::machine::Counts`].
#[derive(Debug, Default)]
pub struct Gauges {
    /// Attempts at effects under way.
    pub attempts_running: AtomicU64,
    /// Records that made the machine fail.
    pub panics: AtomicU64,
    /// Batches of the state that were made durable.
    pub commits: AtomicU64,
    /// Events refused at the door.
    pub refused_at_door: AtomicU64,
}

impl Handle {
    /// Makes events durable and applies them. All of one call are in one record if they fit, so that a crash
    /// keeps all of them or none; more than 1,000 or 600 KB become several records, in order.
    ///
    /// # Errors
    /// [`SubmitError`]: with several records, those before the refused one stay accepted; sending all again
    /// is harmless, because ids are known.
    pub async fn submit_events(&self, events: Vec<Event>) -> Result<Receipt, SubmitError> {
        let mut receivers = Vec::with_capacity(1);
        for group in groups(events)? {
            receivers.push(self.inner.submitter.submit(Body::Events(group))?);
        }
        let mut total = Receipt::default();
        for receiver in receivers {
            if let Reply::Received(receipt) = receiver.await.map_err(|_| SubmitError::Stopped)?? {
                total.accepted += receipt.accepted;
                total.duplicates += receipt.duplicates;
            }
        }
        Ok(total)
    }

    /// Asks for a change and gives the machine's answer.
    pub async fn command(&self, command: Command) -> Result<Answer, SubmitError> {
        self.keyed_command(command, None, 0).await
    }

    /// As [`Self::command`]; asking twice with the same key changes nothing twice. `depth` counts the
    /// automations that caused one another to get here.
    pub async fn keyed_command(
        &self,
        command: Command,
        key: Option<String>,
        depth: u32,
    ) -> Result<Answer, SubmitError> {
        let body = Body::Command(Box::new(CommandRecord { command, key, depth }));
        match self.tell(body).await? {
            Reply::Answered(answer) => Ok(answer),
            Reply::Received(_) | Reply::Begin(_) | Reply::Noted => Err(SubmitError::Internal),
        }
    }

    /// Appends a record and waits until it was applied.
    pub(crate) async fn tell(&self, body: Body) -> Result<Reply, SubmitError> {
        self.inner.submitter.submit(body)?.await.map_err(|_| SubmitError::Stopped)?
    }

    /// Looks at the state. Nothing is applied meanwhile, so `look` must be short and must not wait.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.inner.machine.read().unwrap_or_else(PoisonError::into_inner).state)
    }

    /// Looks at the machine's counters and at how many triggers no index helps.
    pub fn counts(&self) -> (crate::machine::Counts, usize) {
        let machine = self.inner.machine.read().unwrap_or_else(PoisonError::into_inner);
        (machine.counts.clone(), machine.residual_len())
    }

    /// Every event that became a fact.
    pub fn history(&self) -> &history::Reader {
        &self.inner.history
    }

    /// How far the engine has come; the receiver wakes at each change.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.inner.progress.subscribe()
    }

    /// The log's health and durability.
    pub fn log_status(&self) -> crate::log::Status {
        self.inner.log.status()
    }

    /// The log's id, first and last position.
    pub fn log_range(&self) -> (Uuid, u64, u64) {
        (self.inner.log.id(), self.inner.log.first_position(), self.inner.log.last_position())
    }

    /// Records that were submitted and are not applied yet.
    pub fn records_waiting(&self) -> usize {
        self.inner.submitter.waiting()
    }

    /// Numbers for people who watch.
    pub fn gauges(&self) -> &Gauges {
        &self.inner.gauges
    }

    /// Counts an event that was refused before it reached the log.
    pub fn count_refused(&self, events: u64) {
        self.inner.gauges.refused_at_door.fetch_add(events, Ordering::Relaxed);
    }
}

/// Cuts events into records.
fn groups(events: Vec<Event>) -> Result<Vec<Vec<Event>>, SubmitError> {
    let mut groups: Vec<Vec<Event>> = Vec::with_capacity(1);
    let mut bytes = usize::MAX;
    for event in events {
        let size = size_estimate(&event);
        if size > EVENT_BYTES_MAX {
            return Err(SubmitError::TooLarge { bytes: size, bytes_max: EVENT_BYTES_MAX });
        }
        let full = groups.last().is_none_or(|group| group.len() >= EVENTS_PER_RECORD_MAX);
        if full || bytes.saturating_add(size) > EVENT_RECORD_BYTES {
            groups.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(group) = groups.last_mut() {
            group.push(event);
        }
    }
    Ok(groups)
}

/// Bytes of an event as JSON, without escapes.
fn size_estimate(event: &Event) -> usize {
    let labels = event.involved_resources().flat_map(|resource| resource.labels());
    let labels: usize = labels.map(|(name, value)| name.len() + value.len() + 6).sum();
    200 + event.event.len() + event.payload.len() + labels
}
