//! Snapshots: every row in one checksummed file, from which a lost store is rebuilt.
//!
//! `snapshot-<position>.pavlov`: a line `pavlov snapshot 1`, then rows as (key length, key, value length,
//! value) with little-endian lengths of 4 bytes, then a key length of 2^32-1, the number of rows (8 bytes)
//! and the CRC-32C of everything before it (4 bytes). Written beside, synced, renamed, read back.

use super::store::sync_directory;
use crate::error::{Error, file};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

const HEAD: &[u8] = b"pavlov snapshot 1\n";
const END: u32 = u32::MAX;
/// Snapshots kept; the log reaches back to the older one.
const KEPT: usize = 2;
/// A row is never longer; a larger length means that the file is damaged.
const ROW_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// Takes each row of a snapshot.
pub type RowSink<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), Error> + 'a;

/// Writes a snapshot of the rows that `rows` gives, reads it back, and removes all but the newest two.
pub fn write(
    dir: &Path,
    position: u64,
    rows: impl FnOnce(&mut RowSink<'_>) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    fs::create_dir_all(dir).map_err(file(dir))?;
    let path = dir.join(format!("snapshot-{position:020}.pavlov"));
    let beside = path.with_extension("writing");
    let mut out = Summed { inner: BufWriter::new(File::create(&beside).map_err(file(&beside))?), sum: 0 };
    out.write_all(HEAD).map_err(file(&beside))?;
    let mut count = 0u64;
    rows(&mut |key, value| {
        count += 1;
        [key, value].into_iter().try_for_each(|part| out.part(part)).map_err(file(&beside))
    })?;
    out.end(count).map_err(file(&beside))?;
    read(&beside, |_, _| Ok(()))?;
    fs::rename(&beside, &path).map_err(file(&path))?;
    sync_directory(dir)?;
    // The log is trimmed on the strength of snapshots, so the name of a fresh directory must last too.
    dir.parent().map_or(Ok(()), sync_directory)?;
    for old in list(dir)?.into_iter().rev().skip(KEPT) {
        fs::remove_file(&old.1).map_err(file(old.1))?;
    }
    Ok(path)
}

/// All snapshots of a directory as (position, file), the oldest first.
pub fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let mut found = Vec::new();
    if !dir.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(dir).map_err(file(dir))? {
        let path = entry.map_err(file(dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let position = name.strip_prefix("snapshot-").and_then(|rest| rest.strip_suffix(".pavlov"));
        if let Some(position) = position.and_then(|digits| digits.parse().ok()) {
            found.push((position, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Reads a snapshot and calls `row` with each row; an error means that it cannot be used.
pub fn read(path: &Path, mut row: impl FnMut(&[u8], &[u8]) -> Result<(), Error>) -> Result<(), Error> {
    let bad = |reason: &str| Error::BadSnapshot { path: path.to_owned(), reason: reason.to_owned() };
    let mut input = Summed { inner: BufReader::new(File::open(path).map_err(file(path))?), sum: 0 };
    let mut head = [0; HEAD.len()];
    input.read_exact(&mut head).map_err(file(path))?;
    if head != HEAD {
        return Err(bad("it does not start as one, or its version is unknown"));
    }
    let mut count = 0u64;
    loop {
        let length = input.length().map_err(file(path))?;
        if length == END {
            break;
        }
        let key = input.bytes(length).map_err(file(path))?.ok_or_else(|| bad("a key is too long"))?;
        let length = input.length().map_err(file(path))?;
        let value = input.bytes(length).map_err(file(path))?.ok_or_else(|| bad("a value is too long"))?;
        row(&key, &value)?;
        count += 1;
    }
    let mut told = [0; 8];
    input.read_exact(&mut told).map_err(file(path))?;
    let computed = input.sum;
    let mut sum = [0; 4];
    input.read_exact(&mut sum).map_err(file(path))?;
    if u64::from_le_bytes(told) != count || u32::from_le_bytes(sum) != computed {
        return Err(bad("its checksum or count does not fit"));
    }
    Ok(())
}

struct Summed<T> {
    inner: T,
    sum: u32,
}

impl<W: Write> Summed<W> {
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.sum = crc32c::crc32c_append(self.sum, bytes);
        self.inner.write_all(bytes)
    }

    fn part(&mut self, part: &[u8]) -> std::io::Result<()> {
        self.write_all(&(part.len() as u32).to_le_bytes())?;
        self.write_all(part)
    }
}

impl Summed<BufWriter<File>> {
    fn end(&mut self, count: u64) -> std::io::Result<()> {
        self.write_all(&END.to_le_bytes())?;
        self.write_all(&count.to_le_bytes())?;
        let sum = self.sum;
        self.inner.write_all(&sum.to_le_bytes())?;
        self.inner.flush()?;
        self.inner.get_ref().sync_all()
    }
}

impl<R: Read> Summed<R> {
    fn read_exact(&mut self, bytes: &mut [u8]) -> std::io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.sum = crc32c::crc32c_append(self.sum, bytes);
        Ok(())
    }

    fn length(&mut self) -> std::io::Result<u32> {
        let mut bytes = [0; 4];
        self.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn bytes(&mut self, length: u32) -> std::io::Result<Option<Vec<u8>>> {
        if length > ROW_BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = vec![0; length as usize];
        self.read_exact(&mut bytes)?;
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_snapshot_is_never_taken_for_a_good_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let rows: Vec<(&[u8], &[u8])> = vec![(b"a", b"1"), (b"b", b""), (b"c", &[7; 9_000])];
        let path = write(dir.path(), 12, |row| rows.iter().try_for_each(|(key, value)| row(key, value)))
            .expect("written");
        let whole = fs::read(&path).expect("readable");
        let mut seen = Vec::new();
        let collect = |key: &[u8], value: &[u8]| {
            seen.push((key.to_vec(), value.to_vec()));
            Ok(())
        };
        read(&path, collect).expect("good");
        assert_eq!(seen.len(), 3);
        for at in (0..whole.len()).step_by(37) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).expect("writes");
            assert!(read(&path, |_, _| Ok(())).is_err(), "byte {at}");
            fs::write(&path, &whole[..at]).expect("writes");
            assert!(read(&path, |_, _| Ok(())).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn two_snapshots_are_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        for position in [5, 10, 20] {
            write(dir.path(), position, |_| Ok(())).expect("written");
        }
        let kept: Vec<u64> =
            list(dir.path()).expect("listed").into_iter().map(|(position, _)| position).collect();
        assert_eq!(kept, [10, 20]);
    }
}
