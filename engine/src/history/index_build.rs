//! Makes the index file of a sealed segment out of its columns.
//!
//! The file is written once: sections one after the other, then the [`Meta`] as JSON, its length (4), its
//! CRC-32C (4) and the magic (8). Dictionaries are sorted, so that a text's number is its rank and texts
//! with one prefix stand together; postings are sorted by that rank. The sections are covered by one
//! CRC-32C a page, kept in the meta. Numbers are little-endian, ids big-endian (they sort as bytes).

use super::columns::{Columns, Span};
use super::dictionary::Dictionary;
use super::source::Words;
use pavlov_events::Uuid;
use serde::{Deserialize, Serialize};

/// Last bytes of an index file; the last two are the version of the format.
pub(super) const MAGIC: &[u8; 8] = b"PVHIDX01";
/// Bytes after the meta: its length, its checksum, the magic.
pub(super) const TAIL_BYTES: usize = 16;
/// Bytes under one checksum, and the least that is read at once.
pub(super) const PAGE_BYTES: usize = 4_096;
/// Longest text kept in memory to find a block of a dictionary; longer ones are cut.
pub(super) const FENCE_BYTES: usize = 64;
/// About how many fences are kept in memory for one dictionary or the ids.
const FENCES: usize = 256;
/// Least entries between two fences.
const STRIDE_MIN: usize = 64;

/// What is kept in memory of an index file; some 30 KB for a segment of 32 MiB.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    /// The segment this is the index of: number, events before it, bytes of its file, events in it.
    pub number: u64,
    pub base: u64,
    pub segment_bytes: u64,
    pub rows: u32,
    pub span: Span,
    pub occurred: Section,
    pub offsets: Section,
    pub names: Section,
    pub resources: Section,
    /// All ids, sorted, and the row of each.
    pub ids: Section,
    pub id_rows: Section,
    pub id_stride: u32,
    pub id_fences: Vec<Uuid>,
    pub name_words: WordsMeta,
    pub resource_words: WordsMeta,
    pub role_words: WordsMeta,
    /// For each resource where its rows end, then the rows.
    pub row_ends: Section,
    pub rows_by_resource: Section,
    /// The same for related resources: rows, and in the same places roles.
    pub related_ends: Section,
    pub related_rows: Section,
    pub related_roles: Section,
    /// CRC-32C of each page of the sections.
    pub pages: Vec<u32>,
}

/// Where a part of the file lies, in bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Section {
    pub start: u64,
    pub bytes: u64,
}

/// A sorted dictionary: where each text ends, the texts, and the first text of each block.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WordsMeta {
    pub count: u32,
    pub stride: u32,
    pub ends: Section,
    pub texts: Section,
    /// The first text of each block, cut to [`FENCE_BYTES`].
    pub fences: Vec<String>,
}

/// Which segment an index is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub number: u64,
    pub base: u64,
    pub segment_bytes: u64,
}

/// The bytes of the index file.
pub(super) fn build(columns: &Columns, of: Identity) -> Vec<u8> {
    let mut out = Out::default();
    let (name_words, name_ranks) = out.words(columns.words(Words::Names));
    let (resource_words, resource_ranks) = out.words(columns.words(Words::Resources));
    let (role_words, role_ranks) = out.words(columns.words(Words::Roles));
    let resources = columns.resources.iter().map(|n| resource_ranks[*n as usize]);

    let primary = (0..).zip(resources.clone()).map(|(row, rank)| (rank, row));
    let (row_ends, by_resource) = group(resource_words.count, primary);
    let places = (0..).zip(&columns.related).map(|(place, r)| (resource_ranks[r.resource as usize], place));
    let (related_ends, by_related) = group(resource_words.count, places);
    let related = |place: &u32| columns.related[*place as usize];
    let mut ids: Vec<(Uuid, u32)> = columns.ids.iter().copied().zip(0..).collect();
    ids.sort_unstable();
    let id_stride = stride(ids.len());

    let mut meta = Meta {
        number: of.number,
        base: of.base,
        segment_bytes: of.segment_bytes,
        rows: columns.rows(),
        span: columns.span,
        occurred: out.section(columns.occurred.iter().map(|micros| micros.to_le_bytes())),
        offsets: out.numbers(columns.offsets.iter().copied()),
        names: out.numbers(columns.names.iter().map(|n| name_ranks[*n as usize])),
        resources: out.numbers(resources),
        ids: out.section(ids.iter().map(|(id, _)| id.into_bytes())),
        id_rows: out.numbers(ids.iter().map(|(_, row)| *row)),
        id_stride: id_stride as u32,
        id_fences: ids.iter().step_by(id_stride).map(|(id, _)| *id).collect(),
        row_ends: out.numbers(row_ends),
        rows_by_resource: out.numbers(by_resource),
        related_ends: out.numbers(related_ends),
        related_rows: out.numbers(by_related.iter().map(|place| related(place).row)),
        related_roles: out.numbers(by_related.iter().map(|place| role_ranks[related(place).role as usize])),
        name_words,
        resource_words,
        role_words,
        pages: Vec::new(),
    };
    meta.pages = out.bytes.chunks(PAGE_BYTES).map(crc32c::crc32c).collect();
    out.finish(&meta)
}

#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
}

impl Out {
    fn section<const N: usize>(&mut self, values: impl Iterator<Item = [u8; N]>) -> Section {
        let start = self.bytes.len();
        values.for_each(|value| self.bytes.extend_from_slice(&value));
        Section { start: start as u64, bytes: (self.bytes.len() - start) as u64 }
    }

    fn numbers(&mut self, values: impl IntoIterator<Item = u32>) -> Section {
        self.section(values.into_iter().map(u32::to_le_bytes))
    }

    /// Writes a dictionary in sorted order; also gives the rank of each number.
    fn words(&mut self, words: &Dictionary) -> (WordsMeta, Vec<u32>) {
        let mut order: Vec<u32> = (0..words.len()).collect();
        order.sort_unstable_by_key(|number| words.get(*number));
        let mut ranks = vec![0; order.len()];
        for (rank, number) in (0..).zip(&order) {
            ranks[*number as usize] = rank;
        }
        let mut end = 0;
        let ends = self.numbers(order.iter().map(|number| {
            end += words.get(*number).len() as u32;
            end
        }));
        let start = self.bytes.len();
        order.iter().for_each(|number| self.bytes.extend_from_slice(words.get(*number)));
        let texts = Section { start: start as u64, bytes: (self.bytes.len() - start) as u64 };
        let stride = stride(order.len());
        let fences = order.iter().step_by(stride).map(|number| fence(words.get(*number))).collect();
        (WordsMeta { count: words.len(), stride: stride as u32, ends, texts, fences }, ranks)
    }

    fn finish(mut self, meta: &Meta) -> Vec<u8> {
        let meta = serde_json::to_vec(meta).expect("the meta is plain data");
        self.bytes.extend_from_slice(&meta);
        self.bytes.extend_from_slice(&(meta.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&crc32c::crc32c(&meta).to_le_bytes());
        self.bytes.extend_from_slice(MAGIC);
        self.bytes
    }
}

fn stride(count: usize) -> usize {
    count.div_ceil(FENCES).max(STRIDE_MIN)
}

fn fence(text: &[u8]) -> String {
    let text = std::str::from_utf8(text).expect("dictionaries hold texts");
    text[..text.floor_char_boundary(FENCE_BYTES)].to_owned()
}

/// Sorts values by their key, below `keys`, and keeps their order otherwise: where each key's end, and the
/// values.
fn group(keys: u32, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> (Vec<u32>, Vec<u32>) {
    let mut ends = vec![0; keys as usize];
    let mut count = 0;
    for (key, _) in pairs.clone() {
        ends[key as usize] += 1;
        count += 1;
    }
    let mut next = Vec::with_capacity(ends.len());
    let mut end = 0;
    for size in &mut ends {
        next.push(end);
        end += *size;
        *size = end;
    }
    let mut values = vec![0; count];
    for (key, value) in pairs {
        let place = &mut next[key as usize];
        values[*place as usize] = value;
        *place += 1;
    }
    (ends, values)
}
