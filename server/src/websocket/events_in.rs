//! `WS /api/events/in`: one event a text frame. **The pong is the acknowledgement**: it is sent when every
//! frame before the ping is durable and applied, and nothing else is ever sent, because the genuine client
//! does not read and unread frames would stall it. Who asks with `?replies=1` gets one JSON frame for each.
//!
//! Frames are gathered while a record is under way and become the next one; there is no timer. When the
//! engine is busy, nothing more is read until it takes what there is. A bad frame is refused alone.

use super::frame::Message;
use super::handshake;
use super::socket::{Incoming, Socket};
use crate::door::{Door, RefusedInput, stopping};
use crate::query;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use pavlov_engine::SubmitError;
use pavlov_events::limits::EVENT_BYTES_MAX;
use pavlov_events::{Event, Fault, Faults, Loc, Uuid};
use serde_json::{Value, json};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

const ROUTE: &str = "WS /api/events/in";
/// What is gathered while a record is under way, in frames and bytes; then reading stops.
const GATHERED_FRAMES_MAX: usize = 5_000;
const GATHERED_BYTES_MAX: usize = 4 << 20;
/// Pauses before a refused record is tried again.
const PAUSE_BUSY: Duration = Duration::from_millis(20);
const PAUSE_DISK_FULL: Duration = Duration::from_secs(1);

/// The route.
pub async fn route(State(door): State<Arc<Door>>, request: Request) -> Response {
    match query::flag(request.uri(), "replies") {
        Ok(replies) => handshake::upgrade(&door, request, move |door, socket| talk(door, socket, replies)),
        Err(failure) => failure.into_response(),
    }
}

/// What was read and is not under way yet.
#[derive(Debug, Default)]
struct Gathered {
    events: Vec<Event>,
    /// The frames of these events, to read them again if the engine is busy.
    frames: Vec<Frame>,
    bytes: usize,
    owed: Vec<Owed>,
}

#[derive(Debug)]
enum Frame {
    /// As it came.
    Told(Bytes),
    /// Our own event about a refused one.
    Refusal(Box<Event>),
}

/// What is sent once everything gathered before it is durable.
#[derive(Debug)]
enum Owed {
    Pong(Bytes),
    Accepted(Uuid),
    Refused(Value),
}

/// Why reading ended, and what is said then.
#[derive(Debug)]
enum End {
    Goodbye(u16, &'static str),
    Gone,
}

type Committing = Pin<Box<dyn Future<Output = Result<Vec<Owed>, SubmitError>> + Send>>;

async fn talk(door: Arc<Door>, mut socket: Socket, replies: bool) {
    let mut closing = door.closing.clone();
    let (mut gathered, mut end) = (Gathered::default(), None);
    let mut committing: Option<Committing> = None;
    loop {
        while end.is_none() && !gathered.is_full() {
            match socket.buffered() {
                Some(incoming) => end = gathered.take(&door, incoming, replies),
                None => break,
            }
        }
        if committing.is_none() {
            if !gathered.is_empty() {
                committing = Some(Box::pin(commit(Arc::clone(&door), std::mem::take(&mut gathered))));
                // There is room again for what was read already.
                continue;
            }
            if let Some(end) = end {
                return say_goodbye(&mut socket, end).await;
            }
        }
        let may_read = end.is_none() && !gathered.is_full();
        tokio::select! {
            done = finished(&mut committing), if committing.is_some() => {
                committing = None;
                match done {
                    Ok(owed) => if settle(&mut socket, owed).await.is_err() {
                        end = Some(End::Gone);
                    },
                    Err(error) => {
                        tracing::debug!(%error, "a socket ends with frames that are not acknowledged");
                        return socket.close(1011, "the server cannot store events").await;
                    }
                }
            }
            more = socket.fill(), if may_read => if !more {
                end = Some(End::Gone);
            },
            () = stopping(&mut closing), if end.is_none() => {
                end = Some(End::Goodbye(1001, "the server is stopping"));
            }
        }
    }
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.owed.len().max(self.frames.len()) >= GATHERED_FRAMES_MAX || self.bytes >= GATHERED_BYTES_MAX
    }

    fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.owed.is_empty()
    }

    /// Takes one message; says whether it was the last.
    fn take(&mut self, door: &Door, incoming: Incoming, replies: bool) -> Option<End> {
        let message = match incoming {
            Incoming::Message(message) => message,
            Incoming::Violation(violation) => return Some(End::Goodbye(1002, violation.reason)),
            Incoming::Gone => return Some(End::Gone),
        };
        match message {
            Message::Text(text) => match read_event(&text) {
                Ok(event) => {
                    if replies {
                        self.owed.push(Owed::Accepted(event.id));
                    }
                    self.bytes += text.len();
                    self.events.push(event);
                    self.frames.push(Frame::Told(text));
                }
                Err(faults) => self.refuse(door, &faults, &text, replies),
            },
            Message::Binary(bytes) => {
                let faults = vec![fault("a binary frame; an event is a text frame".to_owned())];
                self.refuse(door, &faults, &bytes, replies);
            }
            Message::TooLarge { bytes, head } => {
                self.refuse(door, &vec![too_large(bytes)], &head, replies);
            }
            Message::Ping(payload) => self.owed.push(Owed::Pong(payload)),
            Message::Pong => {}
            Message::Close(code) => return Some(End::Goodbye(code.unwrap_or(1000), "")),
        }
        None
    }

    fn refuse(&mut self, door: &Door, faults: &Faults, given: &[u8], replies: bool) {
        let input = RefusedInput { door: "websocket", source: ROUTE, events: 1, faults, given };
        let event = door.refuse(&input);
        self.events.push(event.clone());
        self.frames.push(Frame::Refusal(Box::new(event)));
        if replies {
            let mut shown = faults.clone();
            shown.iter_mut().for_each(|fault| fault.input = Value::Null);
            self.owed.push(Owed::Refused(json!(shown)));
        }
    }
}

/// Reads one frame as an event.
fn read_event(text: &Bytes) -> Result<Event, Faults> {
    // The engine measures events without their escapes and adds a margin; a frame below this always fits.
    if text.len() + 256 > EVENT_BYTES_MAX {
        return Err(vec![too_large(text.len() as u64)]);
    }
    match std::str::from_utf8(text) {
        Ok(text) => Event::parse(text, None),
        Err(error) => Err(vec![fault(format!("the frame is not UTF-8: {error}"))]),
    }
}

/// Makes what was gathered durable, however long it takes.
async fn commit(door: Arc<Door>, gathered: Gathered) -> Result<Vec<Owed>, SubmitError> {
    let Gathered { mut events, frames, owed, .. } = gathered;
    if frames.is_empty() {
        return Ok(owed);
    }
    let mut told_full = false;
    loop {
        match door.engine.submit_events(events).await {
            Ok(_) => return Ok(owed),
            Err(SubmitError::Busy { .. }) => tokio::time::sleep(PAUSE_BUSY).await,
            Err(error @ SubmitError::DiskFull { .. }) => {
                if !std::mem::replace(&mut told_full, true) {
                    tracing::warn!(%error, "a socket waits");
                }
                tokio::time::sleep(PAUSE_DISK_FULL).await;
            }
            Err(error) => return Err(error),
        }
        // Sending again what was stored already is harmless: ids are known.
        events = frames.iter().filter_map(Frame::event).collect();
    }
}

impl Frame {
    fn event(&self) -> Option<Event> {
        match self {
            Self::Told(text) => read_event(text).ok(),
            Self::Refusal(event) => Some(Event::clone(event)),
        }
    }
}

async fn finished(committing: &mut Option<Committing>) -> Result<Vec<Owed>, SubmitError> {
    match committing {
        Some(committing) => committing.await,
        None => std::future::pending().await,
    }
}

async fn settle(socket: &mut Socket, owed: Vec<Owed>) -> std::io::Result<()> {
    for one in owed {
        match one {
            Owed::Pong(payload) => socket.pong(&payload),
            Owed::Accepted(id) => socket.text(json!({"type": "accepted", "id": id}).to_string().as_bytes()),
            Owed::Refused(faults) => {
                socket.text(json!({"type": "refused", "faults": faults}).to_string().as_bytes());
            }
        }
    }
    socket.flush().await
}

async fn say_goodbye(socket: &mut Socket, end: End) {
    if let End::Goodbye(code, reason) = end {
        socket.close(code, reason).await;
    }
}

fn too_large(bytes: u64) -> Fault {
    fault(format!("the event has {bytes} bytes, at most {EVENT_BYTES_MAX} are allowed"))
}

fn fault(msg: String) -> Fault {
    Fault { kind: "value_error", loc: vec![Loc::Field("body".into())], msg, input: Value::Null, ctx: None }
}
