//! What readers ask, and what they see while events arrive.

use super::*;
use crate::history::{Countable, Error, Spans, TimeUnit};
use pavlov_events::filter::RelatedFilter;
use tempfile::TempDir;

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
/// A condition on related resources that any would meet is still not met by none.
#[test]
fn empty_labels_of_related_resources_need_a_related_resource() {
    let dir = TempDir::new().expect("a directory");
    let events = [event(0, 0, "a", "x", &[]), event(1, 1, "a", "x", &[("site", "north")])];
    let (_writer, reader) = filled(dir.path(), &events);
    let mut filter = everything();
    filter.related = vec![RelatedFilter { labels: Some(Default::default()), ..RelatedFilter::default() }];
    check_first(&reader, &events, &filter);
    assert_eq!(reader.query(&filter, 9).expect("a query").total, 1);
}

#[test]
fn large_dictionaries_answer_from_their_files_as_from_memory() {
    let dir = TempDir::new().expect("a directory");
    let long = "arn:of:some:cloud:with:a:very:long:common:prefix:that:is:longer:than:a:fence:";
    let id = |n: u64| if n.is_multiple_of(2) { format!("{long}{n:05}") } else { format!("h{n:05}") };
    let one =
        |n: u64| event(n, n as i64, &format!("n{}", n % 300), &id(n * 37 % 3_001), &[("r", &id(n % 700))]);
    let events: Vec<Event> = (0..3_001).map(one).collect();
    let options = Options { segment_bytes: 500_000 };
    let (mut writer, mut reader) = History::open(dir.path(), options, None).expect("it opens");
    append(&mut writer, &events, 0);
    for _ in 0..2 {
        for n in (0..3_010).step_by(43) {
            let mut filter = everything();
            filter.resource.id = vec![id(n), id(n + 1)];
            check_first(&reader, &events, &filter);
            filter.resource.id = vec![];
            filter.resource.id_prefix = vec![id(n)[..id(n).len() - 1].to_owned()];
            check_first(&reader, &events, &filter);
            filter.resource.id_prefix = vec![long.to_owned()];
            filter.event.prefix = vec![format!("n{}", n % 40)];
            check_first(&reader, &events, &filter);
            filter.resource.id_prefix = vec![];
            filter.related = vec![RelatedFilter { id: vec![id(n % 700)], ..RelatedFilter::default() }];
            check_first(&reader, &events, &filter);
            let found = reader.get(events[n as usize % 3_001].id).expect("a question").expect("it is there");
            assert_eq!(found, events[n as usize % 3_001].to_json());
        }
        drop((writer, reader));
        (writer, reader) = History::open(dir.path(), options, None).expect("it opens");
    }
    assert_eq!(names(dir.path(), ".index").len(), 2, "a few large segments");
    drop(writer);
}

fn check_first(reader: &Reader, events: &[Event], filter: &EventFilter) {
    let expected = brute_force(events, filter);
    let page = reader.query(filter, 20).expect("a query works");
    assert_eq!(page.total as usize, expected.len(), "{filter:?}");
    assert_eq!(texts(&page), expected[..expected.len().min(20)], "{filter:?}");
}

#[test]
fn readers_see_a_whole_beginning_while_events_arrive() {
    let dir = TempDir::new().expect("a directory");
    let events = numbered(3_000);
    let (mut writer, reader) = History::open(dir.path(), TINY, None).expect("it opens");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut seen, mut last) = (0, None);
                while seen < events.len() {
                    for (cursor, text) in reader.after(last, 50).expect("a question") {
                        assert_eq!(
                            (cursor, &*text),
                            (super::cursor(seen), events[seen].to_json().as_bytes())
                        );
                        (seen, last) = (seen + 1, Some(cursor));
                    }
                    let page = reader.query(&everything(), 3).expect("a query");
                    assert!(page.total as usize >= seen);
                    let newest = (page.total as usize).checked_sub(1).map(|n| events[n].to_json());
                    assert_eq!(texts(&page).first(), newest.as_ref());
                }
            });
        }
        append(&mut writer, &events, 0);
    });
}
