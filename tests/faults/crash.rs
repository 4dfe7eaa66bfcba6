//! `kill -9`: what was written stays, what was not is gone; and the parts that both tests share.

use crate::check::{Down, Findings, all};
use crate::dice::{Dice, rounds};
use crate::load::{Fate, Sent, Writer};
use crate::receiver::Receiver;
use crate::server::{Server, complaints};
use crate::stored::{in_order, is, is_sent, occurred, read_all, resource};
use crate::world::{WITHIN_MICROS, declare, wait_until_quiet};
use pavlov_engine::clock;
use pavlov_events::Timestamp;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const WRITERS: u64 = 4;
const ROUND_MILLIS_MIN: u64 = 300;
const ROUND_MILLIS_MAX: u64 = 3_000;
/// About as long as a start takes.
const RECOVERY_MILLIS_MAX: u64 = 300;
/// Events of a request of the undisturbed run.
const REPLAYED: usize = 200;

#[test]
fn nothing_is_lost_or_doubled_by_kill_9() {
    let mut run = Run::begin("kill -9");
    for round in 0..rounds(5) {
        run.round(round);
        run.stumble();
    }
    run.finish();
}

/// A run of several crashes on the same data.
pub struct Run {
    pub home: Home,
    pub dice: Dice,
    /// What its servers get besides.
    pub environment: Vec<(&'static str, PathBuf)>,
    receiver: Receiver,
    writers: Vec<Writer>,
    downs: Vec<Down>,
    server: Option<Server>,
}

impl Run {
    pub fn begin(test: &str) -> Self {
        let seed = Dice::seed(test);
        let writers = (0..WRITERS).map(|number| Writer::new(seed, number)).collect();
        let (receiver, environment) = (Receiver::start(), Vec::new());
        Self {
            home: Home::new(),
            dice: Dice::new(seed, 1),
            environment,
            receiver,
            writers,
            downs: Vec::new(),
            server: None,
        }
    }

    /// Load until the server is killed at a random moment.
    pub fn round(&mut self, round: u64) {
        self.start();
        let server = self.server.take().expect("just started");
        let load =
            Duration::from_millis(ROUND_MILLIS_MIN + self.dice.below(ROUND_MILLIS_MAX - ROUND_MILLIS_MIN));
        let (port, stop) = (server.port, AtomicBool::new(false));
        std::thread::scope(|scope| {
            for writer in &mut self.writers {
                scope.spawn(|| writer.run(port, &stop));
            }
            std::thread::sleep(load);
            self.downs.push(Down { from: clock::now(), until: Timestamp::MAX });
            server.kill();
            stop.store(true, Ordering::Relaxed);
        });
        let requests: usize = self.writers.iter().map(|writer| writer.sent.len()).sum();
        println!("round {round}: killed after {} ms, {requests} requests so far", load.as_millis());
    }

    /// One time in two: kills the next start while it is still recovering. Says whether it did.
    pub fn stumble(&mut self) -> bool {
        let falls = self.dice.coin();
        if falls {
            let server = Server::spawn(&self.home.path, &self.environment());
            std::thread::sleep(Duration::from_millis(self.dice.below(RECOVERY_MILLIS_MAX)));
            server.kill();
        }
        falls
    }

    /// Starts once more, lets everything come to rest, and checks.
    pub fn finish(mut self) {
        self.wait_for_a_missed_deadline();
        let last_start = self.downs.last().map_or_else(clock::now, |down| down.from);
        self.start();
        let server = self.server.take().expect("just started");
        wait_until_quiet(&server, last_start);
        println!("the log begins at position {}", server.status()["log"]["first_position"]);
        let read = read_all(&mut server.client());
        server.kill();
        let stored = in_order(&self.home.path);
        let sent: Vec<&Sent> = self.writers.iter().flat_map(|writer| &writer.sent).collect();
        let received = self.receiver.received();
        let again: u32 = received.values().map(|times| times - 1).sum();
        println!(
            "{} events stored, {} requests received, {again} of them again",
            stored.len(),
            received.len()
        );
        println!("the server said: {:#?}", complaints(&self.home.path));
        let undisturbed = undisturbed(&stored);
        let (downs, undisturbed) = (&self.downs, &undisturbed);
        all(&Findings { sent: &sent, stored: &stored, read: &read, undisturbed, received: &received, downs });
    }

    fn start(&mut self) {
        let server = Server::start(&self.home.path, &self.environment());
        match self.downs.last_mut() {
            Some(down) => down.until = clock::now(),
            None => declare(&mut server.client(), self.receiver.port),
        }
        self.server = Some(server);
    }

    fn environment(&self) -> Vec<(&'static str, &Path)> {
        self.environment.iter().map(|(name, value)| (*name, value.as_path())).collect()
    }

    /// Stays down until something fell due that nobody could see.
    fn wait_for_a_missed_deadline(&self) {
        let requests = || self.writers.iter().flat_map(|writer| &writer.sent);
        let events = || requests().flat_map(|sent| &sent.events);
        let answered: HashSet<String> =
            events().filter(|event| is(event, "fault.answered")).map(resource).collect();
        let acknowledged = requests().filter(|sent| sent.fate == Fate::Acknowledged);
        let due = acknowledged
            .flat_map(|sent| &sent.events)
            .filter(|event| is(event, "fault.started") && !answered.contains(&resource(event)))
            .map(|event| occurred(event).plus_micros(WITHIN_MICROS))
            .filter(|due| self.downs.last().is_some_and(|down| down.from < *due))
            .min()
            .expect("some start has no answer");
        let wait = due.plus_micros(100_000).since(clock::now());
        std::thread::sleep(Duration::from_micros(u64::try_from(wait).unwrap_or(0)));
    }
}

/// The same events in the same order, told to a server that nobody kills.
fn undisturbed(stored: &[Value]) -> Vec<Value> {
    let (home, receiver) = (Home::new(), Receiver::start());
    let server = Server::start(&home.path, &[]);
    let mut client = server.client();
    declare(&mut client, receiver.port);
    let events: Vec<Value> = stored.iter().filter(|event| is_sent(event)).map(as_sent).collect();
    for part in events.chunks(REPLAYED) {
        client.json("POST", "/api/events", &Value::from(part));
    }
    server.kill();
    in_order(&home.path)
}

/// A stored event without what the server added.
fn as_sent(event: &Value) -> Value {
    let field = |name: &str| event[name].clone();
    json!({
        "id": field("id"), "event": field("event"), "occurred": field("occurred"),
        "resource": field("resource"), "payload": field("payload"),
    })
}

/// A directory that stays when the test fails.
pub struct Home {
    pub path: PathBuf,
    directory: Option<TempDir>,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // As the system names it: the power cut recognises files by their names.
        let path = directory.path().canonicalize().expect("it is there");
        Self { path, directory: Some(directory) }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(directory) = self.directory.take()
        {
            eprintln!("kept for a look: {}", directory.keep().display());
        }
    }
}
