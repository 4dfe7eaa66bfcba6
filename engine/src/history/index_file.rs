//! [`IndexFile`]: the index of a sealed segment, read from its file where a question needs it.

use super::error::Error;
use super::index_build::{FENCE_BYTES, Identity, MAGIC, Meta, PAGE_BYTES, Section, TAIL_BYTES, WordsMeta};
use super::source::{Column, Numbers, Related, Rows, Source, Words, sorted};
use pavlov_events::Uuid;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// An open index file. Every read is checked against the page checksums of the meta.
#[derive(Debug)]
pub(super) struct IndexFile {
    path: PathBuf,
    file: File,
    pub meta: Meta,
}

impl IndexFile {
    /// Opens the index of a segment. `None` when there is none, or none that fits this segment as it is:
    /// then it is to be made again.
    pub fn open(path: &Path, of: Identity) -> Result<Option<Self>, Error> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", path)(error)),
        };
        let bytes = file.metadata().map_err(Error::io("read", path))?.len();
        let Some(meta) = read_meta(&file, bytes).map_err(Error::io("read", path))? else { return Ok(None) };
        let fits = (meta.number, meta.base, meta.segment_bytes) == (of.number, of.base, of.segment_bytes);
        Ok(fits.then(|| Self { path: path.to_owned(), file, meta }))
    }

    /// Reads bytes of a section, whole pages at a time.
    fn bytes(&self, section: Section, range: Range<usize>) -> Result<Vec<u8>, Error> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let start = section.start as usize + range.start;
        let end = section.start as usize + range.end;
        let first = start / PAGE_BYTES;
        let last = (end - 1) / PAGE_BYTES;
        let sections_end = (self.meta.related_roles.start + self.meta.related_roles.bytes) as usize;
        let read_start = first * PAGE_BYTES;
        let mut buffer = vec![0; ((last + 1) * PAGE_BYTES).min(sections_end) - read_start];
        self.file.read_exact_at(&mut buffer, read_start as u64).map_err(Error::io("read", &self.path))?;
        for (page, chunk) in (first..).zip(buffer.chunks(PAGE_BYTES)) {
            if self.meta.pages.get(page) != Some(&crc32c::crc32c(chunk)) {
                let offset = (page * PAGE_BYTES) as u64;
                return Err(Error::BrokenIndex { segment: self.meta.number, offset });
            }
        }
        buffer.truncate(end - read_start);
        buffer.drain(..start - read_start);
        Ok(buffer)
    }

    /// Values `range` of a section of numbers.
    fn numbers(&self, section: Section, range: Range<usize>) -> Result<Vec<u32>, Error> {
        let bytes = self.bytes(section, range.start * 4..range.end * 4)?;
        Ok(bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().expect("four bytes"))).collect())
    }

    /// Where the groups `range` of a grouped section start and end, and the end of each.
    fn ends(&self, ends: Section, range: Range<usize>) -> Result<Vec<u32>, Error> {
        let mut found = if range.start == 0 { vec![0] } else { Vec::new() };
        found.extend(self.numbers(ends, range.start.saturating_sub(1)..range.end)?);
        Ok(found)
    }

    fn words(&self, words: Words) -> &WordsMeta {
        match words {
            Words::Names => &self.meta.name_words,
            Words::Resources => &self.meta.resource_words,
            Words::Roles => &self.meta.role_words,
        }
    }

    /// The texts with ranks `range`.
    fn block(&self, words: &WordsMeta, range: Range<usize>) -> Result<Block, Error> {
        let ends = self.ends(words.ends, range)?;
        let bytes = self.bytes(words.texts, ends[0] as usize..*ends.last().expect("not empty") as usize)?;
        Ok(Block { ends, bytes })
    }

    /// The first rank whose text is not less than `key`, and whether that text is `key`.
    fn rank(&self, words: &WordsMeta, key: &[u8]) -> Result<(u32, bool), Error> {
        let stride = words.stride as usize;
        let mut until = words.fences.partition_point(|fence| fence.as_bytes() <= key);
        let mut from = until.saturating_sub(1);
        // A cut fence says less than its text: the key may lie before it.
        let unsure = |fence: &str| fence.len() + 3 >= FENCE_BYTES && key.starts_with(fence.as_bytes());
        while from > 0 && unsure(&words.fences[from]) {
            from -= 1;
        }
        while until - from > 1 {
            let middle = usize::midpoint(from, until);
            let first = self.block(words, middle * stride..middle * stride + 1)?;
            if first.text(0) <= key { from = middle } else { until = middle }
        }
        let start = from * stride;
        let block = self.block(words, start..(until * stride).min(words.count as usize))?;
        let place = block.partition_point(|text| text < key);
        let found = place < block.len() && block.text(place) == key;
        Ok(((start + place) as u32, found))
    }

    /// Fixed-size values at `rows`, in their order.
    fn gather<const N: usize>(&self, section: Section, rows: &Rows) -> Result<Vec<[u8; N]>, Error> {
        let whole = |bytes: &[u8]| <[u8; N]>::try_from(bytes).expect("a chunk has this size");
        let Rows::These(rows) = rows else {
            let bytes = self.bytes(section, 0..rows.len() * N)?;
            return Ok(bytes.chunks_exact(N).map(whole).collect());
        };
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
        let (first, last) = (*first as usize, *last as usize);
        if rows.len() * PAGE_BYTES < (last - first) * N {
            let one =
                |row: &u32| Ok(whole(&self.bytes(section, *row as usize * N..(*row as usize + 1) * N)?));
            return rows.iter().map(one).collect();
        }
        let bytes = self.bytes(section, first * N..(last + 1) * N)?;
        Ok(rows.iter().map(|row| (*row as usize - first) * N).map(|at| whole(&bytes[at..at + N])).collect())
    }

    /// The row of one id.
    fn rows_with_id(&self, id: Uuid, rows: &mut Vec<u32>) -> Result<(), Error> {
        let stride = self.meta.id_stride as usize;
        let from = self.meta.id_fences.partition_point(|fence| *fence < id).saturating_sub(1) * stride;
        let until = self.meta.id_fences.partition_point(|fence| *fence <= id) * stride;
        let until = until.min(self.meta.rows as usize);
        if from >= until {
            return Ok(());
        }
        let bytes = self.bytes(self.meta.ids, from * 16..until * 16)?;
        let ids: Vec<&[u8]> = bytes.chunks_exact(16).collect();
        let first = ids.partition_point(|other| *other < &id.as_bytes()[..]);
        let count = ids[first..].iter().take_while(|other| **other == &id.as_bytes()[..]).count();
        rows.extend(self.numbers(self.meta.id_rows, from + first..from + first + count)?);
        Ok(())
    }
}

impl Source for IndexFile {
    fn find(&self, words: Words, texts: &[&str]) -> Result<Numbers, Error> {
        let words = self.words(words);
        let mut ranks = Vec::with_capacity(texts.len());
        for text in texts {
            if let (rank, true) = self.rank(words, text.as_bytes())? {
                ranks.push(rank);
            }
        }
        Ok(ranks.into_iter().collect())
    }

    fn starting(&self, words: Words, prefixes: &[String]) -> Result<Numbers, Error> {
        let words = self.words(words);
        let mut ranges = Vec::with_capacity(prefixes.len());
        for prefix in prefixes {
            let mut after = prefix.clone().into_bytes();
            // No byte of UTF-8 is 0xff, so the last one can be raised: all texts with the prefix lie before.
            let end = match after.last_mut() {
                Some(byte) => {
                    *byte += 1;
                    self.rank(words, &after)?.0
                }
                None => words.count,
            };
            ranges.push(self.rank(words, prefix.as_bytes())?.0..end);
        }
        Ok(ranges.into_iter().collect())
    }

    fn texts(&self, words: Words, numbers: &Numbers) -> Result<Vec<String>, Error> {
        let words = self.words(words);
        let mut texts = Vec::new();
        // Neighbouring ranges are read together: numbers that are wanted often lie close to each other.
        for near in numbers.ranges().chunk_by(|a, b| b.start - a.end < words.stride) {
            let (first, last) = (&near[0], &near[near.len() - 1]);
            let block = self.block(words, first.start as usize..last.end as usize)?;
            let of = |number: u32| block.text((number - first.start) as usize);
            texts.extend(near.iter().cloned().flatten().map(|n| String::from_utf8_lossy(of(n)).into_owned()));
        }
        Ok(texts)
    }

    fn rows_of(&self, resources: &Numbers) -> Result<Vec<u32>, Error> {
        let mut rows = Vec::new();
        for range in resources.ranges() {
            let first = self.ends(self.meta.row_ends, range.start as usize..range.start as usize + 1)?[0];
            let end = self.numbers(self.meta.row_ends, range.end as usize - 1..range.end as usize)?[0];
            rows.extend(self.numbers(self.meta.rows_by_resource, first as usize..end as usize)?);
        }
        Ok(sorted(rows))
    }

    fn related(&self, resources: Option<&Numbers>) -> Result<Vec<Related>, Error> {
        let all = Numbers::all(self.meta.resource_words.count);
        let mut found = Vec::new();
        for range in resources.unwrap_or(&all).ranges() {
            let ends = self.ends(self.meta.related_ends, range.start as usize..range.end as usize)?;
            let places = ends[0] as usize..*ends.last().expect("not empty") as usize;
            let rows = self.numbers(self.meta.related_rows, places.clone())?;
            let roles = self.numbers(self.meta.related_roles, places)?;
            let mut pairs = rows.into_iter().zip(roles);
            for (resource, ends) in range.clone().zip(ends.windows(2)) {
                let count = (ends[1] - ends[0]) as usize;
                found.extend(pairs.by_ref().take(count).map(|(row, role)| Related { row, resource, role }));
            }
        }
        Ok(found)
    }

    fn rows_with_ids(&self, ids: &[Uuid]) -> Result<Vec<u32>, Error> {
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            self.rows_with_id(*id, &mut rows)?;
        }
        Ok(sorted(rows))
    }

    fn ids_from(&self, first: u32) -> Result<Vec<Uuid>, Error> {
        let count = self.meta.rows as usize;
        let rows = self.numbers(self.meta.id_rows, 0..count)?;
        let bytes = self.bytes(self.meta.ids, 0..count * 16)?;
        let mut ids = vec![Uuid::nil(); count - first as usize];
        for (row, id) in rows.into_iter().zip(bytes.chunks_exact(16)) {
            if row >= first {
                ids[(row - first) as usize] = Uuid::from_bytes(id.try_into().expect("sixteen bytes"));
            }
        }
        Ok(ids)
    }

    fn occurred(&self, rows: &Rows) -> Result<Vec<i64>, Error> {
        Ok(self.gather(self.meta.occurred, rows)?.into_iter().map(i64::from_le_bytes).collect())
    }

    fn column(&self, column: Column, rows: &Rows) -> Result<Vec<u32>, Error> {
        let section = match column {
            Column::Offset => self.meta.offsets,
            Column::Name => self.meta.names,
            Column::Resource => self.meta.resources,
        };
        Ok(self.gather(section, rows)?.into_iter().map(u32::from_le_bytes).collect())
    }
}

/// Neighbouring texts of a sorted dictionary; `ends` starts with the end of the text before.
struct Block {
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Block {
    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    fn text(&self, place: usize) -> &[u8] {
        let start = self.ends[0];
        &self.bytes[(self.ends[place] - start) as usize..(self.ends[place + 1] - start) as usize]
    }

    fn partition_point(&self, less: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if less(self.text(middle)) { low = middle + 1 } else { high = middle }
        }
        low
    }
}

fn read_meta(file: &File, bytes: u64) -> std::io::Result<Option<Meta>> {
    let mut tail = [0; TAIL_BYTES];
    let Some(tail_start) = bytes.checked_sub(TAIL_BYTES as u64) else { return Ok(None) };
    file.read_exact_at(&mut tail, tail_start)?;
    let length = u64::from(u32::from_le_bytes(tail[..4].try_into().expect("four bytes")));
    let Some(start) = tail_start.checked_sub(length).filter(|_| &tail[8..] == MAGIC) else { return Ok(None) };
    let mut text = vec![0; length as usize];
    file.read_exact_at(&mut text, start)?;
    let meta: Option<Meta> = (crc32c::crc32c(&text).to_le_bytes() == tail[4..8])
        .then(|| serde_json::from_slice(&text).ok())
        .flatten();
    Ok(meta.filter(|meta| meta.pages.len() == (start as usize).div_ceil(PAGE_BYTES)))
}
