//! How fast the history is written, opened and asked.
//!
//! `cargo run --release -p pavlov-engine --example history_rate -- [EVENTS] [DIR]` writes EVENTS (1,000,000)
//! events with distinct resource ids and 100 names to DIR (a temporary directory, removed in the end), syncs
//! once a second, opens them again and asks. Prints rates, times and resident memory.

use pavlov_engine::history::{Countable, Cursor, Error, History, Options, Reader, Spans};
use pavlov_events::{Event, EventFilter, Resource, Timestamp, Uuid};
use std::path::Path;
use std::time::{Duration, Instant};

/// 2026-11-20T00:00:00Z; one event every 10 ms from then on.
const START_MICROS: i64 = 1_795_132_800_000_000;
const STEP_MICROS: i64 = 10_000;
/// Events between two flushes, as a group of records has them.
const GROUP: u64 = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let count: u64 = args.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let temporary = tempfile::TempDir::new()?;
    let dir = args.next().map_or_else(|| temporary.path().to_owned(), Into::into);
    println!("{count} events with distinct resource ids; resident at start {} MiB", resident_mib()?);
    write(&dir, count)?;

    let start = Instant::now();
    let (writer, reader) = History::open(&dir, Options::default(), None)?;
    println!("open: {:.1} ms, resident {} MiB", millis(start.elapsed()), resident_mib()?);
    ask(&reader, count)?;
    println!("resident in the end {} MiB", resident_mib()?);
    drop(writer);
    Ok(())
}

fn event(number: u64) -> Event {
    let occurred = Timestamp::from_micros(START_MICROS + number as i64 * STEP_MICROS);
    let resource = Resource::new(format!("app.worker.{:08x}", number.wrapping_mul(2_654_435_761) as u32))
        .with("prefect.resource.name", format!("worker {number}"))
        .with("region", "eu-west-1");
    // The time and a spread of the number, as version 7 would have it.
    let id = Uuid::from_u64_pair(number << 16 | 0x7000, number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut event = Event::new(id, occurred, format!("app.job.step-{}", number % 100), resource);
    event.related = vec![Resource::related("site", format!("site.{}", number % 20))];
    event.payload = format!(r#"{{"number":{number},"message":"the step is done","took_ms":12}}"#).into();
    event
}

fn write(dir: &Path, count: u64) -> Result<(), Error> {
    let (mut writer, reader) = History::open(dir, Options::default(), None)?;
    let (start, mut made, mut last, mut slowest) =
        (Instant::now(), Duration::ZERO, Instant::now(), Duration::ZERO);
    for group in 0..count.div_ceil(GROUP) {
        let before = Instant::now();
        let events: Vec<Event> = (group * GROUP..((group + 1) * GROUP).min(count)).map(event).collect();
        made += before.elapsed();
        let before = Instant::now();
        for (index, event) in (0..).zip(&events) {
            writer.append(Cursor { position: group, index }, event)?;
        }
        writer.flush()?;
        if last.elapsed() > Duration::from_secs(1) {
            writer.sync()?;
            last = Instant::now();
        }
        slowest = slowest.max(before.elapsed());
    }
    writer.sync()?;
    let took = start.elapsed() - made;
    let rate = count as f64 / took.as_secs_f64();
    println!(
        "write: {rate:.0} events/s ({:.2} s), slowest group {:.1} ms",
        took.as_secs_f64(),
        millis(slowest)
    );
    let stats = reader.stats()?;
    let resident = resident_mib().unwrap_or_default();
    println!("{} MiB in {} segments, resident {resident} MiB", stats.bytes >> 20, stats.segments);
    let before = Instant::now();
    drop((writer, reader));
    println!("close, waiting for the last index: {:.1} ms", millis(before.elapsed()));
    Ok(())
}

fn ask(reader: &Reader, count: u64) -> Result<(), Error> {
    let whole = || {
        let mut filter = EventFilter::everything(Timestamp::MAX);
        filter.since = Timestamp::MIN;
        filter
    };
    let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % count;
    let time = |n: u64| Timestamp::from_micros(START_MICROS + n as i64 * STEP_MICROS);
    measure("everything, first page", 200, |_| Ok(reader.query(&whole(), 50)?.total))?;
    measure("one resource", 1_000, |n| {
        let mut filter = whole();
        filter.resource.id = vec![event(spread(n)).resource.id().to_owned()];
        Ok(reader.query(&filter, 50)?.total)
    })?;
    measure("one resource and a time range", 1_000, |n| {
        let mut filter = whole();
        (filter.since, filter.until) = (time(spread(n) / 2), time(count / 2 + spread(n) / 2));
        filter.resource.id = vec![event(spread(n)).resource.id().to_owned()];
        Ok(reader.query(&filter, 50)?.total)
    })?;
    measure("one related resource and a time range", 100, |n| {
        let mut filter = whole();
        (filter.since, filter.until) = (time(spread(n) / 2), time(count / 2 + spread(n) / 2));
        filter.any_resource = vec![pavlov_events::filter::ResourceFilter {
            id: vec![format!("site.{}", n % 20)],
            ..Default::default()
        }];
        Ok(reader.query(&filter, 50)?.total)
    })?;
    measure("a prefix of the resource", 200, |n| {
        let mut filter = whole();
        filter.resource.id_prefix = vec![format!("app.worker.{:03x}", n * 17)];
        Ok(reader.query(&filter, 50)?.total)
    })?;
    measure("a name and a time range", 100, |n| {
        let mut filter = whole();
        (filter.since, filter.until) = (time(spread(n) / 2), time(count / 2 + spread(n) / 2));
        filter.event.name = vec![format!("app.job.step-{}", n % 100)];
        Ok(reader.query(&filter, 50)?.total)
    })?;
    measure("by id", 1_000, |n| Ok(reader.get(event(spread(n)).id)?.map_or(0, |_| 1)))?;
    measure("1,000 in order from anywhere", 200, |n| {
        let cursor = Cursor { position: spread(n) / GROUP, index: 7 };
        Ok(reader.after(Some(cursor), 1_000)?.len() as u64)
    })?;
    measure("count by day, everything", 5, |_| {
        let mut filter = whole();
        (filter.since, filter.until) = (time(0), time(count));
        Ok(reader.count_by(&filter, Countable::Day, Spans::default(), time(count))?.len() as u64)
    })?;
    measure("count by name, everything", 5, |_| {
        let mut filter = whole();
        (filter.since, filter.until) = (time(0), time(count));
        Ok(reader.count_by(&filter, Countable::Event, Spans::default(), time(count))?.len() as u64)
    })?;
    measure("text, the last 20,000 events", 5, |_| {
        let mut filter = whole();
        filter.since = time(count.saturating_sub(20_000));
        filter.text = Some(pavlov_events::filter::TextFilter::new("\"worker 99\""));
        Ok(reader.query(&filter, 50)?.total)
    })
}

fn measure(what: &str, times: u64, mut question: impl FnMut(u64) -> Result<u64, Error>) -> Result<(), Error> {
    let (mut took, mut found) = (Vec::new(), 0);
    for number in 0..times {
        let start = Instant::now();
        found += question(number)?;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    let at = |part: usize| millis(took[(took.len() * part / 100).min(took.len() - 1)]);
    println!(
        "{what}: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms, mean total {}",
        at(50),
        at(99),
        at(100),
        found / times
    );
    Ok(())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn resident_mib() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1_024)
}
