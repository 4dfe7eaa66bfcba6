//! The thread that has the next segment ready before it is needed.

use super::directory::prepare_segment;
use super::frame::SEGMENT_HEADER_BYTES;
use super::{recovery::Writable, shared::Shared};
use std::{
    sync::{atomic::Ordering::Relaxed, mpsc::SyncSender},
    thread,
    time::Duration,
};

/// Between attempts to prepare a segment on a disk that does not take it.
const RETRY: Duration = Duration::from_millis(500);

/// Hands over `ready`, then new segments from `index` on. The channel has no room, so exactly one is ahead. Ends when
/// the committer is gone, or with the first failure after closing.
pub(super) fn run(shared: &Shared, ready: Vec<Writable>, mut index: u64, next: &SyncSender<Writable>) {
    for segment in ready {
        if next.send(segment).is_err() {
            return;
        }
    }
    let (directory, bytes) = (&shared.options.directory, shared.options.segment_bytes);
    loop {
        match prepare_segment(directory, index, bytes, || shared.stop.load(Relaxed)) {
            Ok(Some(file)) => {
                shared.trouble().now = false;
                if next.send(Writable { index, file, bytes, offset: SEGMENT_HEADER_BYTES }).is_err() {
                    return;
                }
                index += 1;
            }
            Ok(None) => return,
            Err(error) => {
                let mut trouble = shared.trouble();
                if !trouble.now {
                    trouble.outages += 1;
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the log cannot prepare its next segment"
                    );
                }
                (trouble.now, trouble.last) = (true, Some(error.to_string()));
                drop(trouble);
                if shared.queue.is_closed() {
                    return;
                }
                thread::park_timeout(RETRY);
            }
        }
    }
}
