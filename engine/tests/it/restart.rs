//! Stopping, dying and starting again.

use pavlov_actions::Automation;
use pavlov_engine::{Command, Engine, LogOptions, Options, Settings, history, log};
use pavlov_events::{Event, EventFilter, Faults, Ids, Reader, Resource, Timestamp, Uuid};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

fn options(data: &Path) -> Options {
    Options {
        data: data.to_owned(),
        log: LogOptions::Embedded(log::segment::Options::new(data.join("log"))),
        history: history::Options::default(),
        retention: Default::default(),
        settings: Settings::default(),
        snapshots: Default::default(),
        world: Default::default(),
        secrets: None,
    }
}

async fn start(data: &Path) -> Engine {
    Engine::start(options(data)).await.expect("starts")
}

fn automation(trigger: Value, number: u128) -> Command {
    let body = json!({"name": "a", "trigger": trigger, "actions": [{"type": "do-nothing"}]});
    let mut ids = Ids::new(Uuid::from_u128(number), 1, Timestamp::from_micros(1));
    let mut faults = Faults::new();
    let read = Automation::read_create(&mut Reader::new(&body, "body", &mut faults), &mut || ids.next_uuid());
    Command::CreateAutomation { automation: read.unwrap_or_else(|| panic!("{faults:?}")).to_stored() }
}

fn event(number: u128, name: &str) -> Event {
    Event::new(Uuid::from_u128(number), pavlov_engine::clock::now(), name, Resource::new("r"))
}

fn count(engine: &Engine, name: &str) -> u64 {
    let mut filter = EventFilter::everything(pavlov_engine::clock::now().plus_seconds(60));
    filter.event.name.push(name.to_owned());
    engine.handle().history().query(&filter, 10).expect("readable").total
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_after_a_stop() {
    let dir = tempfile::tempdir().expect("a directory");
    let trigger =
        json!({"type": "event", "posture": "Reactive", "expect": ["a"], "threshold": 3, "within": 600});
    let engine = start(dir.path()).await;
    engine.handle().command(automation(trigger, 1)).await.expect("taken").expect("created");
    engine.handle().submit_events(vec![event(1, "a"), event(2, "a")]).await.expect("taken");
    assert_eq!(engine.stop().await, None);

    let engine = start(dir.path()).await;
    let receipt = engine.handle().submit_events(vec![event(2, "a"), event(3, "a")]).await.expect("taken");
    assert_eq!((receipt.accepted, receipt.duplicates), (1, 1));
    assert_eq!((count(&engine, "a"), count(&engine, "prefect.automation.triggered")), (3, 1));
    assert_eq!(engine.stop().await, None);
}

/// The directory as a killed process leaves it: copied while the engine runs.
fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copied(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target)),
        }
    }
}

async fn some_work(engine: &Engine) {
    let trigger =
        json!({"type": "event", "posture": "Reactive", "expect": ["a"], "threshold": 2, "within": 600});
    engine.handle().command(automation(trigger, 1)).await.expect("taken").expect("created");
    for number in 0..50 {
        engine
            .handle()
            .submit_events(vec![event(100 + number, "a"), event(500 + number, "b")])
            .await
            .expect("taken");
    }
}

async fn same_as(data: &Path, events: u64, firings: u64) {
    let engine = start(data).await;
    assert_eq!((count(&engine, "a"), count(&engine, "prefect.automation.triggered")), (events, firings));
    assert_eq!(engine.stop().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_engine_replays_the_tail_of_its_log() {
    let (dir, after) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let engine = start(dir.path()).await;
    some_work(&engine).await;
    let firings = count(&engine, "prefect.automation.triggered");
    copied(dir.path(), after.path());
    assert_eq!(engine.stop().await, None);
    same_as(after.path(), 50, firings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_is_made_anew_from_the_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = start(dir.path()).await;
    some_work(&engine).await;
    let firings = count(&engine, "prefect.automation.triggered");
    let before = engine.handle().read(|state| state.all_rows());
    assert_eq!(engine.stop().await, None);
    std::fs::remove_dir_all(dir.path().join("state")).expect("removed");
    let engine = start(dir.path()).await;
    let after = engine.handle().read(|state| state.all_rows());
    // The new start is an origin and an epoch of its own; everything else is the same.
    let without_start = |rows: &std::collections::BTreeMap<Vec<u8>, Vec<u8>>| {
        let of_start = |key: &[u8]| matches!(key.first(), Some(b'm' | b'o'));
        rows.iter().filter(|(key, _)| !of_start(key)).map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>()
    };
    assert_eq!(without_start(&before), without_start(&after));
    assert_eq!(count(&engine, "prefect.automation.triggered"), firings);
    assert_eq!(engine.stop().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_open_is_moved_aside_and_a_snapshot_is_used() {
    let dir = tempfile::tempdir().expect("a directory");
    let often = pavlov_engine::engine::SnapshotPolicy {
        records: 20,
        every: Duration::from_secs(3_600),
        log: Default::default(),
    };
    let engine = Engine::start(Options { snapshots: often, ..options(dir.path()) }).await.expect("starts");
    some_work(&engine).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    engine.handle().submit_events(vec![event(900, "a")]).await.expect("taken");
    let firings = count(&engine, "prefect.automation.triggered");
    assert_eq!(engine.stop().await, None);
    let snapshots = std::fs::read_dir(dir.path().join("snapshots")).expect("snapshots").count();
    assert!((1..=2).contains(&snapshots), "{snapshots} snapshots");
    for entry in std::fs::read_dir(dir.path().join("state")).expect("a store") {
        let path = entry.expect("an entry").path();
        if path.is_file() && path.file_name().is_some_and(|name| name == "db") {
            std::fs::write(path, vec![0xAB; 300_000]).expect("written");
        }
    }
    same_as(dir.path(), 51, firings).await;
    assert!(dir.path().join("state.aside-1").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_another_log_is_neither_used_nor_thrown_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = start(dir.path()).await;
    some_work(&engine).await;
    assert_eq!(engine.stop().await, None);
    std::fs::rename(dir.path().join("log"), dir.path().join("log-elsewhere")).expect("renamed");
    let refused = Engine::start(options(dir.path())).await.err().expect("refused").to_string();
    assert!(refused.contains("another log") || refused.contains("belongs to the log"), "{refused}");
    std::fs::remove_dir_all(dir.path().join("log")).expect("removed");
    std::fs::rename(dir.path().join("log-elsewhere"), dir.path().join("log")).expect("renamed");
    same_as(dir.path(), 50, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_is_not_replaced_in_silence() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = start(dir.path()).await;
    let (kind, schema) = engine.handle().read(|state| {
        let kind = state.blocks.block_type_by_slug("secret").expect("a system type").id;
        let schema =
            state.blocks.block_schemas().find(|schema| schema.block_type_id == kind).expect("its schema").id;
        (kind, schema)
    });
    let body =
        json!({"name": "s", "data": {"value": null}, "block_schema_id": schema, "block_type_id": kind});
    let command = pavlov_orchestrator::block::parse::create_document(&body).expect("valid");
    engine.handle().command(Command::Block { command }).await.expect("taken").expect("created");
    assert_eq!(engine.stop().await, None);
    std::fs::remove_file(dir.path().join("secret.key")).expect("removed");
    let refused = Engine::start(options(dir.path())).await.err().expect("refused").to_string();
    assert!(refused.contains("secret.key"), "{refused}");
}
