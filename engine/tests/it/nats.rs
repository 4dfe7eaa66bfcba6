//! A whole engine on a real NATS server: events from outside programs, and the copy for them.

use async_nats::jetstream::{self, consumer, stream};
use futures_util::StreamExt;
use pavlov_engine::engine::NatsOptions;
use pavlov_engine::log::nats;
use pavlov_engine::{Engine, LogOptions, Options, Settings, history};
use pavlov_events::{Event, Resource, Uuid};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a server or a message.
const PATIENCE: Duration = Duration::from_secs(20);

/// A NATS server on a free port, ended when dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(store: &Path, port: u16) -> Self {
        let program = std::env::var("PAVLOV_NATS_SERVER").unwrap_or_else(|_| "nats-server".into());
        let child = Command::new(&program)
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(store)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("PAVLOV_NATS_SERVER names a nats-server; {program}: {error}"));
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "the NATS server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, port }
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

async fn start(data: &Path, url: &str) -> Engine {
    let client =
        async_nats::ConnectOptions::new().retry_on_initial_connect().connect(url).await.expect("connects");
    let nats = NatsOptions { log: nats::Options::new(url), client, events_bytes_max: 1 << 30 };
    let options = Options {
        data: data.to_owned(),
        log: LogOptions::Nats(Box::new(nats)),
        history: history::Options::default(),
        retention: Default::default(),
        settings: Settings::default(),
        snapshots: Default::default(),
        world: Default::default(),
        secrets: None,
    };
    Engine::start(options).await.expect("starts")
}

fn event(number: u128, name: &str) -> Vec<Event> {
    vec![Event::new(Uuid::from_u128(number), pavlov_engine::clock::now(), name, Resource::new("r"))]
}

/// Waits until the history holds an event of this name.
async fn told(engine: &Engine, name: &str) -> Value {
    let began = Instant::now();
    loop {
        let all = engine.handle().history().after(None, 10_000).expect("readable");
        let found = all.iter().map(|(_, body)| serde_json::from_slice::<Value>(body).expect("JSON"));
        if let Some(event) = found.into_iter().find(|event| event["event"] == name) {
            return event;
        }
        assert!(began.elapsed() < PATIENCE, "{name} was not told");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Everything in the copy, as (cursor, event name), until the event of this name.
async fn copy_until(client: &async_nats::Client, name: &str) -> Vec<(String, String)> {
    let stream: stream::Stream =
        jetstream::new(client.clone()).get_stream("PAVLOV_EVENTS").await.expect("a stream");
    let config = consumer::pull::OrderedConfig::default();
    let mut messages =
        stream.create_consumer(config).await.expect("a consumer").messages().await.expect("messages");
    let mut seen = Vec::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, messages.next()).await.expect("in time");
        let message = next.expect("not ended").expect("a message");
        let cursor =
            message.headers.as_ref().and_then(|h| h.get("Pavlov-Cursor")).expect("a cursor").to_string();
        let body: Value = serde_json::from_slice(&message.payload).expect("JSON");
        seen.push((cursor, body["event"].as_str().expect("a name").to_owned()));
        if body["event"] == name {
            return seen;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_programs_tell_events_and_get_every_state_change_once_in_order() {
    let (data, store) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let port = free_port();
    let server = Server::start(store.path(), port);
    let engine = start(data.path(), &server.url()).await;
    let client = async_nats::connect(server.url()).await.expect("connects");
    let body = json!({"event": "backup.finished", "resource": {"prefect.resource.id": "host.a"}});
    client.publish("pavlov.in.backup", body.to_string().into()).await.expect("published");
    client.publish("pavlov.in.backup", "{\"event\":".into()).await.expect("published");
    client.flush().await.expect("sent");
    assert_eq!(told(&engine, "backup.finished").await["resource"]["prefect.resource.id"], "host.a");
    let refused = told(&engine, "pavlov.event.refused").await;
    assert_eq!(refused["payload"]["source"], "pavlov.in.backup");
    engine.handle().submit_events(event(1, "first")).await.expect("taken");
    assert_eq!(engine.stop().await, None);

    // The server dies and comes back; the engine starts again on what both have kept.
    drop(server);
    let server = Server::start(store.path(), port);
    let engine = start(data.path(), &server.url()).await;
    let again = engine.handle().submit_events(event(1, "first")).await.expect("taken");
    assert_eq!((again.accepted, again.duplicates), (0, 1));
    engine.handle().submit_events(event(2, "last")).await.expect("taken");
    let client = async_nats::connect(server.url()).await.expect("connects");
    let copied = copy_until(&client, "last").await;
    let all = engine.handle().history().after(None, 10_000).expect("readable");
    let expected: Vec<(String, String)> = all
        .iter()
        .map(|(cursor, body)| {
            let event: Value = serde_json::from_slice(body).expect("JSON");
            (
                format!("{}.{}", cursor.position, cursor.index),
                event["event"].as_str().expect("a name").to_owned(),
            )
        })
        .collect();
    assert_eq!(copied, expected);
    assert_eq!(engine.stop().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_and_returns_loses_nothing_that_was_acknowledged() {
    let (data, store) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let port = free_port();
    let mut server = Server::start(store.path(), port);
    let engine = start(data.path(), &server.url()).await;
    let mut sent = 0;
    for round in 0..3u128 {
        let writers: Vec<_> = (0..200)
            .map(|n| {
                let handle = engine.handle();
                tokio::spawn(async move { handle.submit_events(event(round * 1_000 + n, "e")).await })
            })
            .collect();
        drop(server);
        server = Server::start(store.path(), port);
        for writer in writers {
            let receipt = tokio::time::timeout(PATIENCE, writer).await.expect("in time").expect("no panic");
            sent += receipt.expect("acknowledged").accepted;
        }
    }
    let stored = engine.handle().history().after(None, 100_000).expect("readable");
    let stored = stored.iter().filter(|(_, body)| body.windows(11).any(|w| w == b"\"event\":\"e\"")).count();
    assert_eq!((sent, stored), (600, 600));
    assert_eq!(engine.stop().await, None);
}
