//! What waits to be committed: filled by any thread, emptied by the committer.

use super::super::Refused;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    bytes_max: usize,
    records_max: usize,
}

#[derive(Default)]
struct State {
    /// Not taken by the committer yet.
    records: VecDeque<Bytes>,
    /// Of everything not durable yet, taken or not.
    bytes: usize,
    count: usize,
    closed: bool,
}

impl Queue {
    pub fn new(bytes_max: usize, records_max: usize) -> Self {
        Self { state: Mutex::default(), filled: Condvar::new(), bytes_max, records_max }
    }

    pub fn push(&self, bytes: Bytes) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        // A record is always taken while nothing waits, so that no limit can lock it out for ever.
        if state.count > 0 && (state.bytes + bytes.len() > self.bytes_max || state.count >= self.records_max)
        {
            return Err(Refused::Full { retry_after_seconds: 1 });
        }
        state.bytes += bytes.len();
        state.count += 1;
        state.records.push_back(bytes);
        if state.records.len() == 1 {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Everything that waits; waits for something. None once closed and empty.
    pub fn take(&self) -> Option<VecDeque<Bytes>> {
        let mut state = self.lock();
        while state.records.is_empty() {
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Some(std::mem::take(&mut state.records))
    }

    /// A group is durable: its share of the limits is free again.
    pub fn done(&self, count: usize, bytes: usize) {
        let mut state = self.lock();
        state.count -= count;
        state.bytes -= bytes;
    }

    pub fn count(&self) -> usize {
        self.lock().count
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Refuses everything from now on; what waits can still be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
