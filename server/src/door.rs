//! [`Door`]: what every handler has at hand.

use axum::http::HeaderMap;
use axum::http::header::HOST;
use pavlov_engine::Handle;
use pavlov_engine::clock;
use pavlov_engine::secret::SecretBox;
use pavlov_engine::world::EngineWorld;
use pavlov_events::{Event, Faults, Resource, Uuid};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Semaphore, watch};

/// Bytes of a refused input that its `pavlov.event.refused` event shows.
const EXCERPT_BYTES_MAX: usize = 1024;
/// Faults that it names.
const FAULTS_SHOWN_MAX: usize = 10;

/// A running engine, the key of its secrets, and whether the server is stopping.
pub struct Door {
    /// The engine.
    pub engine: Handle,
    /// The key of the secrets.
    pub secrets: Arc<SecretBox>,
    /// What actions may reach, for trying one out.
    pub world: Arc<EngineWorld>,
    /// When the server began.
    pub started: Instant,
    /// How many more sockets may be opened.
    pub sockets: Arc<Semaphore>,
    /// Becomes true when the server stops; sockets then say goodbye.
    pub closing: watch::Receiver<bool>,
}

/// An input that was refused.
#[derive(Debug)]
pub struct RefusedInput<'a> {
    /// The door it came through, for the event's resource: `http` or `websocket`.
    pub door: &'static str,
    /// The route.
    pub source: &'static str,
    /// How many events were refused.
    pub events: u64,
    /// Why.
    pub faults: &'a Faults,
    /// What was given, or its beginning.
    pub given: &'a [u8],
}

impl Door {
    /// Counts and logs a refused input, and makes the event that tells of it.
    pub fn refuse(&self, input: &RefusedInput<'_>) -> Event {
        self.engine.count_refused(input.events);
        let shown: Vec<String> =
            input.faults.iter().take(FAULTS_SHOWN_MAX).map(ToString::to_string).collect();
        let excerpt = String::from_utf8_lossy(&input.given[..input.given.len().min(EXCERPT_BYTES_MAX)]);
        let first = shown.first().map_or("", String::as_str);
        let first: String = first.chars().take(300).collect();
        tracing::warn!(source = input.source, events = input.events, reason = first, "events were refused");
        let resource = Resource::new(format!("pavlov.door.{}", input.door));
        let mut event = Event::new(new_id(), clock::now(), "pavlov.event.refused", resource);
        let reasons: Vec<String> = shown.iter().map(|fault| fault.chars().take(500).collect()).collect();
        event.payload = json!({
            "source": input.source, "events": input.events, "faults": reasons, "excerpt": excerpt,
        })
        .to_string()
        .into();
        event
    }

    /// As [`Self::refuse`], and tells the event. Under overload the counter and the log line must do.
    pub async fn refuse_and_tell(&self, input: RefusedInput<'_>) {
        let event = self.refuse(&input);
        if let Err(error) = self.engine.submit_events(vec![event]).await {
            tracing::debug!(%error, "a refusal could not be told as an event");
        }
    }
}

/// Returns once the server stops.
pub async fn stopping(closing: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is no less a stop.
    drop(closing.wait_for(|closing| *closing).await);
}

/// A new random id, shaped as UUID version 7, so that ids sort by time.
pub fn new_id() -> Uuid {
    let mut random = [0; 10];
    getrandom::fill(&mut random).expect("a kernel that runs this gives random bytes");
    let millis = u64::try_from(clock::now().millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// The address that a client used, without a path: `http://host:4200`. A proxy in front may say `https`.
pub fn base_url(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(HOST.as_str()).unwrap_or("localhost");
    let scheme = if text("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    format!("{scheme}://{host}")
}

/// Runs something that reads files on a thread that may wait.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_new_and_sort_by_time() {
        let (first, second) = (new_id(), new_id());
        assert_ne!(first, second);
        assert_eq!(first.get_version_num(), 7);
    }

    #[test]
    fn the_base_url_is_the_one_that_the_client_used() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "example.org:4200".parse().expect("a header"));
        assert_eq!(base_url(&headers), "http://example.org:4200");
        headers.insert("x-forwarded-proto", "https".parse().expect("a header"));
        assert_eq!(base_url(&headers), "https://example.org:4200");
    }
}
