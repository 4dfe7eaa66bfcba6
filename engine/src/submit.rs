//! [`Submitter`]: the way into the log, and the way back of what the machine says.
//!
//! Each record gets the next number of this process's origin. It waits in order until it comes back from the
//! log, durable, and has been applied; only then is its sender told.

use crate::error::SubmitError;
use crate::log::{Log, RECORD_BYTES_MAX, Refused};
use crate::machine::Reply;
use crate::record::{Body, Record};
use pavlov_events::Uuid;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// What a sender gets: what the machine said, or why nothing was done.
pub type Told = Result<Reply, SubmitError>;

/// The way into the log.
pub struct Submitter {
    log: Arc<dyn Log>,
    origin: Uuid,
    pending: Mutex<Pending>,
}

struct Pending {
    next_number: u64,
    queue: VecDeque<InFlight>,
    closed: bool,
}

struct InFlight {
    number: u64,
    body: Body,
    sender: Option<oneshot::Sender<Told>>,
}

/// A record of our own that came back, parsed already, and who waits for it.
pub struct Returned {
    /// The record.
    pub record: Record,
    /// Its sender, unless it has gone.
    pub sender: Option<oneshot::Sender<Told>>,
}

impl Submitter {
    /// A way into `log` for a new origin.
    pub fn new(log: Arc<dyn Log>, origin: Uuid) -> Self {
        let pending = Pending { next_number: 1, queue: VecDeque::new(), closed: false };
        Self { log, origin, pending: Mutex::new(pending) }
    }

    /// The origin of this process.
    pub fn origin(&self) -> Uuid {
        self.origin
    }

    /// Puts a record into the log's queue. The receiver hears of it when it was applied.
    pub fn submit(&self, body: Body) -> Result<oneshot::Receiver<Told>, SubmitError> {
        let bytes = body.encode(self.origin);
        if bytes.size() > RECORD_BYTES_MAX {
            return Err(SubmitError::TooLarge { bytes: bytes.size(), bytes_max: RECORD_BYTES_MAX });
        }
        let (sender, receiver) = oneshot::channel();
        // The lock keeps the numbers and the log's order the same.
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.closed {
            return Err(SubmitError::Stopped);
        }
        let number = pending.next_number;
        self.log.append(number, bytes.number(number)).map_err(SubmitError::from)?;
        pending.next_number += 1;
        pending.queue.push_back(InFlight { number, body, sender: Some(sender) });
        Ok(receiver)
    }

    /// Takes our record of this number, which came back. Resent copies of earlier ones give `None`.
    pub fn returned(&self, number: u64) -> Option<Returned> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.queue.front()?.number != number {
            return None;
        }
        let InFlight { number, body, sender } = pending.queue.pop_front()?;
        drop(pending);
        Some(Returned { record: Record { origin: self.origin, number, body }, sender })
    }

    /// Tells the log that our records up to this number came back.
    pub fn seen(&self, number: u64) {
        self.log.seen(number);
    }

    /// How many records are under way.
    pub fn waiting(&self) -> usize {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).queue.len()
    }

    /// Nothing comes back any more: who still waits is told that the engine has stopped.
    pub fn abandon(&self) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.closed = true;
        // Dropping a sender wakes its receiver.
        pending.queue.clear();
    }

    /// Takes nothing more.
    pub fn close(&self) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
    }
}

impl From<Refused> for SubmitError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full { retry_after_seconds } => Self::Busy { retry_after_seconds },
            Refused::DiskFull { free_percent } => Self::DiskFull { free_percent },
            Refused::TooLarge { bytes, bytes_max } => Self::TooLarge { bytes, bytes_max },
            Refused::Closed => Self::Stopped,
        }
    }
}
