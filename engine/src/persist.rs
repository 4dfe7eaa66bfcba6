//! [`Persister`]: the thread that makes batches of the state durable and writes snapshots, off the path of
//! every request.

use crate::error::{Error, chain, file};
use crate::history::Unsynced;
use crate::log::{Log, Retention, trim_below};
use crate::state::row::Row;
use crate::state::snapshot;
use crate::state::store::{Batch, Store};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// When a snapshot is written.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotPolicy {
    /// After so many records.
    pub records: u64,
    /// And, when anything changed, after this long.
    pub every: Duration,
    /// What of the log is kept beyond what the older snapshot needs.
    pub log: Retention,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        // Replaying a million records takes about a second; a quiet server still frees its log each hour.
        Self { records: 1_000_000, every: Duration::from_secs(3_600), log: Retention::default() }
    }
}

/// Hands batches to the thread.
pub struct Persister {
    sender: Option<SyncSender<Work>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    position: u64,
    poison: Poison,
}

struct Shared {
    busy: AtomicBool,
    failed: std::sync::Mutex<Option<String>>,
    durable: AtomicU64,
}

struct Work {
    position: u64,
    batch: Batch,
    unsynced: Unsynced,
}

struct Thread {
    store: Store,
    snapshots: PathBuf,
    policy: SnapshotPolicy,
    log: Arc<dyn Log>,
    shared: Arc<Shared>,
    last: (u64, Instant),
}

impl Persister {
    /// Starts the thread over a store that holds `position`.
    pub fn start(
        store: Store,
        position: u64,
        data: &Path,
        policy: SnapshotPolicy,
        log: Arc<dyn Log>,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            busy: AtomicBool::new(false),
            failed: std::sync::Mutex::new(None),
            durable: AtomicU64::new(position),
        });
        let snapshots = data.join("snapshots");
        let newest = snapshot::list(&snapshots)?.last().map_or(0, |(position, _)| *position);
        let (sender, receiver) = sync_channel(1);
        let thread = Thread {
            store,
            snapshots,
            policy,
            log,
            shared: Arc::clone(&shared),
            last: (newest, Instant::now()),
        };
        let thread = std::thread::Builder::new()
            .name("pavlov-state".into())
            .spawn(move || thread.run(&receiver))
            .map_err(file(data))?;
        let poison = Poison::read(data.join("poisoned.json"))?;
        Ok(Self { sender: Some(sender), thread: Some(thread), shared, position, poison })
    }

    /// Whether a batch is on its way.
    pub fn is_busy(&self) -> bool {
        self.shared.busy.load(Ordering::Acquire)
    }

    /// The position of the last batch that was handed over.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Hands a batch over. Fails with the reason why an earlier one could not be made durable.
    pub fn commit(&mut self, position: u64, batch: Batch, unsynced: Unsynced) -> Result<(), String> {
        if let Some(reason) = self.failure() {
            return Err(reason);
        }
        self.position = position;
        self.shared.busy.store(true, Ordering::Release);
        match &self.sender {
            Some(sender) if sender.send(Work { position, batch, unsynced }).is_ok() => Ok(()),
            _ => Err(self.failure().unwrap_or_else(|| "the thread of the state has ended".into())),
        }
    }

    /// Waits until everything handed over is durable.
    pub fn finish(&mut self) -> Result<(), String> {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            return Err("the thread of the state failed".into());
        }
        self.failure().map_or(Ok(()), Err)
    }

    /// Notes that applying a record made the machine fail, so that it is passed over after the state was
    /// loaded anew. Returns what to tell.
    pub fn note_poison(&mut self, position: u64) -> String {
        match self.poison.add(position) {
            Ok(()) => {
                format!("applying the record at position {position} failed; it is passed over from now on")
            }
            Err(error) => format!("note that the record at position {position} failed: {}", chain(&error)),
        }
    }

    /// Whether a record made the machine fail before.
    pub fn is_poisoned(&self, position: u64) -> bool {
        self.poison.positions.contains(&position)
    }

    fn failure(&self) -> Option<String> {
        self.shared.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Thread {
    fn run(mut self, work: &Receiver<Work>) {
        while let Ok(work) = work.recv() {
            if let Err(error) = self.perform(work) {
                let reason = chain(&error);
                tracing::error!(reason, "the state could not be made durable");
                *self.shared.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(reason);
                self.shared.busy.store(false, Ordering::Release);
                return;
            }
            self.shared.busy.store(false, Ordering::Release);
        }
    }

    /// The history first: the batch records its length.
    fn perform(&mut self, work: Work) -> Result<(), Error> {
        work.unsynced.sync()?;
        self.store.commit(work.batch)?;
        self.shared.durable.store(work.position, Ordering::Release);
        let (position, at) = self.last;
        let records = work.position.saturating_sub(position);
        if records >= self.policy.records || (records > 0 && at.elapsed() >= self.policy.every) {
            self.snapshot(work.position)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, position: u64) -> Result<(), Error> {
        let began = Instant::now();
        let store = &mut self.store;
        snapshot::write(&self.snapshots, position, |row| store.load(row))?;
        self.last = (position, Instant::now());
        tracing::info!(position, took_ms = began.elapsed().as_millis() as u64, "snapshot written");
        let kept = snapshot::list(&self.snapshots)?;
        if let [(older, _), _] = kept.as_slice() {
            let now = crate::clock::now().micros();
            self.log.trim(trim_below(&self.log.pieces(), self.policy.log, now, older + 1))?;
        }
        Ok(())
    }
}

/// Positions whose records made the machine fail.
struct Poison {
    path: PathBuf,
    positions: BTreeSet<u64>,
}

impl Poison {
    fn read(path: PathBuf) -> Result<Self, Error> {
        let positions = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                crate::state::row::bad(&Row::Meta.key(), format!("{}: {error}", path.display()))
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(file(path)(error)),
        };
        Ok(Self { path, positions })
    }

    fn add(&mut self, position: u64) -> Result<(), Error> {
        self.positions.insert(position);
        let bytes = serde_json::to_vec(&self.positions).expect("numbers are JSON");
        let beside = self.path.with_extension("writing");
        std::fs::write(&beside, bytes)
            .and_then(|()| std::fs::File::open(&beside)?.sync_all())
            .and_then(|()| std::fs::rename(&beside, &self.path))
            .map_err(file(&self.path))
    }
}
