//! The stream: what it must be, making it, and checking that it still is what it was.

use super::super::{Difference, Error, id::random_id};
use super::{link::with_sources, options::Options, shared::Mark};
use async_nats::{
    Client,
    jetstream::{
        Context, ErrorCode,
        context::GetStreamErrorKind,
        stream::{Config, DiscardPolicy, Info, PersistenceMode, RetentionPolicy, StorageType, Stream},
    },
};
use std::collections::HashMap;
use uuid::Uuid;

/// Format of the stream, in its metadata. An older version refuses a newer one; there is no older one yet.
const FORMAT: u32 = 1;
const FORMAT_KEY: &str = "pavlov.log.format";
const ID_KEY: &str = "pavlov.log.id";
/// Older servers ignore atomic batches and other things we ask for, in silence.
const VERSION_MIN: (u64, u64) = (2, 12);
/// What NATS headers add to a record, at most.
const HEADERS_BYTES_MAX: usize = 512;

/// What a check of the stream found.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub id: Uuid,
    pub first: u64,
    pub last: u64,
    pub bytes: u64,
    /// Of the last message, Unix microseconds.
    pub last_time: i64,
}

/// Opens the stream, or makes it with a new id, and checks it.
pub(super) async fn open(client: &Client, context: &Context, options: &Options) -> Result<Known, Error> {
    check_server(client, options)?;
    let name = options.stream();
    match context.get_stream(&name).await {
        Ok(stream) => return known(&stream.get_info().await.map_err(failed("read", &name))?, options),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            _ => return Err(failed("read", &name)(error)),
        },
    }
    let made = context.create_stream(config(options, random_id())).await;
    match made {
        // Read back: the server says what it made of what we asked for.
        Ok(stream) => known(&stream.get_info().await.map_err(failed("read", &name))?, options),
        // Another replica may have been faster, with another id.
        Err(error) => match context.get_stream(&name).await {
            Ok(stream) => known(&stream.get_info().await.map_err(failed("read", &name))?, options),
            Err(_) => Err(failed("create", &name)(error)),
        },
    }
}

/// Checks that the stream still is the one it was, and that it still holds what was delivered.
///
/// An [`Error::Nats`] may pass; every other error is final.
pub(super) async fn check(
    client: &Client,
    context: &Context,
    options: &Options,
    (id, delivered): (Uuid, Mark),
) -> Result<Known, Error> {
    check_server(client, options)?;
    let name = options.stream();
    let stream = context.get_stream(&name).await.map_err(failed("read", &name))?;
    let found = known(stream.cached_info(), options)?;
    if found.id != id {
        return Err(Error::OtherLog { known: id, found: found.id });
    }
    if found.last < delivered.position {
        return Err(Error::TailLost { delivered: delivered.position, last: found.last });
    }
    // A lost tail may have been written over before anybody looked: then another message stands there.
    if let Some((time_nanoseconds, checksum)) = delivered.content
        && delivered.position >= found.first
    {
        match message(&stream, &name, delivered.position).await? {
            Some(message) if message == (time_nanoseconds, checksum) => {}
            _ => return Err(Error::TailLost { delivered: delivered.position, last: delivered.position - 1 }),
        }
    }
    Ok(found)
}

/// Time (Unix nanoseconds) and checksum of the message at a position; none if there is none.
pub(super) async fn message(
    stream: &Stream,
    name: &str,
    position: u64,
) -> Result<Option<(i128, u32)>, Error> {
    use async_nats::jetstream::stream::LastRawMessageErrorKind::NoMessageFound;
    match stream.get_raw_message(position).await {
        Ok(message) => Ok(Some((message.time.unix_timestamp_nanos(), crc32c::crc32c(&message.payload)))),
        Err(error) if error.kind() == NoMessageFound => Ok(None),
        Err(error) => Err(failed("read a message of", name)(error)),
    }
}

/// Gives the stream another log id.
pub(super) async fn set_id(context: &Context, options: &Options, id: Uuid) -> Result<(), Error> {
    let name = options.stream();
    let stream = context.get_stream(&name).await.map_err(failed("read", &name))?;
    let mut config = stream.cached_info().config.clone();
    config.metadata.insert(ID_KEY.into(), id.to_string());
    context.update_stream(&config).await.map_err(failed("change", &name))?;
    Ok(())
}

/// Removes messages below `below`, but never the last one: it tells where the log goes on.
pub(super) async fn trim(context: &Context, options: &Options, below: u64) -> Result<Known, Error> {
    let name = options.stream();
    let stream = context.get_stream(&name).await.map_err(failed("read", &name))?;
    let below = below.min(stream.cached_info().state.last_sequence);
    if below > stream.cached_info().state.first_sequence {
        stream.purge().sequence(below).await.map_err(failed("purge", &name))?;
    }
    known(&stream.get_info().await.map_err(failed("read", &name))?, options)
}

pub(super) fn failed<E: std::error::Error>(doing: &str, stream: &str) -> impl FnOnce(E) -> Error {
    let doing = format!("{doing} the stream {stream}");
    move |error| Error::Nats { doing, reason: with_sources(&error) }
}

fn config(options: &Options, id: Uuid) -> Config {
    let metadata = [(FORMAT_KEY, FORMAT.to_string()), (ID_KEY, id.to_string())];
    Config {
        name: options.stream(),
        subjects: vec![options.log_subject(), options.outside_subject()],
        description: Some("the log of Pavlov: the source of truth, never to be edited".into()),
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas: options.replicas,
        deny_delete: true,
        allow_atomic_publish: true,
        metadata: metadata.map(|(key, value)| (key.to_owned(), value)).into(),
        ..Config::default()
    }
}

fn known(info: &Info, options: &Options) -> Result<Known, Error> {
    let name = options.stream();
    let differences = differences(&info.config, options);
    if !differences.is_empty() {
        return Err(Error::StreamDiffers { stream: name, differences });
    }
    let format = meta(&info.config.metadata, FORMAT_KEY);
    if format.parse() != Ok(FORMAT) {
        let found = if format.is_empty() { "none".to_owned() } else { format.to_owned() };
        return Err(Error::Format { name, found, known: FORMAT });
    }
    let id = Uuid::try_parse(meta(&info.config.metadata, ID_KEY)).map_err(|_| Error::Format {
        name,
        found: format!("1 without {ID_KEY}"),
        known: FORMAT,
    })?;
    let state = &info.state;
    let (last, bytes) = (state.last_sequence, state.bytes);
    let first = if state.messages == 0 { last + 1 } else { state.first_sequence };
    let last_time = microseconds(state.last_timestamp.unix_timestamp_nanos());
    Ok(Known { id, first, last, bytes, last_time })
}

/// Unix microseconds; a server's time is far from the ends of what fits.
pub(super) fn microseconds(nanoseconds: i128) -> i64 {
    i64::try_from(nanoseconds / 1_000).unwrap_or(0)
}

/// Every field that would lose, drop, rewrite or reorder records if it were otherwise. Limits on size or count may be
/// set: with `discard: new` they refuse, and nothing is dropped.
fn differences(found: &Config, options: &Options) -> Vec<Difference> {
    let needed = config(options, Uuid::nil());
    let mut differences = Vec::new();
    let mut compare = |field, found: String, needed: String| {
        if found != needed {
            differences.push(Difference { field, found, needed });
        }
    };
    let sorted = |subjects: &[String]| {
        let mut subjects = subjects.to_vec();
        subjects.sort_unstable();
        subjects.join(" and ")
    };
    let words = |debug: String| debug.to_lowercase();
    let count = |count: i64| if count > 0 { count.to_string() } else { "unlimited".into() };
    let yes = |yes: bool| if yes { "true" } else { "false" }.to_owned();
    let mode =
        |config: &Config| words(format!("{:?}", config.persist_mode.unwrap_or(PersistenceMode::Default)));
    compare("subjects", sorted(&found.subjects), sorted(&needed.subjects));
    compare("retention", words(format!("{:?}", found.retention)), words(format!("{:?}", needed.retention)));
    compare("discard", words(format!("{:?}", found.discard)), words(format!("{:?}", needed.discard)));
    compare("storage", words(format!("{:?}", found.storage)), words(format!("{:?}", needed.storage)));
    compare("num_replicas", found.num_replicas.to_string(), needed.num_replicas.to_string());
    compare("max_age", format!("{:?}", found.max_age), format!("{:?}", needed.max_age));
    compare("max_msgs_per_subject", count(found.max_messages_per_subject), count(-1));
    compare("no_ack", yes(found.no_ack), yes(false));
    compare("deny_delete", yes(found.deny_delete), yes(true));
    compare("deny_purge", yes(found.deny_purge), yes(false));
    compare("allow_rollup_hdrs", yes(found.allow_rollup), yes(false));
    compare("allow_msg_ttl", yes(found.allow_message_ttl), yes(false));
    compare("allow_msg_schedules", yes(found.allow_message_schedules), yes(false));
    compare("allow_atomic", yes(found.allow_atomic_publish), yes(true));
    compare("sealed", yes(found.sealed), yes(false));
    compare("persist_mode", mode(found), mode(&needed));
    compare("mirror", yes(found.mirror.is_some()), yes(false));
    compare("sources", yes(found.sources.as_ref().is_some_and(|sources| !sources.is_empty())), yes(false));
    compare("subject_transform", yes(found.subject_transform.is_some()), yes(false));
    differences
}

fn check_server(client: &Client, options: &Options) -> Result<(), Error> {
    let info = client.server_info();
    let server = format!("{}:{}", info.host, info.port);
    if !new_enough(&info.version) {
        return Err(Error::ServerTooOld { server, version: info.version });
    }
    let needed = options.record_bytes_max + HEADERS_BYTES_MAX;
    if info.max_payload < needed {
        let (found, needed) = (info.max_payload.to_string(), format!("{needed} or more"));
        let differences = vec![Difference { field: "the server's max_payload", found, needed }];
        return Err(Error::StreamDiffers { stream: options.stream(), differences });
    }
    Ok(())
}

fn new_enough(version: &str) -> bool {
    let mut numbers =
        version.trim_start_matches('v').split(['.', '-']).map_while(|part| part.parse::<u64>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= VERSION_MIN
}

fn meta<'a>(metadata: &'a HashMap<String, String>, key: &str) -> &'a str {
    metadata.get(key).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_2_12_on_are_new_enough() {
        for version in ["2.12.0", "2.15.1", "3.0.0", "v2.12.3", "2.12.0-RC.1", "10.1"] {
            assert!(new_enough(version), "{version}");
        }
        for version in ["2.11.9", "2.9.10", "1.99.0", "", "nonsense", "2"] {
            assert!(!new_enough(version), "{version}");
        }
    }

    #[test]
    fn every_dangerous_field_is_noticed() {
        type Change = fn(&mut Config);
        let options = Options::new("");
        assert_eq!(differences(&config(&options, Uuid::nil()), &options), []);
        let cases: [(&str, Change); 12] = [
            ("subjects", |config| config.subjects.push("more.>".into())),
            ("retention", |config| config.retention = RetentionPolicy::WorkQueue),
            ("discard", |config| config.discard = DiscardPolicy::Old),
            ("storage", |config| config.storage = StorageType::Memory),
            ("num_replicas", |config| config.num_replicas = 3),
            ("max_age", |config| config.max_age = std::time::Duration::from_secs(60)),
            ("max_msgs_per_subject", |config| config.max_messages_per_subject = 10),
            ("no_ack", |config| config.no_ack = true),
            ("deny_delete", |config| config.deny_delete = false),
            ("allow_rollup_hdrs", |config| config.allow_rollup = true),
            ("allow_atomic", |config| config.allow_atomic_publish = false),
            ("persist_mode", |config| config.persist_mode = Some(PersistenceMode::Async)),
        ];
        for (field, change) in cases {
            let mut found = config(&options, Uuid::nil());
            change(&mut found);
            let fields: Vec<_> =
                differences(&found, &options).iter().map(|difference| difference.field).collect();
            assert_eq!(fields, [field]);
        }
        let mut limited = config(&options, Uuid::nil());
        (limited.max_bytes, limited.max_messages, limited.max_messages_per_subject) =
            (1 << 30, 1_000_000, -1);
        assert_eq!(differences(&limited, &options), []);
    }
}
