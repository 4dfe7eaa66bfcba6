//! The log on NATS as the engine sees it.

use super::super::{Counters, Delivery, Durability, Error, Log, Piece, Refused, Status};
use super::{
    follower::Follower,
    link,
    options::Options,
    publisher::Publisher,
    shared::{Mark, Shared, Stage},
    stream,
};
use bytes::Bytes;
use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc::{Receiver, channel},
    task::JoinHandle,
};
use uuid::Uuid;

/// Groups on their way to the reader; what waits behind them is on the server.
const GROUPS_AHEAD: usize = 8;

/// The log on NATS. Closed when dropped. Closing waits [`Options::close_timeout`] for a server that is away, then gives
/// up what it has not acknowledged.
pub struct NatsLog {
    shared: Arc<Shared>,
    entries_taken: AtomicBool,
    running: Mutex<Option<Running>>,
}

struct Running {
    runtime: Runtime,
    publisher: JoinHandle<()>,
    follower: Option<JoinHandle<()>>,
}

impl NatsLog {
    /// Connects, and opens the stream or makes it. Waits for the server's answers.
    ///
    /// # Errors
    /// [`Error::Option`], [`Error::Nats`], [`Error::ServerTooOld`], [`Error::StreamDiffers`], [`Error::Format`].
    pub fn open(options: Options) -> Result<Self, Error> {
        options.check()?;
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("log-nats").enable_all().build();
        let runtime = runtime.map_err(Error::file("start the thread", "log-nats"))?;
        let opened = ask(&runtime, async {
            let (client, link) = link::connect(&options).await?;
            let mut context = async_nats::jetstream::new(client.clone());
            context.set_timeout(options.request_timeout);
            let known = stream::open(&client, &context, &options).await?;
            let shared = Arc::new(Shared::new(options, (client, context), link, known));
            let publisher = Publisher::new(shared.clone()).await?;
            Ok((shared, tokio::spawn(publisher.run())))
        });
        let (shared, publisher) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let running = Mutex::new(Some(Running { runtime, publisher, follower: None }));
        Ok(Self { shared, entries_taken: AtomicBool::new(false), running })
    }

    /// Runs a question to the server on the log's own thread.
    fn ask<T, F>(&self, question: impl FnOnce(Arc<Shared>) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let running = self.running();
        ask(&running.as_ref().ok_or(Error::Closed)?.runtime, question(self.shared.clone()))
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for NatsLog {
    fn append(&self, number: u64, bytes: Bytes) -> Result<(), Refused> {
        let bytes_max = self.shared.options.record_bytes_max;
        if bytes.len() > bytes_max {
            return Err(Refused::TooLarge { bytes: bytes.len(), bytes_max });
        }
        self.shared.push(number, bytes)
    }

    fn seen(&self, number: u64) {
        self.shared.seen(number);
    }

    fn entries(&self, from: u64) -> Result<Receiver<Delivery>, Error> {
        let from = from.max(1);
        if let Some(error) = self.shared.take_end() {
            return Err(error);
        }
        self.ask(|shared| async move { shared.check().await })?;
        let (first, last) = (self.first_position(), self.last_position());
        if from < first {
            return Err(Error::Trimmed { from, first });
        }
        if from > last + 1 {
            return Err(Error::TailLost { delivered: from - 1, last });
        }
        if self.entries_taken.swap(true, Relaxed) {
            return Err(Error::EntriesTaken);
        }
        self.shared.set_delivered(Mark { position: from - 1, content: None });
        let (live, receiver) = channel(GROUPS_AHEAD);
        let follower = Follower::new(self.shared.clone(), from, live);
        let mut running = self.running();
        let running = running.as_mut().ok_or(Error::Closed)?;
        running.follower = Some(running.runtime.spawn(follower.run()));
        Ok(receiver)
    }

    fn first_position(&self) -> u64 {
        let known = self.shared.known();
        // Nothing was removed from a stream that was empty and has grown since.
        known.first.max(1)
    }

    fn last_position(&self) -> u64 {
        self.shared.known().last.max(*self.shared.acked.borrow())
    }

    fn id(&self) -> Uuid {
        self.shared.known().id
    }

    fn set_id(&self, id: Uuid) -> Result<(), Error> {
        self.ask(|shared| async move {
            stream::set_id(&shared.context, &shared.options, id).await?;
            shared.set_id(id);
            Ok(())
        })
    }

    fn checksum(&self, position: u64) -> Result<Option<u32>, Error> {
        if position == 0 {
            return Ok(None);
        }
        self.ask(move |shared| async move {
            let name = shared.options.stream();
            let stream = shared.context.get_stream(&name).await.map_err(stream::failed("read", &name))?;
            let message = stream::message(&stream, &name, position).await?;
            Ok(message.map(|(_, checksum)| checksum))
        })
    }

    fn trim(&self, below: u64) -> Result<(), Error> {
        self.ask(move |shared| async move {
            shared.set_known(stream::trim(&shared.context, &shared.options, below).await?);
            Ok(())
        })
    }

    fn pieces(&self) -> Vec<Piece> {
        let known = self.shared.known();
        let (first, last) = (self.first_position(), known.last);
        let piece = Piece { first, last, bytes: known.bytes, time_max: known.last_time };
        if first > last { Vec::new() } else { vec![piece] }
    }

    fn status(&self) -> Status {
        let shared = &self.shared;
        let Options { replicas, sync_always, .. } = shared.options;
        Status {
            healthy: shared.health.is_up() && *shared.stage.borrow() == Stage::Running,
            last_error: shared.health.last_error(),
            bytes: shared.known().bytes,
            queued: shared.unseen_count(),
            durability: Durability::Stream { replicas, sync_always },
            counters: Counters {
                commits: shared.commits.load(Relaxed),
                records: shared.records.load(Relaxed),
                resends: shared.resends.load(Relaxed),
                outages: shared.health.outages(),
            },
        }
    }

    fn close(&self) {
        self.shared.close_buffer();
        let Some(Running { runtime, publisher, follower }) = self.running().take() else { return };
        let shared = self.shared.clone();
        // The follower has its own limit, so that a slow server does not take the reader's time.
        let wait = shared.options.close_timeout;
        let closing = async move {
            shared.advance(Stage::Publishing);
            let published = tokio::time::timeout(wait, publisher).await;
            if published.is_err() {
                tracing::error!(
                    records = shared.unseen_count(),
                    "closing while NATS does not take what is queued"
                );
            }
            shared.advance(Stage::Delivering);
            if let Some(follower) = follower {
                let _ = tokio::time::timeout(wait, follower).await;
            }
            shared.advance(Stage::Ended);
            Ok(())
        };
        if let Err(error) = ask(&runtime, closing) {
            tracing::error!(error = &error as &dyn std::error::Error, "closing the log on NATS");
        }
        runtime.shutdown_background();
    }
}

impl Drop for NatsLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// Runs a future on the log's thread and waits for it, without minding which thread this is.
fn ask<T, F>(runtime: &Runtime, question: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let (sender, answer) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        let _ = sender.send(question.await);
    });
    answer.recv().unwrap_or(Err(Error::Closed))
}
