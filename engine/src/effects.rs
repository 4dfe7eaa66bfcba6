//! [`Effects`]: makes the attempts that the ledger asks for, and reports how they went as records.
//!
//! Each target has its own queue, so one receiver that hangs holds only itself.

use crate::error::SubmitError;
use crate::handle::Handle;
use crate::ledger::{Outcome, Report};
use crate::machine::Reply;
use crate::record::Body;
use crate::submit::Told;
use crate::world::EngineWorld;
use pavlov_actions::{Attempt, TriggeredAction, Verdict};
use pavlov_events::Uuid;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// Attempts at one target at the same time.
const PER_TARGET: usize = 32;
/// Targets whose queues are remembered; idle ones are forgotten above it.
const TARGETS_MAX: usize = 10_000;
/// Pause before an outcome that the log did not take is offered again.
const PAUSE: Duration = Duration::from_millis(100);

/// Starts attempts.
pub(crate) struct Effects {
    handle: Handle,
    world: Arc<EngineWorld>,
    runtime: tokio::runtime::Handle,
    targets: Mutex<HashMap<String, Arc<Semaphore>>>,
    epoch: Arc<AtomicU64>,
}

impl Effects {
    /// A performer for the leader; `epoch` is its epoch once it leads.
    pub(crate) fn new(
        handle: Handle,
        world: Arc<EngineWorld>,
        runtime: tokio::runtime::Handle,
        epoch: Arc<AtomicU64>,
    ) -> Self {
        Self { handle, world, runtime, targets: Mutex::new(HashMap::new()), epoch }
    }

    /// Makes an attempt at each of these entries.
    pub(crate) fn start(&self, entries: Vec<Uuid>) {
        for id in entries {
            let found = self.handle.read(|state| {
                state.ledger.get(&id).map(|entry| (Arc::clone(&entry.action), entry.attempt, entry.depth))
            });
            let Some((action, attempt, depth)) = found else { continue };
            let queue = self.queue(action.action.target());
            let job = Job {
                handle: self.handle.clone(),
                world: Arc::clone(&self.world),
                action,
                attempt,
                depth,
                epoch: self.epoch.load(Ordering::Acquire),
            };
            self.runtime.spawn(async move {
                let Ok(_turn) = queue.acquire().await else { return };
                job.handle.gauges().attempts_running.fetch_add(1, Ordering::Relaxed);
                job.perform().await;
                job.handle.gauges().attempts_running.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    fn queue(&self, target: String) -> Arc<Semaphore> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if targets.len() > TARGETS_MAX {
            targets.retain(|_, queue| queue.available_permits() < PER_TARGET);
        }
        Arc::clone(targets.entry(target).or_insert_with(|| Arc::new(Semaphore::new(PER_TARGET))))
    }
}

struct Job {
    handle: Handle,
    world: Arc<EngineWorld>,
    action: Arc<TriggeredAction>,
    attempt: u32,
    depth: u32,
    epoch: u64,
}

impl Job {
    async fn perform(&self) {
        if !self.action.action.may_be_repeated() && !self.begin().await {
            return;
        }
        let world = self.world.for_action(self.depth);
        let attempt = pavlov_actions::act(&self.action, &world).await;
        // Dropping the receiver is not waiting.
        drop(self.report(report_of(attempt)).await);
    }

    /// Whether the attempt may be made: its beginning is in the log, and nobody else began it.
    async fn begin(&self) -> bool {
        let Some(told) = self.report(Report::Started).await else { return false };
        matches!(told.await, Ok(Ok(Reply::Begin(true))))
    }

    /// Appends an outcome, as often as it takes. Once the log has taken it, nobody needs to wait: should the
    /// process die before it is durable, the attempt is made again.
    async fn report(&self, report: Report) -> Option<oneshot::Receiver<Told>> {
        let (entry, attempt, epoch) = (self.action.id, self.attempt, self.epoch);
        let body = Body::Outcome(Box::new(Outcome { entry, attempt, epoch, report }));
        loop {
            match self.handle.inner.submitter.submit(body.clone()) {
                Ok(told) => return Some(told),
                Err(SubmitError::Internal | SubmitError::Stopped) => return None,
                Err(error @ SubmitError::TooLarge { .. }) => {
                    tracing::error!(entry = %entry, %error, "an outcome is too large for the log");
                    return None;
                }
                Err(SubmitError::Busy { .. } | SubmitError::DiskFull { .. }) => {
                    tokio::time::sleep(PAUSE).await
                }
            }
        }
    }
}

fn report_of(attempt: Attempt) -> Report {
    let Attempt { verdict, payload, related, .. } = attempt;
    match verdict {
        Verdict::Done => Report::Done { payload, related },
        Verdict::Retry { after, reason } => {
            let retry_after_micros = after.map(|after| i64::try_from(after.as_micros()).unwrap_or(i64::MAX));
            Report::Failed { retry: true, retry_after_micros, reason, payload, related }
        }
        Verdict::Final { reason } => {
            Report::Failed { retry: false, retry_after_micros: None, reason, payload, related }
        }
    }
}
