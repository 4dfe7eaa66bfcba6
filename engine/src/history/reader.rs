//! [`Reader`]: questions about stored events.

use super::count::{Count, Countable, Spans, count};
use super::error::Error;
use super::frame::{Cursor, FRAME_HEAD_BYTES};
use super::history::Shared;
use super::page::{Page, answer, rows_before};
use super::segment::{FETCH_BYTES, Frames, SCAN_BYTES, Segment};
use super::source::{Column, Rows};
use super::token::Token;
use bytes::Bytes;
use pavlov_events::{EventFilter, Timestamp, Uuid};
use std::sync::Arc;

/// Most events of one page.
pub const PAGE_EVENTS_MAX: usize = 1_000;
/// [`Reader::after`] stops behind this many bytes, so that large events do not fill the memory.
const AFTER_BYTES_MAX: usize = 8 << 20;

/// Asks the history; cheap to clone, for use in any thread. Every question reads files and may take some
/// milliseconds: do not ask on a thread that serves connections.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// What the history holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Events that are stored.
    pub events: u64,
    /// Bytes of all segments, without their indexes.
    pub bytes: u64,
    /// Segments, the open one included.
    pub segments: usize,
    /// When the oldest of the events occurred; segments whose index is still being made are left out.
    pub oldest: Option<Timestamp>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The first page of the events that meet `filter`, at most `limit` (and never more than
    /// [`PAGE_EVENTS_MAX`]), with the exact total. Ordered by `occurred`, then in the machine's order; the
    /// newest first unless the filter says otherwise.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming file and byte of a damaged event that the answer needs, [`Error::Io`].
    pub fn query(&self, filter: &EventFilter, limit: usize) -> Result<Page, Error> {
        let (bound, _) = self.shared.view();
        let limit = limit.min(PAGE_EVENTS_MAX);
        let token = Token { filter: filter.clone(), limit, total: None, bound, after: None, sent: 0 };
        self.query_next(&token)
    }

    /// The page that a token asks for. Events that came after the first page are not on it; what retention
    /// has removed meanwhile is missing, though the total still counts it.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn query_next(&self, token: &Token) -> Result<Page, Error> {
        self.shared.mending(|| answer(&self.shared, token))
    }

    /// Counts the events that meet `filter`. Time is cut into `spans`, and their number is limited whatever
    /// is counted; `now` ends what lies in the future.
    ///
    /// # Errors
    /// [`Error::IntervalTooSmall`] and [`Error::TooManySpans`] for bad spans; as [`Self::query`].
    pub fn count_by(
        &self,
        filter: &EventFilter,
        countable: Countable,
        spans: Spans,
        now: Timestamp,
    ) -> Result<Vec<Count>, Error> {
        self.shared.mending(|| count(&self.shared, filter, (countable, spans), now))
    }

    /// The JSON text of the event with this id; of several, the newest.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn get(&self, id: Uuid) -> Result<Option<Bytes>, Error> {
        self.shared.mending(|| {
            let (bound, segments) = self.shared.view();
            for segment in segments.iter().rev() {
                let rows = segment.with(|source| source.rows_with_ids(&[id]))?;
                let visible = rows_before(segment, bound)?;
                if let Some(row) = rows.into_iter().rfind(|row| *row < visible) {
                    let offset = offset_of(segment, row)?;
                    return Ok(Some(Frames::new(segment, FETCH_BYTES).body(offset)?.1));
                }
            }
            Ok(None)
        })
    }

    /// Events in the machine's order with their cursors: those after `cursor`, or from the oldest stored one
    /// on; at most `limit`, and not more once they have 8 MiB.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn after(&self, cursor: Option<Cursor>, limit: usize) -> Result<Vec<(Cursor, Bytes)>, Error> {
        self.shared.mending(|| {
            let (bound, segments) = self.shared.view();
            let mut batch = Batch { events: Vec::new(), limit, bytes: 0 };
            let first = match cursor {
                Some(cursor) => segment_of(&segments, cursor)?,
                None => 0,
            };
            for (at, segment) in segments.iter().enumerate().skip(first) {
                let rows = rows_before(segment, bound)?;
                let from = match cursor {
                    Some(cursor) if at == first => row_after(segment, rows, cursor)?,
                    _ => 0,
                };
                batch.take(segment, from..rows)?;
                if batch.is_full() {
                    break;
                }
            }
            Ok(batch.events)
        })
    }

    /// The ids of the last `count` events, the oldest first.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn recent_ids(&self, count: usize) -> Result<Vec<Uuid>, Error> {
        self.shared.mending(|| {
            let (bound, segments) = self.shared.view();
            let first = bound.saturating_sub(count as u64);
            let mut ids = Vec::with_capacity(count.min(bound as usize));
            for segment in segments.iter() {
                let rows = rows_before(segment, bound)?;
                let from = first.saturating_sub(segment.base);
                if from < u64::from(rows) {
                    let mut these = segment.with(|source| source.ids_from(from as u32))?;
                    these.truncate(rows as usize - from as usize);
                    ids.extend(these);
                }
            }
            Ok(ids)
        })
    }

    /// What the history holds. Does not wait for indexes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn stats(&self) -> Result<Stats, Error> {
        let (bound, segments) = self.shared.view();
        let first = segments.first().map_or(bound, |segment| segment.base);
        let mut stats =
            Stats { events: bound.saturating_sub(first), bytes: 0, segments: segments.len(), oldest: None };
        let mut oldest = i64::MAX;
        for segment in segments.iter() {
            stats.bytes += segment.bytes()?;
            if segment.is_loaded() {
                oldest = oldest.min(segment.span()?.0.occurred_first);
            }
        }
        stats.oldest = (oldest < i64::MAX).then(|| Timestamp::from_micros(oldest));
        Ok(stats)
    }
}

/// Events in the machine's order, as many as are wanted.
struct Batch {
    events: Vec<(Cursor, Bytes)>,
    limit: usize,
    bytes: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.events.len() >= self.limit || self.bytes >= AFTER_BYTES_MAX
    }

    /// Adds rows of one segment until there are enough.
    fn take(&mut self, segment: &Segment, rows: std::ops::Range<u32>) -> Result<(), Error> {
        if rows.is_empty() || self.is_full() {
            return Ok(());
        }
        let mut offset = offset_of(segment, rows.start)?;
        let mut frames = Frames::new(segment, SCAN_BYTES);
        for _ in rows {
            if self.is_full() {
                break;
            }
            let (cursor, body) = frames.body(offset)?;
            offset += (FRAME_HEAD_BYTES + body.len()) as u64;
            self.bytes += body.len();
            self.events.push((cursor, body));
        }
        Ok(())
    }
}

fn offset_of(segment: &Segment, row: u32) -> Result<u64, Error> {
    Ok(u64::from(segment.with(|source| source.column(Column::Offset, &Rows::These(vec![row])))?[0]))
}

/// The place of the last segment that starts at or before `cursor`.
fn segment_of(segments: &[Arc<Segment>], cursor: Cursor) -> Result<usize, Error> {
    let (mut low, mut high) = (0, segments.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        match segments[middle].first_cursor()? {
            Some(first) if first <= cursor => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low.saturating_sub(1))
}

/// The first of the rows whose event comes after `cursor`.
fn row_after(segment: &Segment, rows: u32, cursor: Cursor) -> Result<u32, Error> {
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = u32::midpoint(low, high);
        if segment.cursor(middle)? <= cursor { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}
