//! The task that reads the stream in order and delivers it.
//!
//! It uses a plain pull consumer kept in the server's memory and never the client's self-repairing one: a consumer
//! that dies with its server cannot go on after a restart, so nothing is delivered from a stream that has not been
//! checked again.

use super::super::{Delivery, Entry, Error, Source};
use super::{
    health::Side,
    link::{wait, with_sources},
    shared::{Mark, Shared, Stage},
    stream::{failed, microseconds},
};
use async_nats::{
    Subject,
    jetstream::{
        self,
        consumer::{AckPolicy, DeliverPolicy, pull},
    },
};
use futures_util::{FutureExt, StreamExt};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::Sender,
    time::{Instant, sleep, sleep_until},
};

/// Asked for at once, and most in one group.
const BATCH: usize = 500;
/// Bounds what the client holds; more than one message of any size a server takes by default.
const BATCH_BYTES: usize = 8 << 20;
/// A group ends here, though more may be there.
const GROUP_BYTES_MAX: usize = 1 << 20;
/// The server gives signs of life this often while it has nothing; two missing ones are trouble.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// After this time without a request of ours the server forgets the consumer.
const INACTIVE: Duration = Duration::from_secs(60);

/// Why reading stopped.
enum Stop {
    /// For good.
    End,
    Final(Error),
    /// To be tried again.
    Trouble(String),
}

pub(super) struct Follower {
    shared: Arc<Shared>,
    live: Sender<Delivery>,
    log_subject: Subject,
    /// The last position delivered.
    delivered: u64,
    failures: usize,
}

impl Follower {
    pub fn new(shared: Arc<Shared>, from: u64, live: Sender<Delivery>) -> Self {
        let log_subject = shared.options.log_subject().into();
        Self { shared, live, log_subject, delivered: from - 1, failures: 0 }
    }

    /// Until the log is closed and everything is delivered, or it ends.
    pub async fn run(mut self) {
        loop {
            match self.follow().await {
                Stop::End => break,
                Stop::Final(error) => {
                    self.shared.end(error);
                    break;
                }
                Stop::Trouble(reason) => self.shared.health.down(Side::Reading, &reason),
            }
            let mut stage = self.shared.stage.subscribe();
            tokio::select! {
                () = sleep(wait(self.failures)) => {}
                _ = stage.wait_for(|stage| *stage == Stage::Ended) => break,
            }
            self.failures += 1;
        }
        if let Some(error) = self.shared.take_end() {
            // A reader that is gone needs no reason.
            let _ = self.live.send(Err(error)).await;
        }
    }

    async fn follow(&mut self) -> Stop {
        let mut link = self.shared.link.clone();
        let before = link.borrow_and_update().clone();
        if !before.connected {
            return Stop::Trouble("the connection was lost".into());
        }
        let mut messages = match self.consume().await {
            Ok(messages) => messages,
            Err(error @ Error::Nats { .. }) => return Stop::Trouble(error.to_string()),
            Err(error) => return Stop::Final(error),
        };
        let mut stage = self.shared.stage.subscribe();
        let mut acked = self.shared.acked.subscribe();
        let (mut sequence, mut behind_since) = (0, None);
        loop {
            let behind = *acked.borrow_and_update() > self.delivered;
            let now = *stage.borrow_and_update();
            if now == Stage::Ended || (now == Stage::Delivering && !behind) {
                return Stop::End;
            }
            behind_since = if behind { behind_since.or_else(|| Some(Instant::now())) } else { None };
            let stalled = behind_since.unwrap_or_else(Instant::now) + self.shared.options.stall_timeout;
            tokio::select! {
                message = messages.next() => {
                    let (group, trouble) = self.group(message, &mut messages, &mut sequence);
                    if !group.is_empty() && !self.deliver(group).await {
                        return Stop::End;
                    }
                    if let Some(reason) = trouble {
                        return Stop::Trouble(reason);
                    }
                    // Time spent waiting for our own reader is not the server's.
                    behind_since = None;
                }
                () = sleep_until(stalled), if behind => {
                    let position = *acked.borrow();
                    return Stop::Trouble(format!("position {position} was acknowledged and is not delivered"));
                }
                _ = acked.changed() => {}
                _ = stage.changed() => {}
                Ok(()) = link.changed() => {
                    if link.borrow_and_update().losses != before.losses {
                        return Stop::Trouble("the connection was lost".into());
                    }
                }
            }
        }
    }

    /// Checks the stream, then makes a consumer behind the last delivered position.
    async fn consume(&mut self) -> Result<pull::Stream, Error> {
        let shared = &self.shared;
        shared.check().await?;
        let name = shared.options.stream();
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.delivered + 1 },
            ack_policy: AckPolicy::None,
            inactive_threshold: INACTIVE,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = shared.context.create_consumer_on_stream(config, &name).await;
        let consumer = consumer.map_err(failed("make a consumer of", &name))?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(BATCH)
            .max_bytes_per_batch(BATCH_BYTES)
            .heartbeat(HEARTBEAT);
        let messages = messages.messages().await.map_err(failed("read", &name))?;
        // Whoever is at the end of the stream has no message to tell that reading works.
        shared.health.up(Side::Reading);
        Ok(messages)
    }

    /// The message and those that are there already, and what went wrong behind them. `sequence` is the consumer's
    /// own number of the last message.
    fn group(
        &mut self,
        first: Option<Result<jetstream::Message, pull::MessagesError>>,
        messages: &mut pull::Stream,
        sequence: &mut u64,
    ) -> (Vec<Entry>, Option<String>) {
        let mut group: Vec<Entry> = Vec::new();
        let (mut bytes, mut time, mut trouble) = (0, 0, None);
        let mut next = Some(first);
        while let Some(item) = next {
            match self.entry(item, sequence) {
                Ok((entry, nanoseconds)) => {
                    bytes += entry.bytes.len();
                    time = nanoseconds;
                    group.push(entry);
                }
                Err(reason) => {
                    trouble = Some(reason);
                    break;
                }
            }
            let full = group.len() >= BATCH || bytes >= GROUP_BYTES_MAX;
            next = if full { None } else { messages.next().now_or_never() };
        }
        if let Some(last) = group.last() {
            self.failures = 0;
            let content = Some((time, crc32c::crc32c(&last.bytes)));
            self.shared.set_delivered(Mark { position: last.position, content });
            self.shared.grow(last.position, bytes as u64, last.time);
        }
        (group, trouble)
    }

    /// The next entry and its time in Unix nanoseconds, if the message is the one after the last.
    fn entry(
        &mut self,
        item: Option<Result<jetstream::Message, pull::MessagesError>>,
        sequence: &mut u64,
    ) -> Result<(Entry, i128), String> {
        let message = item.ok_or("the consumer ended")?.map_err(|error| with_sources(&error))?;
        let info = message.info().map_err(|error| format!("a message cannot be read: {error}"))?;
        let (position, nanoseconds) = (info.stream_sequence, info.published.unix_timestamp_nanos());
        if info.consumer_sequence != *sequence + 1 || position <= self.delivered {
            return Err(format!("a message is missing before position {position}"));
        }
        *sequence += 1;
        self.delivered = position;
        let own = message.subject == self.log_subject;
        let source =
            if own { Source::Record } else { Source::Outside { subject: message.subject.to_string() } };
        let bytes = message.message.payload;
        Ok((Entry { position, time: microseconds(nanoseconds), source, bytes }, nanoseconds))
    }

    /// No when there is no reader any more.
    async fn deliver(&self, group: Vec<Entry>) -> bool {
        let mut stage = self.shared.stage.subscribe();
        tokio::select! {
            sent = self.live.send(Ok(group)) => sent.is_ok(),
            _ = stage.wait_for(|stage| *stage == Stage::Ended) => false,
        }
    }
}
