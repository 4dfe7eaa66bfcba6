//! Opening: what is there, what was torn, what is damaged.
//!
//! Only the one group that was being written when the power went may be incomplete, and since its pages reach the
//! disk in any order, frames of it may be whole behind a broken one. So the first bad place is a torn tail, and is
//! cut, unless a frame of a *later* group stands behind it: then the bad place had been synced, and it is damage.

use super::super::Error;
use super::directory::{open_segment, prepare_segment, segment_indexes, segment_path, sync};
use super::frame::{Frame, GROUP_BYTES_MAX, Reader, SEGMENT_HEADER_BYTES, Step, find_later_group};
use super::{options::Options, shared::Segment};
use bytes::Bytes;
use std::{collections::VecDeque, fs::File, os::unix::fs::FileExt, path::PathBuf};

/// Size of the very first segment at most, so that a first start does not wait for 64 MiB of zeros.
const FIRST_SEGMENT_BYTES: u64 = 4 << 20;

/// A segment file that is or will be written to.
pub(super) struct Writable {
    pub index: u64,
    pub file: File,
    pub bytes: u64,
    /// Where the next frame goes.
    pub offset: u64,
}

pub(super) struct Recovered {
    /// Those that hold records.
    pub segments: Vec<Segment>,
    pub last: u64,
    pub last_time: i64,
    pub active: Writable,
    /// Empty ones behind the active one.
    pub ready: Vec<Writable>,
}

/// Opens what is there; makes the first segment if nothing is.
pub(super) fn recover(options: &Options) -> Result<Recovered, Error> {
    let directory = &options.directory;
    let indexes = segment_indexes(directory)?;
    // Names that a killed process left in the page cache count only once they are on the disk.
    sync(directory)?;
    let Some(&first_index) = indexes.first() else {
        let bytes = options.segment_bytes.min(FIRST_SEGMENT_BYTES);
        let file = prepare_segment(directory, 1, bytes, || false)?.expect("nothing stopped it");
        let active = Writable { index: 1, file, bytes, offset: SEGMENT_HEADER_BYTES };
        return Ok(Recovered { segments: vec![], last: 0, last_time: i64::MIN, active, ready: vec![] });
    };
    // The active segment is the last that holds records; the ones behind it were prepared or torn at their start.
    let mut indexes = indexes.into_iter();
    let mut files = VecDeque::new();
    let mut scan = Scan::default();
    while scan.segment.is_none()
        && let Some(index) = indexes.next_back()
    {
        let file = SegmentFile::open(options, index)?;
        // What a killed process wrote and did not sync must not be believed before it is on the disk.
        (options.host.sync)(&file.file).map_err(Error::file("sync", &file.path))?;
        scan = file.scan()?;
        files.push_front(file);
    }
    let active = &files[0];
    if scan.segment.is_none() && first_index != 1 {
        return Err(active.corrupt(
            SEGMENT_HEADER_BYTES,
            0,
            "no record in any segment, though some were removed,",
        ));
    }
    let mut segments = Vec::new();
    for index in indexes {
        segments.push(SegmentFile::open(options, index)?.first_frame()?);
    }
    segments.extend(scan.segment.take());
    if let Some(pair) = segments.windows(2).find(|pair| pair[1].first_position <= pair[0].first_position) {
        let file = SegmentFile::open(options, pair[1].index)?;
        return Err(file.corrupt(SEGMENT_HEADER_BYTES, pair[0].first_position + 1, "an earlier position"));
    }
    active.cut_torn(scan.end, scan.last + 1, options)?;
    for file in files.iter().skip(1) {
        file.cut_torn(SEGMENT_HEADER_BYTES, scan.last + 1, options)?;
    }
    active.write_again(scan.group_offset, scan.end, options)?;
    let mut writable = files.into_iter().map(SegmentFile::writable);
    let mut active = writable.next().expect("there is at least one segment");
    active.offset = scan.end;
    Ok(Recovered { segments, last: scan.last, last_time: scan.last_time, active, ready: writable.collect() })
}

struct SegmentFile {
    index: u64,
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// What reading a whole segment showed.
struct Scan {
    segment: Option<Segment>,
    last: u64,
    last_time: i64,
    /// Where the last group starts, and where the first thing stands that is no frame.
    group_offset: u64,
    end: u64,
}

impl Default for Scan {
    fn default() -> Self {
        let (group_offset, end) = (SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES);
        Self { segment: None, last: 0, last_time: i64::MIN, group_offset, end }
    }
}

impl SegmentFile {
    fn open(options: &Options, index: u64) -> Result<Self, Error> {
        let path = segment_path(&options.directory, index);
        let file = open_segment(&options.directory, index)?;
        let bytes = file.metadata().map_err(Error::file("read", &path))?.len();
        Ok(Self { index, path, file, bytes })
    }

    fn writable(self) -> Writable {
        Writable { index: self.index, file: self.file, bytes: self.bytes, offset: SEGMENT_HEADER_BYTES }
    }

    fn corrupt(&self, offset: u64, position: u64, reason: &'static str) -> Error {
        Error::Corrupt { path: self.path.clone(), offset, position, reason }
    }

    /// Reads frames from the start as far as they are good.
    fn scan(&self) -> Result<Scan, Error> {
        let failed = || Error::file("read", &self.path);
        let mut reader = Reader::new(&self.file, SEGMENT_HEADER_BYTES).map_err(failed())?;
        let mut scan = Scan::default();
        while let Step::Frame(frame) = reader.step().map_err(failed())? {
            if scan.segment.is_some() && frame.position != scan.last + 1 {
                break;
            }
            scan.take(self, &frame);
            scan.end = reader.offset;
        }
        Ok(scan)
    }

    /// The first frame of a segment that is not the last one, so must be good.
    fn first_frame(&self) -> Result<Segment, Error> {
        let failed = || Error::file("read", &self.path);
        let mut reader = Reader::new(&self.file, SEGMENT_HEADER_BYTES).map_err(failed())?.small();
        match reader.step().map_err(failed())? {
            Step::Frame(frame) => Ok(Segment::new(self.index, self.bytes, &frame)),
            Step::End => {
                Err(self.corrupt(SEGMENT_HEADER_BYTES, 0, "nothing, though later segments hold records,"))
            }
            Step::Bad(reason) => Err(self.corrupt(SEGMENT_HEADER_BYTES, 0, reason)),
        }
    }

    /// Zeroes what a torn group left from `end` on, durably. `expected` is the position that would stand there.
    fn cut_torn(&self, end: u64, expected: u64, options: &Options) -> Result<(), Error> {
        let read = |bytes: u64| -> Result<Vec<u8>, Error> {
            let mut buffer = vec![0; bytes as usize];
            self.file.read_exact_at(&mut buffer, end).map_err(Error::file("read", &self.path))?;
            Ok(buffer)
        };
        let rest = self.bytes - end;
        // A torn group reaches no further than a group can.
        if read(rest.min(GROUP_BYTES_MAX))?.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let torn = Bytes::from(read(rest)?);
        if find_later_group(&torn, expected).is_some() {
            return Err(self.corrupt(end, expected, "a damaged record, with good ones behind it,"));
        }
        let bytes = torn.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        tracing::warn!(file = %self.path.display(), offset = end, bytes, position = expected, "cut a torn tail");
        self.file.write_all_at(&vec![0; bytes], end).map_err(Error::file("zero", &self.path))?;
        (options.host.sync)(&self.file).map_err(Error::file("sync", &self.path))
    }

    /// Writes the last group once more. If the process before died of a failed sync, the page cache may hold bytes
    /// that the system believes to be on the disk and that are not.
    fn write_again(&self, start: u64, end: u64, options: &Options) -> Result<(), Error> {
        let mut group = vec![0; (end - start) as usize];
        self.file.read_exact_at(&mut group, start).map_err(Error::file("read", &self.path))?;
        self.file.write_all_at(&group, start).map_err(Error::file("write", &self.path))?;
        (options.host.sync)(&self.file).map_err(Error::file("sync", &self.path))
    }
}

impl Scan {
    fn take(&mut self, file: &SegmentFile, frame: &Frame) {
        self.segment
            .get_or_insert_with(|| Segment::new(file.index, file.bytes, frame))
            .note(frame.position, frame.offset);
        if frame.group == frame.position {
            self.group_offset = frame.offset;
        }
        (self.last, self.last_time) = (frame.position, frame.time);
    }
}
