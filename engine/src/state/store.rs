//! [`Store`]: the rows in sled, one tree, one atomic batch with the position they belong to.
//!
//! sled 0.34.7 has three traps with known cures (`TECH.md` 2.2), and all three are taken here: its
//! `flush` does not make data durable, so the database file is synced through our own handle; a crash
//! while opening leaves `snap.*.generating` files that prevent the next open, so they are removed first;
//! its `conf` file is never synced, so it is synced once, and a database without the marker that says so
//! is not used.

use super::row::bad;
use crate::error::{Error, file};
use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Larger values are cut: sled puts page fragments over 128 KB into files that it never syncs.
const PIECE_BYTES: usize = 8_000;
const WHOLE: u8 = 0;
const CUT: u8 = 1;
/// Keys of pieces start with this byte, which is no kind of [`super::row::Row`].
const PIECE_KEY: u8 = 0xff;
/// Longest wait for sled's lock, and how often it is tried meanwhile.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(3);
const LOCK_WAIT: Duration = Duration::from_millis(10);
const MARKER: &str = "created";
/// sled's cache; the state is in memory anyway, so this is for writing only.
const CACHE_BYTES: u64 = 2 * 1024 * 1024;

/// What one commit changes: each key with its new value, or `None` where the row goes.
pub type Batch = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The rows on disk.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    db: sled::Db,
    file: File,
    /// Pieces of each value that is cut, so that shrinking values leave none behind.
    pieces: HashMap<Vec<u8>, u32>,
}

impl Store {
    /// Opens or creates the store in a directory.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.exists() && !path.join(MARKER).exists() {
            // Created and not finished: nothing in it was ever promised.
            fs::remove_dir_all(path).map_err(file(path))?;
        }
        let fresh = !path.exists();
        if !fresh {
            remove_unfinished_snapshots(path)?;
        }
        let fail = |source| Error::Store { path: path.to_owned(), source };
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(Some(500));
        let db = open_unlocked(&config).map_err(fail)?;
        let database = path.join("db");
        let handle = File::open(&database).map_err(file(&database))?;
        if fresh {
            db.flush().map_err(fail)?;
            for name in ["conf", "db"] {
                let name = path.join(name);
                File::open(&name).and_then(|f| f.sync_all()).map_err(file(&name))?;
            }
            sync_directory(path)?;
            let marker = path.join(MARKER);
            File::create(&marker).and_then(|f| f.sync_all()).map_err(file(&marker))?;
            sync_directory(path)?;
        }
        Ok(Self { path: path.to_owned(), db, file: handle, pieces: HashMap::new() })
    }

    /// Calls `row` with every row, in the order of the keys.
    pub fn load(&mut self, mut row: impl FnMut(&[u8], &[u8]) -> Result<(), Error>) -> Result<(), Error> {
        for entry in self.db.scan_prefix([]) {
            let (key, value) = entry.map_err(|source| self.fail(source))?;
            match value.split_first() {
                _ if key.first() == Some(&PIECE_KEY) => {}
                Some((&WHOLE, value)) => row(&key, value)?,
                Some((&CUT, count)) => {
                    let count =
                        u32::from_le_bytes(count.try_into().map_err(|_| bad(&key, "no piece count"))?);
                    let value = self.joined(&key, count)?;
                    self.pieces.insert(key.to_vec(), count);
                    row(&key, &value)?;
                }
                _ => return Err(bad(&key, "neither whole nor cut")),
            }
        }
        Ok(())
    }

    /// Makes a batch durable: all of it, or after a crash nothing.
    pub fn commit(&mut self, batch: Batch) -> Result<(), Error> {
        let mut changes = sled::Batch::default();
        for (key, value) in batch {
            let before = self.pieces.remove(&key).unwrap_or(0);
            let mut now = 0;
            match value {
                None => changes.remove(key.as_slice()),
                Some(value) if value.len() <= PIECE_BYTES => {
                    changes.insert(key.as_slice(), [&[WHOLE], value.as_slice()].concat());
                }
                Some(value) => {
                    for piece in value.chunks(PIECE_BYTES) {
                        changes.insert(piece_key(&key, now), piece);
                        now += 1;
                    }
                    changes.insert(key.as_slice(), [&[CUT], now.to_le_bytes().as_slice()].concat());
                    self.pieces.insert(key.clone(), now);
                }
            }
            for stale in now..before {
                changes.remove(piece_key(&key, stale));
            }
        }
        self.db.apply_batch(changes).map_err(|source| self.fail(source))?;
        self.db.flush().map_err(|source| self.fail(source))?;
        self.file.sync_data().map_err(file(self.path.join("db")))
    }

    fn joined(&self, key: &[u8], count: u32) -> Result<Vec<u8>, Error> {
        let mut value = Vec::with_capacity(count as usize * PIECE_BYTES);
        for number in 0..count {
            let piece = self.db.get(piece_key(key, number)).map_err(|source| self.fail(source))?;
            value.extend_from_slice(
                &piece.ok_or_else(|| bad(key, format!("piece {number} of {count} is missing")))?,
            );
        }
        Ok(value)
    }

    fn fail(&self, source: sled::Error) -> Error {
        Error::Store { path: self.path.clone(), source }
    }
}

/// sled gives its lock back a moment after the last handle is gone, and another process that is just being
/// started can hold it as long; whoever opens right after that has to wait.
fn open_unlocked(config: &sled::Config) -> sled::Result<sled::Db> {
    let began = Instant::now();
    loop {
        match config.open() {
            Err(sled::Error::Io(error))
                if error.to_string().contains("lock") && began.elapsed() < LOCK_WAIT_MAX =>
            {
                std::thread::sleep(LOCK_WAIT);
            }
            opened => return opened,
        }
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(file(path))
}

fn piece_key(key: &[u8], number: u32) -> Vec<u8> {
    [&[PIECE_KEY], key, &[0], number.to_be_bytes().as_slice()].concat()
}

fn remove_unfinished_snapshots(path: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(path).map_err(file(path))? {
        let name = entry.map_err(file(path))?.file_name();
        let text = name.to_string_lossy();
        if text.starts_with("snap.") && text.ends_with(".generating") {
            let unfinished = path.join(&name);
            fs::remove_file(&unfinished).map_err(file(unfinished))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn rows(store: &mut Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut rows = BTreeMap::new();
        let add = |key: &[u8], value: &[u8]| {
            rows.insert(key.to_vec(), value.to_vec());
            Ok(())
        };
        store.load(add).expect("readable");
        rows
    }

    #[test]
    fn rows_of_every_size_survive_reopening_and_shrinking() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("state");
        let mut expected = BTreeMap::new();
        for round in 0..3usize {
            let mut store = Store::open(&path).expect("opens");
            assert_eq!(rows(&mut store), expected);
            let sizes = [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES + 3];
            let batch: Batch = (0u8..5)
                .map(|n| (vec![b'a', n], Some(vec![n; sizes[(n as usize + round) % 5]])))
                .chain([(vec![b'x', round as u8], Some(vec![1])), (vec![b'x', 0], None)])
                .collect();
            for (key, value) in &batch {
                match value {
                    Some(value) => expected.insert(key.clone(), value.clone()),
                    None => expected.remove(key),
                };
            }
            store.commit(batch).expect("commits");
        }
    }

    #[test]
    fn a_store_whose_creation_was_cut_off_is_made_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("state");
        fs::create_dir(&path).expect("a directory");
        fs::write(path.join("conf"), b"rubbish").expect("writes");
        assert!(rows(&mut Store::open(&path).expect("opens")).is_empty());
    }
}
