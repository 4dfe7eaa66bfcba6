//! `GET /api/pavlov/status`: how the server is doing, for a person or a monitor.

use crate::door::{Door, blocking};
use crate::reply::{self, Answer};
use crate::version::{PAVLOV_VERSION, PREFECT_VERSION};
use axum::extract::State;
use pavlov_engine::ledger::Standing;
use pavlov_engine::log::{Durability, Status};
use pavlov_engine::state::State as EngineState;
use pavlov_engine::{clock, history};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Overdue deadlines are counted up to this.
const OVERDUE_COUNTED_MAX: usize = 10_000;

/// The route.
pub async fn status(State(door): State<Arc<Door>>) -> Answer {
    let reader = door.engine.history().clone();
    let history = blocking(move || reader.stats())
        .await
        .map_err(|error| reply::internal("read the history", &error))?;
    let (counts, residual) = door.engine.counts();
    let (log_id, first, last) = door.engine.log_range();
    let log = door.engine.log_status();
    let state = door.engine.read(state_value);
    let progress = door.engine.progress().borrow().clone();
    let gauges = door.engine.gauges();
    Ok(reply::ok(&json!({
        "version": PAVLOV_VERSION,
        "prefect_version": PREFECT_VERSION,
        "uptime_seconds": door.started.elapsed().as_secs(),
        "ready": progress.ready,
        "failure": progress.failure,
        "durability": durability(&log),
        "log": {
            "id": log_id, "first_position": first, "last_position": last, "bytes": log.bytes,
            "healthy": log.healthy, "last_error": log.last_error, "queued": log.queued,
            "commits": log.counters.commits, "records": log.counters.records,
            "resends": log.counters.resends, "outages": log.counters.outages,
        },
        "applied": {
            "position": progress.position,
            "lag_records": last.saturating_sub(progress.position),
            "waiting_records": door.engine.records_waiting(),
            "events": counts.events, "derived": counts.derived, "duplicates": counts.duplicates,
            "refused": counts.refused + gauges.refused_at_door.load(Ordering::Relaxed),
            "firings": counts.firings, "panics": gauges.panics.load(Ordering::Relaxed),
            "triggers_without_index": residual,
        },
        "history": history_value(&history),
        "state": state,
    })))
}

/// What an acknowledgement is worth, in words.
pub fn durability(log: &Status) -> String {
    match log.durability {
        Durability::Fdatasync => "acknowledged means synced to this machine's disk (fdatasync)".into(),
        Durability::Stream { replicas, sync_always: true } => {
            format!(
                "acknowledged means stored by the stream's quorum ({replicas} copies), each synced at once"
            )
        }
        Durability::Stream { replicas, sync_always: false } => format!(
            "acknowledged means stored by the stream's quorum ({replicas} copies); a power cut of all of them at \
             once may lose what the servers' sync_interval has not synced yet"
        ),
    }
}

/// The word of a standing, as it is stored and asked for.
pub fn standing_word(standing: &Standing) -> &'static str {
    match standing {
        Standing::Running => "running",
        Standing::Started => "started",
        Standing::Waiting { .. } => "waiting",
        Standing::Held { .. } => "held",
        Standing::Dead { .. } => "dead",
    }
}

fn state_value(state: &EngineState) -> Value {
    let mut ledger = json!({"running": 0, "started": 0, "waiting": 0, "held": 0, "dead": 0});
    for entry in state.ledger.values() {
        let count = &mut ledger[standing_word(&entry.standing)];
        *count = json!(count.as_u64().unwrap_or(0) + 1);
    }
    let now = clock::now();
    let buckets: usize = state.counting.buckets.values().map(|keys| keys.len()).sum();
    json!({
        "automations": state.automations.len(),
        "automations_enabled": state.automations.values().filter(|automation| automation.enabled).count(),
        "buckets": buckets,
        "ledger": ledger,
        "deadlines": {
            "armed": state.deadlines.len(),
            "overdue": state.deadlines.overdue(now, OVERDUE_COUNTED_MAX),
            "next": state.deadlines.next(),
        },
    })
}

fn history_value(stats: &history::Stats) -> Value {
    json!({"events": stats.events, "bytes": stats.bytes, "segments": stats.segments, "oldest": stats.oldest})
}
