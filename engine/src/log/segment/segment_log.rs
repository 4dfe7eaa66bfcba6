//! The embedded log as the engine sees it.

use super::super::{Counters, Delivery, Durability, Entry, Error, Log, Piece, Refused, Status};
use super::directory::{self, segment_path};
use super::shared::{Book, Shared};
use super::{committer::Committer, options::Options, preparer, recovery, tail};
use bytes::Bytes;
use std::{
    fs::{self, File},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::sync_channel,
    },
    thread::{self, JoinHandle},
};
use tokio::sync::mpsc::{Receiver, channel};
use uuid::Uuid;

/// Groups on their way to the reader. Few: they hold up to 1 MiB each, and what waits behind them is in the queue,
/// where the limits count it.
const GROUPS_AHEAD: usize = 8;
/// How old the knowledge about free disk may be.
const FREE_AGE_MAX_MICROSECONDS: i64 = 1_000_000;

/// The embedded log. Closed when dropped; see [`Log::close`] about who must go on reading meanwhile.
pub struct SegmentLog {
    shared: Arc<Shared>,
    id: Mutex<Uuid>,
    free: Mutex<Free>,
    entries_taken: AtomicBool,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    committer: JoinHandle<()>,
    preparer: JoinHandle<()>,
    /// Let go last.
    lock: File,
}

/// What is known about free disk.
struct Free {
    percent: f32,
    /// By the host's clock.
    asked: i64,
}

impl SegmentLog {
    /// Opens the log in a directory, or makes it: locks, syncs, reads the last segment, cuts a torn tail.
    ///
    /// # Errors
    /// [`Error::Option`], [`Error::InUse`], [`Error::Corrupt`], [`Error::Format`], [`Error::File`].
    pub fn open(options: Options) -> Result<Self, Error> {
        options.check()?;
        let lock = directory::lock(&options.directory)?;
        let id = directory::identity(&options.directory)?;
        let recovered = recovery::recover(&options)?;
        let free = Free::ask(&options)?;
        let (last, last_time) = (recovered.last, recovered.last_time);
        let book = Book { segments: recovered.segments, last, last_time, live: None, ended: false };
        let shared = Arc::new(Shared::new(options, book));
        let (sender, next) = sync_channel(0);
        let index = recovered.ready.last().map_or(recovered.active.index, |segment| segment.index) + 1;
        let committer = Committer::new(shared.clone(), recovered.active, next);
        let committer = spawn("log-committer", move || committer.run())?;
        let (preparing, ready) = (shared.clone(), recovered.ready);
        let preparer = spawn("log-preparer", move || preparer::run(&preparing, ready, index, &sender))?;
        let threads = Mutex::new(Some(Threads { committer, preparer, lock }));
        let (id, free, entries_taken) = (Mutex::new(id), Mutex::new(free), AtomicBool::new(false));
        Ok(Self { shared, id, free, entries_taken, threads })
    }

    /// Reads every stored record and checks it, oldest first; `progress` gets the position reached now and then.
    ///
    /// # Errors
    /// [`Error::Corrupt`] at the first damaged one.
    pub fn verify(&self, mut progress: impl FnMut(u64)) -> Result<(), Error> {
        tail::verify(&self.shared, &mut progress)
    }

    /// The record at a position; none if nothing is stored there.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::File`].
    pub fn read(&self, position: u64) -> Result<Option<Entry>, Error> {
        tail::read_one(&self.shared, position)
    }

    fn free_percent(&self) -> f32 {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.shared.options.host.now)();
        if now - free.asked >= FREE_AGE_MAX_MICROSECONDS {
            match Free::ask(&self.shared.options) {
                Ok(fresh) => *free = fresh,
                Err(error) => {
                    // What is not known does not refuse: a disk that is really full shows when segments are prepared.
                    free.asked = now;
                    self.shared.trouble().last = Some(error.to_string());
                }
            }
        }
        free.percent
    }
}

impl Log for SegmentLog {
    fn append(&self, _number: u64, bytes: Bytes) -> Result<(), Refused> {
        let bytes_max = self.shared.options.record_bytes_max;
        if bytes.len() > bytes_max {
            return Err(Refused::TooLarge { bytes: bytes.len(), bytes_max });
        }
        let free_percent = self.free_percent();
        if free_percent < self.shared.options.free_percent_min {
            return Err(Refused::DiskFull { free_percent });
        }
        self.shared.queue.push(bytes)
    }

    fn seen(&self, _number: u64) {}

    fn entries(&self, from: u64) -> Result<Receiver<Delivery>, Error> {
        let from = from.max(1);
        let (first, last) = (self.first_position(), self.last_position());
        if from < first {
            return Err(Error::Trimmed { from, first });
        }
        if from > last + 1 {
            return Err(Error::TailLost { delivered: from - 1, last });
        }
        if self.entries_taken.swap(true, Relaxed) {
            return Err(Error::EntriesTaken);
        }
        let (sender, receiver) = channel(GROUPS_AHEAD);
        let shared = self.shared.clone();
        spawn("log-tail", move || tail::run(&shared, from, &sender))?;
        Ok(receiver)
    }

    fn first_position(&self) -> u64 {
        self.shared.book().first()
    }

    fn last_position(&self) -> u64 {
        self.shared.book().last
    }

    fn id(&self) -> Uuid {
        *self.id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_id(&self, id: Uuid) -> Result<(), Error> {
        let mut known = self.id.lock().unwrap_or_else(PoisonError::into_inner);
        directory::set_identity(&self.shared.options.directory, id)?;
        *known = id;
        Ok(())
    }

    fn checksum(&self, position: u64) -> Result<Option<u32>, Error> {
        Ok(self.read(position)?.map(|entry| crc32c::crc32c(&entry.bytes)))
    }

    fn trim(&self, below: u64) -> Result<(), Error> {
        let directory = &self.shared.options.directory;
        loop {
            // Out of the book first: a reader that comes now is told so, one that has the file open goes on.
            let segment = {
                let mut book = self.shared.book();
                match book.segments.get(1) {
                    Some(next) if next.first_position <= below => book.segments.remove(0),
                    _ => return Ok(()),
                }
            };
            let path = segment_path(directory, segment.index);
            fs::remove_file(&path).map_err(Error::file("remove", &path))?;
            // One after the other, so that no power cut leaves a hole between the ones that stay.
            directory::sync(directory)?;
        }
    }

    fn pieces(&self) -> Vec<Piece> {
        let book = self.shared.book();
        let ends = book.segments.iter().skip(1).map(|next| (next.first_position - 1, next.first_time));
        let ends = ends.chain([(book.last, book.last_time)]);
        let piece = |(segment, (last, time_max)): (&super::shared::Segment, (u64, i64))| Piece {
            first: segment.first_position,
            last,
            bytes: segment.bytes,
            time_max,
        };
        book.segments.iter().zip(ends).map(piece).collect()
    }

    fn status(&self) -> Status {
        let shared = &self.shared;
        let bytes = shared.book().segments.iter().map(|segment| segment.bytes).sum();
        let trouble = shared.trouble();
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).percent;
        Status {
            healthy: !trouble.now && free >= shared.options.free_percent_min && !shared.queue.is_closed(),
            last_error: trouble.last.clone(),
            bytes,
            queued: shared.queue.count(),
            durability: Durability::Fdatasync,
            counters: Counters {
                commits: shared.commits.load(Relaxed),
                records: shared.records.load(Relaxed),
                resends: 0,
                outages: trouble.outages,
            },
        }
    }

    fn close(&self) {
        self.shared.queue.close();
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Threads { committer, preparer, lock }) = threads else { return };
        // A panic in either was reported by the panic hook; closing goes on.
        let _ = committer.join();
        self.shared.stop.store(true, Relaxed);
        preparer.thread().unpark();
        let _ = preparer.join();
        drop(lock);
    }
}

impl Drop for SegmentLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl Free {
    fn ask(options: &Options) -> Result<Self, Error> {
        let directory = &options.directory;
        let percent = (options.host.free_percent)(directory);
        let percent = percent.map_err(Error::file("ask for the free space of", directory))?;
        Ok(Self { percent, asked: (options.host.now)() })
    }
}

fn spawn(name: &'static str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    thread::Builder::new().name(name.into()).spawn(run).map_err(Error::file("start the thread", name))
}
