//! A world that remembers, a listener that answers as told, and actions to perform.

use pavlov_actions::world::{NatsMessage, Pending, Refusal};
use pavlov_actions::{Action, Attempt, Automation, TriggeredAction, Verdict, World, act};
use pavlov_events::{Event, Faults, Reader, Timestamp, Uuid};
use pavlov_notifier::Outbound;
use pavlov_notifier::channel::{MailServer, Mailers};
use pavlov_notifier::outbound::Policies;
use pavlov_triggers::Firing;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The block document that actions name.
pub const BLOCK: &str = "0199a5c0-0000-7000-8000-0000000000b1";
/// The id of every triggered action here.
pub const ACTION: &str = "0199a5c0-0000-7000-8000-0000000000c1";

/// Remembers what it is asked for.
pub struct Remembering {
    pub blocks: HashMap<Uuid, Value>,
    pub programs: Vec<String>,
    pub refusal: Option<Refusal>,
    pub commands: Mutex<Vec<(String, Value, String)>>,
    pub events: Mutex<Vec<Event>>,
    pub messages: Mutex<Vec<NatsMessage>>,
    pub mail: Option<MailServer>,
    outbound: Outbound,
    mailers: Mailers,
}

impl Remembering {
    pub fn new() -> Self {
        Self {
            blocks: HashMap::new(),
            programs: vec!["/bin/sh".into(), "/bin/cat".into(), "/bin/echo".into()],
            refusal: None,
            commands: Mutex::default(),
            events: Mutex::default(),
            messages: Mutex::default(),
            mail: None,
            outbound: Outbound::new(Policies { loopback: true, networks: Vec::new() }),
            mailers: Mailers::default(),
        }
    }

    /// The same with the block document that actions name.
    pub fn with_block(mut self, slug: &str, data: Value) -> Self {
        let document = json!({"name": "the-block", "block_type": {"slug": slug}, "data": data});
        self.blocks.insert(BLOCK.parse().expect("an id"), document);
        self
    }

    fn answer<T: Send + 'static>(&self, value: T) -> Pending<'_, Result<T, Refusal>> {
        let refusal = self.refusal.clone();
        Box::pin(async move { refusal.map_or(Ok(value), Err) })
    }
}

impl World for Remembering {
    fn now(&self) -> Timestamp {
        Timestamp::parse("2026-11-20T21:00:00Z").expect("a time")
    }

    fn ui_url(&self) -> Option<String> {
        Some("http://ui.example.org".into())
    }

    fn block_document(&self, id: Uuid) -> Option<Value> {
        self.blocks.get(&id).cloned()
    }

    fn variable(&self, _: &str) -> Option<Value> {
        None
    }

    fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    fn mailers(&self) -> &Mailers {
        &self.mailers
    }

    fn mail_server(&self, name: Option<&str>) -> Option<MailServer> {
        self.mail.clone().filter(|_| name.is_none_or(|name| name == "main"))
    }

    fn allowed_programs(&self) -> &[String] {
        &self.programs
    }

    fn command(&self, kind: &str, payload: Value, key: &str) -> Pending<'_, Result<Value, Refusal>> {
        self.commands.lock().expect("no panic").push((kind.into(), payload, key.into()));
        self.answer(Value::Null)
    }

    fn emit(&self, event: Event) -> Pending<'_, Result<(), Refusal>> {
        self.events.lock().expect("no panic").push(event);
        self.answer(())
    }

    fn publish_nats(&self, message: NatsMessage) -> Pending<'_, Result<(), Refusal>> {
        self.messages.lock().expect("no panic").push(message);
        self.answer(())
    }
}

/// One action of a firing by `disk.full` of `host.a1`.
pub fn triggered(action: Value) -> TriggeredAction {
    let event = json!({
        "occurred": "2026-11-20T20:04:21Z", "event": "disk.full", "received": "2026-11-20T20:04:22Z",
        "resource": {"prefect.resource.id": "host.a1", "prefect.resource.name": "a1"},
        "related": [{"prefect.resource.id": "prefect.automation.0199a5c0-0000-7000-8000-0000000000d1",
            "prefect.resource.role": "automation"}],
        "payload": {"percent": 93, "text": "it's \"full\"; rm -rf /"},
        "id": "0199a5c0-0000-7000-8000-000000000001", "follows": null
    });
    let definition = json!({"name": "disk full", "actions": [action],
        "trigger": {"type": "event", "posture": "Reactive", "expect": ["disk.full"], "for_each": ["prefect.resource.id"]}});
    let mut faults = Faults::new();
    let mut count = 0xa0;
    let mut ids = || {
        count += 1;
        Uuid::from_u128(count)
    };
    let automation = Automation::read_create(&mut Reader::new(&definition, "body", &mut faults), &mut ids);
    let automation = automation.unwrap_or_else(|| panic!("{faults:?}"));
    let firing = Firing::from_value(&json!({
        "id": "0199a5c0-0000-7000-8000-0000000000f1", "trigger": {"id": automation.trigger.id()},
        "trigger_states": ["Triggered"], "triggered": "2026-11-20T20:04:23Z",
        "triggering_labels": {"prefect.resource.id": "host.a1"}, "triggering_firings": [],
        "triggering_event": event, "triggering_value": null, "occurred": "2026-11-20T20:04:21Z",
        "reason": "threshold-met", "late_micros": 0, "deaf_micros": 0
    }));
    let firing = firing.expect("a firing");
    TriggeredAction {
        id: ACTION.parse().expect("an id"),
        action: automation.actions[0].clone(),
        automation: Arc::new(automation),
        index: 0,
        triggered: firing.triggered,
        event: firing.event.clone(),
        firing: Arc::new(firing),
        triggered_event_id: Uuid::from_u128(0xe1),
    }
}

/// Performs an action given as JSON.
pub async fn perform(action: Value, world: &Remembering) -> Attempt {
    let action = triggered(action);
    let stored = serde_json::to_string(&action).expect("stored");
    assert_eq!(serde_json::from_str::<TriggeredAction>(&stored).expect("read again"), action);
    assert_eq!(Action::from_stored(&action.action.to_value()).as_ref(), Ok(&action.action));
    act(&action, world).await
}

/// The reason of a final failure.
pub fn final_reason(attempt: &Attempt) -> &str {
    match &attempt.verdict {
        Verdict::Final { reason } => reason,
        other => panic!("not final: {other:?}"),
    }
}

/// A listener that answers every request with `answer` (nothing: hangs) and remembers what it was sent.
pub struct Listener {
    pub url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    pub async fn start(answer: Option<&str>) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook", socket.local_addr().expect("bound"));
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answer, seen) = (answer.map(str::to_owned), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = socket.accept().await {
                let (answer, seen) = (answer.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    let mut part = [0; 4_096];
                    while let Ok(count @ 1..) = stream.read(&mut part).await {
                        bytes.extend_from_slice(&part[..count]);
                        let text = String::from_utf8_lossy(&bytes).into_owned();
                        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                        if body.len() < length.map_or(0, |length| length.parse().expect("a length")) {
                            continue;
                        }
                        seen.lock().expect("no panic").push(text);
                        bytes.clear();
                        match &answer {
                            Some(answer) => stream.write_all(answer.as_bytes()).await.expect("written"),
                            None => std::future::pending().await,
                        }
                    }
                });
            }
        });
        Self { url, requests }
    }

    /// The last request, head and body.
    pub fn request(&self) -> (String, String) {
        let requests = self.requests.lock().expect("no panic");
        let (head, body) = requests.last().expect("a request came").split_once("\r\n\r\n").expect("whole");
        (head.to_owned(), body.to_owned())
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.requests.lock().expect("no panic").len()
    }
}

/// An answer without a body.
pub fn status(line: &str) -> String {
    format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n")
}
