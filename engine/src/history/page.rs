//! Pages of events: which come first, and where the next page goes on.

use super::error::Error;
use super::history::Shared;
use super::segment::{FETCH_BYTES, Frames, Segment};
use super::select::matching;
use super::source::{Column, Numbers, Rows, Words};
use super::token::Token;
use bytes::Bytes;
use pavlov_events::EventFilter;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// Some of the events that meet a filter.
#[derive(Clone, Debug)]
pub struct Page {
    /// JSON texts, each of one event with `received`, in the order of the filter.
    pub events: Vec<Bytes>,
    /// How many events meet the filter (with `resource.distinct`: how many resources have one).
    pub total: u64,
    /// What asks for the next page, if there is one.
    pub next: Option<Token>,
}

/// Where an event stands among the answers: by time, then by the machine's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Key {
    /// Unix microseconds.
    pub occurred: i64,
    /// Events ever written before this one.
    pub ordinal: u64,
}

/// Answers the page that `token` describes; a total that is not known yet is counted.
pub(super) fn answer(shared: &Shared, token: &Token) -> Result<Page, Error> {
    let (_, segments) = shared.view();
    let question = Question { filter: &token.filter, bound: token.bound, segments: &segments };
    let mut best = Best::new(token);
    let counted = if token.filter.resource.distinct {
        Some(question.distinct(&mut best)?)
    } else {
        question.all(&mut best, token.total.is_none())?
    };
    let total = token.total.or(counted).expect("the first page counts");
    let keys = best.into_keys();
    let mut events = Vec::with_capacity(keys.len());
    for key in &keys {
        events.push(question.body(*key)?);
    }
    let sent = token.sent + token.limit as u64;
    let after = keys.last().copied().or(token.after);
    let next = (sent < total).then(|| Token { total: Some(total), after, sent, ..token.clone() });
    Ok(Page { events, total, next })
}

struct Question<'a> {
    filter: &'a EventFilter,
    /// Events ever written that the question is about.
    bound: u64,
    segments: &'a [Arc<Segment>],
}

impl Question<'_> {
    /// Offers every event that could be on the page; with `count` also counts all.
    fn all(&self, best: &mut Best, count: bool) -> Result<Option<u64>, Error> {
        let mut total = 0;
        for segment in self.ordered(best.ascending) {
            let (span, _) = segment.span()?;
            let useful = best.could_take(span.occurred_first, span.occurred_last);
            if !useful && !count {
                continue;
            }
            let rows = matching(segment, self.filter, rows_before(segment, self.bound)?)?;
            total += rows.len() as u64;
            if useful && !rows.is_empty() {
                let occurred = segment.with(|source| source.occurred(&rows))?;
                for (row, occurred) in rows.iter().zip(occurred) {
                    best.offer(Key { occurred, ordinal: segment.base + u64::from(row) });
                }
            }
        }
        Ok(count.then_some(total))
    }

    /// Offers the first event of each resource in the filter's order, and counts the resources.
    fn distinct(&self, best: &mut Best) -> Result<u64, Error> {
        let mut firsts: HashMap<String, Key> = HashMap::new();
        for segment in self.ordered(best.ascending) {
            let rows = matching(segment, self.filter, rows_before(segment, self.bound)?)?;
            for (resource, key) in firsts_of(segment, &rows, best)? {
                let first = firsts.entry(resource).or_insert(key);
                if best.before(key, *first) {
                    *first = key;
                }
            }
        }
        firsts.values().for_each(|key| best.offer(*key));
        Ok(firsts.len() as u64)
    }

    /// The segments, those first whose events are likely to come first.
    fn ordered(&self, ascending: bool) -> impl Iterator<Item = &Segment> {
        let count = self.segments.len();
        (0..count).map(move |at| &*self.segments[if ascending { at } else { count - 1 - at }])
    }

    fn body(&self, key: Key) -> Result<Bytes, Error> {
        let at = self.segments.partition_point(|segment| segment.base <= key.ordinal) - 1;
        let segment = &self.segments[at];
        let row = Rows::These(vec![(key.ordinal - segment.base) as u32]);
        let offset = segment.with(|source| source.column(Column::Offset, &row))?[0];
        Ok(Frames::new(segment, FETCH_BYTES).body(u64::from(offset))?.1)
    }
}

/// How many of a segment's rows lie before `bound` events of the whole history.
pub(super) fn rows_before(segment: &Segment, bound: u64) -> Result<u32, Error> {
    let (_, rows) = segment.span()?;
    Ok(u64::from(rows).min(bound.saturating_sub(segment.base)) as u32)
}

/// Each resource of these rows with the key of its first event.
fn firsts_of(segment: &Segment, rows: &Rows, best: &Best) -> Result<Vec<(String, Key)>, Error> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    segment.with(|source| {
        let mut firsts: HashMap<u32, Key> = HashMap::new();
        let resources = source.column(Column::Resource, rows)?;
        for ((row, resource), occurred) in rows.iter().zip(resources).zip(source.occurred(rows)?) {
            let key = Key { occurred, ordinal: segment.base + u64::from(row) };
            let first = firsts.entry(resource).or_insert(key);
            if best.before(key, *first) {
                *first = key;
            }
        }
        let numbers: Numbers = firsts.keys().copied().collect();
        let texts = source.texts(Words::Resources, &numbers)?;
        Ok(numbers.iter().zip(texts).map(|(number, text)| (text, firsts[&number])).collect())
    })
}

/// The first keys in order of all that are offered.
#[derive(Debug)]
struct Best {
    ascending: bool,
    limit: usize,
    /// Where the page before ended.
    after: Option<Key>,
    kept: Vec<Key>,
    /// Once there are enough: only what comes before this is of use.
    worst: Option<Key>,
}

impl Best {
    fn new(token: &Token) -> Self {
        let Token { limit, after, .. } = *token;
        Self { ascending: token.filter.ascending, limit, after, kept: Vec::new(), worst: None }
    }

    fn before(&self, a: Key, b: Key) -> bool {
        if self.ascending { a < b } else { a > b }
    }

    /// Whether a segment with events between these times could have one for the page.
    fn could_take(&self, first: i64, last: i64) -> bool {
        let (nearest, farthest) = if self.ascending { (first, last) } else { (last, first) };
        let not_after = |a: i64, b: i64| if self.ascending { a <= b } else { a >= b };
        self.limit > 0
            && self.worst.is_none_or(|worst| not_after(nearest, worst.occurred))
            && self.after.is_none_or(|after| not_after(after.occurred, farthest))
    }

    fn offer(&mut self, key: Key) {
        if self.after.is_some_and(|after| !self.before(after, key))
            || self.worst.is_some_and(|worst| !self.before(key, worst))
        {
            return;
        }
        self.kept.push(key);
        // Sorting now and then is cheaper than keeping order all the time.
        if self.kept.len() >= 2 * self.limit + 64 {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        let ascending = self.ascending;
        self.kept.sort_unstable_by(|a, b| if ascending { a.cmp(b) } else { b.cmp(a) });
        if self.kept.len() >= self.limit {
            self.kept.truncate(self.limit);
            self.worst = self.kept.last().copied();
        }
    }

    fn into_keys(mut self) -> Vec<Key> {
        self.shrink();
        self.kept
    }
}
