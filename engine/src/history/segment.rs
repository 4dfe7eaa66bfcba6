//! [`Segment`]: one file of events and its index, whichever form that has at the moment.

use super::columns::{Columns, Span};
use super::error::Error;
use super::facts::Facts;
use super::frame::{self, Cursor, FRAME_HEAD_BYTES, FrameHead, HEADER_BYTES};
use super::index_build::Identity;
use super::index_file::IndexFile;
use super::source::{Column, Rows, Source};
use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bytes read at once when many frames are wanted, one after the other.
pub(super) const SCAN_BYTES: usize = 256 << 10;
/// Bytes read at once when single frames are wanted; most events are shorter.
pub(super) const FETCH_BYTES: usize = 2 << 10;

/// One segment. Its file holds [`frame`]s; its index is in memory while it is open and until the index
/// file is written.
#[derive(Debug)]
pub(super) struct Segment {
    pub number: u64,
    /// Events in all segments before.
    pub base: u64,
    pub path: PathBuf,
    pub file: File,
    index: RwLock<Index>,
    /// Set when `index` is no longer [`Index::Loading`].
    loaded: OnceLock<()>,
}

/// The forms an index has.
#[derive(Debug)]
pub(super) enum Index {
    /// Being read from the segment; whoever asks waits.
    Loading,
    /// In memory: the segment is open, or its index file is not written yet.
    Columns(Box<Columns>),
    /// In its file.
    File(Arc<IndexFile>),
    /// The segment could not be read, and why.
    Broken(String),
}

impl Segment {
    /// Creates the file of a new segment and writes its header.
    pub fn create(dir: &Path, number: u64, base: u64) -> Result<Self, Error> {
        let path = segment_path(dir, number);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.map_err(Error::io("create", &path))?;
        file.write_all_at(&frame::header(number, base), 0).map_err(Error::io("write", &path))?;
        Ok(Self::new(path, file, (number, base), Index::Columns(Box::default())))
    }

    /// Opens the file of a segment; its index is not loaded.
    pub fn open(dir: &Path, number: u64) -> Result<Self, Error> {
        let path = segment_path(dir, number);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(Error::io("open", &path))?;
        let header = read_at(&file, &path, 0, HEADER_BYTES as usize)?;
        let base = frame::base_of(&header, number, &path)?;
        Ok(Self::new(path, file, (number, base), Index::Loading))
    }

    fn new(path: PathBuf, file: File, (number, base): (u64, u64), index: Index) -> Self {
        let segment = Self { number, base, path, file, index: RwLock::new(index), loaded: OnceLock::new() };
        if !matches!(*segment.index_read(), Index::Loading) {
            segment.loaded.get_or_init(|| ());
        }
        segment
    }

    /// Gives the segment an index in place of the one it has.
    pub fn set_index(&self, index: Index) {
        *self.index_write() = index;
        self.loaded.get_or_init(|| ());
    }

    pub fn index_path(&self) -> PathBuf {
        self.path.with_extension("index")
    }

    pub fn bytes(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().map_err(Error::io("read", &self.path))?.len())
    }

    /// What its index file must say to be its.
    pub fn identity(&self) -> Result<Identity, Error> {
        Ok(Identity { number: self.number, base: self.base, segment_bytes: self.bytes()? })
    }

    /// Whether the index was loaded, or failed to.
    pub fn is_loaded(&self) -> bool {
        self.loaded.get().is_some()
    }

    /// Lets `work` ask the index, waiting for it to be loaded. Columns stay locked meanwhile, against the
    /// writer alone: `work` must be short and must not read bodies.
    pub fn with<T>(&self, work: impl FnOnce(&dyn Source) -> Result<T, Error>) -> Result<T, Error> {
        let index = self.loaded_index();
        match &*index {
            Index::Columns(columns) => work(&**columns),
            Index::File(file) => {
                let file = Arc::clone(file);
                drop(index);
                work(&*file)
            }
            Index::Broken(reason) => {
                Err(Error::Unindexed { path: self.path.clone(), reason: reason.clone() })
            }
            Index::Loading => unreachable!("loaded_index waits until it is loaded"),
        }
    }

    /// When its events occurred and were received, and how many there are.
    pub fn span(&self) -> Result<(Span, u32), Error> {
        match &*self.loaded_index() {
            Index::Columns(columns) => Ok((columns.span, columns.rows())),
            Index::File(file) => Ok((file.meta.span, file.meta.rows)),
            Index::Broken(reason) => {
                Err(Error::Unindexed { path: self.path.clone(), reason: reason.clone() })
            }
            Index::Loading => unreachable!("loaded_index waits until it is loaded"),
        }
    }

    /// Lets the writer, or who makes the index file, use the columns; `None` when there are none.
    pub fn with_columns<T>(&self, work: impl FnOnce(&Columns) -> T) -> Option<T> {
        match &*self.loaded_index() {
            Index::Columns(columns) => Some(work(columns)),
            _ => None,
        }
    }

    /// Adds an event of the open segment to its columns.
    pub fn push(&self, facts: &Facts<'_>, offset: u32) {
        match &mut *self.index_write() {
            Index::Columns(columns) => columns.push(facts, offset),
            _ => unreachable!("the open segment has columns"),
        }
    }

    /// Reads frames from the start to byte `until` and makes columns of them. Stops before the first frame
    /// that is not whole when `torn` allows it; also gives the byte up to which frames are good.
    pub fn scan(&self, until: u64, torn: bool) -> Result<(Columns, u64), Error> {
        let mut frames = Frames::new(self, SCAN_BYTES);
        let mut columns = Columns::default();
        let mut at = HEADER_BYTES;
        while at < until {
            let body = match frames.body(at) {
                Ok((_, body)) => body,
                Err(Error::Corrupt { .. }) if torn => break,
                Err(error) => return Err(error),
            };
            let facts = Facts::read(&body).ok_or_else(|| Error::corrupt(&self.path, at, "not an event"))?;
            columns.push(&facts, at as u32);
            at += (FRAME_HEAD_BYTES + body.len()) as u64;
        }
        if at > until && !torn {
            return Err(Error::corrupt(&self.path, until, "the last frame goes on behind its end"));
        }
        Ok((columns, at))
    }

    /// Where the event in `row` stands in the log.
    pub fn cursor(&self, row: u32) -> Result<Cursor, Error> {
        let offset =
            u64::from(self.with(|source| source.column(Column::Offset, &Rows::These(vec![row])))?[0]);
        let head = read_at(&self.file, &self.path, offset, FRAME_HEAD_BYTES)?;
        let head = FrameHead::read(&head).ok_or_else(|| Error::corrupt(&self.path, offset, "not a frame"))?;
        Ok(head.cursor)
    }

    /// Where the first event stands in the log, if there is one.
    pub fn first_cursor(&self) -> Result<Option<Cursor>, Error> {
        let head = read_at(&self.file, &self.path, HEADER_BYTES, FRAME_HEAD_BYTES)?;
        Ok(FrameHead::read(&head).map(|head| head.cursor))
    }

    fn loaded_index(&self) -> RwLockReadGuard<'_, Index> {
        self.loaded.wait();
        self.index_read()
    }

    fn index_read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().expect("who holds an index does not panic")
    }

    fn index_write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().expect("who holds an index does not panic")
    }
}

/// Reads frames of one segment through a window, so that neighbours cost one read.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    segment: &'a Segment,
    start: u64,
    window: Bytes,
    window_bytes: usize,
}

impl<'a> Frames<'a> {
    pub fn new(segment: &'a Segment, window_bytes: usize) -> Self {
        Self { segment, start: 0, window: Bytes::new(), window_bytes }
    }

    /// The cursor and the body of the frame at byte `offset`, verified.
    pub fn body(&mut self, offset: u64) -> Result<(Cursor, Bytes), Error> {
        let path = &self.segment.path;
        let fault = |what| Error::corrupt(path, offset, what);
        let head = self.bytes(offset, FRAME_HEAD_BYTES)?;
        let head = FrameHead::read(&head).ok_or_else(|| fault("not a frame"))?;
        let frame = self.bytes(offset, head.frame_bytes())?;
        if !head.verifies(&frame) {
            return Err(fault("checksum mismatch"));
        }
        Ok((head.cursor, frame.slice(FRAME_HEAD_BYTES..)))
    }

    /// Up to `count` bytes from `offset` on; fewer at the end of the file.
    fn bytes(&mut self, offset: u64, count: usize) -> Result<Bytes, Error> {
        let inside = offset >= self.start && offset + count as u64 <= self.start + self.window.len() as u64;
        if !inside {
            let wanted = count.max(self.window_bytes);
            self.window = read_at(&self.segment.file, &self.segment.path, offset, wanted)?.into();
            self.start = offset;
        }
        let start = (offset - self.start) as usize;
        Ok(self.window.slice(start..(start + count).min(self.window.len())))
    }
}

pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.events"))
}

/// Up to `count` bytes from `offset` on; fewer at the end of the file.
fn read_at(file: &File, path: &Path, offset: u64, count: usize) -> Result<Vec<u8>, Error> {
    let mut buffer = vec![0; count];
    let mut filled = 0;
    while filled < count {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path)(error)),
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}
