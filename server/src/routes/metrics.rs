//! `GET /metrics`: numbers in Prometheus' text format.

use super::status::standing_word;
use crate::door::{Door, blocking};
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use pavlov_engine::{clock, history};
use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Overdue deadlines are counted up to this.
const OVERDUE_COUNTED_MAX: usize = 100_000;

/// The route.
pub async fn metrics(State(door): State<Arc<Door>>) -> Response {
    let reader = door.engine.history().clone();
    let history = blocking(move || reader.stats()).await.ok();
    let mut page = Page::default();
    machine(&mut page, &door);
    log(&mut page, &door);
    state(&mut page, &door);
    if let Some(stats) = history {
        stored(&mut page, &stats);
    }
    let mut response = Response::new(Body::from(page.text));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn machine(page: &mut Page, door: &Door) {
    let (counts, residual) = door.engine.counts();
    let gauges = door.engine.gauges();
    page.counter("records_applied_total", "Records applied.", counts.records);
    page.counter("records_skipped_total", "Records that had been applied before.", counts.skipped);
    page.counter("events_total", "Events told from outside.", counts.events);
    page.counter("events_derived_total", "Events made by the machine.", counts.derived);
    page.counter("events_duplicate_total", "Events whose id was known.", counts.duplicates);
    page.family("events_refused_total", "counter", "Events that were refused.");
    page.sample("events_refused_total", &[("where", "door")], gauges.refused_at_door.load(Ordering::Relaxed));
    page.sample("events_refused_total", &[("where", "machine")], counts.refused);
    page.counter("events_waited_total", "Events that waited for the one they follow.", counts.waited);
    page.counter("events_waited_in_vain_total", "Events that went on without it.", counts.waited_in_vain);
    page.counter(
        "events_too_deep_total",
        "Events not evaluated: too many automations in a row.",
        counts.too_deep,
    );
    page.counter("firings_total", "Firings.", counts.firings);
    page.family("actions_total", "counter", "Actions that came to their end, and attempts repeated.");
    page.sample("actions_total", &[("result", "executed")], counts.actions_executed);
    page.sample("actions_total", &[("result", "failed")], counts.actions_failed);
    page.sample("actions_total", &[("result", "retried")], counts.actions_retried);
    page.counter("deadlines_fired_total", "Deadlines that fired.", counts.deadlines);
    let late = counts.deadline_late_micros_max as f64 / 1e6;
    page.gauge("deadline_lateness_seconds_max", "Lateness of the latest deadline since the start.", late);
    page.gauge("triggers_without_index", "Triggers that every event is compared with.", residual);
    page.counter(
        "machine_panics_total",
        "Records that made the machine fail.",
        gauges.panics.load(Ordering::Relaxed),
    );
    page.counter(
        "state_commits_total",
        "Batches of the state made durable.",
        gauges.commits.load(Ordering::Relaxed),
    );
    page.gauge(
        "attempts_running",
        "Attempts at actions under way.",
        gauges.attempts_running.load(Ordering::Relaxed),
    );
}

fn log(page: &mut Page, door: &Door) {
    let status = door.engine.log_status();
    let (_, first, last) = door.engine.log_range();
    let applied = door.engine.progress().borrow().position;
    page.gauge("log_healthy", "Whether records are being stored.", u8::from(status.healthy));
    page.gauge("log_bytes", "Bytes of the log, pre-zeroed ones included.", status.bytes);
    page.gauge("log_first_position", "First position that is stored.", first);
    page.gauge("log_last_position", "Last durable position.", last);
    page.gauge("log_queued_records", "Records that are not durable yet.", status.queued);
    page.counter("log_commits_total", "Groups made durable.", status.counters.commits);
    page.counter("log_records_total", "Records that these held.", status.counters.records);
    page.counter("log_resends_total", "Records sent again.", status.counters.resends);
    page.counter("log_outages_total", "Times when storing stopped and went on.", status.counters.outages);
    page.gauge(
        "apply_lag_records",
        "Durable records that are not applied yet.",
        last.saturating_sub(applied),
    );
    page.gauge(
        "records_waiting",
        "Own records submitted and not applied yet.",
        door.engine.records_waiting(),
    );
}

fn state(page: &mut Page, door: &Door) {
    let mut ledger: BTreeMap<&str, u64> =
        ["running", "started", "waiting", "held", "dead"].into_iter().map(|word| (word, 0)).collect();
    let (automations, armed, overdue) = door.engine.read(|state| {
        for entry in state.ledger.values() {
            *ledger.entry(standing_word(&entry.standing)).or_default() += 1;
        }
        let overdue = state.deadlines.overdue(clock::now(), OVERDUE_COUNTED_MAX);
        (state.automations.len(), state.deadlines.len(), overdue)
    });
    page.family("ledger_entries", "gauge", "Effects that are not done.");
    for (standing, count) in ledger {
        page.sample("ledger_entries", &[("standing", standing)], count);
    }
    page.gauge("automations", "Automations.", automations);
    page.gauge("deadlines_armed", "Deadlines to come.", armed);
    page.gauge("deadlines_overdue", "Deadlines that are due and have not fired.", overdue);
}

fn stored(page: &mut Page, stats: &history::Stats) {
    page.gauge("history_events", "Events in the history.", stats.events);
    page.gauge("history_bytes", "Bytes of its segments.", stats.bytes);
    page.gauge("history_segments", "Its segments.", stats.segments);
}

/// Lines of the text format; every name starts with `pavlov_`.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.text, "# HELP pavlov_{name} {help}\n# TYPE pavlov_{name} {kind}")
            .expect("writing to a string does not fail");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        writeln!(self.text, "pavlov_{name}{labels} {value}").expect("writing to a string does not fail");
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_text_format() {
        let mut page = Page::default();
        page.counter("a_total", "A.", 3);
        page.family("b", "gauge", "B.");
        page.sample("b", &[("x", "1"), ("y", "2")], 0.5);
        assert_eq!(
            page.text,
            "# HELP pavlov_a_total A.\n# TYPE pavlov_a_total counter\npavlov_a_total 3\n\
             # HELP pavlov_b B.\n# TYPE pavlov_b gauge\npavlov_b{x=\"1\",y=\"2\"} 0.5\n"
        );
    }
}
