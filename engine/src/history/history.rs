//! [`History`]: opening the directory; what writer and readers share.

use super::columns::Columns;
use super::error::Error;
use super::frame::HEADER_BYTES;
use super::index_file::IndexFile;
use super::indexer::Indexer;
use super::reader::Reader;
use super::segment::{Index, Segment, segment_path};
use super::writer::Writer;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

/// Default size of a segment: its index takes about 50 ms to make again at start and 5 MB while it is open.
const SEGMENT_BYTES: u64 = 32 << 20;
/// Offsets in a segment are kept in 32 bits, with room for one last event.
const SEGMENT_BYTES_MAX: u64 = 1 << 31;

/// How a history is laid out.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A segment that has this many bytes gets no more events; at most 2 GiB, 32 MiB by default. Replay writes
    /// the same bytes again only under the same number.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: SEGMENT_BYTES }
    }
}

/// Where the history stands: what the state's batch records and [`History::open`] cuts to.
///
/// JSON shape: `{"events": 1200, "segment": 3, "bytes": 40961}`. The default is the start: no event at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Point {
    /// Events ever written, those included that retention has removed.
    pub events: u64,
    /// Number of the open segment, from 0.
    pub segment: u64,
    /// Bytes of the open segment's file.
    pub bytes: u64,
}

/// Every event, accepted or derived, in the machine's order.
///
/// A directory holds `NNNNNNNNNN.events` (segments) and beside each but the last `NNNNNNNNNN.index`.
/// Nobody else may use it at the same time; the engine's lock of the whole data directory sees to that.
#[derive(Debug)]
pub struct History;

impl History {
    /// Opens the history in `dir`, which is created if need be.
    ///
    /// With `cut_to` everything behind that point is removed, for replay writes it again. Without it the
    /// last segment is cut behind its last whole event. Index files that are missing or damaged are made
    /// again in the background; a question that needs one waits.
    ///
    /// # Errors
    /// [`Error::Lost`] and [`Error::Missing`] when the files do not reach up to `cut_to`,
    /// [`Error::Corrupt`] when the last segment is damaged before it, [`Error::Io`].
    pub fn open(dir: &Path, options: Options, cut_to: Option<Point>) -> Result<(Writer, Reader), Error> {
        fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        let numbers = tidy(dir, cut_to)?;
        let mut segments = Vec::with_capacity(numbers.len() + 1);
        let Some((last, sealed)) = numbers.split_last() else {
            segments.push(Arc::new(Segment::create(dir, 0, 0)?));
            return start(dir, options, segments, Vec::new());
        };
        let mut unindexed = Vec::new();
        for number in sealed {
            let segment = Arc::new(Segment::open(dir, *number)?);
            match IndexFile::open(&segment.index_path(), segment.identity()?)? {
                Some(file) => segment.set_index(Index::File(Arc::new(file))),
                None => unindexed.push(Arc::clone(&segment)),
            }
            segments.push(segment);
        }
        segments.push(Arc::new(open_last(dir, *last, cut_to)?));
        start(dir, options, segments, unindexed)
    }
}

/// What writer and readers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub dir: PathBuf,
    /// In ascending order; the last one is open. The list is replaced, never changed, so that a reader's copy
    /// stays whole.
    segments: RwLock<Arc<Vec<Arc<Segment>>>>,
    /// Events ever written and flushed: readers see no others.
    pub visible: AtomicU64,
    pub indexer: Indexer,
}

impl Shared {
    /// How many events there are for a reader, and segments that hold at least these.
    pub fn view(&self) -> (u64, Arc<Vec<Arc<Segment>>>) {
        let visible = self.visible.load(Ordering::Acquire);
        (visible, Arc::clone(&self.segments.read().expect("who holds the list does not panic")))
    }

    pub fn replace_segments(&self, change: impl FnOnce(&mut Vec<Arc<Segment>>)) {
        let mut list = self.segments.write().expect("who holds the list does not panic");
        let mut segments = Vec::clone(&list);
        change(&mut segments);
        *list = Arc::new(segments);
    }

    /// Runs a question; when it meets a damaged index file, the index is made again from its segment and
    /// the question asked once more.
    pub fn mending<T>(&self, question: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        let mut last = None;
        loop {
            match question() {
                // Each segment is mended once: a second failure is not the index file's.
                Err(Error::BrokenIndex { segment, offset }) if last != Some(segment) => {
                    last = Some(segment);
                    tracing::warn!(segment, offset, "an index of the history is damaged; making it again");
                    self.mend(segment)?;
                }
                other => return other,
            }
        }
    }

    fn mend(&self, number: u64) -> Result<(), Error> {
        let (_, segments) = self.view();
        let Some(segment) = segments.iter().find(|segment| segment.number == number) else { return Ok(()) };
        let (columns, _) = segment.scan(segment.bytes()?, false)?;
        segment.set_index(Index::Columns(Box::new(columns)));
        self.indexer.seal(Arc::clone(segment));
        Ok(())
    }
}

fn start(
    dir: &Path,
    options: Options,
    segments: Vec<Arc<Segment>>,
    unindexed: Vec<Arc<Segment>>,
) -> Result<(Writer, Reader), Error> {
    let open = Arc::clone(segments.last().expect("there is always an open segment"));
    let shared = Arc::new(Shared {
        dir: dir.to_owned(),
        segments: RwLock::new(Arc::new(segments)),
        visible: AtomicU64::new(open.base + u64::from(open.span()?.1)),
        indexer: Indexer::start(dir, unindexed)?,
    });
    let segment_bytes = options.segment_bytes.clamp(HEADER_BYTES + 1, SEGMENT_BYTES_MAX);
    let writer = Writer::new(Arc::clone(&shared), open, segment_bytes)?;
    Ok((writer, Reader::new(shared)))
}

/// Opens the last segment, cuts it, and reads its events into columns.
fn open_last(dir: &Path, number: u64, cut_to: Option<Point>) -> Result<Segment, Error> {
    let path = segment_path(dir, number);
    let bytes = fs::metadata(&path).map_err(Error::io("read", &path))?.len();
    if let Some(point) = cut_to.filter(|point| bytes < point.bytes) {
        return Err(Error::Lost { path, wanted: point.bytes, found: bytes });
    }
    let segment = Segment::open(dir, number)?;
    let (columns, end) = match cut_to {
        Some(point) => segment.scan(point.bytes, false)?,
        None => segment.scan(bytes, true)?,
    };
    if let Some(point) = cut_to {
        check_events(&segment, &columns, point)?;
    }
    if end < bytes {
        segment.file.set_len(end).map_err(Error::io("cut", &path))?;
    }
    segment.set_index(Index::Columns(Box::new(columns)));
    Ok(segment)
}

fn check_events(segment: &Segment, columns: &Columns, point: Point) -> Result<(), Error> {
    if segment.base + u64::from(columns.rows()) != point.events {
        return Err(Error::corrupt(
            &segment.path,
            point.bytes,
            "not as many events as the state has counted",
        ));
    }
    Ok(())
}

/// Removes what does not belong (segments behind the cut, half-written index files, an index of the open
/// segment or of none) and gives the numbers of the segments in ascending order.
fn tidy(dir: &Path, cut_to: Option<Point>) -> Result<Vec<u64>, Error> {
    let mut numbers = Vec::new();
    let mut others = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let path = entry.map_err(Error::io("list", dir))?.path();
        let number =
            path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        match (number, path.extension().and_then(|extension| extension.to_str())) {
            (Some(number), Some("events")) => numbers.push(number),
            (Some(number), Some("index" | "index-new")) => others.push((number, path)),
            _ => {}
        }
    }
    numbers.sort_unstable();
    let (mut kept, removed): (Vec<u64>, Vec<u64>) =
        numbers.into_iter().partition(|number| cut_to.is_none_or(|p| *number <= p.segment && p.bytes > 0));
    let mut remove: Vec<PathBuf> = removed.iter().map(|number| segment_path(dir, *number)).collect();
    if cut_to.is_none()
        && let Some(last) = kept.last().copied()
        && !has_header(dir, last)?
    {
        // The end came while this segment was created: nothing was in it.
        kept.pop();
        remove.push(segment_path(dir, last));
    }
    check_whole(dir, &kept, cut_to)?;
    let sealed = &kept[..kept.len().saturating_sub(1)];
    let orphan = |(number, path): &(u64, PathBuf)| {
        !sealed.contains(number) || path.extension().is_some_and(|extension| extension == "index-new")
    };
    remove.extend(others.into_iter().filter(orphan).map(|(_, path)| path));
    for path in remove {
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    }
    Ok(kept)
}

fn has_header(dir: &Path, number: u64) -> Result<bool, Error> {
    let path = segment_path(dir, number);
    Ok(fs::metadata(&path).map_err(Error::io("read", &path))?.len() >= HEADER_BYTES)
}

/// Retention takes the oldest segments only, so the rest must be without gaps, and the cut among them.
fn check_whole(dir: &Path, numbers: &[u64], cut_to: Option<Point>) -> Result<(), Error> {
    let missing = |number| Err(Error::Missing { number, path: dir.to_owned() });
    if let Some(gap) = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1) {
        return missing(gap[0] + 1);
    }
    match cut_to {
        Some(point) if point.bytes > 0 && numbers.last() != Some(&point.segment) => missing(point.segment),
        _ => Ok(()),
    }
}
