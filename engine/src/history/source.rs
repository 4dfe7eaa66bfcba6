//! [`Source`]: what an index of one segment answers, in memory ([`super::columns`]) or in a file
//! ([`super::index_file`]).
//!
//! A *row* is an event's number in its segment, from 0; a *number* stands for a text of one of the
//! segment's dictionaries. Numbers of one source mean nothing to another, not even to the file that was
//! made of the same columns.

use super::error::Error;
use pavlov_events::Uuid;
use std::ops::Range;

/// Which dictionary.
#[derive(Clone, Copy, Debug)]
pub(super) enum Words {
    /// Event names.
    Names,
    /// Ids of resources, primary and related.
    Resources,
    /// Roles of related resources.
    Roles,
}

/// One related resource of one event, with numbers of [`Words::Resources`] and [`Words::Roles`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Related {
    pub row: u32,
    pub resource: u32,
    pub role: u32,
}

/// One value a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    /// Where the event's frame starts in the segment file, in bytes.
    Offset,
    /// Number of the event's name.
    Name,
    /// Number of the primary resource's id.
    Resource,
}

/// What an index of one segment answers. Rows come sorted and without repeats; texts that are not there
/// have no number.
pub(super) trait Source {
    /// The numbers of these texts.
    fn find(&self, words: Words, texts: &[&str]) -> Result<Numbers, Error>;
    /// The numbers of texts that start with one of `prefixes`.
    fn starting(&self, words: Words, prefixes: &[String]) -> Result<Numbers, Error>;
    /// The texts of `numbers`, in their order.
    fn texts(&self, words: Words, numbers: &Numbers) -> Result<Vec<String>, Error>;
    /// Rows whose primary resource is one of these.
    fn rows_of(&self, resources: &Numbers) -> Result<Vec<u32>, Error>;
    /// Related resources, all or these; in no particular order.
    fn related(&self, resources: Option<&Numbers>) -> Result<Vec<Related>, Error>;
    /// Rows of events with these ids.
    fn rows_with_ids(&self, ids: &[Uuid]) -> Result<Vec<u32>, Error>;
    /// Ids of the rows from `first` on.
    fn ids_from(&self, first: u32) -> Result<Vec<Uuid>, Error>;
    /// When the events of these rows occurred, in Unix microseconds.
    fn occurred(&self, rows: &Rows) -> Result<Vec<i64>, Error>;
    /// A column's values at these rows.
    fn column(&self, column: Column, rows: &Rows) -> Result<Vec<u32>, Error>;
}

/// Some numbers: ranges in ascending order that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    ranges: Vec<Range<u32>>,
}

impl Numbers {
    pub fn all(count: u32) -> Self {
        std::iter::once(0..count).collect()
    }

    pub fn ranges(&self) -> &[Range<u32>] {
        &self.ranges
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub fn contains(&self, number: u32) -> bool {
        let at = self.ranges.partition_point(|range| range.end <= number);
        self.ranges.get(at).is_some_and(|range| range.start <= number)
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.ranges.iter().cloned().flatten()
    }
}

impl FromIterator<Range<u32>> for Numbers {
    fn from_iter<I: IntoIterator<Item = Range<u32>>>(ranges: I) -> Self {
        let mut sorted: Vec<Range<u32>> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
        sorted.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<u32>> = Vec::with_capacity(sorted.len().min(1_024));
        for range in sorted {
            match joined.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        Self { ranges: joined }
    }
}

impl FromIterator<u32> for Numbers {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        numbers.into_iter().map(|number| number..number + 1).collect()
    }
}

/// Rows of one segment in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// The first so many.
    First(u32),
    /// These.
    These(Vec<u32>),
}

impl Rows {
    pub fn len(&self) -> usize {
        match self {
            Self::First(count) => *count as usize,
            Self::These(rows) => rows.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row in this place.
    pub fn get(&self, place: usize) -> u32 {
        match self {
            Self::First(_) => place as u32,
            Self::These(rows) => rows[place],
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.len()).map(|place| self.get(place))
    }

    /// Only the rows for which the value in the same place of `values` passes.
    pub fn keep<T: Copy>(self, values: &[T], mut passes: impl FnMut(T) -> bool) -> Self {
        if values.iter().all(|value| passes(*value)) {
            return self;
        }
        Self::These(
            self.iter().zip(values).filter(|(_, value)| passes(**value)).map(|(row, _)| row).collect(),
        )
    }

    /// Only the rows that are also in the ascending list `others`.
    pub fn intersect(self, others: Vec<u32>) -> Self {
        match self {
            Self::First(count) => {
                let mut others = others;
                others.truncate(others.partition_point(|row| *row < count));
                Self::These(others)
            }
            Self::These(mut rows) => {
                let mut at = 0;
                rows.retain(|row| {
                    while others.get(at).is_some_and(|other| other < row) {
                        at += 1;
                    }
                    others.get(at) == Some(row)
                });
                Self::These(rows)
            }
        }
    }
}

/// Sorts rows and drops repeats.
pub(super) fn sorted(mut rows: Vec<u32>) -> Vec<u32> {
    rows.sort_unstable();
    rows.dedup();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_join_and_are_found() {
        let numbers: Numbers = [7..9, 1..2, 2..4, 8..8, 3..5].into_iter().collect();
        assert_eq!(numbers.ranges(), [1..5, 7..9]);
        let found: Vec<u32> = (0..12).filter(|n| numbers.contains(*n)).collect();
        assert_eq!(found, numbers.iter().collect::<Vec<u32>>());
        assert_eq!(found, [1, 2, 3, 4, 7, 8]);
    }

    #[test]
    fn rows_intersect() {
        assert_eq!(Rows::First(5).intersect(vec![1, 4, 5, 9]), Rows::These(vec![1, 4]));
        assert_eq!(Rows::These(vec![1, 3, 6]).intersect(vec![0, 3, 4, 6, 7]), Rows::These(vec![3, 6]));
        assert_eq!(Rows::First(3).keep(&[5, 6, 7], |v| v != 6), Rows::These(vec![0, 2]));
    }
}
