//! Events per second through a whole engine, without HTTP: `ingest_rate [events] [batch] [senders] [automations]`.

use pavlov_engine::history;
use pavlov_engine::{Engine, LogOptions, Options, Settings};
use pavlov_events::{Event, Ids, Resource, Timestamp, Uuid};
use std::time::Instant;

fn argument(index: usize, default: usize) -> usize {
    std::env::args().nth(index).and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (events, batch, senders) = (argument(1, 300_000), argument(2, 100), argument(3, 8));
    let dir = tempfile::tempdir()?;
    let options = Options {
        data: dir.path().to_owned(),
        log: LogOptions::Embedded(pavlov_engine::log::segment::Options::new(dir.path().join("log"))),
        history: history::Options::default(),
        retention: Default::default(),
        settings: Settings::default(),
        snapshots: Default::default(),
        world: Default::default(),
        secrets: None,
    };
    let began = Instant::now();
    let engine = Engine::start(options).await?;
    println!("start {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    let began = Instant::now();
    let mut tasks = Vec::new();
    for sender in 0..senders {
        let handle = engine.handle();
        let mine = events / senders;
        tasks.push(tokio::spawn(async move {
            let mut ids =
                Ids::new(Uuid::from_u128(sender as u128), 1, Timestamp::from_micros(1_760_000_000_000_000));
            let now = pavlov_engine::clock::now();
            let mut sent = 0;
            while sent < mine {
                let group: Vec<Event> = (0..batch)
                    .map(|n| {
                        let mut event = Event::new(
                            ids.next_uuid(),
                            now,
                            "bench.event",
                            Resource::new(format!("bench.res.{}", (sent + n) % 50))
                                .with("prefect.resource.name", "bench"),
                        );
                        event.payload =
                            r#"{"value":12345,"text":"some text that is about as long as usual"}"#.into();
                        event
                    })
                    .collect();
                loop {
                    match handle.submit_events(group.clone()).await {
                        Ok(_) => break,
                        Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
                    }
                }
                sent += batch;
            }
        }));
    }
    for task in tasks {
        task.await?;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{events} events, batch {batch}, {senders} senders: {:.0}/s", events as f64 / seconds);
    let began = Instant::now();
    println!("stop {:?} {:.1} ms", engine.stop().await, began.elapsed().as_secs_f64() * 1e3);
    Ok(())
}
