//! The log on NATS against real servers: the contract, and what can only go wrong here.

mod faults;
mod server;
mod setup;

use super::super::contract::{Bench, append, check, contract, receive, record};
use super::super::{Durability, Log, Source};
use super::NatsLog;
use server::Server;

contract!(Server::start());

impl Bench for Server {
    fn open(&self) -> Box<dyn Log> {
        Box::new(NatsLog::open(self.options()).unwrap())
    }

    fn open_narrow(&self) -> Box<dyn Log> {
        let mut options = self.options();
        (options.queue_bytes_max, options.queue_records_max) = (100_000, 200);
        Box::new(NatsLog::open(options).unwrap())
    }

    fn record_bytes_max(&self) -> usize {
        900 * 1024
    }
}

#[test]
fn under_sync_always_larger_groups_go_as_atomic_batches() {
    let server = Server::start_with("sync_interval: always");
    let mut options = server.options();
    options.sync_always = true;
    let log = NatsLog::open(options).unwrap();
    let mut reader = log.entries(1).unwrap();
    append(&log, 1..=3_000);
    check(&receive(&mut reader, 3_000), 1..=3_000);
    log.seen(3_000);
    let status = log.status();
    assert_eq!((status.counters.records, status.counters.resends), (3_000, 0));
    assert!(status.counters.commits < 300, "{:?}", status.counters);
    assert_eq!(status.durability, Durability::Stream { replicas: 1, sync_always: true });
    // A few are faster one by one.
    let before = log.status().counters.commits;
    append(&log, 3_001..=3_001);
    check(&receive(&mut reader, 1), 3_001..=3_001);
    assert_eq!(log.status().counters.commits, before + 1);
}

#[test]
fn what_others_publish_comes_in_its_place_with_its_subject() {
    let server = Server::start();
    let log = NatsLog::open(server.options()).unwrap();
    let mut reader = log.entries(1).unwrap();
    append(&log, 1..=1);
    receive(&mut reader, 1);
    server.publish("pavlov.in.checkout.web", "{\"from\":\"outside\"}");
    let entry = &receive(&mut reader, 1)[0];
    assert_eq!(entry.source, Source::Outside { subject: "pavlov.in.checkout.web".into() });
    assert_eq!((entry.position, &entry.bytes[..]), (2, &b"{\"from\":\"outside\"}"[..]));
    append(&log, 2..=2);
    assert_eq!(receive(&mut reader, 1)[0].bytes, record(2));
}

#[test]
fn two_processes_read_the_same_order() {
    let server = Server::start();
    let logs = [NatsLog::open(server.options()).unwrap(), NatsLog::open(server.options()).unwrap()];
    assert_eq!(logs[0].id(), logs[1].id());
    let mut readers = logs.each_ref().map(|log| log.entries(1).unwrap());
    std::thread::scope(|scope| {
        for log in &logs {
            scope.spawn(|| append(log, 1..=1_000));
        }
    });
    let read = readers.each_mut().map(|reader| receive(reader, 2_000));
    assert_eq!(read[0], read[1]);
}
