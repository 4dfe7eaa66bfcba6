//! What a start does: it finds the state that fits the log.
//!
//! The store first. If it does not open or does not fit the log, it is moved aside and the newest snapshot
//! that fits is loaded into a new one; without a snapshot the log is replayed from its beginning. Whatever
//! was chosen, the log's tail is then applied to it.

use crate::error::{Error, chain};
use crate::log::Log;
use crate::record::Lost;
use crate::state::snapshot;
use crate::state::store::{Batch, Store};
use crate::state::{Loading, Meta, State};
use pavlov_events::Uuid;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file that tells of the log's last change of id.
const RENAMED: &str = "log-renamed.json";

#[derive(Serialize, Deserialize)]
struct Renamed {
    from: Uuid,
    to: Uuid,
}

/// Rows of a snapshot that go into the store at once.
const BATCH_ROWS: usize = 10_000;

/// The state that a start found.
#[derive(Debug)]
pub struct Recovered {
    /// The state.
    pub state: State,
    /// The store that holds it.
    pub store: Store,
    /// What of the log turned out to be lost.
    pub lost: Option<Lost>,
}

/// Finds the state that fits `log`. `new_id` is the log's new id if its end was lost.
pub fn recover(data: &Path, log: &dyn Log, new_id: Uuid) -> Result<Recovered, Error> {
    let path = data.join("state");
    let opened = Store::open(&path).and_then(|mut store| Ok((load(&mut store, log.id())?, store)));
    let opened = opened.and_then(|(state, store)| {
        belongs(&state.meta, data, log)?;
        Ok((state, store))
    });
    let reason = match opened {
        Ok((state, store)) => match emptied(&state.meta, data, log)?
            .map_or_else(|| misfit(&state.meta, log), |why| Ok(Some(why)))?
        {
            None => return Ok(Recovered { state, store, lost: None }),
            Some(reason) => {
                drop(store);
                reason
            }
        },
        Err(error @ (Error::NewerFormat { .. } | Error::File { .. } | Error::OtherLog { .. })) => {
            return Err(error);
        }
        Err(error) => chain(&error),
    };
    tracing::warn!(reason, "the stored state cannot be used; it is moved aside and made anew");
    let until = newest_position(&path, data, log);
    move_aside(&path)?;
    rebuild(data, log, until, new_id)
}

/// Makes the state anew from the newest snapshot that fits, or from nothing.
fn rebuild(data: &Path, log: &dyn Log, until: u64, new_id: Uuid) -> Result<Recovered, Error> {
    let mut store = Store::open(&data.join("state"))?;
    for (position, path) in snapshot::list(&data.join("snapshots"))?.into_iter().rev() {
        match load_snapshot(&path, log.id()) {
            Ok(state) if misfit(&state.meta, log)?.is_none() => {
                belongs(&state.meta, data, log)?;
                fill(&mut store, &state)?;
                tracing::warn!(position, "the state was loaded from a snapshot");
                let lost = lost(log, until, new_id);
                return Ok(Recovered { state, store, lost });
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), reason = chain(&error), "a snapshot is skipped")
            }
        }
    }
    if log.first_position() > 1 {
        return Err(Error::LogGap { wanted: 1, first: log.first_position() });
    }
    // Replay writes the same events again; what lies there from before is kept for a person to look at.
    if data.join("history").exists() {
        let aside = aside(&data.join("history"))?;
        tracing::warn!(path = %aside.display(), "the history is moved aside and written anew from the log");
    }
    let state = State::new(log.id());
    let lost = lost(log, until, new_id);
    Ok(Recovered { state, store, lost })
}

/// Checks that a store and its snapshots can be read, without changing anything but what opening mends.
pub fn verify(data: &Path) -> Result<Meta, Error> {
    let mut store = Store::open(&data.join("state"))?;
    let state = load(&mut store, Uuid::nil())?;
    for (_, path) in snapshot::list(&data.join("snapshots"))? {
        snapshot::read(&path, |_, _| Ok(()))?;
    }
    Ok(state.meta)
}

/// Moves the store aside, so that the next start makes the state anew.
pub fn move_aside(path: &Path) -> Result<PathBuf, Error> {
    aside(path)
}

/// Gives a directory another name that is free.
fn aside(path: &Path) -> Result<PathBuf, Error> {
    let name = |number: u32| path.with_extension(format!("aside-{number}"));
    let free = (1u32..).map(name).find(|aside| !aside.exists()).unwrap_or_else(|| name(u32::MAX));
    if path.exists() {
        std::fs::rename(path, &free).map_err(crate::error::file(path))?;
    }
    Ok(free)
}

fn load(store: &mut Store, log: Uuid) -> Result<State, Error> {
    let (mut state, mut loading) = (State::new(log), Loading::default());
    store.load(|key, value| state.load_row(&mut loading, key, value))?;
    state.loaded(loading)?;
    Ok(state)
}

fn load_snapshot(path: &Path, log: Uuid) -> Result<State, Error> {
    // Once to check it whole, once to load it.
    snapshot::read(path, |_, _| Ok(()))?;
    let (mut state, mut loading) = (State::new(log), Loading::default());
    snapshot::read(path, |key, value| state.load_row(&mut loading, key, value))?;
    state.loaded(loading)?;
    Ok(state)
}

fn fill(store: &mut Store, state: &State) -> Result<(), Error> {
    let mut batch = Batch::new();
    for (key, value) in state.all_rows() {
        batch.push((key, Some(value)));
        if batch.len() >= BATCH_ROWS {
            store.commit(std::mem::take(&mut batch))?;
        }
    }
    store.commit(batch)
}

/// A state of another log is nobody's mistake but the settings': taking it, or throwing it away, would both
/// lose what was acknowledged.
fn belongs(meta: &Meta, data: &Path, log: &dyn Log) -> Result<(), Error> {
    if meta.position == 0 || meta.log == log.id() || renamed_from(data, log)? == Some(meta.log) {
        return Ok(());
    }
    Err(Error::OtherLog { data: data.to_owned(), known: meta.log, found: log.id() })
}

/// Notes that the log gets a new id, so that a crash before the state has it as well is no riddle.
pub fn note_rename(data: &Path, from: Uuid, to: Uuid) -> Result<(), Error> {
    let path = data.join(RENAMED);
    let bytes = serde_json::to_vec(&Renamed { from, to }).expect("ids are JSON");
    std::fs::write(&path, bytes)
        .and_then(|()| std::fs::File::open(&path)?.sync_all())
        .map_err(crate::error::file(&path))?;
    crate::state::store::sync_directory(data)
}

/// The id that the log had before its last rename.
fn renamed_from(data: &Path, log: &dyn Log) -> Result<Option<Uuid>, Error> {
    let path = data.join(RENAMED);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let renamed: Option<Renamed> = serde_json::from_slice(&bytes).ok();
            Ok(renamed.filter(|renamed| renamed.to == log.id()).map(|renamed| renamed.from))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(crate::error::file(path)(error)),
    }
}

/// sled opens a database whose file is damaged as an empty one. A store that is empty although there was a
/// state before has lost it.
fn emptied(meta: &Meta, data: &Path, log: &dyn Log) -> Result<Option<String>, Error> {
    let before = !snapshot::list(&data.join("snapshots"))?.is_empty() || log.first_position() > 1;
    Ok((meta.position == 0 && before).then(|| "it is empty, although there was a state before".to_owned()))
}

/// Why a state does not belong to the log as it is now.
fn misfit(meta: &Meta, log: &dyn Log) -> Result<Option<String>, Error> {
    let (position, last) = (meta.position, log.last_position());
    if position == 0 {
        return Ok(None);
    }
    if position > last {
        return Ok(Some(format!("it is at position {position}, and the log ends at {last}")));
    }
    if position + 1 < log.first_position() {
        return Ok(Some(format!(
            "it is at position {position}, and the log starts at {}",
            log.first_position()
        )));
    }
    match log.checksum(position)? {
        Some(found) if found != meta.checksum => {
            Ok(Some(format!("the log holds another record at position {position}")))
        }
        _ => Ok(None),
    }
}

fn lost(log: &dyn Log, until: u64, new_log: Uuid) -> Option<Lost> {
    let after = log.last_position();
    (until > after).then_some(Lost { after, until, new_log })
}

/// The last position that any of our files speaks of.
fn newest_position(store: &Path, data: &Path, log: &dyn Log) -> u64 {
    let stored =
        Store::open(store).and_then(|mut store| load(&mut store, log.id())).map_or(0, |s| s.meta.position);
    let snapshots = snapshot::list(&data.join("snapshots")).unwrap_or_default();
    snapshots.last().map_or(stored, |(position, _)| stored.max(*position))
}
