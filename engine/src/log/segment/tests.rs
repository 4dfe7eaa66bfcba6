//! The segment log under the contract, and what is its own: tearing, damage, locks, full disks.

use super::super::contract::{Bench, append, check, contract, next, receive, record, store};
use super::super::{Error, Log, Refused, trim_below};
use super::{Host, Options, SegmentLog, directory::segment_path, frame};
use bytes::Bytes;
use proptest::prelude::*;
use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst},
    },
};
use tempfile::TempDir;

contract!(Directory::new());

const KB: u64 = 1 << 10;

struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Segments of one or two groups of small records.
    fn options(&self) -> Options {
        let mut options = Options::new(self.path());
        options.segment_bytes = 1_024 * KB;
        options
    }

    /// Segments of 16 KiB.
    fn small(&self) -> Options {
        let mut options = Options::new(self.path());
        (options.segment_bytes, options.record_bytes_max) = (16 * KB, 8_000);
        options
    }

    fn segment(&self, index: u64) -> PathBuf {
        segment_path(self.path(), index)
    }

    fn edit(&self, index: u64, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.segment(index)).unwrap();
        edit(&mut bytes);
        fs::write(self.segment(index), bytes).unwrap();
    }
}

impl Bench for Directory {
    fn open(&self) -> Box<dyn Log> {
        Box::new(SegmentLog::open(self.options()).unwrap())
    }

    fn open_narrow(&self) -> Box<dyn Log> {
        let mut options = self.options();
        (options.queue_bytes_max, options.queue_records_max) = (100_000, 200);
        Box::new(SegmentLog::open(options).unwrap())
    }

    fn record_bytes_max(&self) -> usize {
        900 * 1024
    }
}

/// Appends the records one by one, each in a group of its own.
fn commit_singly(log: &SegmentLog, numbers: std::ops::RangeInclusive<u64>) {
    let mut reader = log.entries(log.last_position() + 1).unwrap();
    for n in numbers {
        log.append(n, record(n)).unwrap();
        receive(&mut reader, 1);
    }
}

/// What is read from the start until the tail is reached or the reading fails.
fn read_all(log: &SegmentLog) -> Result<usize, Error> {
    let mut reader = log.entries(log.first_position()).unwrap();
    let mut count = 0;
    while count < (log.last_position() + 1 - log.first_position()) as usize {
        count += next(&mut reader).unwrap()?.len();
    }
    Ok(count)
}

/// Offset and length of the frame of record `n` in the first segment, every one in it from 1 on.
fn place(n: u64) -> (usize, usize) {
    let before: u64 = (1..n).map(|n| frame::padded(record(n).len())).sum();
    ((frame::SEGMENT_HEADER_BYTES + before) as usize, frame::padded(record(n).len()) as usize)
}

#[test]
fn a_tail_torn_at_any_byte_is_cut() {
    let made = Directory::new();
    let mut options = made.small();
    options.record_bytes_max = 4_000;
    commit_singly(&SegmentLog::open(options).unwrap(), 1..=3);
    let whole = fs::read(made.segment(1)).unwrap();
    let (start, length) = place(3);
    for cut in start..=start + length {
        for shorter in [false, true] {
            let directory = Directory::new();
            fs::copy(made.path().join("log.json"), directory.path().join("log.json")).unwrap();
            let mut torn = whole.clone();
            torn[cut..].fill(0);
            torn.truncate(if shorter { cut.next_multiple_of(8) } else { torn.len() });
            let kept =
                if torn.get(start..start + length) == Some(&whole[start..start + length]) { 3 } else { 2 };
            fs::write(directory.segment(1), &torn).unwrap();
            let log = SegmentLog::open(directory.small()).unwrap();
            assert_eq!(log.last_position(), kept, "cut at {cut} of {start} and {length}");
            commit_singly(&log, kept + 1..=6);
            drop(log);
            let log = SegmentLog::open(directory.small()).unwrap();
            check(&receive(&mut log.entries(1).unwrap(), 6), 1..=6);
        }
    }
}

#[test]
fn pages_of_the_last_group_may_be_lost_in_any_order() {
    for damage in [2, 5, 19, 20] {
        let directory = Directory::new();
        write_two_groups(&directory, 20);
        let (start, length) = place(damage);
        directory.edit(1, |bytes| bytes[start..start + length].fill(0));
        let log = SegmentLog::open(directory.small()).unwrap();
        let kept = damage - 1;
        assert_eq!(log.last_position(), kept, "lost frame {damage} of 20");
        commit_singly(&log, kept + 1..=25);
        drop(log);
        check(&receive(&mut SegmentLog::open(directory.small()).unwrap().entries(1).unwrap(), 25), 1..=25);
    }
    // The first record is a group of its own: the second group proves that it had been synced.
    let directory = Directory::new();
    write_two_groups(&directory, 20);
    directory.edit(1, |bytes| bytes[16..16 + 32].fill(0));
    assert!(matches!(SegmentLog::open(directory.small()), Err(Error::Corrupt { position: 1, .. })));
}

#[test]
fn damage_before_a_later_group_is_an_error_with_its_place() {
    for (damage, at) in [(0, 0), (3, 5), (3, 8), (3, 40), (9, 24)] {
        let directory = Directory::new();
        commit_singly(&SegmentLog::open(directory.small()).unwrap(), 1..=10);
        let (start, _) = place(damage.max(1));
        directory.edit(1, |bytes| bytes[start + at] ^= 0x40);
        let error = SegmentLog::open(directory.small()).err().expect("damage must not be cut away");
        let Error::Corrupt { path, offset, position, .. } = &error else { panic!("{error}") };
        assert_eq!(
            (path, *offset, *position),
            (&directory.segment(1), start as u64, damage.max(1)),
            "{error}"
        );
    }
}

#[test]
fn zeros_in_the_middle_are_damage_too() {
    let directory = Directory::new();
    commit_singly(&SegmentLog::open(directory.small()).unwrap(), 1..=10);
    let (start, length) = place(4);
    directory.edit(1, |bytes| bytes[start..start + 2 * length].fill(0));
    assert!(matches!(SegmentLog::open(directory.small()), Err(Error::Corrupt { position: 4, .. })));
}

#[test]
fn damage_in_an_older_segment_is_an_error_when_it_is_read() {
    let directory = Directory::new();
    fill_segments(&directory, 4);
    directory.edit(2, |bytes| bytes[9_000] ^= 1);
    let log = SegmentLog::open(directory.small()).unwrap();
    let error = log.verify(|_| {}).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { path, .. } if *path == directory.segment(2)), "{error}");
    let error = read_all(&log).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { path, .. } if *path == directory.segment(2)), "{error}");
}

#[test]
fn an_older_segment_that_starts_wrong_ends_early_or_is_missing_is_an_error() {
    type Damage = fn(&Directory);
    let wrong: [(&str, Damage); 4] = [
        ("its first frame", |directory| directory.edit(2, |bytes| bytes[20] ^= 1)),
        ("its header", |directory| directory.edit(2, |bytes| bytes[0] ^= 1)),
        ("its index", |directory| directory.edit(2, |bytes| bytes[8] ^= 1)),
        ("missing", |directory| fs::remove_file(directory.segment(2)).unwrap()),
    ];
    for (what, damage) in wrong {
        let directory = Directory::new();
        fill_segments(&directory, 4);
        damage(&directory);
        assert!(SegmentLog::open(directory.small()).is_err(), "{what}");
    }
    let directory = Directory::new();
    fill_segments(&directory, 4);
    directory.edit(2, |bytes| bytes[8_000..].fill(0));
    let log = SegmentLog::open(directory.small()).unwrap();
    assert!(matches!(read_all(&log), Err(Error::Corrupt { .. })));
}

#[test]
fn a_torn_start_of_the_next_segment_is_cut() {
    let directory = Directory::new();
    let all = fill_segments(&directory, 3);
    let mut next = fs::read(directory.segment(3)).unwrap();
    next[8] = 4;
    next[16..].fill(0);
    next[16 + 512..16 + 700].fill(7);
    fs::write(directory.segment(4), next).unwrap();
    let log = SegmentLog::open(directory.small()).unwrap();
    assert_eq!(log.last_position(), all);
    commit_singly(&log, all + 1..=all + 200);
    assert!(log.pieces().len() > 4);
    assert_eq!(read_all(&reopen(log, &directory)).unwrap() as u64, all + 200);
}

#[test]
fn segments_follow_each_other_and_trimming_removes_files() {
    let directory = Directory::new();
    let last = fill_segments(&directory, 6);
    let log = SegmentLog::open(directory.small()).unwrap();
    log.verify(|_| {}).unwrap();
    let pieces = log.pieces();
    assert!(pieces.len() >= 6);
    assert!(
        pieces
            .windows(2)
            .all(|pair| pair[0].last + 1 == pair[1].first && pair[0].time_max <= pair[1].time_max)
    );
    let retention = super::super::Retention { age_max: None, bytes_max: Some(48 * KB) };
    let below = trim_below(&pieces, retention, 0, pieces[2].last + 5);
    assert_eq!(below, pieces[3].first);
    log.trim(below).unwrap();
    assert!(!directory.segment(3).exists() && directory.segment(4).exists());
    // However much is asked for, the last records stay: they say where the log goes on.
    log.trim(u64::MAX).unwrap();
    assert_eq!(log.pieces().len(), 1);
    let log = reopen(log, &directory);
    assert_eq!(log.last_position(), last);
    commit_singly(&log, last + 1..=last + 1);
}

#[test]
fn one_process_per_directory() {
    let directory = Directory::new();
    let log = SegmentLog::open(directory.small()).unwrap();
    let error = SegmentLog::open(directory.small()).err().expect("it is in use");
    let Error::InUse { process, .. } = &error else { panic!("{error}") };
    assert_eq!(*process, std::process::id().to_string());
    drop(log);
    SegmentLog::open(directory.small()).unwrap();
}

#[test]
fn a_newer_format_is_refused() {
    let directory = Directory::new();
    drop(SegmentLog::open(directory.small()).unwrap());
    directory.edit(1, |bytes| bytes[7] = 2);
    assert!(matches!(SegmentLog::open(directory.small()), Err(Error::Format { known: 1, .. })));
    fs::write(
        directory.path().join("log.json"),
        r#"{"format":9,"id":"00000000-0000-0000-0000-000000000007"}"#,
    )
    .unwrap();
    assert!(matches!(SegmentLog::open(directory.small()), Err(Error::Format { found, .. }) if found == "9"));
}

#[test]
fn options_out_of_range_are_named() {
    type Change = fn(&mut Options);
    let cases: [(&str, Change); 5] = [
        ("record_bytes_max", |options| options.record_bytes_max = 0),
        ("record_bytes_max", |options| options.record_bytes_max = 900 * 1024 + 1),
        ("segment_bytes", |options| options.segment_bytes = 8 * KB),
        ("segment_bytes", |options| options.segment_bytes = 16 * KB + 1),
        ("free_percent_min", |options| options.free_percent_min = 100.0),
    ];
    for (expected, change) in cases {
        let directory = Directory::new();
        let mut options = directory.small();
        options.record_bytes_max = 8_192;
        change(&mut options);
        let error = SegmentLog::open(options).err();
        assert!(
            matches!(&error, Some(Error::Option { field, .. }) if *field == expected),
            "{expected}: {error:?}"
        );
    }
}

#[test]
fn a_nearly_full_disk_refuses_and_a_freed_one_takes_again() {
    let directory = Directory::new();
    let free = Arc::new(Mutex::new(Ok(4.9)));
    let mut options = directory.small();
    let asked = free.clone();
    options.host.free_percent = Arc::new(move |_| {
        let answer = asked.lock().unwrap();
        answer.as_ref().copied().map_err(|kind: &ErrorKind| io::Error::from(*kind))
    });
    let time = Arc::new(AtomicI64::new(1));
    let read = time.clone();
    options.host.now = Arc::new(move || read.load(SeqCst));
    let log = SegmentLog::open(options).unwrap();
    assert_eq!(log.append(1, record(1)), Err(Refused::DiskFull { free_percent: 4.9 }));
    assert!(!log.status().healthy);
    *free.lock().unwrap() = Ok(5.0);
    time.store(1_000_000, SeqCst);
    assert_eq!(
        log.append(1, record(1)),
        Err(Refused::DiskFull { free_percent: 4.9 }),
        "asked once per second"
    );
    time.store(1_000_001, SeqCst);
    log.append(1, record(1)).unwrap();
    *free.lock().unwrap() = Err(ErrorKind::PermissionDenied);
    time.store(2_000_001, SeqCst);
    log.append(2, record(2)).unwrap();
    check(&receive(&mut log.entries(1).unwrap(), 2), 1..=2);
}

#[test]
fn a_failed_sync_ends_the_process_and_acknowledges_nothing() {
    let directory = Directory::new();
    let mut options = directory.small();
    let (syncs, deaths) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, died) = (syncs.clone(), deaths.clone());
    options.host.sync = Arc::new(move |file| {
        if counted.fetch_add(1, SeqCst) == 1 { Err(ErrorKind::Other.into()) } else { file.sync_data() }
    });
    options.host.fatal = Arc::new(move |error| {
        assert!(matches!(error, Error::File { doing: "sync", .. }), "{error}");
        died.fetch_add(1, SeqCst);
    });
    let log = SegmentLog::open(options).unwrap();
    let mut reader = log.entries(1).unwrap();
    log.append(1, record(1)).unwrap();
    receive(&mut reader, 1);
    log.append(2, record(2)).unwrap();
    assert!(matches!(next(&mut reader), Some(Err(Error::File { .. }))));
    assert_eq!((deaths.load(SeqCst), log.last_position()), (1, 1));
    assert_eq!(log.append(3, record(3)), Err(Refused::Closed));
    assert!(!log.status().healthy);
}

#[test]
fn time_never_goes_back_not_even_between_starts() {
    let directory = Directory::new();
    let mut times = Vec::new();
    for clock in [vec![500, 400, 600], vec![100, 550, 700]] {
        let mut options = directory.small();
        let now = Arc::new(AtomicI64::new(0));
        let read = now.clone();
        options.host = Host { now: Arc::new(move || read.load(SeqCst)), ..Host::real() };
        let log = SegmentLog::open(options).unwrap();
        let mut reader = log.entries(log.last_position() + 1).unwrap();
        for (time, n) in clock.into_iter().zip(1..) {
            now.store(time, SeqCst);
            log.append(n, record(n)).unwrap();
            times.push(receive(&mut reader, 1)[0].time);
        }
    }
    assert_eq!(times, [500, 500, 600, 600, 600, 700]);
}

#[test]
fn a_live_group_carries_the_bytes_that_were_appended() {
    let directory = Directory::new();
    let log = SegmentLog::open(directory.small()).unwrap();
    let mut reader = log.entries(1).unwrap();
    // The first one tells that the stored tail (nothing) is done with.
    log.append(1, record(1)).unwrap();
    receive(&mut reader, 1);
    let bytes = record(2);
    log.append(2, bytes.clone()).unwrap();
    assert_eq!(receive(&mut reader, 1)[0].bytes.as_ptr(), bytes.as_ptr());
}

#[test]
fn reading_the_tail_while_records_come_misses_none() {
    let directory = Directory::new();
    store(&directory, 5_000);
    let log = directory.open();
    std::thread::scope(|scope| {
        scope.spawn(|| append(&*log, 5_001..=10_000));
        let mut reader = log.entries(1).unwrap();
        check(&receive(&mut reader, 10_000), 1..=10_000);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_sizes_survive_reopening(
        rounds in prop::collection::vec(prop::collection::vec((0_usize..8_000, any::<u8>()), 0..30), 1..4)
    ) {
        let directory = Directory::new();
        let mut expected: Vec<Bytes> = Vec::new();
        for round in rounds {
            let log = SegmentLog::open(directory.small()).unwrap();
            prop_assert_eq!(log.last_position(), expected.len() as u64);
            for ((size, byte), number) in round.into_iter().zip(1..) {
                expected.push(Bytes::from(vec![byte; size]));
                log.append(number, expected[expected.len() - 1].clone()).unwrap();
            }
            log.close();
            let log = SegmentLog::open(directory.small()).unwrap();
            log.verify(|_| {}).unwrap();
            let entries = receive(&mut log.entries(1).unwrap(), expected.len());
            prop_assert!(entries.iter().map(|entry| &entry.bytes).eq(&expected));
            prop_assert!(entries.iter().zip(1..).all(|(entry, position)| entry.position == position));
        }
    }
}

/// Stores `count` records: the first one in a group of its own, all others in the second group.
fn write_two_groups(directory: &Directory, count: u64) {
    let mut options = directory.small();
    let queued = Arc::new(Barrier::new(2));
    let (wait, syncs) = (queued.clone(), AtomicUsize::new(0));
    options.host.sync = Arc::new(move |file| {
        if syncs.fetch_add(1, SeqCst) == 0 {
            wait.wait();
            wait.wait();
        }
        file.sync_data()
    });
    let log = SegmentLog::open(options).unwrap();
    append(&log, 1..=1);
    queued.wait();
    append(&log, 2..=count);
    queued.wait();
    receive(&mut log.entries(1).unwrap(), count as usize);
    assert_eq!(log.status().counters.commits, 2);
}

/// Fills whole small segments; how many records that took.
fn fill_segments(directory: &Directory, count: usize) -> u64 {
    let log = SegmentLog::open(directory.small()).unwrap();
    let mut reader = log.entries(1).unwrap();
    let mut n = 0;
    while log.pieces().len() < count {
        append(&log, n + 1..=n + 10);
        receive(&mut reader, 10);
        n += 10;
    }
    n
}

fn reopen(log: SegmentLog, directory: &Directory) -> SegmentLog {
    drop(log);
    SegmentLog::open(directory.small()).unwrap()
}
