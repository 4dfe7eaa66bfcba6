//! What every log must do, whichever back end it is. One suite, run by each back end's tests through [`contract!`].

use super::{Delivery, Entry, Error, Log, Refused, Source};
use bytes::Bytes;
use std::{fmt::Write, time::Duration};
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;

/// Opens one and the same log, again and again.
pub(super) trait Bench {
    fn open(&self) -> Box<dyn Log>;
    /// With room for about a hundred records of 1 KB in its queue.
    fn open_narrow(&self) -> Box<dyn Log>;
    /// Most bytes of a record.
    fn record_bytes_max(&self) -> usize;
}

/// Makes one test of each part of the contract, for a bench.
macro_rules! contract {
    ($bench:expr) => {
        contract! { $bench;
            empty_log, records_come_back_in_order, reopening_goes_on, reading_starts_anywhere, id_is_kept,
            checksums_are_of_the_bytes, too_large_is_refused_at_the_edge, a_full_queue_refuses_and_recovers,
            trimming_keeps_what_is_not_below, wrong_starts_are_told, closing_stores_what_is_queued,
            many_sizes_survive, status_counts
        }
    };
    ($bench:expr; $($name:ident),*) => {
        $(#[test] fn $name() { $crate::log::contract::$name(&$bench); })*
    };
}
pub(super) use contract;

pub(super) fn empty_log(bench: &impl Bench) {
    let log = bench.open();
    assert_eq!((log.first_position(), log.last_position()), (1, 0));
    assert_eq!(log.checksum(1).unwrap(), None);
    let mut reader = log.entries(1).unwrap();
    log.append(1, record(1)).unwrap();
    assert_eq!(receive(&mut reader, 1)[0].bytes, record(1));
}

pub(super) fn records_come_back_in_order(bench: &impl Bench) {
    let log = bench.open();
    let mut reader = log.entries(1).unwrap();
    append(&*log, 1..=2_000);
    let entries = receive(&mut reader, 2_000);
    check(&entries, 1..=2_000);
    assert_eq!(log.last_position(), entries[1_999].position);
    assert_eq!(log.first_position(), entries[0].position);
}

pub(super) fn reopening_goes_on(bench: &impl Bench) {
    let mut before = Vec::new();
    for round in 0..3 {
        let log = bench.open();
        let mut reader = log.entries(1).unwrap();
        let stored = receive(&mut reader, before.len());
        assert_eq!(stored, before, "round {round}");
        // Numbers start again with each process; what the records say goes on.
        for n in 1..=50 {
            log.append(n, record(round * 50 + n)).unwrap();
        }
        before.extend(receive(&mut reader, 50));
        check(&before, 1..=(round + 1) * 50);
        log.close();
    }
}

pub(super) fn reading_starts_anywhere(bench: &impl Bench) {
    let all = store(bench, 300);
    for skip in [0, 1, 150, 299, 300] {
        let log = bench.open();
        let from = if skip == 300 { all[299].position + 1 } else { all[skip].position };
        let mut reader = log.entries(from).unwrap();
        assert_eq!(receive(&mut reader, 300 - skip), all[skip..]);
    }
}

pub(super) fn id_is_kept(bench: &impl Bench) {
    let first = bench.open().id();
    assert_ne!(first, Uuid::nil());
    let log = bench.open();
    assert_eq!(log.id(), first);
    let other = Uuid::from_u128(7);
    log.set_id(other).unwrap();
    assert_eq!(log.id(), other);
    drop(log);
    assert_eq!(bench.open().id(), other);
}

pub(super) fn checksums_are_of_the_bytes(bench: &impl Bench) {
    let all = store(bench, 100);
    let log = bench.open();
    for entry in [&all[0], &all[57], &all[99]] {
        assert_eq!(log.checksum(entry.position).unwrap(), Some(crc32c::crc32c(&entry.bytes)));
    }
    assert_eq!(log.checksum(all[99].position + 1).unwrap(), None);
    assert_eq!(log.checksum(0).unwrap(), None);
}

pub(super) fn too_large_is_refused_at_the_edge(bench: &impl Bench) {
    let log = bench.open();
    let mut reader = log.entries(1).unwrap();
    let bytes_max = bench.record_bytes_max();
    let large = Bytes::from(vec![b'x'; bytes_max]);
    let larger = Bytes::from(vec![b'x'; bytes_max + 1]);
    assert_eq!(log.append(1, larger), Err(Refused::TooLarge { bytes: bytes_max + 1, bytes_max }));
    log.append(1, large.clone()).unwrap();
    log.append(2, record(2)).unwrap();
    let entries = receive(&mut reader, 2);
    assert!(entries[0].bytes == large && entries[1].bytes == record(2));
}

pub(super) fn a_full_queue_refuses_and_recovers(bench: &impl Bench) {
    let log = bench.open_narrow();
    let mut reader = log.entries(1).unwrap();
    let payload = Bytes::from(vec![b'y'; 1_000]);
    // Nobody reads and nobody says what was seen, so the queue must fill.
    let mut number = 0;
    let refused = loop {
        match log.append(number + 1, payload.clone()) {
            Ok(()) => number += 1,
            Err(refused) => break refused,
        }
        assert!(number < 100_000, "the queue has no limit");
    };
    assert!(matches!(refused, Refused::Full { retry_after_seconds: 1.. }), "{refused:?}");
    assert_eq!(receive(&mut reader, number as usize).len(), number as usize);
    log.seen(number);
    // The last group's share of the queue is free again a moment after its delivery at the latest.
    log.append(number + 1, record(1)).unwrap();
    assert_eq!(receive(&mut reader, 1)[0].bytes, record(1));
}

pub(super) fn trimming_keeps_what_is_not_below(bench: &impl Bench) {
    let all = store(bench, 10_000);
    let log = bench.open();
    let below = all[8_000].position;
    log.trim(below).unwrap();
    let first = log.first_position();
    assert!(first > all[0].position && first <= below, "{first} after trimming below {below}");
    assert!(matches!(log.entries(first - 1), Err(Error::Trimmed { .. })));
    assert_eq!(log.checksum(first - 1).unwrap(), None);
    let pieces = log.pieces();
    assert_eq!(pieces[0].first, first);
    assert_eq!(pieces.last().unwrap().last, all[9_999].position);
    drop(log);
    let log = bench.open();
    assert_eq!(log.first_position(), first);
    let kept: Vec<Entry> = all.into_iter().filter(|entry| entry.position >= first).collect();
    assert_eq!(receive(&mut log.entries(first).unwrap(), kept.len()), kept);
}

pub(super) fn wrong_starts_are_told(bench: &impl Bench) {
    let last = store(bench, 3)[2].position;
    let log = bench.open();
    let error = log.entries(last + 5).unwrap_err();
    assert!(
        matches!(error, Error::TailLost { delivered, last: l } if delivered == last + 4 && l == last),
        "{error}"
    );
    let _reader = log.entries(last + 1).unwrap();
    assert!(matches!(log.entries(1), Err(Error::EntriesTaken)));
}

pub(super) fn closing_stores_what_is_queued(bench: &impl Bench) {
    let log = bench.open();
    let mut reader = log.entries(1).unwrap();
    append(&*log, 1..=500);
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| log.close());
        check(&receive(&mut reader, 500), 1..=500);
        closing.join().unwrap();
    });
    assert_eq!(log.append(501, record(501)), Err(Refused::Closed));
    assert!(next(&mut reader).is_none(), "the channel ends");
    drop(log);
    check(&receive(&mut bench.open().entries(1).unwrap(), 500), 1..=500);
}

pub(super) fn many_sizes_survive(bench: &impl Bench) {
    let sizes = [1, 7, 8, 9, 31, 32, 33, 4_063, 4_064, 4_065, 65_536, 131_071, 500_000, 3];
    let records: Vec<Bytes> =
        sizes.iter().map(|size| Bytes::from(vec![b'0' + (size % 10) as u8; *size])).collect();
    let log = bench.open();
    let mut reader = log.entries(1).unwrap();
    for (record, number) in records.iter().zip(1..) {
        log.append(number, record.clone()).unwrap();
    }
    let live = receive(&mut reader, records.len());
    drop((reader, log));
    let log = bench.open();
    let stored = receive(&mut log.entries(1).unwrap(), records.len());
    assert_eq!(stored, live);
    assert!(stored.iter().map(|entry| &entry.bytes).eq(&records));
}

pub(super) fn status_counts(bench: &impl Bench) {
    let log = bench.open();
    let mut reader = log.entries(1).unwrap();
    append(&*log, 1..=10);
    receive(&mut reader, 10);
    log.seen(10);
    let status = log.status();
    assert!(status.healthy, "{status:?}");
    assert_eq!((status.counters.records, status.queued, status.last_error), (10, 0, None));
    assert!((1..=10).contains(&status.counters.commits), "{:?}", status.counters);
    assert!(status.bytes > 0);
}

/// Record number `n` of a test.
pub(super) fn record(n: u64) -> Bytes {
    let mut text = String::new();
    write!(text, "{{\"n\":{n},\"text\":\"{}\"}}", "z".repeat(n as usize * 37 % 300)).unwrap();
    Bytes::from(text)
}

pub(super) fn append(log: &dyn Log, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        log.append(n, record(n)).unwrap();
    }
}

/// Opens the log, stores `count` records, closes it.
pub(super) fn store(bench: &impl Bench, count: u64) -> Vec<Entry> {
    let log = bench.open();
    let mut reader = log.entries(1).unwrap();
    append(&*log, 1..=count);
    receive(&mut reader, count as usize)
}

/// That these are the records `numbers`, in order, with positions and times as promised.
pub(super) fn check(entries: &[Entry], numbers: std::ops::RangeInclusive<u64>) {
    assert!(entries.iter().map(|entry| entry.bytes.clone()).eq(numbers.map(record)));
    assert!(entries.iter().all(|entry| entry.source == Source::Record && entry.time > 0));
    for pair in entries.windows(2) {
        assert!(pair[0].position < pair[1].position && pair[0].time <= pair[1].time, "{pair:?}");
    }
}

/// The next `count` entries; fails when they do not come.
pub(super) fn receive(reader: &mut Receiver<Delivery>, count: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    while entries.len() < count {
        let group =
            next(reader).unwrap_or_else(|| panic!("the channel ended after {} of {count}", entries.len()));
        entries.extend(group.unwrap_or_else(|error| panic!("{error} after {} of {count}", entries.len())));
    }
    assert_eq!(entries.len(), count, "more came than was asked for");
    entries
}

/// The next item; fails when none comes and the channel does not end either.
pub(super) fn next(reader: &mut Receiver<Delivery>) -> Option<Delivery> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), reader.recv()).await.expect("waited 60 s")
    })
}
