//! [`Writer`]: sends events and remembers what was acknowledged.

use crate::client::Client;
use crate::dice::Dice;
use pavlov_engine::clock;
use pavlov_events::Timestamp;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EVENTS_MAX: u64 = 20;
const PAUSE_MICROS_MAX: u64 = 25_000;
/// An answer to a start event comes sooner than this, far inside the window of the absence, or never.
const ANSWER_MICROS_MAX: i64 = 4_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Acknowledged,
    /// The server died before it answered: stored or not, both are right.
    Unknown,
}

/// One request.
pub struct Sent {
    pub events: Vec<Value>,
    pub fate: Fate,
}

/// One sender. It lives through all rounds.
pub struct Writer {
    number: u64,
    dice: Dice,
    resources: u64,
    /// Resources whose start event has no answer yet, with its time.
    open: VecDeque<(String, Timestamp)>,
    pub sent: Vec<Sent>,
    /// Up to here the unknown ones were sent again or never will be.
    settled: usize,
}

impl Writer {
    pub fn new(seed: u64, number: u64) -> Self {
        let dice = Dice::new(seed, 100 + number);
        Self { number, dice, resources: 0, open: VecDeque::new(), sent: Vec::new(), settled: 0 }
    }

    /// Sends until the server dies or `stop`. First, as senders do, some of what had no answer goes again.
    pub fn run(&mut self, port: u16, stop: &AtomicBool) {
        let Ok(mut client) = Client::connect(port) else { return };
        while self.settled < self.sent.len() {
            let sent = &mut self.sent[self.settled];
            if sent.fate == Fate::Unknown && self.dice.coin() {
                sent.fate = send(&mut client, &sent.events);
                if sent.fate == Fate::Unknown {
                    return;
                }
            }
            self.settled += 1;
        }
        while !stop.load(Ordering::Relaxed) {
            let events = self.batch();
            let fate = send(&mut client, &events);
            self.sent.push(Sent { events, fate });
            if fate == Fate::Unknown {
                return;
            }
            self.settled = self.sent.len();
            std::thread::sleep(Duration::from_micros(self.dice.below(PAUSE_MICROS_MAX)));
        }
    }

    fn batch(&mut self) -> Vec<Value> {
        let count = 1 + self.dice.below(EVENTS_MAX);
        (0..count).map(|_| self.event()).collect()
    }

    fn event(&mut self) -> Value {
        let now = clock::now();
        while self.open.front().is_some_and(|(_, since)| now.since(*since) > ANSWER_MICROS_MAX) {
            self.open.pop_front();
        }
        let (name, resource) = match self.dice.below(100) {
            // Shared by all writers: the order in the log decides which event completes a count.
            0..45 => ("fault.counted", format!("counted-{}", self.dice.below(12))),
            45..52 => ("fault.called", format!("called-{}", self.dice.below(1_000))),
            52..62 => {
                self.resources += 1;
                let resource = format!("watched-{}-{}", self.number, self.resources);
                if self.dice.coin() {
                    self.open.push_back((resource.clone(), now));
                }
                ("fault.started", resource)
            }
            62..75 => match self.open.pop_front() {
                Some((resource, _)) => ("fault.answered", resource),
                None => ("fault.noise", "noise".to_owned()),
            },
            _ => ("fault.noise", format!("noise-{}", self.dice.below(100))),
        };
        json!({
            "id": self.dice.uuid(), "event": name, "occurred": now,
            "resource": {"prefect.resource.id": resource},
            "payload": {"filling": "x".repeat(self.dice.below(300) as usize)},
        })
    }
}

/// Posts a batch; a server that is busy is asked again.
fn send(client: &mut Client, events: &[Value]) -> Fate {
    let body = Value::from(events).to_string();
    loop {
        match client.request("POST", "/api/events", &body) {
            Ok((204, _)) => return Fate::Acknowledged,
            Ok((503, _)) => std::thread::sleep(Duration::from_millis(50)),
            Ok((status, answer)) => panic!("POST /api/events: {status} {answer}"),
            Err(_) => return Fate::Unknown,
        }
    }
}
