//! What is found on the disk after crashes, damage and retention.

use super::*;
use crate::history::{Error, Point};
use tempfile::TempDir;

#[test]
fn a_torn_tail_is_cut_and_a_damaged_event_is_named() {
    let dir = TempDir::new().expect("a directory");
    let events = numbered(30);
    drop(filled(dir.path(), &events));
    let segments = names(dir.path(), ".events");
    let last = dir.path().join(segments.last().expect("several"));
    let bytes = fs::read(&last).expect("readable");
    fs::write(&last, &bytes[..bytes.len() - 3]).expect("writable");
    let (writer, reader) = History::open(dir.path(), TINY, None).expect("it opens");
    check(&reader, &events[..29], &everything());
    drop((writer, reader));

    let first = dir.path().join(&segments[0]);
    let mut bytes = fs::read(&first).expect("readable");
    let at = bytes.windows(8).position(|window| window == b"\"number\"").expect("a payload");
    bytes[at + 2] ^= 1;
    fs::write(&first, &bytes).expect("writable");
    let (_writer, reader) = History::open(dir.path(), TINY, None).expect("it opens");
    assert_eq!(reader.query(&everything(), 3).expect("other events are read").total, 29);
    match reader.get(events[0].id) {
        Err(Error::Corrupt { path, offset, .. }) => assert_eq!((path, offset), (first, 32)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn indexes_that_are_missing_or_damaged_are_made_again() {
    let dir = TempDir::new().expect("a directory");
    let events = numbered(60);
    drop(filled(dir.path(), &events));
    let whole = contents(dir.path());
    let indexes = names(dir.path(), ".index");
    assert!(indexes.len() > 4);
    let path = |at: usize| dir.path().join(&indexes[at]);
    fs::remove_file(path(0)).expect("removable");
    fs::write(path(1), b"short").expect("writable");
    let mut cut = whole[&indexes[2]].clone();
    cut.truncate(cut.len() - 40);
    fs::write(path(2), cut).expect("writable");
    // In place of another's index, and one damaged where only a question finds it.
    fs::copy(path(4), path(3)).expect("writable");
    let mut flipped = whole[&indexes[4]].clone();
    flipped[9] ^= 1;
    fs::write(path(4), flipped).expect("writable");
    fs::write(dir.path().join("0000000077.index"), b"of no segment").expect("writable");
    let (writer, reader) = History::open(dir.path(), TINY, None).expect("it opens");
    let mut filter = everything();
    filter.resource.id = vec!["host.3".into()];
    check(&reader, &events, &filter);
    filter.until = Timestamp::from_micros(START).plus_seconds(31);
    check(&reader, &events, &filter);
    check(&reader, &events, &everything());
    drop((writer, reader));
    assert_eq!(contents(dir.path()), whole);
}

#[test]
fn opening_needs_what_the_state_has_counted() {
    let dir = TempDir::new().expect("a directory");
    let (mut writer, reader) = filled(dir.path(), &numbered(30));
    let point = writer.sync().expect("syncing works");
    drop((writer, reader));
    let open = |point| History::open(dir.path(), TINY, Some(point)).map(drop);
    assert!(matches!(open(Point { bytes: point.bytes + 1, ..point }), Err(Error::Lost { .. })));
    assert!(matches!(open(Point { events: 29, ..point }), Err(Error::Corrupt { .. })));
    assert!(matches!(open(Point { segment: point.segment + 1, ..point }), Err(Error::Missing { .. })));
    open(point).expect("all is there");
    fs::remove_file(dir.path().join("0000000001.events")).expect("removable");
    assert!(matches!(open(point), Err(Error::Missing { number: 1, .. })));
    open(Point::default()).expect("the start needs nothing");
    assert_eq!(names(dir.path(), "").len(), 1);
}

#[test]
fn retention_removes_whole_old_segments() {
    let dir = TempDir::new().expect("a directory");
    let events = numbered(80);
    let (mut writer, reader) = filled(dir.path(), &events);
    let stats = reader.stats().expect("stats");
    let before = Timestamp::from_micros(START).plus_seconds(20);
    writer.sync().expect("syncing works");
    writer.sync().expect("syncing works");
    let removed = writer.expire(before, u64::MAX).expect("removing works");
    drop((writer, reader));
    let (mut writer, reader) = History::open(dir.path(), TINY, None).expect("it opens");
    let after = reader.stats().expect("stats");
    assert!(removed > 0 && after.segments == stats.segments - removed);
    let first = 80 - after.events as usize;
    assert!((1..=20).contains(&first), "{first} events were removed");
    check(&reader, &events[first..], &everything());
    assert_eq!(after.oldest, Some(events[first].occurred));

    writer.expire(Timestamp::MIN, stats.bytes / 3).expect("removing works");
    let after = reader.stats().expect("stats");
    assert!(after.bytes <= stats.bytes / 3 && after.events > 0);
    writer.expire(Timestamp::MAX, 0).expect("removing works");
    assert_eq!(reader.stats().expect("stats").segments, 1, "the open segment stays");
    append(&mut writer, &events[..9], 80);
    assert_eq!(reader.after(None, 100).expect("a question").last().expect("events").0, cursor(88));
}

#[test]
fn what_the_last_points_need_is_kept() {
    let dir = TempDir::new().expect("a directory");
    let (mut writer, reader) = History::open(dir.path(), TINY, None).expect("it opens");
    let events = numbered(90);
    append(&mut writer, &events[..30], 0);
    let point = writer.sync().expect("syncing works");
    append(&mut writer, &events[30..60], 30);
    writer.sync().expect("syncing works");
    append(&mut writer, &events[60..], 60);
    writer.expire(Timestamp::MAX, 0).expect("removing works");
    drop((writer, reader));
    assert!(names(dir.path(), ".events")[0].contains(&format!("{:010}", point.segment)));
    History::open(dir.path(), TINY, Some(point)).map(drop).expect("the point before the last is still there");
}
