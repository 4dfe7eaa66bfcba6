//! `WS /api/events/out`: after a filter frame, the stored events of the last 15 minutes, then every new one
//! in the machine's order, without gaps or repeats.
//!
//! A subscriber is a cursor into the history, woken when the engine moves on. There is no queue for it: one
//! that reads slowly falls behind in the history and holds only itself.

use super::frame::Message;
use super::handshake::{self, next_text};
use super::socket::{Incoming, Socket};
use crate::door::{Door, blocking, stopping};
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use pavlov_engine::history::{self, Cursor, PAGE_EVENTS_MAX, Token};
use pavlov_engine::{Progress, clock};
use pavlov_events::{Event, EventFilter, Faults, Reader, Timestamp, Uuid};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How far the backfill looks back, as the genuine server's.
const BACKFILL_SECONDS: i64 = 900;
/// Bytes that are gathered before they are sent.
const SEND_BYTES: usize = 256 << 10;
/// A silent client is asked whether it is there, so that a cut line is noticed.
const PING_AFTER: Duration = Duration::from_secs(30);
/// What breaks Prefect's protocol is answered as a protocol error.
const PROTOCOL_ERROR: u16 = 1002;

/// The route.
pub async fn route(State(door): State<Arc<Door>>, request: Request) -> Response {
    handshake::upgrade(&door, request, talk)
}

async fn talk(door: Arc<Door>, mut socket: Socket) {
    let Some(frame) = next_text(&mut socket).await else { return };
    let wanted = match Wanted::read(&frame, clock::now()) {
        Ok(wanted) => wanted,
        Err(reason) => return socket.close(PROTOCOL_ERROR, &reason).await,
    };
    let mut closing = door.closing.clone();
    let mut source = Source::new(&door, wanted);
    let mut unanswered = false;
    loop {
        tokio::select! {
            biased;
            () = stopping(&mut closing) => {
                return socket.close(1001, "the server is stopping").await;
            }
            incoming = socket.next() => {
                unanswered = false;
                match incoming {
                    Incoming::Message(Message::Ping(payload)) => socket.pong(&payload),
                    Incoming::Message(Message::Close(code)) => return socket.close(code.unwrap_or(1000), "").await,
                    Incoming::Message(_) => {}
                    Incoming::Violation(violation) => return socket.close(PROTOCOL_ERROR, violation.reason).await,
                    Incoming::Gone => return,
                }
            }
            events = source.next() => match events {
                Ok(events) => if send(&mut socket, &events).await.is_err() {
                    return;
                },
                Err(error) => {
                    tracing::error!(error = pavlov_engine::error::chain(&error), "a subscriber cannot go on");
                    return socket.close(1011, "the history cannot be read").await;
                }
            },
            () = tokio::time::sleep(PING_AFTER) => {
                if std::mem::replace(&mut unanswered, true) {
                    return;
                }
                socket.ping();
            }
        }
        if socket.flush().await.is_err() {
            return;
        }
    }
}

async fn send(socket: &mut Socket, events: &[Bytes]) -> std::io::Result<()> {
    let mut text = Vec::new();
    for event in events {
        text.clear();
        text.extend_from_slice(b"{\"type\":\"event\",\"event\":");
        text.extend_from_slice(event);
        text.push(b'}');
        socket.text(&text);
        if socket.gathered() >= SEND_BYTES {
            socket.flush().await?;
        }
    }
    socket.flush().await
}

/// What a subscriber asked for.
#[derive(Debug)]
struct Wanted {
    filter: EventFilter,
    backfill: bool,
    /// Live events are compared with these too, if they were given.
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Wanted {
    /// Reads `{"type": "filter", "filter": {…}, "backfill": true}`.
    fn read(frame: &[u8], now: Timestamp) -> Result<Self, String> {
        let frame: Value =
            serde_json::from_slice(frame).map_err(|_| "Expected 'filter' message".to_owned())?;
        if frame["type"] != "filter" {
            return Err("Expected 'filter' message".into());
        }
        let given = frame.get("filter").ok_or("Invalid filter: 'filter' is missing")?;
        let mut faults = Faults::new();
        let read = EventFilter::read(&mut Reader::new(given, "filter", &mut faults), now);
        let Some(mut filter) = read else {
            return Err(format!(
                "Invalid filter: {}",
                faults.first().map_or_else(String::new, ToString::to_string)
            ));
        };
        let occurred = |name: &str| given["occurred"].get(name).is_some();
        let since = occurred("since").then_some(filter.since);
        let until = occurred("until").then_some(filter.until);
        filter.since = filter.since.max(now.plus_seconds(-BACKFILL_SECONDS));
        filter.ascending = true;
        // Only the newest of each resource has no meaning in a stream.
        filter.resource.distinct = false;
        let backfill =
            frame.get("backfill").is_none_or(|wants| wants != &Value::Bool(false) && !wants.is_null());
        Ok(Self { filter, backfill, since, until })
    }

    fn includes_live(&self, event: &Event) -> bool {
        self.filter.includes_at_any_time(event)
            && self.since.is_none_or(|since| event.occurred >= since)
            && self.until.is_none_or(|until| event.occurred <= until)
    }
}

/// What a subscriber gets next. Nothing is lost when [`Self::next`] is dropped.
struct Source {
    wanted: Arc<Wanted>,
    reader: history::Reader,
    progress: watch::Receiver<Progress>,
    /// Live events are those after this.
    cursor: Cursor,
    backfill: Backfill,
    /// Events of the backfill that came after the cursor, and must not be sent again.
    sent_early: HashSet<Uuid>,
    /// The time of the record at the cursor.
    cursor_time: Timestamp,
}

enum Backfill {
    First,
    Next(Box<Token>),
    Done,
}

impl Source {
    fn new(door: &Door, wanted: Wanted) -> Self {
        // Nothing is applied during this look, so the history ends exactly at this position.
        let (position, cursor_time) = door.engine.read(|state| (state.meta.position, state.meta.time));
        Self {
            backfill: if wanted.backfill { Backfill::First } else { Backfill::Done },
            wanted: Arc::new(wanted),
            reader: door.engine.history().clone(),
            progress: door.engine.progress(),
            cursor: Cursor { position, index: u32::MAX },
            sent_early: HashSet::new(),
            cursor_time,
        }
    }

    async fn next(&mut self) -> Result<Vec<Bytes>, history::Error> {
        match &self.backfill {
            Backfill::First => self.page(None).await,
            Backfill::Next(token) => {
                let token = Token::clone(token);
                self.page(Some(token)).await
            }
            Backfill::Done => self.live().await,
        }
    }

    async fn page(&mut self, token: Option<Token>) -> Result<Vec<Bytes>, history::Error> {
        let (reader, wanted) = (self.reader.clone(), Arc::clone(&self.wanted));
        let page = blocking(move || match token {
            Some(token) => reader.query_next(&token),
            None => reader.query(&wanted.filter, PAGE_EVENTS_MAX),
        })
        .await?;
        let late = page.events.iter().filter_map(received_and_id);
        let late = late.filter(|(received, _)| *received >= self.cursor_time).map(|(_, id)| id);
        self.sent_early.extend(late);
        self.backfill = page.next.map_or(Backfill::Done, |token| Backfill::Next(Box::new(token)));
        Ok(page.events)
    }

    /// Waits for new events, and gives those that meet the filter.
    async fn live(&mut self) -> Result<Vec<Bytes>, history::Error> {
        loop {
            // Marked as seen before looking, so that no change in between is missed.
            self.progress.borrow_and_update();
            let (reader, cursor) = (self.reader.clone(), self.cursor);
            let wanted = Arc::clone(&self.wanted);
            let (last, events) = blocking(move || take_live(&reader, cursor, &wanted)).await?;
            match last {
                Some(last) => self.cursor = last,
                None if self.progress.changed().await.is_err() => std::future::pending().await,
                None => continue,
            }
            let new = events.into_iter().filter(|(id, _)| !self.sent_early.remove(id));
            let texts: Vec<Bytes> = new.map(|(_, text)| text).collect();
            if !texts.is_empty() {
                return Ok(texts);
            }
        }
    }
}

type Live = (Option<Cursor>, Vec<(Uuid, Bytes)>);

fn take_live(reader: &history::Reader, cursor: Cursor, wanted: &Wanted) -> Result<Live, history::Error> {
    let events = reader.after(Some(cursor), PAGE_EVENTS_MAX)?;
    let last = events.last().map(|(cursor, _)| *cursor);
    let met = events.into_iter().filter_map(|(_, text)| {
        let event = Event::from_stored(std::str::from_utf8(&text).ok()?).ok()?;
        wanted.includes_live(&event).then_some((event.id, text))
    });
    Ok((last, met.collect()))
}

/// When a stored event was received, and its id.
fn received_and_id(text: &Bytes) -> Option<(Timestamp, Uuid)> {
    let event = Event::from_stored(std::str::from_utf8(text).ok()?).ok()?;
    Some((event.received, event.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-20T12:00:00Z").expect("a time")
    }

    #[test]
    fn filters_look_back_fifteen_minutes_at_most_and_live_events_have_no_end() {
        let wanted =
            Wanted::read(br#"{"type":"filter","filter":{"event":{"prefix":["a."]}}}"#, now()).expect("fine");
        assert!(wanted.backfill && wanted.filter.ascending);
        assert_eq!(wanted.filter.since.to_string(), "2026-11-20T11:45:00Z");
        let later = now().plus_seconds(3_600);
        let event = Event::new(Uuid::nil(), later, "a.b", pavlov_events::Resource::new("x"));
        assert!(wanted.includes_live(&event));
        let until =
            br#"{"type":"filter","backfill":false,"filter":{"occurred":{"until":"2026-11-20T12:30:00Z"}}}"#;
        let wanted = Wanted::read(until, now()).expect("fine");
        assert!(!wanted.backfill && !wanted.includes_live(&event));
    }

    #[test]
    fn what_is_no_filter_is_named() {
        for (frame, reason) in [
            ("nope", "Expected 'filter' message"),
            (r#"{"type":"auth"}"#, "Expected 'filter' message"),
            (r#"{"type":"filter"}"#, "Invalid filter: 'filter' is missing"),
            (
                r#"{"type":"filter","filter":{"x":1}}"#,
                "Invalid filter: filter.x: Extra inputs are not permitted",
            ),
        ] {
            assert_eq!(Wanted::read(frame.as_bytes(), now()).expect_err("bad"), reason);
        }
    }
}
