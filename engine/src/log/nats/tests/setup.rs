//! What opening refuses: other servers, other streams.

use super::super::super::{Error, Log};
use super::super::{NatsLog, Options};
use super::server::Server;
use async_nats::jetstream::stream::Config;
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::PathBuf,
    thread,
};

fn refused(options: Options) -> Error {
    NatsLog::open(options).err().expect("opening must be refused")
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let error = refused(Options::new("nats://127.0.0.1:1")).to_string();
    assert!(error.contains("nats://127.0.0.1:1") && error.contains("refused"), "{error}");
}

#[test]
fn a_server_older_than_2_12_is_refused() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    // Enough of the protocol to be connected to, with the greeting of the last server before the limit.
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let info = r#"{"server_id":"X","version":"2.11.9","host":"h","port":7,"max_payload":1048576,"headers":true}"#;
        write!(socket, "INFO {info}\r\n").unwrap();
        let lines = BufReader::new(socket.try_clone().unwrap()).lines();
        for _ in lines.map_while(Result::ok).filter(|line| line.starts_with("PING")) {
            write!(socket, "PONG\r\n").unwrap();
        }
    });
    let error = refused(Options::new(url));
    assert!(matches!(&error, Error::ServerTooOld { version, .. } if version == "2.11.9"), "{error}");
    assert!(error.to_string().contains("upgrade"), "{error}");
}

#[test]
fn a_server_without_streams_is_refused() {
    let server = Server::start();
    server.shut_down();
    server.resurrect_without_streams();
    let error = refused(server.options()).to_string();
    assert!(error.contains("PAVLOV_LOG"), "{error}");
}

#[test]
fn a_stream_set_up_otherwise_is_refused_with_every_field() {
    let server = Server::start();
    let subjects = vec!["pavlov.log".into(), "pavlov.in.>".into()];
    let config = Config { name: "PAVLOV_LOG".into(), subjects, num_replicas: 1, ..Config::default() };
    server.with_jetstream(server.port(), async |context| {
        context.create_stream(config).await.map(drop).unwrap()
    });
    let error = refused(server.options());
    let Error::StreamDiffers { stream, differences } = &error else { panic!("{error}") };
    let fields: Vec<_> = differences.iter().map(|difference| difference.field).collect();
    assert_eq!((stream.as_str(), fields), ("PAVLOV_LOG", vec!["discard", "deny_delete", "allow_atomic"]));
    assert!(error.to_string().contains("discard is old, needed is new"), "{error}");
}

#[test]
fn a_stream_that_is_not_ours_is_refused() {
    let server = Server::start();
    let log = NatsLog::open(server.options()).unwrap();
    drop(log);
    server.with_jetstream(server.port(), async |context| {
        let mut config = context.get_stream("PAVLOV_LOG").await.unwrap().cached_info().config.clone();
        config.metadata.insert("pavlov.log.format".into(), "9".into());
        context.update_stream(&config).await.unwrap();
    });
    let error = refused(server.options());
    assert!(matches!(&error, Error::Format { found, known: 1, .. } if found == "9"), "{error}");
}

#[test]
fn another_prefix_is_another_log() {
    let server = Server::start();
    let mut options = server.options();
    options.prefix = "shop-2".into();
    let (one, two) = (NatsLog::open(server.options()).unwrap(), NatsLog::open(options).unwrap());
    assert_ne!(one.id(), two.id());
    two.append(1, "{}".into()).unwrap();
    super::receive(&mut two.entries(1).unwrap(), 1);
    assert_eq!((one.last_position(), two.last_position()), (0, 1));
}

#[test]
fn options_out_of_range_are_named() {
    type Change = fn(&mut Options);
    let cases: [(&str, Change); 6] = [
        ("prefix", |options| options.prefix.clear()),
        ("prefix", |options| options.prefix = "a.b".into()),
        ("replicas", |options| options.replicas = 0),
        ("replicas", |options| options.replicas = 6),
        ("record_bytes_max", |options| options.record_bytes_max = 0),
        ("record_bytes_max", |options| options.record_bytes_max = 900 * 1024 + 1),
    ];
    for (expected, change) in cases {
        let mut options = Options::new("nats://127.0.0.1:1");
        change(&mut options);
        assert!(matches!(refused(options), Error::Option { field, .. } if field == expected), "{expected}");
    }
    let mut options = Options::new("nats://127.0.0.1:1");
    options.credentials = Some(PathBuf::from("/nowhere/pavlov.creds"));
    assert!(refused(options).to_string().contains("/nowhere/pavlov.creds"));
}
