//! Counts of events by time, name or resource, in Prefect's shape.

use super::error::Error;
use super::history::Shared;
use super::page::rows_before;
use super::segment::{FETCH_BYTES, Frames, Segment};
use super::select::matching;
use super::source::{Column, Numbers, Rows, Words};
use pavlov_events::{Event, EventFilter, Timestamp};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

/// Spans of time are counted from 2024-04-01T00:00:00Z, a Monday, as the genuine server counts them.
const PIVOT_MICROS: i64 = 1_711_929_600_000_000;
/// Shortest interval, in units.
const INTERVAL_MIN: f64 = 0.01;
/// Most spans in one answer.
const SPANS_MAX: i64 = 1_000;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Countable {
    /// Events of each day, whatever unit and interval were given.
    Day,
    /// Events of each interval.
    Time,
    /// Events of each name.
    Event,
    /// Events of each primary resource.
    Resource,
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seven days, from Monday.
    Week,
    /// 24 hours in UTC.
    Day,
    /// 60 minutes.
    Hour,
    /// 60 seconds.
    Minute,
    /// One second.
    Second,
}

/// How time is cut: in intervals of so many units, at least 0.01.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spans {
    /// The unit.
    pub unit: TimeUnit,
    /// How many of it; need not be whole.
    pub interval: f64,
}

impl Default for Spans {
    /// Days.
    fn default() -> Self {
        Self { unit: TimeUnit::Day, interval: 1.0 }
    }
}

/// How many events have one value.
///
/// JSON shape: `{"value": "host.a", "label": "Host A", "count": 3, "start_time": "…", "end_time": "…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// What to filter by: a name, a resource's id, or the number of the span from 0.
    pub value: String,
    /// What to show: a name, the resource's name in its latest event, or the start of the span.
    pub label: String,
    /// How many events.
    pub count: u64,
    /// Start of the span, or when the first of the events occurred.
    pub start_time: Timestamp,
    /// Last microsecond of the span, or when the last of the events occurred.
    pub end_time: Timestamp,
}

impl TimeUnit {
    const fn micros(self) -> i64 {
        const SECOND: i64 = 1_000_000;
        match self {
            Self::Week => 7 * 86_400 * SECOND,
            Self::Day => 86_400 * SECOND,
            Self::Hour => 3_600 * SECOND,
            Self::Minute => 60 * SECOND,
            Self::Second => SECOND,
        }
    }
}

impl Spans {
    /// Length of one span in microseconds, if the range makes no more spans than allowed.
    fn micros(self, filter: &EventFilter) -> Result<i64, Error> {
        // Written so that a NaN is refused too.
        if !matches!(self.interval.partial_cmp(&INTERVAL_MIN), Some(o) if o.is_ge()) {
            return Err(Error::IntervalTooSmall { given: self.interval, least: INTERVAL_MIN });
        }
        let micros = (self.unit.micros() as f64 * self.interval).round() as i64;
        let range = filter.until.since(filter.since);
        let spans = range.div_euclid(micros) + i64::from(range.rem_euclid(micros) > 0);
        if spans > SPANS_MAX {
            return Err(Error::TooManySpans { spans, most: SPANS_MAX });
        }
        Ok(micros)
    }
}

/// Counts what meets the filter.
pub(super) fn count(
    shared: &Shared,
    filter: &EventFilter,
    (countable, spans): (Countable, Spans),
    now: Timestamp,
) -> Result<Vec<Count>, Error> {
    let micros = spans.micros(filter)?;
    let (bound, segments) = shared.view();
    let all = Matching { filter, bound, segments: &segments };
    match countable {
        Countable::Time => by_time(&all, spans.unit, micros, now),
        Countable::Day => by_time(&all, TimeUnit::Day, Spans::default().micros(filter)?, now),
        Countable::Event => by_word(&all, Column::Name, Words::Names),
        Countable::Resource => by_word(&all, Column::Resource, Words::Resources),
    }
}

struct Matching<'a> {
    filter: &'a EventFilter,
    bound: u64,
    segments: &'a [Arc<Segment>],
}

impl Matching<'_> {
    /// Calls `visit` with each segment and its rows that meet the filter.
    fn each(&self, mut visit: impl FnMut(&Segment, &Rows) -> Result<(), Error>) -> Result<(), Error> {
        for segment in self.segments {
            let rows = matching(segment, self.filter, rows_before(segment, self.bound)?)?;
            if !rows.is_empty() {
                visit(segment, &rows)?;
            }
        }
        Ok(())
    }
}

/// One count for each span from the one of `since` to the one of `until`, or, when that lies in the future,
/// to the end of the present unit. Events behind that are in no span, so they are not counted.
fn by_time(all: &Matching<'_>, unit: TimeUnit, micros: i64, now: Timestamp) -> Result<Vec<Count>, Error> {
    let first = all.filter.since.since(pivot()).div_euclid(micros);
    let end = if all.filter.until > now { end_of_unit(now, unit) } else { all.filter.until };
    let start_of = |span: i64| pivot().plus_micros((first + span).saturating_mul(micros));
    let mut counts: Vec<Count> = Vec::new();
    while start_of(counts.len() as i64) < end && counts.len() < SPANS_MAX as usize + 1 {
        let (start_time, next) = (start_of(counts.len() as i64), start_of(counts.len() as i64 + 1));
        counts.push(Count {
            value: counts.len().to_string(),
            label: start_time.to_string().replace('Z', "+00:00"),
            count: 0,
            start_time,
            end_time: next.plus_micros(-1),
        });
    }
    all.each(|segment, rows| {
        for occurred in segment.with(|source| source.occurred(rows))? {
            let span = (occurred - PIVOT_MICROS).div_euclid(micros) - first;
            if let Some(count) = usize::try_from(span).ok().and_then(|span| counts.get_mut(span)) {
                count.count += 1;
            }
        }
        Ok(())
    })?;
    Ok(counts)
}

fn pivot() -> Timestamp {
    Timestamp::from_micros(PIVOT_MICROS)
}

/// The last microsecond of the unit that `now` lies in.
fn end_of_unit(now: Timestamp, unit: TimeUnit) -> Timestamp {
    now.plus_micros(unit.micros() - 1 - now.since(pivot()).rem_euclid(unit.micros()))
}

/// What is known of one name or resource.
#[derive(Clone, Copy)]
struct Tally {
    count: u64,
    /// When the first and the last event occurred.
    first: i64,
    last: i64,
    /// The last event: place of its segment in the list, and row.
    latest: (usize, u32),
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.min(other.first);
        if other.last >= self.last {
            (self.last, self.latest) = (other.last, other.latest);
        }
    }
}

/// One count for each name or resource, the most frequent first, then by label.
fn by_word(all: &Matching<'_>, column: Column, words: Words) -> Result<Vec<Count>, Error> {
    let mut tallies: HashMap<String, Tally> = HashMap::new();
    let mut place = 0;
    all.each(|segment, rows| {
        while all.segments[place].number != segment.number {
            place += 1;
        }
        for (text, tally) in tallies_of(segment, rows, (column, words), place)? {
            tallies.entry(text).and_modify(|known| known.add(tally)).or_insert(tally);
        }
        Ok(())
    })?;
    let mut counts = Vec::with_capacity(tallies.len());
    for (value, tally) in tallies {
        let label = match words {
            Words::Resources => label_of(&all.segments[tally.latest.0], tally.latest.1, &value)?,
            _ => value.clone(),
        };
        counts.push(Count {
            value,
            label,
            count: tally.count,
            start_time: Timestamp::from_micros(tally.first),
            end_time: Timestamp::from_micros(tally.last),
        });
    }
    counts.sort_unstable_by(|a, b| (b.count, &a.label, &a.value).cmp(&(a.count, &b.label, &b.value)));
    Ok(counts)
}

fn tallies_of(
    segment: &Segment,
    rows: &Rows,
    (column, words): (Column, Words),
    place: usize,
) -> Result<Vec<(String, Tally)>, Error> {
    segment.with(|source| {
        let mut tallies: HashMap<u32, Tally> = HashMap::new();
        let numbers = source.column(column, rows)?;
        for ((row, number), occurred) in rows.iter().zip(numbers).zip(source.occurred(rows)?) {
            let tally = Tally { count: 1, first: occurred, last: occurred, latest: (place, row) };
            tallies.entry(number).and_modify(|known| known.add(tally)).or_insert(tally);
        }
        let numbers: Numbers = tallies.keys().copied().collect();
        let texts = source.texts(words, &numbers)?;
        Ok(numbers.iter().zip(texts).map(|(number, text)| (text, tallies[&number])).collect())
    })
}

/// What to call a resource: the name it has in this event, or its id.
fn label_of(segment: &Segment, row: u32, id: &str) -> Result<String, Error> {
    let offset = u64::from(segment.with(|source| source.column(Column::Offset, &Rows::These(vec![row])))?[0]);
    let (_, body) = Frames::new(segment, FETCH_BYTES).body(offset)?;
    let event = std::str::from_utf8(&body).ok().and_then(|text| Event::from_stored(text).ok());
    let event = event.ok_or_else(|| Error::corrupt(&segment.path, offset, "not an event"))?;
    let name = ["prefect.resource.name", "prefect.name"].iter().find_map(|label| event.resource.get(label));
    Ok(name.unwrap_or(id).to_owned())
}
