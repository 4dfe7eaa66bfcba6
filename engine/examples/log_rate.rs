//! How many records per second a log takes, here and now.
//!
//! `cargo run --release -p pavlov-engine --example log_rate -- DIRECTORY [NATS-URL]`
//!
//! Two figures per back end: records of 400 bytes queued as fast as they are taken (groups form by themselves), and 8
//! clients that each wait for their one record to come back before they send the next.

use bytes::Bytes;
use pavlov_engine::log::{Log, Refused, nats, segment};
use std::{
    collections::VecDeque,
    env,
    error::Error,
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

const RECORD_BYTES: usize = 400;
const IN_GROUPS: u64 = 1_000_000;
const CLIENTS: usize = 8;
const EACH_WAITING: u64 = 4_000;

/// Next number to give, and who waits for the oldest outstanding ones.
struct Desk {
    number: u64,
    waiting: VecDeque<Option<mpsc::SyncSender<()>>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let directory = arguments.next().ok_or("usage: log_rate DIRECTORY [NATS-URL]")?;
    let start = Instant::now();
    let log = segment::SegmentLog::open(segment::Options::new(&directory))?;
    println!("segments: opened in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    measure("segments", &log, IN_GROUPS)?;
    log.close();
    let start = Instant::now();
    segment::SegmentLog::open(segment::Options::new(&directory))?;
    println!("segments: opened again in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    if let Some(url) = arguments.next() {
        measure("nats", &nats::NatsLog::open(nats::Options::new(url))?, IN_GROUPS / 5)?;
    }
    Ok(())
}

fn measure(name: &str, log: &dyn Log, in_groups: u64) -> Result<(), Box<dyn Error>> {
    let mut reader = log.entries(log.last_position() + 1)?;
    let desk = Mutex::new(Desk { number: 1, waiting: VecDeque::new() });
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut seen = 0;
            while let Some(Ok(group)) = reader.blocking_recv() {
                seen += group.len() as u64;
                log.seen(seen);
                let mut desk = desk.lock().expect("nobody panics");
                for waiting in desk.waiting.drain(..group.len()).flatten() {
                    let _ = waiting.send(());
                }
            }
        });
        let start = Instant::now();
        let before = log.status().counters;
        for _ in 1..in_groups {
            send(log, &desk, None);
        }
        send_and_wait(log, &desk);
        report(&format!("{name}, in groups"), log, before, start.elapsed());

        let start = Instant::now();
        let before = log.status().counters;
        thread::scope(|clients| {
            for _ in 0..CLIENTS {
                clients.spawn(|| {
                    for _ in 0..EACH_WAITING {
                        send_and_wait(log, &desk);
                    }
                });
            }
        });
        report(&format!("{name}, {CLIENTS} clients waiting"), log, before, start.elapsed());
        log.close();
    });
    Ok(())
}

fn send_and_wait(log: &dyn Log, desk: &Mutex<Desk>) {
    let (sender, receiver) = mpsc::sync_channel(1);
    send(log, desk, Some(sender));
    receiver.recv().expect("it comes back");
}

/// Appends one record; `waiting` gets a word when it has come back.
fn send(log: &dyn Log, desk: &Mutex<Desk>, waiting: Option<mpsc::SyncSender<()>>) {
    let bytes = Bytes::from(vec![b'x'; RECORD_BYTES]);
    loop {
        let mut desk = desk.lock().expect("nobody panics");
        match log.append(desk.number, bytes.clone()) {
            Ok(()) => {
                desk.number += 1;
                desk.waiting.push_back(waiting);
                return;
            }
            Err(Refused::Full { .. }) => {
                drop(desk);
                thread::sleep(Duration::from_millis(1));
            }
            Err(refused) => panic!("{refused}"),
        }
    }
}

fn report(name: &str, log: &dyn Log, before: pavlov_engine::log::Counters, took: Duration) {
    let after = log.status().counters;
    let (records, commits) = (after.records - before.records, after.commits - before.commits);
    let rate = records as f64 / took.as_secs_f64();
    println!(
        "{name}: {rate:.0} records/s, {:.1} records a commit, {took:.1?}",
        records as f64 / commits as f64
    );
}
