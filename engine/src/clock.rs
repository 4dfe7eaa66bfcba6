//! The deadline clock: appends a tick when the earliest deadline is due. It decides nothing; the tick's own
//! time in the log does.

use crate::handle::Handle;
use crate::record::{Body, Tick};
use pavlov_events::Timestamp;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The wall clock, for those who may look at it: never the machine.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Longest sleep: after a step of the wall clock a deadline is late by no more than this.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// While deadlines are armed, a tick at least this often: a later start then knows to a minute how long it
/// heard nothing.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// Pause when a tick did not help, because the log's clock is behind ours.
const PAUSE: Duration = Duration::from_millis(1);
/// Pause when the log takes nothing.
const PAUSE_REFUSED: Duration = Duration::from_millis(100);

/// Ticks for as long as the engine runs.
pub async fn run(handle: Handle, epoch: u64) {
    let mut next_deadline = handle.inner.next_deadline.subscribe();
    let mut last_tick = Instant::now();
    loop {
        let next = *next_deadline.borrow_and_update();
        let wait = match next {
            Some(due) => Duration::from_micros(due.since(now()).max(0) as u64).min(SLEEP_MAX),
            None => Duration::MAX,
        };
        tokio::select! {
            changed = next_deadline.changed() => if changed.is_err() { return },
            () = sleep(wait) => if next.is_some_and(|due| due <= now() || last_tick.elapsed() >= HEARTBEAT) {
                last_tick = Instant::now();
                let pause = match handle.tell(Body::Tick(Tick { epoch })).await {
                    Ok(_) => PAUSE,
                    Err(crate::SubmitError::Stopped) => return,
                    Err(_) => PAUSE_REFUSED,
                };
                if *next_deadline.borrow() == next && next.is_some_and(|due| due <= now()) {
                    tokio::time::sleep(pause).await;
                }
            },
        }
    }
}

async fn sleep(wait: Duration) {
    if wait == Duration::MAX {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(wait).await;
}
