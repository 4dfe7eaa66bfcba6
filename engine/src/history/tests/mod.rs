//! The history against the plainest one there could be: a list of events.

mod disk;
mod properties;
mod questions;

use super::{Cursor, History, Options, Page, Reader, Token, Writer};
use pavlov_events::{Event, EventFilter, Resource, Timestamp, Uuid};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

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

fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: fs::DirEntry| {
        (entry.file_name().into_string().expect("plain"), fs::read(entry.path()).expect("readable"))
    };
    fs::read_dir(dir).expect("a directory").map(|entry| read(entry.expect("an entry"))).collect()
}

fn names(dir: &Path, extension: &str) -> Vec<String> {
    contents(dir).into_keys().filter(|name| name.ends_with(extension)).collect()
}
