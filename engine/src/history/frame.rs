//! The bytes of a segment file: a header, then one frame an event.
//!
//! Header, 32 bytes: magic (8), segment number (8), number of events in all segments before (8),
//! CRC-32C of these (4), zeros (4). Frame: body length (4), CRC-32C of everything else in the frame (4),
//! position (8), index (4), body. All numbers little-endian. The body is the event's JSON.

use super::error::Error;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// First bytes of a segment file; the last two are the version of the format.
const MAGIC: &[u8; 8] = b"PVHIST01";
/// Bytes of the header of a segment file.
pub(super) const HEADER_BYTES: u64 = 32;
/// Bytes of a frame before its body.
pub(super) const FRAME_HEAD_BYTES: usize = 20;
/// No body is longer: an event has at most 880,000 bytes as it comes in, and the longest escape of JSON
/// makes six bytes of one.
const BODY_BYTES_MAX: usize = 8 << 20;

/// Where an event stands in the machine's order: position of its record in the log, then the index
/// among the events of that record, from 0.
///
/// JSON shape: `{"position": 17, "index": 0}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// Position of the record in the log.
    pub position: u64,
    /// Index of the event among those of the record.
    pub index: u32,
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameHead {
    body_bytes: u32,
    crc: u32,
    pub cursor: Cursor,
}

impl FrameHead {
    /// Reads a head; `None` when there are too few bytes or the length cannot be one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..FRAME_HEAD_BYTES)?;
        let body_bytes = u32_at(head, 0);
        let cursor = Cursor { position: u64_at(head, 8), index: u32_at(head, 16) };
        let plausible = (1..=BODY_BYTES_MAX).contains(&(body_bytes as usize));
        plausible.then_some(Self { body_bytes, crc: u32_at(head, 4), cursor })
    }

    /// Bytes of head and body together.
    pub fn frame_bytes(&self) -> usize {
        FRAME_HEAD_BYTES + self.body_bytes as usize
    }

    /// Whether the whole frame is what was written.
    pub fn verifies(&self, frame: &[u8]) -> bool {
        frame.len() == self.frame_bytes() && checksum(frame) == self.crc
    }
}

/// Appends a frame whose body `write` appends.
pub(super) fn append_frame(out: &mut Vec<u8>, cursor: Cursor, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&cursor.position.to_le_bytes());
    out.extend_from_slice(&cursor.index.to_le_bytes());
    write(out);
    let body_bytes = (out.len() - start - FRAME_HEAD_BYTES) as u32;
    out[start..start + 4].copy_from_slice(&body_bytes.to_le_bytes());
    let crc = checksum(&out[start..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// The header of segment `number`, before which there were `base` events.
pub(super) fn header(number: u64, base: u64) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&base.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out
}

/// The number of events before segment `number`, from its header.
pub(super) fn base_of(bytes: &[u8], number: u64, path: &Path) -> Result<u64, Error> {
    let fault = |what| Err(Error::corrupt(path, 0, what));
    if bytes.len() < HEADER_BYTES as usize || &bytes[..8] != MAGIC {
        return fault("not the header of a segment of this version");
    }
    let base = u64_at(bytes, 16);
    if bytes[..HEADER_BYTES as usize] != header(number, base) {
        return fault("the header is damaged or belongs to another segment");
    }
    Ok(base)
}

fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[8..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
