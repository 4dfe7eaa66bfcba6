//! Settings of the embedded log, and what it needs from the machine it runs on.

use super::super::{BootClock, Error, RECORD_BYTES_MAX};
use super::frame;
use std::{fs::File, io, path::Path, path::PathBuf, sync::Arc};

/// Settings of the embedded log.
#[derive(Clone)]
pub struct Options {
    /// Where the segments lie; made if it is not there.
    pub directory: PathBuf,
    /// Size of a segment: at least one full record, default 64 MiB. May differ from the existing segments'.
    pub segment_bytes: u64,
    /// Most bytes that may wait in the queue, default 64 MiB.
    pub queue_bytes_max: usize,
    /// Most records that may wait in the queue, default 200,000.
    pub queue_records_max: usize,
    /// Largest record in bytes, default and most [`RECORD_BYTES_MAX`].
    pub record_bytes_max: usize,
    /// Below this share of free disk (percent) records are refused, default 5.
    pub free_percent_min: f32,
    /// The machine: clock, disk, death. Tests put their own in.
    pub host: Host,
}

impl Options {
    /// The defaults, for a directory.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            segment_bytes: 64 << 20,
            queue_bytes_max: 64 << 20,
            queue_records_max: 200_000,
            record_bytes_max: RECORD_BYTES_MAX,
            free_percent_min: 5.0,
            host: Host::real(),
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |field, given: String, allowed: String| Err(Error::Option { field, given, allowed });
        if !(1..=RECORD_BYTES_MAX).contains(&self.record_bytes_max) {
            let allowed = format!("1 to {RECORD_BYTES_MAX}");
            return wrong("record_bytes_max", self.record_bytes_max.to_string(), allowed);
        }
        let segment_min = frame::SEGMENT_HEADER_BYTES + frame::padded(self.record_bytes_max);
        if self.segment_bytes < segment_min || !self.segment_bytes.is_multiple_of(frame::ALIGN) {
            let allowed = format!("a multiple of {} from {segment_min}", frame::ALIGN);
            return wrong("segment_bytes", self.segment_bytes.to_string(), allowed);
        }
        if !(0.0..100.0).contains(&self.free_percent_min) {
            return wrong("free_percent_min", self.free_percent_min.to_string(), "0 to below 100".into());
        }
        Ok(())
    }
}

/// A question to the file system.
pub type Ask<About, Answer> = Arc<dyn Fn(&About) -> io::Result<Answer> + Send + Sync>;

/// What the log needs from the machine it runs on.
#[derive(Clone)]
pub struct Host {
    /// Unix microseconds, never going back.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Share of the file system that is free for us, in percent; asked at most once per second.
    pub free_percent: Ask<Path, f32>,
    /// Makes written data durable.
    pub sync: Ask<File, ()>,
    /// Called when a write or a sync failed, so that nobody can know what is on the disk. Should not return; if it
    /// does, the log stays closed.
    pub fatal: Arc<dyn Fn(&Error) + Send + Sync>,
}

impl Host {
    /// The real machine; `fatal` writes a log line and aborts the process.
    #[must_use]
    pub fn real() -> Self {
        let clock = BootClock::start();
        Self {
            now: Arc::new(move || clock.now()),
            free_percent: Arc::new(free_percent),
            sync: Arc::new(File::sync_data),
            fatal: Arc::new(|error| {
                tracing::error!(
                    error = error as &dyn std::error::Error,
                    "the log cannot be trusted any more: ending"
                );
                std::process::abort();
            }),
        }
    }
}

fn free_percent(directory: &Path) -> io::Result<f32> {
    let stat = rustix::fs::statvfs(directory)?;
    Ok(100.0 * stat.f_bavail as f32 / stat.f_blocks.max(1) as f32)
}
