//! The log's directory: its lock, its identity, its segment files.

use super::super::{Error, id::random_id};
use super::frame::{MAGIC, SEGMENT_HEADER_BYTES};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};
use uuid::Uuid;

const FORMAT: u32 = 1;
const IDENTITY: &str = "log.json";
const PREPARING: &str = "preparing";

/// `log.json`. An older version refuses a newer format; there is no older one yet.
#[derive(Serialize, Deserialize)]
struct Identity {
    format: u32,
    id: Uuid,
}

/// Takes the directory for this process, until the file is dropped. The system also lets go when the process dies.
pub(super) fn lock(directory: &Path) -> Result<File, Error> {
    fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
    let path = directory.join("lock");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(Error::file("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            file.read_to_string(&mut process).map_err(Error::file("read", &path))?;
            return Err(Error::InUse { directory: directory.into(), process: process.trim().into() });
        }
        Err(TryLockError::Error(source)) => return Err(Error::file("lock", &path)(source)),
    }
    file.set_len(0).map_err(Error::file("write", &path))?;
    writeln!(file, "{}", std::process::id()).map_err(Error::file("write", &path))?;
    Ok(file)
}

/// The stored id, or a new one, stored.
pub(super) fn identity(directory: &Path) -> Result<Uuid, Error> {
    let path = directory.join(IDENTITY);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let id = random_id();
            set_identity(directory, id)?;
            return Ok(id);
        }
        Err(error) => return Err(Error::file("read", path)(error)),
    };
    let identity: Identity =
        serde_json::from_slice(&text).map_err(|error| Error::file("read", &path)(error.into()))?;
    if identity.format == FORMAT {
        return Ok(identity.id);
    }
    Err(Error::Format { name: path.display().to_string(), found: identity.format.to_string(), known: FORMAT })
}

/// Stores another id: written beside, synced, renamed, directory synced.
pub(super) fn set_identity(directory: &Path, id: Uuid) -> Result<(), Error> {
    let (path, beside) = (directory.join(IDENTITY), directory.join("log.json.new"));
    let text = serde_json::to_vec(&Identity { format: FORMAT, id }).expect("two plain fields serialise");
    let mut file = File::create(&beside).map_err(Error::file("create", &beside))?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(Error::file("write", &beside))?;
    fs::rename(&beside, &path).map_err(Error::file("rename", &beside))?;
    sync(directory)
}

/// Makes names durable.
pub(super) fn sync(directory: &Path) -> Result<(), Error> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(Error::file("sync", directory))
}

pub(super) fn segment_path(directory: &Path, index: u64) -> PathBuf {
    directory.join(format!("{index:010}.seg"))
}

/// The indexes of the segments there are, ascending. A half-prepared file is removed, a missing one is an error.
pub(super) fn segment_indexes(directory: &Path) -> Result<Vec<u64>, Error> {
    let failed = || Error::file("read", directory);
    let mut indexes = Vec::new();
    for item in fs::read_dir(directory).map_err(failed())? {
        let path = item.map_err(failed())?.path();
        if path.file_name().is_some_and(|name| name == PREPARING) {
            fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        } else if path.extension().is_some_and(|extension| extension == "seg") {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            indexes.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
        }
    }
    indexes.sort_unstable();
    match indexes.windows(2).find(|pair| pair[1] != pair[0] + 1) {
        Some(pair) => Err(Error::File {
            doing: "open",
            path: segment_path(directory, pair[0] + 1),
            source: ErrorKind::NotFound.into(),
        }),
        None => Ok(indexes),
    }
}

/// Opens a segment for reading and writing and checks that it is one, with this index.
pub(super) fn open_segment(directory: &Path, index: u64) -> Result<File, Error> {
    let path = segment_path(directory, index);
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(Error::file("open", &path))?;
    let mut header = [0; SEGMENT_HEADER_BYTES as usize];
    file.read_exact_at(&mut header, 0).map_err(Error::file("read the header of", &path))?;
    let corrupt = |reason| Error::Corrupt { path: path.clone(), offset: 0, position: 0, reason };
    if header[..7] != MAGIC[..7] {
        return Err(corrupt("no segment header"));
    }
    if header[7] != MAGIC[7] {
        let (name, known) = (path.display().to_string(), u32::from(MAGIC[7]));
        return Err(Error::Format { name, found: header[7].to_string(), known });
    }
    if header[8..] != index.to_le_bytes() {
        return Err(corrupt("another segment's header"));
    }
    Ok(file)
}

/// Makes a segment: zero-filled, synced, then renamed, and the name synced. Asks `stop` between pieces of work; none
/// if that said yes.
pub(super) fn prepare_segment(
    directory: &Path,
    index: u64,
    bytes: u64,
    stop: impl Fn() -> bool,
) -> Result<Option<File>, Error> {
    /// Synced in pieces, so that the committer's own syncs never wait behind a whole segment of zeros.
    const PIECE: usize = 2 << 20;
    let (path, beside) = (segment_path(directory, index), directory.join(PREPARING));
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).read(true).write(true);
    let file = options.open(&beside).map_err(Error::file("create", &beside))?;
    let zeros = vec![0; PIECE.min(bytes as usize)];
    let mut offset = 0;
    while offset < bytes {
        if stop() {
            return Ok(None);
        }
        let piece = &zeros[..zeros.len().min((bytes - offset) as usize)];
        let written = file.write_all_at(piece, offset).and_then(|()| file.sync_data());
        written.map_err(Error::file("zero", &beside))?;
        offset += piece.len() as u64;
    }
    let header = [MAGIC, index.to_le_bytes()].concat();
    file.write_all_at(&header, 0).and_then(|()| file.sync_all()).map_err(Error::file("sync", &beside))?;
    fs::rename(&beside, &path).map_err(Error::file("rename", &beside))?;
    sync(directory)?;
    Ok(Some(file))
}
