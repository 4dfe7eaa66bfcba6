//! What is declared in every run, and waiting until everything that is due is done.

use crate::client::Client;
use crate::server::{GRACE_MICROS, Server};
use pavlov_engine::clock;
use pavlov_events::Timestamp;
use serde_json::json;
use std::time::{Duration, Instant};

pub const COUNTED: &str = "counted";
pub const THIRDS: &str = "thirds";
pub const PAIRED: &str = "paired";
pub const CALLED: &str = "called";
pub const WATCHED: &str = "watched";
pub const WITHIN_MICROS: i64 = 10_000_000;
const QUIET_MAX: Duration = Duration::from_secs(120);

/// Creates the automations. What is done when one fires makes no difference to when it fires.
pub fn declare(client: &mut Client, receiver_port: u16) {
    let once = |name: &str| json!({"type": "event", "posture": "Reactive", "expect": [name], "threshold": 1, "within": 0});
    let each = json!(["prefect.resource.id"]);
    let automations = [
        json!({
            "name": COUNTED, "actions": [{"type": "do-nothing"}],
            "trigger": {"type": "event", "posture": "Reactive", "expect": ["fault.counted"],
                        "for_each": each, "threshold": 3, "within": 3600},
        }),
        // Those above are quiet for an hour; these go on counting through every crash.
        json!({
            "name": THIRDS, "actions": [{"type": "do-nothing"}],
            "trigger": {"type": "event", "posture": "Reactive", "expect": ["fault.counted"],
                        "for_each": each, "threshold": 3, "within": 0},
        }),
        json!({
            "name": PAIRED, "actions": [{"type": "do-nothing"}],
            "trigger": {"type": "sequence", "within": 5, "triggers": [once("fault.counted"), once("fault.called")]},
        }),
        json!({
            "name": CALLED,
            "actions": [{
                "type": "http-request", "method": "POST", "url": format!("http://127.0.0.1:{receiver_port}/"),
                "body": r#"{"firing": "{{ firing.id }}", "event": "{{ event.id }}"}"#,
                "idempotency_header": "Idempotency-Key",
            }],
            "trigger": {"type": "event", "posture": "Reactive", "expect": ["fault.called"],
                        "threshold": 1, "within": 0},
        }),
        json!({
            "name": WATCHED, "actions": [{"type": "do-nothing"}],
            "trigger": {"type": "event", "posture": "Proactive", "after": ["fault.started"],
                        "expect": ["fault.answered"], "for_each": each, "threshold": 1,
                        "within": WITHIN_MICROS / 1_000_000},
        }),
    ];
    for automation in &automations {
        client.json("POST", "/api/automations/", automation);
    }
}

/// Waits until every window that began at `last_start` or earlier is over, and the ledger is empty.
pub fn wait_until_quiet(server: &Server, last_start: Timestamp) {
    let over = last_start.plus_micros(WITHIN_MICROS + GRACE_MICROS + 1_000_000);
    let began = Instant::now();
    loop {
        let status = server.status();
        let busy: u64 = ["running", "started", "waiting"]
            .iter()
            .map(|standing| status["state"]["ledger"][standing].as_u64().expect("a number"))
            .sum();
        let overdue = status["state"]["deadlines"]["overdue"].as_u64().expect("a number");
        if busy == 0 && overdue == 0 && clock::now() > over {
            return;
        }
        assert!(began.elapsed() < QUIET_MAX, "the server does not come to rest: {status}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
