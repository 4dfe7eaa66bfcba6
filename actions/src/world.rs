//! [`World`]: what an action needs from the server that performs it. The engine implements it.

use pavlov_events::{Event, Timestamp, Uuid};
use pavlov_notifier::Outbound;
use pavlov_notifier::channel::{MailServer, Mailers};
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;

/// An answer that is still to come.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The server, as actions see it.
pub trait World: Send + Sync {
    /// The present.
    fn now(&self) -> Timestamp;

    /// The address of the web pages, for links in messages.
    fn ui_url(&self) -> Option<String>;

    /// A block document in Prefect's shape with its secrets in plain text: `name`, `data` and
    /// `block_type.slug`.
    fn block_document(&self, id: Uuid) -> Option<Value>;

    /// The value of a variable.
    fn variable(&self, name: &str) -> Option<Value>;

    /// The guard on outbound connections, with its clients.
    fn outbound(&self) -> &Outbound;

    /// The connections to mail servers.
    fn mailers(&self) -> &Mailers;

    /// A mail server of the settings: the named one, or without a name the first.
    fn mail_server(&self, name: Option<&str>) -> Option<MailServer>;

    /// The programs that `run-command` may start, as absolute paths; `*` allows all.
    fn allowed_programs(&self) -> &[String];

    /// Asks for a change of our own state, such as `pause-automation` with `{"automation_id": "…"}`. The
    /// same key asks once, however often it is used.
    fn command(
        &self,
        kind: &str,
        payload: Value,
        idempotency_key: &str,
    ) -> Pending<'_, Result<Value, Refusal>>;

    /// Tells an event; one with an id that was told before is the same event.
    fn emit(&self, event: Event) -> Pending<'_, Result<(), Refusal>>;

    /// Publishes a message on NATS.
    fn publish_nats(&self, message: NatsMessage) -> Pending<'_, Result<(), Refusal>>;
}

/// A message for NATS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsMessage {
    /// Where to, without wildcards.
    pub subject: String,
    /// Headers; `Nats-Msg-Id` is among them.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub payload: Vec<u8>,
}

/// Why the server did not do what an action asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whether it may do so later.
    pub retry: bool,
    /// The status that the API would have answered, such as 404.
    pub status: u16,
    /// Why, for a person.
    pub detail: String,
}
