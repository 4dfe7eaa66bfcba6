//! [`Writer`]: the end of the history that grows.

use super::error::Error;
use super::facts::Facts;
use super::frame::{Cursor, append_frame};
use super::history::{Point, Shared};
use super::segment::Segment;
use pavlov_events::{Event, Timestamp};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Appends events; owned by the thread that applies records. After an error it must not be used again:
/// reopen the history at the last point.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    segment_bytes: u64,
    open: Arc<Segment>,
    /// Bytes of the open segment in its file.
    written: u64,
    /// Frames that follow them.
    buffer: Vec<u8>,
    events: u64,
    /// Segments with bytes that may not be on the disk.
    unsynced: Vec<Arc<Segment>>,
    /// Whether the directory may lack the name of a segment.
    new_names: bool,
    /// The two last points that were given out: the state may stand at either.
    points: [Point; 2],
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, open: Arc<Segment>, segment_bytes: u64) -> Result<Self, Error> {
        let events = shared.visible.load(Ordering::Acquire);
        let written = open.bytes()?;
        let point = Point { events, segment: open.number, bytes: written };
        let unsynced = vec![Arc::clone(&open)];
        Ok(Self {
            shared,
            segment_bytes,
            open,
            written,
            buffer: Vec::new(),
            events,
            unsynced,
            new_names: true,
            points: [point; 2],
        })
    }

    /// Adds an event that stands at `cursor`, which must be behind all before. Readers see it after
    /// [`Self::flush`].
    ///
    /// # Errors
    /// [`Error::Io`] when the segment is full and cannot be written or a new one not be created.
    pub fn append(&mut self, cursor: Cursor, event: &Event) -> Result<(), Error> {
        if self.written + self.buffer.len() as u64 >= self.segment_bytes {
            self.roll()?;
        }
        let offset = self.written + self.buffer.len() as u64;
        append_frame(&mut self.buffer, cursor, |out| event.write_json(out, true));
        self.open.push(&Facts::of(event), offset as u32);
        self.events += 1;
        Ok(())
    }

    /// Writes everything appended to the page cache and lets readers see it. Call it after each group of
    /// records.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.write()?;
        self.shared.visible.store(self.events, Ordering::Release);
        Ok(())
    }

    /// Flushes and syncs; the point goes into the state's next batch. Waits for the disk: see
    /// [`Self::unsynced`] for doing that elsewhere.
    ///
    /// # Errors
    /// [`Error::Io`]. After a failed sync nobody knows what is on the disk: end the process.
    pub fn sync(&mut self) -> Result<Point, Error> {
        self.unsynced()?.sync()
    }

    /// Flushes, and hands out what must be synced before the point it stands for may be stored, so that
    /// another thread can wait for the disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn unsynced(&mut self) -> Result<Unsynced, Error> {
        self.flush()?;
        let segments = std::mem::replace(&mut self.unsynced, vec![Arc::clone(&self.open)]);
        let point = Point { events: self.events, segment: self.open.number, bytes: self.written };
        self.points = [self.points[1], point];
        let dir = std::mem::take(&mut self.new_names).then(|| self.shared.dir.clone());
        Ok(Unsynced { segments, dir, point })
    }

    /// Removes the oldest segments, events and index together, as long as everything in them was received
    /// before `before`, or all segments together have more than `bytes_max` bytes. Gives the number of
    /// segments removed. The open segment stays, and so does what one of the last two points needs.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn expire(&mut self, before: Timestamp, bytes_max: u64) -> Result<usize, Error> {
        let (_, segments) = self.shared.view();
        let needed = self.points[0].segment.min(self.open.number);
        let mut bytes = 0;
        for segment in segments.iter() {
            bytes += segment.bytes()?;
        }
        let mut count = 0;
        for segment in segments.iter().take_while(|segment| segment.number < needed && segment.is_loaded()) {
            let old = segment.span().is_ok_and(|(span, _)| span.received_last < before.micros());
            if !old && bytes <= bytes_max {
                break;
            }
            bytes -= segment.bytes()?;
            count += 1;
        }
        if count > 0 {
            self.shared.replace_segments(|list| drop(list.drain(..count)));
        }
        for segment in &segments[..count] {
            // The index first: a segment without one is whole, an index without a segment is not.
            for path in [segment.index_path(), segment.path.clone()] {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::io("remove", &path)(error));
                    }
                    _ => {}
                }
            }
        }
        Ok(count)
    }

    /// Ends the open segment and begins the next. Depends on the events alone, never on when they were
    /// flushed: replay makes the same segments.
    fn roll(&mut self) -> Result<(), Error> {
        self.write()?;
        let next = Arc::new(Segment::create(&self.shared.dir, self.open.number + 1, self.events)?);
        self.shared.replace_segments(|list| list.push(Arc::clone(&next)));
        let full = std::mem::replace(&mut self.open, Arc::clone(&next));
        self.written = self.open.bytes()?;
        self.unsynced.push(next);
        self.new_names = true;
        self.shared.indexer.seal(full);
        Ok(())
    }

    fn write(&mut self) -> Result<(), Error> {
        if !self.buffer.is_empty() {
            let path = &self.open.path;
            self.open.file.write_all_at(&self.buffer, self.written).map_err(Error::io("write", path))?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// Segments whose bytes up to a point may not be on the disk yet.
#[derive(Debug)]
#[must_use = "the point is worth nothing before the sync"]
pub struct Unsynced {
    segments: Vec<Arc<Segment>>,
    /// The directory, when there are new names in it.
    dir: Option<PathBuf>,
    point: Point,
}

impl Unsynced {
    /// Where the history will stand once it is synced.
    pub fn point(&self) -> Point {
        self.point
    }

    /// Waits until the disk has it.
    ///
    /// # Errors
    /// [`Error::Io`]. After a failed sync nobody knows what is on the disk: end the process.
    pub fn sync(self) -> Result<Point, Error> {
        for segment in &self.segments {
            segment.file.sync_data().map_err(Error::io("sync", &segment.path))?;
        }
        if let Some(path) = &self.dir {
            let synced = File::open(path).and_then(|dir| dir.sync_all());
            synced.map_err(Error::io("sync", path))?;
        }
        Ok(self.point)
    }
}
