//! How long a start takes: `start_time [events] [open buckets]`, after a clean stop and after a kill.

use pavlov_actions::Automation;
use pavlov_engine::{Command, Engine, LogOptions, Options, Settings, history};
use pavlov_events::{Event, Faults, Ids, Reader, Resource, Timestamp, Uuid};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn options(data: &Path) -> Options {
    Options {
        data: data.to_owned(),
        log: LogOptions::Embedded(pavlov_engine::log::segment::Options::new(data.join("log"))),
        history: history::Options::default(),
        retention: Default::default(),
        settings: Settings::default(),
        snapshots: Default::default(),
        world: Default::default(),
        secrets: None,
    }
}

fn resident_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / (1024.0 * 1024.0)
}

async fn fill(engine: &Engine, events: usize, buckets: usize) -> Outcome<()> {
    let body = json!({"name": "a", "trigger": {"type": "event", "posture": "Reactive", "expect": ["count"],
        "threshold": 1_000_000, "within": 86_400, "for_each": ["prefect.resource.id"]},
        "actions": [{"type": "do-nothing"}]});
    let mut ids = Ids::new(Uuid::from_u128(1), 1, Timestamp::from_micros(1));
    let mut faults = Faults::new();
    let read = Automation::read_create(&mut Reader::new(&body, "body", &mut faults), &mut || ids.next_uuid());
    let automation = read.ok_or_else(|| format!("{faults:?}"))?;
    let command = Command::CreateAutomation { automation: automation.to_stored() };
    engine.handle().command(command).await?.map_err(|refusal| refusal.detail)?;
    let now = pavlov_engine::clock::now();
    for start in (0..events).step_by(500) {
        let group = (start..start + 500).map(|n| {
            let name = if n < buckets { "count" } else { "other" };
            let mut event =
                Event::new(ids.next_uuid(), now, name, Resource::new(format!("host.{}", n % 100_000)));
            event.payload = r#"{"value":12345,"text":"some text that is about as long as usual"}"#.into();
            event
        });
        engine.handle().submit_events(group.collect()).await?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let (entry, target) = (entry?, to);
        let target = target.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let argument =
        |n: usize, or: usize| std::env::args().nth(n).and_then(|text| text.parse().ok()).unwrap_or(or);
    let (events, buckets) = (argument(1, 1_000_000), argument(2, 100_000));
    let (dir, killed) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let engine = Engine::start(options(dir.path())).await?;
    println!("idle {:.1} MiB", resident_mib());
    let began = Instant::now();
    fill(&engine, events, buckets).await?;
    println!("filled in {:.2} s, {:.1} MiB", began.elapsed().as_secs_f64(), resident_mib());
    copy(dir.path(), killed.path())?;
    engine.stop().await;
    for (name, path) in [("after a stop", dir.path()), ("after a kill", killed.path())] {
        let began = Instant::now();
        let engine = Engine::start(options(path)).await?;
        let took = began.elapsed().as_secs_f64() * 1e3;
        println!(
            "{name}: {took:.0} ms, {} buckets due, {:.1} MiB",
            engine.handle().read(|s| s.deadlines.len()),
            resident_mib()
        );
        engine.stop().await;
    }
    Ok(())
}
