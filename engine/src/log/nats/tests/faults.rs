//! Servers that die, fall silent, refuse, stall, forget.

use super::super::super::contract::{append, next, receive, record};
use super::super::super::{Delivery, Error, Log, Refused};
use super::super::NatsLog;
use super::server::Server;
use std::{thread, time::Duration};
use tokio::sync::mpsc::Receiver;

/// Reads as the machine does: takes only the next number, skips every other record, and says what it has seen.
fn take_in_order(log: &NatsLog, reader: &mut Receiver<Delivery>, mut number: u64, last: u64) {
    while number <= last {
        for entry in next(reader).expect("the channel stays open").unwrap() {
            if entry.bytes == record(number) {
                log.seen(number);
                number += 1;
            }
        }
    }
}

#[test]
fn a_server_killed_under_load_loses_and_reorders_nothing() {
    let server = Server::start();
    let log = NatsLog::open(server.options()).unwrap();
    let mut reader = log.entries(1).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=20_000 {
                log.append(n, record(n)).unwrap();
                if n % 10 == 0 {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        scope.spawn(|| {
            for _ in 0..3 {
                thread::sleep(Duration::from_millis(300));
                server.kill();
                thread::sleep(Duration::from_millis(100));
                server.resurrect();
            }
        });
        take_in_order(&log, &mut reader, 1, 20_000);
    });
    let status = log.status();
    assert!((1..=3).contains(&status.counters.outages), "{status:?}");
    assert_eq!((status.queued, status.healthy), (0, true), "{status:?}");
}

#[test]
fn a_server_that_falls_silent_is_one_outage() {
    let server = Server::start();
    let log = NatsLog::open(server.options()).unwrap();
    let mut reader = log.entries(1).unwrap();
    append(&log, 1..=100);
    take_in_order(&log, &mut reader, 1, 100);
    server.freeze();
    append(&log, 101..=200);
    let outage = wait_until(|| !log.status().healthy);
    assert!(outage, "silence is noticed: {:?}", log.status());
    append(&log, 201..=300);
    server.thaw();
    take_in_order(&log, &mut reader, 101, 300);
    assert!(wait_until(|| log.status().healthy), "{:?}", log.status());
    let counters = log.status().counters;
    assert_eq!(counters.outages, 1, "{counters:?}");
    assert!(log.status().last_error.is_some());
}

#[test]
fn what_was_in_flight_when_the_server_died_is_sent_again() {
    let server = Server::start();
    let log = NatsLog::open(server.options()).unwrap();
    let mut reader = log.entries(1).unwrap();
    append(&log, 1..=10);
    take_in_order(&log, &mut reader, 1, 10);
    // Written into a line that nobody reads any more.
    server.freeze();
    append(&log, 11..=110);
    assert!(wait_until(|| !log.status().healthy), "{:?}", log.status());
    server.kill();
    server.resurrect();
    take_in_order(&log, &mut reader, 11, 110);
    // Whether all of them had been sent before the server died depends on who was faster; that they arrive,
    // each in its place, does not.
    let counters = log.status().counters;
    assert!(counters.outages >= 1, "{counters:?}");
}

#[test]
fn no_responders_is_waited_out() {
    let server = Server::start();
    let log = NatsLog::open(server.options()).unwrap();
    let mut reader = log.entries(1).unwrap();
    server.shut_down();
    server.resurrect_without_streams();
    append(&log, 1..=50);
    assert!(
        wait_until(|| log.status().last_error.is_some_and(|error| error.contains("stream"))),
        "{:?}",
        log.status()
    );
    server.shut_down();
    server.resurrect();
    take_in_order(&log, &mut reader, 1, 50);
    assert!(wait_until(|| log.status().healthy), "{:?}", log.status());
}

#[test]
fn a_stream_that_refuses_keeps_the_records_waiting() {
    let server = Server::start();
    let mut options = server.options();
    options.queue_records_max = 40;
    let log = NatsLog::open(options).unwrap();
    let mut reader = log.entries(1).unwrap();
    limit_messages(&server, 10);
    append(&log, 1..=40);
    take_in_order(&log, &mut reader, 1, 10);
    assert!(wait_until(|| log.status().last_error.is_some_and(|error| error.contains("maximum messages"))));
    assert!(!log.status().healthy);
    append(&log, 41..=50);
    assert!(matches!(log.append(51, record(51)), Err(Refused::Full { .. })));
    limit_messages(&server, -1);
    take_in_order(&log, &mut reader, 11, 50);
    assert!(wait_until(|| log.status().healthy), "{:?}", log.status());
}

#[test]
fn a_consumer_that_stalls_is_rebuilt() {
    let server = Server::start();
    let log = NatsLog::open(server.options()).unwrap();
    let mut reader = log.entries(1).unwrap();
    append(&log, 1..=10);
    take_in_order(&log, &mut reader, 1, 10);
    // A paused consumer is what a stalled one looks like: there, and silent.
    server.with_jetstream(server.port(), async |context| {
        use futures_util::StreamExt;
        let stream = context.get_stream("PAVLOV_LOG").await.unwrap();
        let name = stream.consumer_names().next().await.unwrap().unwrap();
        let later = async_nats::datetime::now() + Duration::from_secs(3_600);
        stream.pause_consumer(&name, later).await.unwrap();
    });
    append(&log, 11..=20);
    take_in_order(&log, &mut reader, 11, 20);
    let status = log.status();
    assert_eq!((status.counters.resends, status.counters.outages), (0, 1), "{status:?}");
    assert!(status.last_error.unwrap().contains("position 20"));
}

#[test]
fn a_lost_tail_is_told_with_its_range() {
    let server = Server::start();
    let log = NatsLog::open(server.options()).unwrap();
    let mut reader = log.entries(1).unwrap();
    lose_tail(&server, &log, &mut reader);
    server.resurrect();
    expect_tail_lost(&log, &mut reader, 60);
    drop(log);
    // The engine opens anew, below what is left, and goes on.
    let log = NatsLog::open(server.options()).unwrap();
    let error = log.entries(101).unwrap_err();
    assert!(matches!(error, Error::TailLost { delivered: 100, last: 60 }), "{error}");
    let mut reader = log.entries(61).unwrap();
    append(&log, 1..=5);
    take_in_order(&log, &mut reader, 1, 5);
}

#[test]
fn a_lost_tail_that_was_written_over_is_told_too() {
    let server = Server::start();
    let log = NatsLog::open(server.options()).unwrap();
    let mut reader = log.entries(1).unwrap();
    lose_tail(&server, &log, &mut reader);
    let port = server.resurrect_elsewhere();
    server.with_jetstream(port, async |context| {
        for n in 1..=60 {
            context.publish("pavlov.log", record(n)).await.unwrap().await.unwrap();
        }
    });
    server.shut_down();
    server.resurrect();
    expect_tail_lost(&log, &mut reader, 99);
}

#[test]
fn another_id_ends_the_log() {
    let server = Server::start();
    let (log, other) = (NatsLog::open(server.options()).unwrap(), NatsLog::open(server.options()).unwrap());
    let mut reader = log.entries(1).unwrap();
    append(&log, 1..=1);
    receive(&mut reader, 1);
    other.set_id(uuid::Uuid::from_u128(5)).unwrap();
    other.close();
    server.kill();
    server.resurrect();
    let error = next(&mut reader).unwrap().unwrap_err();
    assert!(matches!(error, Error::OtherLog { found, .. } if found == uuid::Uuid::from_u128(5)), "{error}");
    assert_eq!(log.append(2, record(2)), Err(Refused::Closed));
}

#[test]
fn closing_without_a_server_gives_up_in_the_end() {
    let server = Server::start();
    let mut options = server.options();
    options.close_timeout = Duration::from_millis(300);
    let log = NatsLog::open(options).unwrap();
    let _reader = log.entries(1).unwrap();
    server.kill();
    append(&log, 1..=10);
    log.close();
    assert_eq!(log.append(11, record(11)), Err(Refused::Closed));
    assert!(matches!(log.checksum(1), Err(Error::Closed)));
}

/// Delivers 100 records of which the store then only has 60; the server is down.
fn lose_tail(server: &Server, log: &NatsLog, reader: &mut Receiver<Delivery>) {
    append(log, 1..=60);
    take_in_order(log, reader, 1, 60);
    server.shut_down();
    let saved = server.save();
    server.resurrect();
    append(log, 61..=100);
    take_in_order(log, reader, 61, 100);
    assert_eq!(log.last_position(), 100);
    server.shut_down();
    server.restore(&saved);
}

fn expect_tail_lost(log: &NatsLog, reader: &mut Receiver<Delivery>, expected: u64) {
    let error = next(reader).unwrap().unwrap_err();
    assert!(matches!(error, Error::TailLost { delivered: 100, last } if last == expected), "{error}");
    assert!(next(reader).is_none(), "nothing after the error");
    assert_eq!(log.append(101, record(101)), Err(Refused::Closed));
    assert!(!log.status().healthy);
}

fn limit_messages(server: &Server, limit: i64) {
    server.with_jetstream(server.port(), async |context| {
        let mut config = context.get_stream("PAVLOV_LOG").await.unwrap().cached_info().config.clone();
        config.max_messages = limit;
        context.update_stream(&config).await.unwrap();
    });
}

fn wait_until(reached: impl Fn() -> bool) -> bool {
    (0..1_000).any(|_| {
        thread::sleep(Duration::from_millis(20));
        reached()
    })
}
