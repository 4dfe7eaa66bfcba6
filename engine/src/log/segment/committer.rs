//! The thread that makes records durable: everything queued is one group, one write, one sync; then it is delivered;
//! then the next group. Never on a timer: groups form by themselves while the disk works.

use super::super::{Delivery, Entry, Error, Source};
use super::directory::segment_path;
use super::frame::{GROUP_BYTES_MAX, encode, padded};
use super::{recovery::Writable, shared::Segment, shared::Shared};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    os::unix::fs::FileExt,
    sync::{Arc, atomic::Ordering::Relaxed, mpsc::Receiver},
};
use tokio::sync::mpsc::Sender;

pub(super) struct Committer {
    shared: Arc<Shared>,
    active: Writable,
    next: Receiver<Writable>,
    last: u64,
    last_time: i64,
    /// The group as it will be written; kept to spare allocations.
    buffer: Vec<u8>,
    /// Records of the group before its frames are in the book.
    entries: Vec<Entry>,
}

impl Committer {
    pub fn new(shared: Arc<Shared>, active: Writable, next: Receiver<Writable>) -> Self {
        let (last, last_time) = {
            let book = shared.book();
            (book.last, book.last_time)
        };
        Self { shared, active, next, last, last_time, buffer: Vec::new(), entries: Vec::new() }
    }

    /// Until the queue is closed and empty, or the disk fails.
    pub fn run(mut self) {
        while let Some(mut records) = self.shared.queue.take() {
            while !records.is_empty() {
                match self.commit(&mut records) {
                    Ok(()) => {}
                    Err(Error::Closed) => {
                        tracing::error!(
                            records = records.len(),
                            "closing without a place to store what is queued"
                        );
                        return self.end(None);
                    }
                    Err(error) => {
                        self.shared.fatal(&error);
                        return self.end(Some(error));
                    }
                }
            }
        }
        self.end(None);
    }

    fn commit(&mut self, records: &mut VecDeque<Bytes>) -> Result<(), Error> {
        self.make_room(padded(records[0].len()))?;
        self.encode(records);
        let active = &self.active;
        let path = || segment_path(&self.shared.options.directory, active.index);
        active.file.write_all_at(&self.buffer, active.offset).map_err(Error::file("write", path()))?;
        (self.shared.options.host.sync)(&active.file).map_err(Error::file("sync", path()))?;
        let live = self.publish();
        self.active.offset += self.buffer.len() as u64;
        let entries = std::mem::take(&mut self.entries);
        let bytes = entries.iter().map(|entry| entry.bytes.len()).sum();
        self.shared.queue.done(entries.len(), bytes);
        if let Some(live) = live
            && live.blocking_send(Ok(entries)).is_err()
        {
            self.shared.book().live = None;
        }
        Ok(())
    }

    /// Goes on to the next segment if this one cannot take a frame of that size. Waits if none is ready;
    /// [`Error::Closed`] if there will be none.
    fn make_room(&mut self, bytes: u64) -> Result<(), Error> {
        while self.active.offset + bytes > self.active.bytes {
            self.active = self.next.recv().map_err(|_| Error::Closed)?;
        }
        Ok(())
    }

    /// Takes as many records as fit into a group and into the segment.
    fn encode(&mut self, records: &mut VecDeque<Bytes>) {
        let room = GROUP_BYTES_MAX.min(self.active.bytes - self.active.offset);
        // Not below the last stored one, whatever happened to the clock between two starts.
        let time = (self.shared.options.host.now)().max(self.last_time);
        let group = self.last + 1;
        self.buffer.clear();
        while let Some(bytes) = records.front()
            && self.buffer.len() as u64 + padded(bytes.len()) <= room
        {
            let bytes = records.pop_front().expect("it is there, it was just looked at");
            self.last += 1;
            encode(&mut self.buffer, self.last, time, group, &bytes);
            self.entries.push(Entry { position: self.last, time, source: Source::Record, bytes });
        }
        self.last_time = time;
    }

    /// Notes the durable group in the book, and says who is to get it.
    fn publish(&mut self) -> Option<Sender<Delivery>> {
        let (active, first) = (&self.active, &self.entries[0]);
        let mut book = self.shared.book();
        match book.segments.last_mut() {
            Some(segment) if segment.index == active.index => segment.note(first.position, active.offset),
            _ => book.segments.push(Segment {
                index: active.index,
                bytes: active.bytes,
                first_position: first.position,
                first_time: first.time,
                marks: vec![(first.position, active.offset)],
            }),
        }
        (book.last, book.last_time) = (self.last, self.last_time);
        self.shared.commits.fetch_add(1, Relaxed);
        self.shared.records.fetch_add(self.entries.len() as u64, Relaxed);
        book.live.clone()
    }

    fn end(self, error: Option<Error>) {
        let live = {
            let mut book = self.shared.book();
            book.ended = true;
            book.live.take()
        };
        if let (Some(live), Some(error)) = (live, error) {
            // Nobody left to tell is no harm: the log line was written.
            let _ = live.blocking_send(Err(error));
        }
    }
}
