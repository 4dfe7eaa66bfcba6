//! The task that sends our records: pipelined, in the order of their numbers, again after any trouble.

use super::super::Error;
use super::{health::Side, link::wait, shared::Shared, shared::Stage};
use async_nats::{HeaderMap, Message, StatusCode, Subject, Subscriber, header};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use serde::Deserialize;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Records sent and not yet acknowledged; more gains nothing.
const IN_FLIGHT_MAX: usize = 1_024;
/// Below this, single publishes are faster than an atomic batch even under `sync_interval: always`.
const BATCH_MIN: usize = 12;
/// The server's limit is 1,000.
const BATCH_MAX: usize = 1_000;
/// How long the rest of what is in flight gets to settle once there is trouble.
const SETTLE: Duration = Duration::from_secs(1);

/// What the server answers to a publish.
#[derive(Deserialize)]
struct Ack {
    #[serde(default)]
    seq: u64,
    /// Records in an atomic batch.
    #[serde(default)]
    count: Option<u64>,
    #[serde(default)]
    error: Option<AckError>,
}

#[derive(Deserialize)]
struct AckError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

pub(super) struct Publisher {
    shared: Arc<Shared>,
    acks: Subscriber,
    inbox: String,
    subject: Subject,
    /// Where acknowledgements of this round go: what is answered to an earlier one is no news.
    reply: Subject,
    round: u64,
    /// The next number to send.
    next: u64,
    /// Everything below was sent before.
    sent: u64,
    in_flight: usize,
    batch_open: bool,
    batches: u64,
    heard: Instant,
    failures: usize,
}

impl Publisher {
    pub async fn new(shared: Arc<Shared>) -> Result<Self, Error> {
        let inbox = shared.client.new_inbox();
        let failed = |reason: String| Error::Nats { doing: "listen for acknowledgements".into(), reason };
        let acks =
            shared.client.subscribe(format!("{inbox}.*")).await.map_err(|error| failed(error.to_string()))?;
        let subject = shared.options.log_subject().into();
        Ok(Self {
            reply: format!("{inbox}.0").into(),
            shared,
            acks,
            inbox,
            subject,
            round: 0,
            next: 1,
            sent: 1,
            in_flight: 0,
            batch_open: false,
            batches: 0,
            heard: Instant::now(),
            failures: 0,
        })
    }

    /// Until the log is closed and everything is acknowledged, or it ends.
    pub async fn run(mut self) {
        loop {
            match self.work().await {
                Ok(()) => return,
                Err(trouble) => {
                    self.shared.health.down(Side::Publishing, &trouble);
                    self.settle().await;
                    if !self.recover().await {
                        return;
                    }
                }
            }
        }
    }

    /// Sends and hears until closed; says what went wrong otherwise.
    async fn work(&mut self) -> Result<(), String> {
        let mut link = self.shared.link.clone();
        let mut stage = self.shared.stage.subscribe();
        let losses = link.borrow_and_update().losses;
        let shared = self.shared.clone();
        loop {
            self.send().await?;
            let now = *stage.borrow_and_update();
            if now == Stage::Ended || (now != Stage::Running && self.in_flight == 0) {
                return Ok(());
            }
            tokio::select! {
                Some(ack) = self.acks.next(), if self.in_flight > 0 => self.hear(ack)?,
                () = sleep_until(self.heard + shared.options.ack_timeout), if self.in_flight > 0 => {
                    let seconds = shared.options.ack_timeout.as_secs_f32();
                    let complaint = shared.link.borrow().complaint.clone();
                    let complaint = complaint.map(|text| format!("; the server said: {text}")).unwrap_or_default();
                    return Err(format!("no acknowledgement within {seconds} s{complaint}"));
                }
                () = shared.filled.notified() => {}
                _ = stage.changed() => {}
                Ok(()) = link.changed() => {
                    if link.borrow_and_update().losses != losses {
                        return Err("the connection was lost".into());
                    }
                }
            }
        }
    }

    /// Sends as much as may be in flight.
    async fn send(&mut self) -> Result<(), String> {
        while !self.batch_open && self.in_flight < IN_FLIGHT_MAX {
            let room = IN_FLIGHT_MAX - self.in_flight;
            let (first, records) = self.shared.unseen(self.next, room.min(BATCH_MAX));
            if records.is_empty() {
                return Ok(());
            }
            if self.in_flight == 0 {
                self.heard = Instant::now();
            }
            self.next = first + records.len() as u64;
            let again = self.sent.saturating_sub(first).min(records.len() as u64);
            self.shared.resends.fetch_add(again, Relaxed);
            self.sent = self.sent.max(self.next);
            if self.shared.options.sync_always && records.len() >= BATCH_MIN {
                self.send_batch(records).await?;
            } else {
                self.send_single(records).await?;
            }
        }
        Ok(())
    }

    async fn send_single(&mut self, records: Vec<Bytes>) -> Result<(), String> {
        for bytes in records {
            let (subject, reply) = (self.subject.clone(), self.reply.clone());
            let sent = self.shared.client.publish_with_reply(subject, reply, bytes).await;
            sent.map_err(|error| error.to_string())?;
            self.in_flight += 1;
        }
        Ok(())
    }

    /// All or nothing, one acknowledgement for all. Batches do not overlap: that only makes them smaller.
    async fn send_batch(&mut self, records: Vec<Bytes>) -> Result<(), String> {
        self.batches += 1;
        // The inbox is random, so the id is unique.
        let id = format!("{}-{}", self.inbox.trim_start_matches("_INBOX."), self.batches);
        let client = self.shared.client.clone();
        let last = records.len();
        for (bytes, sequence) in records.into_iter().zip(1..) {
            let mut headers = HeaderMap::new();
            headers.insert(header::NATS_BATCH_ID, id.as_str());
            headers.insert(header::NATS_BATCH_SEQUENCE, sequence.to_string());
            let subject = self.subject.clone();
            let sent = if sequence == last {
                headers.insert(header::NATS_BATCH_COMMIT, header::NATS_BATCH_COMMIT_FINAL);
                client.publish_with_reply_and_headers(subject, self.reply.clone(), headers, bytes).await
            } else {
                client.publish_with_headers(subject, headers, bytes).await
            };
            sent.map_err(|error| error.to_string())?;
        }
        self.in_flight += 1;
        self.batch_open = true;
        Ok(())
    }

    /// Takes an answer, and those that are there already.
    fn hear(&mut self, first: Message) -> Result<(), String> {
        let mut next = Some(first);
        let mut acked = 0;
        let mut result = Ok(());
        while let Some(message) = next {
            if message.subject == self.reply {
                self.in_flight -= 1;
                self.batch_open = false;
                match read(&message) {
                    Ok(ack) => {
                        acked = acked.max(ack.seq);
                        self.shared.commits.fetch_add(1, Relaxed);
                        self.shared.records.fetch_add(ack.count.unwrap_or(1), Relaxed);
                    }
                    Err(trouble) => result = result.and(Err(trouble)),
                }
            }
            next = if self.in_flight > 0 { self.acks.next().now_or_never().flatten() } else { None };
        }
        self.heard = Instant::now();
        if acked > 0 {
            self.shared.acked.send_if_modified(|known| std::mem::replace(known, acked.max(*known)) < acked);
        }
        if acked > 0 && result.is_ok() {
            self.failures = 0;
            self.shared.health.up(Side::Publishing);
        }
        result
    }

    /// Waits for what is in flight: acknowledged, refused, or lost with the connection.
    async fn settle(&mut self) {
        while self.in_flight > 0 && self.shared.link.borrow().connected {
            match timeout(SETTLE, self.acks.next()).await {
                // What else goes wrong is no news now.
                Ok(Some(ack)) => _ = self.hear(ack),
                Ok(None) | Err(_) => break,
            }
        }
    }

    /// Waits until the stream is there and is the one it was; then everything not seen is to be sent again. No if the
    /// log ended meanwhile.
    async fn recover(&mut self) -> bool {
        let mut stage = self.shared.stage.subscribe();
        loop {
            tokio::select! {
                () = sleep(wait(self.failures)) => {}
                _ = stage.wait_for(|stage| *stage == Stage::Ended) => return false,
            }
            self.failures += 1;
            if !self.shared.link.borrow().connected {
                continue;
            }
            match self.shared.check().await {
                Ok(()) => break,
                Err(error @ Error::Nats { .. }) => {
                    self.shared.health.down(Side::Publishing, &error.to_string())
                }
                Err(error) => {
                    self.shared.end(error);
                    return false;
                }
            }
        }
        // What was acknowledged and is gone again is not to be waited for: it is sent again.
        let last = self.shared.known().last;
        self.shared.acked.send_if_modified(|acked| std::mem::replace(acked, last.min(*acked)) > last);
        self.round += 1;
        self.reply = format!("{}.{}", self.inbox, self.round).into();
        (self.in_flight, self.batch_open) = (0, false);
        self.next = self.shared.unseen(0, 0).0;
        if self.shared.unseen_count() == 0 {
            self.shared.health.up(Side::Publishing);
        }
        true
    }
}

fn read(message: &Message) -> Result<Ack, String> {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Err("no responders: no server answers for the stream".into());
    }
    let ack: Ack = serde_json::from_slice(&message.payload)
        .map_err(|error| format!("an acknowledgement cannot be read: {error}"))?;
    match ack.error {
        Some(error) => {
            Err(format!("the server refused a record: {} (code {})", error.description, error.err_code))
        }
        None => Ok(ack),
    }
}
