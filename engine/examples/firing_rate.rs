//! Firings per second with one request each, to a listener in this process: `firing_rate [firings]`.

use pavlov_actions::Automation;
use pavlov_engine::world::WorldOptions;
use pavlov_engine::{Command, Engine, LogOptions, Options, Settings, history};
use pavlov_events::{Event, Faults, Ids, Reader, Resource, Timestamp, Uuid};
use pavlov_notifier::outbound::Policies;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Answers every request; a request ends with `}`, which closes its JSON body.
async fn listener(seen: Arc<AtomicU64>) -> std::io::Result<u16> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                while let Ok(count @ 1..) = socket.read(&mut buffer).await {
                    if buffer[count - 1] == b'}' {
                        seen.fetch_add(1, Ordering::Relaxed);
                        if socket.write_all(ANSWER).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    Ok(port)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let firings: u128 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let dir = tempfile::tempdir()?;
    let options = Options {
        data: dir.path().to_owned(),
        log: LogOptions::Embedded(pavlov_engine::log::segment::Options::new(dir.path().join("log"))),
        history: history::Options::default(),
        retention: Default::default(),
        settings: Settings::default(),
        snapshots: Default::default(),
        world: WorldOptions {
            outbound: Policies { loopback: true, ..Default::default() },
            ..Default::default()
        },
        secrets: None,
    };
    let seen = Arc::new(AtomicU64::new(0));
    let port = listener(Arc::clone(&seen)).await?;
    let engine = Engine::start(options).await?;
    let body = json!({"name": "a", "trigger": {"type": "event", "posture": "Reactive", "expect": ["ping"]},
        "actions": [{"type": "http-request", "method": "POST", "url": format!("http://127.0.0.1:{port}/"),
                     "json": {"id": "{{ event.id }}"}}]});
    let mut ids = Ids::new(Uuid::from_u128(1), 1, Timestamp::from_micros(1));
    let mut faults = Faults::new();
    let automation =
        Automation::read_create(&mut Reader::new(&body, "body", &mut faults), &mut || ids.next_uuid())
            .ok_or_else(|| format!("{faults:?}"))?;
    engine
        .handle()
        .command(Command::CreateAutomation { automation: automation.to_stored() })
        .await?
        .map_err(|r| r.detail)?;
    let began = Instant::now();
    let events: Vec<Event> = (0..firings)
        .map(|n| {
            Event::new(Uuid::from_u128(1_000 + n), pavlov_engine::clock::now(), "ping", Resource::new("r"))
        })
        .collect();
    for group in events.chunks(100) {
        engine.handle().submit_events(group.to_vec()).await?;
    }
    println!("accepted after {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    while u128::from(seen.load(Ordering::Relaxed)) < firings && began.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let received = seen.load(Ordering::Relaxed);
    println!("{received} of {firings} received, {:.0}/s", received as f64 / began.elapsed().as_secs_f64());
    while engine.handle().read(|state| !state.ledger.is_empty()) && began.elapsed() < Duration::from_secs(60)
    {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!(
        "all done after {:.0} ms; {:?}",
        began.elapsed().as_secs_f64() * 1e3,
        engine.handle().counts().0
    );
    engine.stop().await;
    Ok(())
}
