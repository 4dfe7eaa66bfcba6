//! [`Columns`]: the index of the open segment, in memory.

use super::dictionary::Dictionary;
use super::error::Error;
use super::facts::Facts;
use super::source::{Column, Numbers, Related, Rows, Source, Words, sorted};
use pavlov_events::{Timestamp, Uuid};
use std::collections::HashSet;

/// One value a row in plain vectors. There are no posting lists: scanning the rows of one segment takes
/// less than a tenth of a millisecond, and adding a row stays cheap.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub span: Span,
    pub occurred: Vec<i64>,
    pub offsets: Vec<u32>,
    pub names: Vec<u32>,
    pub resources: Vec<u32>,
    pub ids: Vec<Uuid>,
    pub related: Vec<Related>,
    pub name_words: Dictionary,
    pub resource_words: Dictionary,
    pub role_words: Dictionary,
}

/// When the events of a segment occurred and were received, in Unix microseconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Span {
    pub occurred_first: i64,
    pub occurred_last: i64,
    pub received_last: i64,
}

impl Default for Span {
    /// The span of no event at all.
    fn default() -> Self {
        Self { occurred_first: i64::MAX, occurred_last: i64::MIN, received_last: i64::MIN }
    }
}

impl Span {
    fn include(&mut self, occurred: Timestamp, received: Timestamp) {
        self.occurred_first = self.occurred_first.min(occurred.micros());
        self.occurred_last = self.occurred_last.max(occurred.micros());
        self.received_last = self.received_last.max(received.micros());
    }
}

impl Columns {
    /// How many events there are.
    pub fn rows(&self) -> u32 {
        self.occurred.len() as u32
    }

    /// Adds the event whose frame starts at byte `offset` of the segment.
    pub fn push(&mut self, facts: &Facts<'_>, offset: u32) {
        let row = self.rows();
        self.span.include(facts.occurred, facts.received);
        self.occurred.push(facts.occurred.micros());
        self.offsets.push(offset);
        self.names.push(self.name_words.number(&facts.name));
        self.resources.push(self.resource_words.number(&facts.resource.id));
        self.ids.push(facts.id);
        for who in &facts.related {
            let resource = self.resource_words.number(&who.id);
            let role = self.role_words.number(&who.role);
            self.related.push(Related { row, resource, role });
        }
    }

    pub fn words(&self, words: Words) -> &Dictionary {
        match words {
            Words::Names => &self.name_words,
            Words::Resources => &self.resource_words,
            Words::Roles => &self.role_words,
        }
    }
}

impl Source for Columns {
    fn find(&self, words: Words, texts: &[&str]) -> Result<Numbers, Error> {
        Ok(texts.iter().filter_map(|text| self.words(words).find(text)).collect())
    }

    fn starting(&self, words: Words, prefixes: &[String]) -> Result<Numbers, Error> {
        let starts = |text: &[u8]| prefixes.iter().any(|prefix| text.starts_with(prefix.as_bytes()));
        Ok((0..).zip(self.words(words).iter()).filter(|(_, text)| starts(text)).map(|(n, _)| n).collect())
    }

    fn texts(&self, words: Words, numbers: &Numbers) -> Result<Vec<String>, Error> {
        let dictionary = self.words(words);
        Ok(numbers
            .iter()
            .map(|number| String::from_utf8_lossy(dictionary.get(number)).into_owned())
            .collect())
    }

    fn rows_of(&self, resources: &Numbers) -> Result<Vec<u32>, Error> {
        Ok((0..).zip(&self.resources).filter(|(_, n)| resources.contains(**n)).map(|(row, _)| row).collect())
    }

    fn related(&self, resources: Option<&Numbers>) -> Result<Vec<Related>, Error> {
        let wanted = |related: &&Related| resources.is_none_or(|numbers| numbers.contains(related.resource));
        Ok(self.related.iter().filter(wanted).copied().collect())
    }

    fn rows_with_ids(&self, ids: &[Uuid]) -> Result<Vec<u32>, Error> {
        let ids: HashSet<&Uuid> = ids.iter().collect();
        Ok(sorted((0..).zip(&self.ids).filter(|(_, id)| ids.contains(id)).map(|(row, _)| row).collect()))
    }

    fn ids_from(&self, first: u32) -> Result<Vec<Uuid>, Error> {
        Ok(self.ids[first as usize..].to_vec())
    }

    fn occurred(&self, rows: &Rows) -> Result<Vec<i64>, Error> {
        Ok(gather(&self.occurred, rows))
    }

    fn column(&self, column: Column, rows: &Rows) -> Result<Vec<u32>, Error> {
        Ok(gather(
            match column {
                Column::Offset => &self.offsets,
                Column::Name => &self.names,
                Column::Resource => &self.resources,
            },
            rows,
        ))
    }
}

fn gather<T: Copy>(values: &[T], rows: &Rows) -> Vec<T> {
    match rows {
        Rows::First(count) => values[..*count as usize].to_vec(),
        Rows::These(rows) => rows.iter().map(|row| values[*row as usize]).collect(),
    }
}
