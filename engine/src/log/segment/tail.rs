//! Reading what is stored: for the start of a delivery, and single records.

use super::super::{Delivery, Entry, Error, Source};
use super::directory::{open_segment, segment_path};
use super::frame::{Frame, Reader, Step};
use super::shared::Shared;
use std::{io::ErrorKind, ops::ControlFlow, sync::Arc};
use tokio::sync::mpsc::Sender;

/// Delivers what is stored from `from` on; having caught up, leaves the sender to the committer.
pub(super) fn run(shared: &Arc<Shared>, mut from: u64, live: &Sender<Delivery>) {
    loop {
        {
            let mut book = shared.book();
            if from > book.last {
                if !book.ended {
                    book.live = Some(live.clone());
                }
                return;
            }
        }
        match read_segment(shared, from, |entries| live.blocking_send(Ok(entries)).is_ok()) {
            Ok(ControlFlow::Continue(next)) => from = next,
            Ok(ControlFlow::Break(())) => return,
            Err(error) => {
                let _ = live.blocking_send(Err(error));
                return;
            }
        }
    }
}

/// The record at a position.
pub(super) fn read_one(shared: &Shared, position: u64) -> Result<Option<Entry>, Error> {
    let mut found = None;
    match read_segment(shared, position, |entries| {
        found = entries.into_iter().next();
        false
    }) {
        Ok(_) => Ok(found),
        Err(Error::Trimmed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads everything that is stored.
pub(super) fn verify(shared: &Shared, progress: &mut dyn FnMut(u64)) -> Result<(), Error> {
    let mut from = shared.book().first();
    let last = shared.book().last;
    while from <= last {
        let read = read_segment(shared, from, |entries| {
            entries.last().into_iter().for_each(|entry| progress(entry.position));
            true
        });
        match read {
            Ok(ControlFlow::Continue(next)) => from = next,
            Ok(ControlFlow::Break(())) => return Ok(()),
            // Retention went on meanwhile.
            Err(Error::Trimmed { first, .. }) if first > from => from = first,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Gives the durable records of one segment from `from` on to `take`, in pieces, until the segment ends (then says
/// which position is next) or `take` wants no more.
fn read_segment(
    shared: &Shared,
    from: u64,
    mut take: impl FnMut(Vec<Entry>) -> bool,
) -> Result<ControlFlow<(), u64>, Error> {
    let directory = &shared.options.directory;
    let (index, last, (mut expected, offset)) = {
        let book = shared.book();
        let Some(segment) = book.segment_of(from) else {
            return Err(Error::Trimmed { from, first: book.first() });
        };
        let after = book.segments.iter().find(|other| other.index > segment.index);
        (segment.index, after.map_or(book.last, |after| after.first_position - 1), segment.mark(from))
    };
    let path = segment_path(directory, index);
    let file = match open_segment(directory, index) {
        Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
            return Err(Error::Trimmed { from, first: shared.book().first() });
        }
        other => other?,
    };
    let mut reader = Reader::new(&file, offset).map_err(Error::file("read", &path))?;
    let mut entries = Vec::new();
    while expected <= last {
        let corrupt =
            |offset, reason| Error::Corrupt { path: path.clone(), offset, position: expected, reason };
        match reader.step().map_err(Error::file("read", &path))? {
            Step::Frame(frame) if frame.position == expected => {
                if expected >= from {
                    entries.push(entry(frame));
                }
            }
            Step::Frame(frame) => return Err(corrupt(frame.offset, "another position")),
            Step::End => return Err(corrupt(reader.offset, "nothing")),
            Step::Bad(reason) => return Err(corrupt(reader.offset, reason)),
        }
        expected += 1;
        let complete = expected > last || !reader.has_next();
        if complete && !entries.is_empty() && !take(std::mem::take(&mut entries)) {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(expected))
}

fn entry(frame: Frame) -> Entry {
    Entry { position: frame.position, time: frame.time, source: Source::Record, bytes: frame.body }
}
