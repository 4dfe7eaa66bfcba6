//! How a record lies in a segment, and reading frames one after the other.
//!
//! ```text
//! 0 length u32   header and body, without padding; 0 = nothing was written here yet
//! 4 crc u32      crc32c of the length and of everything after this field
//! 8 position u64
//! 16 time i64    Unix microseconds
//! 24 group u64   position of the first record of the group it was committed in
//! 32 body        then zeros up to a multiple of 8
//! ```
//! Little-endian. A segment starts with [`MAGIC`], which ends in the format's number, and its index.

use bytes::Bytes;
use std::{fs::File, io, os::unix::fs::FileExt};

pub(super) const MAGIC: [u8; 8] = *b"PAVLOVL\x01";
/// Magic and index.
pub(super) const SEGMENT_HEADER_BYTES: u64 = 16;
pub(super) const HEADER_BYTES: usize = 32;
/// Frames start at multiples of this, so that a search for frames after damage has few places to look at.
pub(super) const ALIGN: u64 = 8;
/// Most bytes of one group, so also the most that a power cut can tear. Holds one record of the largest size, and
/// over 2,000 of usual size, for which an `fdatasync` costs little more than for one.
pub(super) const GROUP_BYTES_MAX: u64 = 1 << 20;
/// Read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A frame as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub offset: u64,
    pub position: u64,
    pub time: i64,
    pub group: u64,
    pub body: Bytes,
}

/// What stands at the reader's place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Frame(Frame),
    /// Zeros, or the end of the file: nothing was written here.
    End,
    /// Something that is no frame, with what is wrong about it.
    Bad(&'static str),
}

/// Bytes that a record of this size takes in a segment.
pub(super) fn padded(body_bytes: usize) -> u64 {
    ((HEADER_BYTES + body_bytes) as u64).next_multiple_of(ALIGN)
}

/// Appends a frame to a group's buffer.
pub(super) fn encode(buffer: &mut Vec<u8>, position: u64, time: i64, group: u64, body: &[u8]) {
    let start = buffer.len();
    let length = (HEADER_BYTES + body.len()) as u32;
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&position.to_le_bytes());
    buffer.extend_from_slice(&time.to_le_bytes());
    buffer.extend_from_slice(&group.to_le_bytes());
    buffer.extend_from_slice(body);
    let crc = checksum(&buffer[start..]);
    buffer[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    buffer.resize(start + padded(body.len()) as usize, 0);
}

/// The frame at the start of `bytes`, which may end early.
pub(super) fn decode(bytes: &Bytes, offset: u64) -> Step {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return if bytes.iter().all(|byte| *byte == 0) { Step::End } else { Step::Bad("a cut header") };
    };
    let length = u32_at(header, 0) as usize;
    if header.iter().all(|byte| *byte == 0) {
        return Step::End;
    }
    if length < HEADER_BYTES || length as u64 > GROUP_BYTES_MAX {
        return Step::Bad("an impossible length");
    }
    if length > bytes.len() {
        return Step::Bad("a record that goes beyond the segment");
    }
    if checksum(&bytes[..length]) != u32_at(header, 4) {
        return Step::Bad("a wrong checksum");
    }
    Step::Frame(Frame {
        offset,
        position: u64_at(header, 8),
        time: u64_at(header, 16).cast_signed(),
        group: u64_at(header, 24),
        body: bytes.slice(HEADER_BYTES..length),
    })
}

/// The first whole frame in `bytes` that was committed in a group after `position`, so proves that `position` had
/// been synced; its offset in `bytes`.
pub(super) fn find_later_group(bytes: &Bytes, position: u64) -> Option<usize> {
    // Positions are gapless and no frame is smaller than its header, which bounds what a real frame can say.
    let position_max = position + (bytes.len() / HEADER_BYTES) as u64;
    let last = bytes.len().checked_sub(HEADER_BYTES)?;
    (0..=last).step_by(ALIGN as usize).find(|&at| {
        let (found, group) = (u64_at(bytes, at + 8), u64_at(bytes, at + 24));
        let plausible = group > position && found >= group && found <= position_max;
        plausible && matches!(decode(&bytes.slice(at..), 0), Step::Frame(_))
    })
}

/// Reads frames of one segment in order, in large pieces that the bodies are slices of.
pub(super) struct Reader<'a> {
    file: &'a File,
    /// The next frame's place.
    pub offset: u64,
    file_bytes: u64,
    chunk: Bytes,
    chunk_offset: u64,
    chunk_bytes: usize,
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a File, offset: u64) -> io::Result<Self> {
        let file_bytes = file.metadata()?.len();
        Ok(Self {
            file,
            offset,
            file_bytes,
            chunk: Bytes::new(),
            chunk_offset: offset,
            chunk_bytes: CHUNK_BYTES,
        })
    }

    /// Reads small pieces: for a caller that wants one frame.
    pub fn small(mut self) -> Self {
        self.chunk_bytes = 4 << 10;
        self
    }

    /// The frame at the offset, which then moves behind it; stays where it is otherwise.
    pub fn step(&mut self) -> io::Result<Step> {
        let rest = self.file_bytes.saturating_sub(self.offset).min(GROUP_BYTES_MAX) as usize;
        if rest == 0 {
            return Ok(Step::End);
        }
        let header = self.at_least(HEADER_BYTES.min(rest))?;
        let length = header.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
        let bytes = self.at_least(length.clamp(HEADER_BYTES.min(rest), rest))?;
        let step = decode(&bytes, self.offset);
        if let Step::Frame(frame) = &step {
            self.offset += padded(frame.body.len());
        }
        Ok(step)
    }

    /// Whether the next frame is in memory already: it is delivered with the ones before it.
    pub fn has_next(&self) -> bool {
        let at = (self.offset - self.chunk_offset) as usize;
        let next = self.chunk.get(at..).and_then(|bytes| Some((bytes.len(), bytes.first_chunk::<4>()?)));
        next.is_some_and(|(have, length)| u32::from_le_bytes(*length) as usize <= have)
    }

    fn at_least(&mut self, count: usize) -> io::Result<Bytes> {
        let at = (self.offset - self.chunk_offset) as usize;
        if self.chunk.len() < at + count {
            let rest = (self.file_bytes - self.offset) as usize;
            let mut bytes = vec![0; self.chunk_bytes.max(count).min(rest)];
            self.file.read_exact_at(&mut bytes, self.offset)?;
            (self.chunk, self.chunk_offset) = (Bytes::from(bytes), self.offset);
            return Ok(self.chunk.clone());
        }
        Ok(self.chunk.slice(at..))
    }
}

fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[8..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were taken"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were taken"))
}
