//! The history against the plainest one there could be: a list of events.

use super::{
    Countable, Cursor, Error, History, Options, Page, Point, Reader, Spans, TimeUnit, Token, Writer,
};
use pavlov_events::filter::{NameFilter, RelatedFilter, ResourceFilter, TextFilter};
use pavlov_events::pattern::ResourceSpecification;
use pavlov_events::{Event, EventFilter, Faults, Resource, Timestamp, Uuid};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Small enough for a few events a segment.
const TINY: Options = Options { segment_bytes: 2_000 };
const START: i64 = 1_711_929_600_000_000;

fn event(number: u64, seconds: i64, name: &str, resource: &str, related: &[(&str, &str)]) -> Event {
    let occurred = Timestamp::from_micros(START).plus_seconds(seconds);
    let labelled = Resource::new(resource).with("team", if number.is_multiple_of(2) { "sre" } else { "web" });
    let mut event = Event::new(Uuid::from_u128(u128::from(number) * 7_919), occurred, name, labelled);
    event.received = Timestamp::from_micros(START).plus_seconds(number as i64);
    event.related = related.iter().map(|(role, id)| Resource::related(*role, *id)).collect();
    event.payload = format!(r#"{{"number":{number}}}"#).into();
    event
}

fn cursor(number: usize) -> Cursor {
    Cursor { position: number as u64 / 3, index: number as u32 % 3 }
}

/// Events by their number, all appended and visible.
fn filled(dir: &Path, events: &[Event]) -> (Writer, Reader) {
    let (mut writer, reader) = History::open(dir, TINY, None).expect("an empty directory opens");
    append(&mut writer, events, 0);
    (writer, reader)
}

fn append(writer: &mut Writer, events: &[Event], first: usize) {
    for (number, event) in events.iter().enumerate() {
        writer.append(cursor(first + number), event).expect("appending works");
        if number % 5 == 0 {
            writer.flush().expect("flushing works");
        }
    }
    writer.flush().expect("flushing works");
}

fn numbered(count: u64) -> Vec<Event> {
    let host = |n: u64| format!("host.{}", n % 10);
    (0..count).map(|n| event(n, n as i64, "disk.full", &host(n), &[("site", "north")])).collect()
}

fn everything() -> EventFilter {
    let mut filter = EventFilter::everything(Timestamp::MAX);
    filter.since = Timestamp::MIN;
    filter
}

fn texts(page: &Page) -> Vec<String> {
    page.events.iter().map(|text| String::from_utf8(text.to_vec()).expect("text")).collect()
}

/// What the filter must give, by looking at every event.
fn brute_force(events: &[Event], filter: &EventFilter) -> Vec<String> {
    let mut found: Vec<(Timestamp, usize)> = (0..events.len())
        .filter(|at| filter.includes(&events[*at]))
        .map(|at| (events[at].occurred, at))
        .collect();
    found.sort_unstable();
    if !filter.ascending {
        found.reverse();
    }
    if filter.resource.distinct {
        let mut seen = HashSet::new();
        found.retain(|(_, at)| seen.insert(events[*at].resource.id().to_owned()));
    }
    found.into_iter().map(|(_, at)| events[at].to_json()).collect()
}

/// All pages, one after the other, through tokens as clients send them back.
fn all_pages(reader: &Reader, filter: &EventFilter, limit: usize) -> (Vec<String>, u64) {
    let mut page = reader.query(filter, limit).expect("a query works");
    let (mut all, total) = (texts(&page), page.total);
    while let Some(token) = &page.next {
        let token = Token::decode(&token.encode()).expect("our own token");
        page = reader.query_next(&token).expect("a query works");
        assert_eq!(page.total, total);
        assert!(page.events.len() <= limit);
        all.extend(texts(&page));
    }
    (all, total)
}

fn check(reader: &Reader, events: &[Event], filter: &EventFilter) {
    let expected = brute_force(events, filter);
    let (found, total) = all_pages(reader, filter, 7);
    assert_eq!(total as usize, expected.len(), "{filter:?}");
    assert_eq!(found, expected, "{filter:?}");
}

fn specification(label: &str, pattern: &str) -> ResourceSpecification {
    let mut faults = Faults::new();
    let value = serde_json::json!({label: pattern});
    let read = ResourceSpecification::read(&mut pavlov_events::Reader::new(&value, "labels", &mut faults));
    read.unwrap_or_else(|| panic!("{faults:?}"))
}

fn a_name() -> impl Strategy<Value = String> {
    prop_oneof![Just("disk.full"), Just("disk.ok"), Just("job.failed"), Just("é.x"), Just("j")]
        .prop_map(str::to_owned)
}

fn an_id() -> impl Strategy<Value = String> {
    let long = "arn:of:some:cloud:with:a:very:long:common:prefix:that:is:longer:than:a:fence:";
    prop_oneof![
        (0..12u32).prop_map(|n| format!("host.{n}")),
        (0..4u32).prop_map(move |n| format!("{long}{n}")),
        Just("höst".to_owned()),
        Just("h".to_owned()),
    ]
}

fn a_role() -> impl Strategy<Value = String> {
    prop_oneof![Just("site"), Just("flow")].prop_map(str::to_owned)
}

fn some_events() -> impl Strategy<Value = Vec<Event>> {
    let one = (0..60i64, a_name(), an_id(), prop::collection::vec((a_role(), an_id()), 0..3));
    prop::collection::vec(one, 0..70).prop_map(|all| {
        let build = |(number, (seconds, name, id, related)): (usize, (i64, String, String, Vec<_>))| {
            let related: Vec<(&str, &str)> =
                related.iter().map(|(role, id): &(String, String)| (&**role, &**id)).collect();
            event(number as u64, seconds, &name, &id, &related)
        };
        all.into_iter().enumerate().map(build).collect()
    })
}

/// Mostly no condition, so that filters with one or two of them are common.
fn maybe<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    (prop::collection::vec(of, 1..3), prop::bool::weighted(0.2))
        .prop_map(|(list, wanted)| if wanted { list } else { Vec::new() })
}

fn a_prefix(of: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (of, 0..4usize).prop_map(|(text, count)| text.chars().take(count).collect())
}

fn some_labels() -> impl Strategy<Value = Option<ResourceSpecification>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(ResourceSpecification::default())),
        1 => Just(Some(specification("team", "s*"))),
        1 => Just(Some(specification("prefect.resource.id", "host.1*"))),
        1 => Just(Some(specification("prefect.resource.role", "site"))),
    ]
}

fn a_resource_filter() -> impl Strategy<Value = ResourceFilter> {
    (maybe(an_id()), maybe(a_prefix(an_id())), some_labels(), prop::bool::weighted(0.2))
        .prop_map(|(id, id_prefix, labels, distinct)| ResourceFilter { id, id_prefix, labels, distinct })
}

fn a_related_filter() -> impl Strategy<Value = RelatedFilter> {
    (maybe(an_id()), maybe(a_role()), maybe((an_id(), a_role())), some_labels())
        .prop_map(|(id, role, pairs, labels)| RelatedFilter { id, role, resources_in_roles: pairs, labels })
}

fn a_filter() -> impl Strategy<Value = EventFilter> {
    let name = (maybe(a_prefix(a_name())), maybe(a_prefix(a_name())), maybe(a_name()), maybe(a_name()));
    let name = name.prop_map(|(prefix, exclude_prefix, name, exclude_name)| {
        let exclude_prefix = exclude_prefix.into_iter().filter(|prefix| !prefix.is_empty()).collect();
        NameFilter { prefix, exclude_prefix, name, exclude_name }
    });
    let text = prop_oneof![5 => Just(None), 1 => Just(Some(TextFilter::new("sre -\"disk.ok\" +number")))];
    let time = (-5..50i64, 10..70i64, any::<bool>());
    let ids = maybe((0..80u128).prop_map(|n| Uuid::from_u128(n * 7_919)));
    (name, a_resource_filter(), maybe(a_related_filter()), maybe(a_resource_filter()), ids, text, time)
        .prop_map(|(event, resource, related, any_resource, ids, text, (since, length, ascending))| {
            EventFilter {
                since: Timestamp::from_micros(START).plus_seconds(since),
                until: Timestamp::from_micros(START).plus_seconds(since + length),
                event,
                resource,
                related,
                any_resource,
                ids,
                text,
                ascending,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_question_is_answered_as_by_looking_at_each_event(
        events in some_events(),
        filters in prop::collection::vec(a_filter(), 1..12),
    ) {
        let dir = TempDir::new().expect("a directory");
        let (writer, reader) = filled(dir.path(), &events);
        for filter in &filters {
            check(&reader, &events, filter);
        }
        // Dropping them waits for the index files, which answer from then on.
        drop((writer, reader));
        let (_writer, reader) = History::open(dir.path(), TINY, None).expect("it opens again");
        for filter in &filters {
            check(&reader, &events, filter);
        }
        prop_assert_eq!(reader.stats().expect("stats").events, events.len() as u64);
    }

    #[test]
    fn what_is_cut_and_written_again_is_the_same_bytes(events in some_events(), cut in 0..70usize) {
        let (cut, dir) = (cut.min(events.len()), TempDir::new().expect("a directory"));
        let (mut writer, reader) = History::open(dir.path(), TINY, None).expect("an empty directory opens");
        append(&mut writer, &events[..cut], 0);
        let point = writer.sync().expect("syncing works");
        append(&mut writer, &events[cut..], cut);
        drop((writer, reader));
        let before = contents(dir.path());
        let (mut writer, reader) = History::open(dir.path(), TINY, Some(point)).expect("it is cut");
        prop_assert_eq!(reader.stats().expect("stats").events, cut as u64);
        // Groups of other sizes make no other segments.
        for (number, event) in events.iter().enumerate().skip(cut) {
            writer.append(cursor(number), event).expect("appending works");
        }
        writer.flush().expect("flushing works");
        check(&reader, &events, &everything());
        drop((writer, reader));
        prop_assert_eq!(contents(dir.path()), before);
    }
}

fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: fs::DirEntry| {
        (entry.file_name().into_string().expect("plain"), fs::read(entry.path()).expect("readable"))
    };
    fs::read_dir(dir).expect("a directory").map(|entry| read(entry.expect("an entry"))).collect()
}

fn names(dir: &Path, extension: &str) -> Vec<String> {
    contents(dir).into_keys().filter(|name| name.ends_with(extension)).collect()
}

#[test]
fn nothing_is_seen_before_it_is_flushed() {
    let dir = TempDir::new().expect("a directory");
    let (mut writer, reader) = History::open(dir.path(), TINY, None).expect("it opens");
    for (number, event) in numbered(50).iter().enumerate() {
        writer.append(cursor(number), event).expect("appending works");
    }
    assert!(names(dir.path(), ".events").len() > 3, "several segments were filled meanwhile");
    assert_eq!(reader.query(&everything(), 5).expect("a query").total, 0);
    assert_eq!(reader.get(Uuid::from_u128(7_919)).expect("a question"), None);
    assert_eq!(reader.after(None, 9).expect("a question"), []);
    assert!(reader.recent_ids(9).expect("a question").is_empty());
    writer.flush().expect("flushing works");
    assert_eq!(reader.query(&everything(), 5).expect("a query").total, 50);
}

#[test]
fn pages_do_not_shift_when_events_arrive() {
    let dir = TempDir::new().expect("a directory");
    let events = numbered(60);
    let (mut writer, reader) = filled(dir.path(), &events[..40]);
    let first = reader.query(&everything(), 25).expect("a query");
    append(&mut writer, &events[40..], 40);
    let second = reader.query_next(&first.next.expect("there is more")).expect("a query");
    let expected = brute_force(&events[..40], &everything());
    assert_eq!(texts(&second), expected[25..]);
    assert_eq!((second.total, second.next.is_none()), (40, true));
}

#[test]
fn tokens_nobody_gave_out_are_refused() {
    let dir = TempDir::new().expect("a directory");
    let (_writer, reader) = filled(dir.path(), &numbered(9));
    let token = reader.query(&everything(), 4).expect("a query").next.expect("there is more").encode();
    for bad in [
        "",
        "{}",
        "null",
        &token[..token.len() - 1],
        &token.replace("\"limit\":4", "\"limit\":100000"),
        &token.replace("\"version\":1", "\"version\":9"),
        &token.replace("\"total\":9", "\"total\":null"),
        &token.replace("\"labels\":null", "\"labels\":{\"a\":5}"),
    ] {
        assert!(matches!(Token::decode(bad), Err(Error::BadToken { .. })), "{bad}");
    }
}

#[test]
fn events_are_read_in_order_from_any_cursor() {
    let dir = TempDir::new().expect("a directory");
    let events = numbered(40);
    let (mut writer, mut reader) = filled(dir.path(), &events);
    let all: Vec<(Cursor, String)> = (0..40).map(|n| (cursor(n), events[n].to_json())).collect();
    for form in ["columns", "index files"] {
        for from in 0..=41usize {
            // Between two cursors lies another one that no event has.
            let before = from.checked_sub(1).map(|n| Cursor { index: cursor(n).index, ..cursor(n) });
            let found = reader.after(before, 1 + from % 9).expect("a question");
            let found: Vec<(Cursor, String)> =
                found.into_iter().map(|(c, t)| (c, String::from_utf8_lossy(&t).into_owned())).collect();
            let start = from.min(40);
            assert_eq!(found, all[start..(start + 1 + from % 9).min(40)], "{from}, {form}");
        }
        let between = Cursor { position: cursor(19).position, index: 99 };
        assert_eq!(reader.after(Some(between), 1).expect("a question")[0].0, cursor(21));
        drop((writer, reader));
        (writer, reader) = History::open(dir.path(), TINY, None).expect("it opens");
    }
    for (number, event) in events.iter().enumerate() {
        let found = reader.get(event.id).expect("a question").expect("it is there");
        assert_eq!(found, event.to_json());
        let recent: Vec<Uuid> = events[number..].iter().map(|event| event.id).collect();
        assert_eq!(reader.recent_ids(40 - number).expect("a question"), recent);
    }
    assert_eq!(reader.get(Uuid::from_u128(5)).expect("a question"), None);
}

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
    fs::copy(path(0 + 4), path(3)).expect("writable");
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

#[test]
fn counts_are_those_of_the_genuine_server() {
    let dir = TempDir::new().expect("a directory");
    let mut events = numbered(30);
    events[29].resource = Resource::new("host.9").with("prefect.resource.name", "Nine");
    events[0].event = "disk.ok".into();
    let (_writer, reader) = filled(dir.path(), &events);
    let at = |seconds| Timestamp::from_micros(START).plus_seconds(seconds);
    let (mut filter, now) = (everything(), at(1_000_000));
    (filter.since, filter.until) = (at(3), at(24));
    let spans = |interval| Spans { unit: TimeUnit::Second, interval };
    let counts = reader.count_by(&filter, Countable::Time, spans(10.0), now).expect("counts");
    let shown = serde_json::to_value(&counts).expect("plain data");
    assert_eq!(
        shown,
        serde_json::json!([
            {"value": "0", "label": "2024-04-01T00:00:00+00:00", "count": 7,
             "start_time": "2024-04-01T00:00:00Z", "end_time": "2024-04-01T00:00:09.999999Z"},
            {"value": "1", "label": "2024-04-01T00:00:10+00:00", "count": 10,
             "start_time": "2024-04-01T00:00:10Z", "end_time": "2024-04-01T00:00:19.999999Z"},
            {"value": "2", "label": "2024-04-01T00:00:20+00:00", "count": 5,
             "start_time": "2024-04-01T00:00:20Z", "end_time": "2024-04-01T00:00:29.999999Z"},
        ])
    );
    (filter.since, filter.until) = (at(0), at(86_400 * 2));
    let days = reader.count_by(&filter, Countable::Day, Spans::default(), now).expect("counts");
    assert_eq!(days.iter().map(|day| day.count).collect::<Vec<u64>>(), [30, 0]);
    let present = reader.count_by(&filter, Countable::Time, Spans::default(), at(5)).expect("counts");
    assert_eq!(present.len(), 1, "spans end with the present day");

    let names = reader.count_by(&filter, Countable::Event, Spans::default(), now).expect("counts");
    let shown: Vec<(&str, u64)> = names.iter().map(|count| (&*count.label, count.count)).collect();
    assert_eq!(shown, [("disk.full", 29), ("disk.ok", 1)]);
    assert_eq!((names[0].start_time, names[0].end_time), (at(1), at(29)));
    let hosts = reader.count_by(&filter, Countable::Resource, Spans::default(), now).expect("counts");
    assert_eq!((hosts.len(), &*hosts[0].label, &*hosts[0].value), (10, "Nine", "host.9"));
    assert_eq!((hosts[1].label.as_str(), hosts[1].count), ("host.0", 3));

    let refused =
        |interval| reader.count_by(&filter, Countable::Event, spans(interval), now).expect_err("bad");
    assert!(matches!(refused(0.001), Error::IntervalTooSmall { .. }));
    assert!(matches!(refused(f64::NAN), Error::IntervalTooSmall { .. }));
    assert!(matches!(refused(172.0), Error::TooManySpans { spans: 1_005, .. }));
    assert!(reader.count_by(&filter, Countable::Event, spans(172.8), now).is_ok());
}
