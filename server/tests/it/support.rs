//! A server for one test, and a client that talks to it.

use pavlov_engine::world::EngineWorld;
use pavlov_engine::{Engine, LogOptions, Options, Settings, history, log};
use pavlov_server::{ServeOptions, serve};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::sync::{Arc, Once};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running server; dropping it without [`Server::stop`] leaves its tasks to the runtime's end.
pub struct Server {
    pub address: String,
    engine: Engine,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
    dir: TempDir,
    client: reqwest::Client,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory")).await
    }

    async fn start_in(dir: TempDir) -> Self {
        static CRYPTO: Once = Once::new();
        CRYPTO.call_once(|| {
            rustls::crypto::ring::default_provider().install_default().expect("nobody installed one before");
        });
        let engine = Engine::start(options(&dir)).await.expect("the engine starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let world = EngineWorld::new(engine.handle(), Default::default(), engine.secrets());
        let served = ServeOptions { secrets: engine.secrets(), world: Arc::new(world) };
        let shutdown = async { drop(stopped.await) };
        let serving = tokio::spawn(serve(engine.handle(), served, listener, shutdown));
        let client =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { address, engine, stop, serving, dir, client }
    }

    /// Stops the server and its engine, as a signal does.
    pub async fn stop(self) -> TempDir {
        let _gone = self.stop.send(());
        self.serving.await.expect("serving does not panic").expect("serving ends well");
        assert_eq!(self.engine.stop().await, None);
        self.dir
    }

    /// Stops it and starts another one over the same data.
    pub async fn restart(self) -> Self {
        Self::start_in(self.stop().await).await
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// Status and body of an answer; an empty body is null.
    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask("POST", path, Some(body)).await
    }

    /// The stored events with this name, the oldest first.
    pub async fn stored(&self, name: &str) -> Vec<Value> {
        let filter = json!({"filter": {"event": {"name": [name]}, "order": "ASC"}});
        let (status, page) = self.post("/api/events/filter", filter).await;
        assert_eq!(status, 200, "{page}");
        page["events"].as_array().cloned().expect("events")
    }
}

/// Sends a request; a body that is no JSON is given as a string.
pub async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    let value =
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::from(text)) };
    (status, value)
}

/// An event as a client sends it; `number` makes its id.
pub fn event(number: u128, name: &str) -> Value {
    let id = uuid::Uuid::from_u128(number);
    json!({
        "id": id, "event": name, "occurred": pavlov_engine::clock::now(),
        "resource": {"prefect.resource.id": "host.a", "team": "sre"}, "payload": {"n": number as u64},
    })
}

fn options(dir: &TempDir) -> Options {
    let data = dir.path().to_owned();
    Options {
        log: LogOptions::Embedded(log::segment::Options::new(data.join("log"))),
        data,
        history: history::Options::default(),
        retention: Default::default(),
        settings: Settings::default(),
        snapshots: Default::default(),
        world: Default::default(),
        secrets: None,
    }
}
