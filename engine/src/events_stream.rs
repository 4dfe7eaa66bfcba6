//! The NATS copy of the history: the stream `PAVLOV_EVENTS`, to which outside programs subscribe. Every state
//! change, in the machine's order, once.
//!
//! Only the leader writes it. Each message carries the cursor of its event (`Pavlov-Cursor: position.index`)
//! and the sequence that must be the stream's last before it, so a message is stored in its place or not at
//! all: a repeated or overtaken one is refused by the server, and the copy goes on after the last message
//! that is there.

use crate::handle::Handle;
use crate::history::Cursor;
use async_nats::jetstream::{self, stream};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures_util::future::join_all;
use std::fmt::Write;
use std::time::Duration;

const CURSOR: &str = "Pavlov-Cursor";
const EXPECTED_LAST: &str = "Nats-Expected-Last-Sequence";
/// Events on their way at the same time.
const IN_FLIGHT: usize = 512;
/// Longest wait between two attempts while NATS is away.
const WAIT_MAX: Duration = Duration::from_secs(5);
const WAIT_MIN: Duration = Duration::from_millis(50);

/// What the copy is called, and how long it is kept.
#[derive(Clone, Debug)]
pub struct EventsStream {
    /// First token of the subjects; the stream is `<PREFIX>_EVENTS`.
    pub prefix: String,
    /// Copies that the server keeps.
    pub replicas: usize,
    /// The oldest events go above this. There is no limit by age: the last message must stay, because it says
    /// where the copy goes on.
    pub bytes_max: i64,
}

/// Copies for as long as the engine runs.
pub async fn run(handle: Handle, client: Client, options: EventsStream) {
    let context = jetstream::new(client);
    let mut progress = handle.progress();
    let (mut wait, mut away) = (WAIT_MIN, false);
    loop {
        let mut copy = match Copy::resume(&context, &options).await {
            Ok(copy) => copy,
            Err(reason) => {
                if !std::mem::replace(&mut away, true) {
                    tracing::warn!(reason, "the copy of the events on NATS waits");
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(WAIT_MAX);
                continue;
            }
        };
        if std::mem::take(&mut away) {
            tracing::info!("the copy of the events on NATS goes on");
        }
        wait = WAIT_MIN;
        loop {
            match copy.step(&handle).await {
                Ok(true) => {}
                Ok(false) => {
                    if progress.changed().await.is_err() {
                        return;
                    }
                }
                Err(reason) => {
                    tracing::debug!(reason, "the copy of the events is resumed");
                    tokio::time::sleep(WAIT_MIN).await;
                    break;
                }
            }
        }
    }
}

/// How far the copy has come.
struct Copy<'a> {
    context: &'a jetstream::Context,
    prefix: &'a str,
    after: Option<Cursor>,
    sequence: u64,
}

impl<'a> Copy<'a> {
    /// Finds the stream, or makes it, and its last message.
    async fn resume(context: &'a jetstream::Context, options: &'a EventsStream) -> Result<Self, String> {
        let name = format!("{}_EVENTS", options.prefix.to_uppercase());
        let config = stream::Config {
            name: name.clone(),
            subjects: vec![format!("{}.events.>", options.prefix)],
            description: Some("every state change of Pavlov, in order, once".into()),
            max_bytes: options.bytes_max,
            discard: stream::DiscardPolicy::Old,
            num_replicas: options.replicas,
            storage: stream::StorageType::File,
            ..stream::Config::default()
        };
        let stream = context.get_or_create_stream(config).await.map_err(text)?;
        let sequence = stream.get_info().await.map_err(text)?.state.last_sequence;
        if sequence == 0 {
            return Ok(Self { context, prefix: &options.prefix, after: None, sequence });
        }
        let last = stream.get_raw_message(sequence).await.map_err(text)?;
        let after = last.headers.get(CURSOR).and_then(|value| parse(value.as_str()));
        Ok(Self { context, prefix: &options.prefix, after, sequence })
    }

    /// Copies what there is, up to a limit. `false` when there was nothing.
    async fn step(&mut self, handle: &Handle) -> Result<bool, String> {
        let (reader, after) = (handle.history().clone(), self.after);
        let read = tokio::task::spawn_blocking(move || reader.after(after, IN_FLIGHT)).await;
        let events = read.map_err(text)?.map_err(text)?;
        let Some((last, _)) = events.last() else { return Ok(false) };
        let (last, count) = (*last, events.len() as u64);
        let mut acknowledgements = Vec::with_capacity(events.len());
        for (number, (cursor, body)) in events.into_iter().enumerate() {
            let mut headers = HeaderMap::new();
            headers.insert(CURSOR, format!("{}.{}", cursor.position, cursor.index));
            headers.insert(EXPECTED_LAST, (self.sequence + number as u64).to_string());
            let subject = subject(self.prefix, &body);
            let sent = self.context.publish_with_headers(subject, headers, body).await.map_err(text)?;
            acknowledgements.push(sent.into_future());
        }
        for acknowledgement in join_all(acknowledgements).await {
            acknowledgement.map_err(text)?;
        }
        (self.after, self.sequence) = (Some(last), self.sequence + count);
        Ok(true)
    }
}

/// `<prefix>.events.<name>` with what a subject cannot hold written as `%XX`.
fn subject(prefix: &str, body: &Bytes) -> String {
    let name = std::str::from_utf8(body)
        .ok()
        .and_then(|text| pavlov_events::Event::from_stored(text).ok())
        .map_or_else(String::new, |event| event.event.into());
    format!("{prefix}.events.{}", escaped(&name))
}

fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for token in name.split('.') {
        if !out.is_empty() {
            out.push('.');
        }
        if token.is_empty() {
            out.push_str("%2E");
        }
        for byte in token.bytes() {
            match byte {
                b'*' | b'>' | b'%' | 0..=b' ' | 0x7f.. => {
                    write!(out, "%{byte:02X}").expect("writing to a string does not fail");
                }
                _ => out.push(char::from(byte)),
            }
        }
    }
    out
}

fn parse(cursor: &str) -> Option<Cursor> {
    let (position, index) = cursor.split_once('.')?;
    Some(Cursor { position: position.parse().ok()?, index: index.parse().ok()? })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_event_name_is_a_subject() {
        for (name, expected) in [
            ("prefect.flow-run.Failed", "prefect.flow-run.Failed"),
            ("a b.*>", "a%20b.%2A%3E"),
            ("a..b", "a.%2E.b"),
            ("", "%2E"),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(escaped(name), expected);
        }
    }

    #[test]
    fn cursors_are_read_as_they_are_written() {
        assert_eq!(parse("12.3"), Some(Cursor { position: 12, index: 3 }));
        assert_eq!(parse("x"), None);
    }
}
