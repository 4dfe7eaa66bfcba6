//! [`Indexer`]: the thread that writes index files.

use super::error::Error;
use super::index_build::build;
use super::index_file::IndexFile;
use super::segment::{Index, Segment};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Sealed segments that may wait. When more come, sealing waits: each holds some 5 MB of columns.
const QUEUE_MAX: usize = 1;

/// A thread that writes the index file of each segment it is given, and loads those that have none.
/// Dropping it waits until it is done with what was sealed.
#[derive(Debug)]
pub(super) struct Indexer {
    jobs: Mutex<Option<SyncSender<Arc<Segment>>>>,
    thread: Option<JoinHandle<()>>,
}

impl Indexer {
    /// Starts the thread; it loads `unindexed` whenever nothing newly sealed waits.
    pub fn start(dir: &Path, unindexed: Vec<Arc<Segment>>) -> Result<Self, Error> {
        let (jobs, waiting) = sync_channel(QUEUE_MAX);
        let work = move || run(&waiting, unindexed);
        let thread = std::thread::Builder::new().name("history-index".into()).spawn(work);
        let thread = thread.map_err(Error::io("start the index thread for", dir))?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), thread: Some(thread) })
    }

    /// Hands over a segment that gets no more events; waits while too many are queued.
    pub fn seal(&self, segment: Arc<Segment>) {
        let jobs = self.jobs.lock().expect("who holds the queue does not panic").clone();
        // A thread that is gone leaves the columns in memory: answers stay right, and the next start
        // indexes the segment.
        if jobs.is_none_or(|jobs| jobs.send(segment).is_err()) {
            tracing::error!("the history's index thread is gone");
        }
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        self.jobs.get_mut().expect("who holds the queue does not panic").take();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the history's index thread has panicked");
        }
    }
}

fn run(waiting: &Receiver<Arc<Segment>>, mut unindexed: Vec<Arc<Segment>>) {
    loop {
        let next = match waiting.try_recv() {
            Err(TryRecvError::Empty) => match unindexed.pop() {
                Some(segment) => Some(segment),
                None => waiting.recv().ok(),
            },
            Ok(segment) => Some(segment),
            // Nobody holds the history any more, so nobody waits for what is not loaded yet.
            Err(TryRecvError::Disconnected) => None,
        };
        let Some(segment) = next else { break };
        if let Err(error) = index(&segment) {
            tracing::error!(segment = segment.number, %error, "failed to write an index of the history");
        }
    }
}

/// Loads a segment if need be, writes its index file, and lets that answer from then on.
fn index(segment: &Segment) -> Result<(), Error> {
    if !segment.is_loaded() {
        match segment.bytes().and_then(|bytes| segment.scan(bytes, false)) {
            Ok((columns, _)) => segment.set_index(Index::Columns(Box::new(columns))),
            Err(error) => {
                segment.set_index(Index::Broken(error.to_string()));
                return Err(error);
            }
        }
    }
    let identity = segment.identity()?;
    let Some(bytes) = segment.with_columns(|columns| build(columns, identity)) else { return Ok(()) };
    let path = segment.index_path();
    write_whole(&path, &bytes)?;
    if let Some(file) = IndexFile::open(&path, identity)? {
        segment.set_index(Index::File(Arc::new(file)));
    }
    Ok(())
}

/// Writes a file beside its place, syncs it and renames it, so that it is there whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let beside = path.with_extension("index-new");
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&beside, path)
    };
    write().map_err(Error::io("write", path))
}
