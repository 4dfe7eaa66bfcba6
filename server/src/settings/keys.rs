//! [`KEYS`]: every setting, one row each.

use super::Settings;
use super::values::{
    bytes, list, micros, one_of, path, shown_bytes, shown_micros, shown_span, span, text, whole, yes_no,
};
use serde_json::{Value, json};
use std::time::Duration;

/// The largest segment: an offset in a segment is 32 bits.
const SEGMENT_BYTES_MAX: u64 = 2 << 30;
/// The smallest segment: one that holds a full record.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;
/// More than any disk.
const BYTES_MAX: u64 = 1 << 50;

/// One setting.
pub struct Key {
    /// Section and name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// A value that is not the default, as JSON or a text.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests try each key with it"))]
    pub sample: &'static str,
    /// Sets it; the error is what is allowed.
    pub set: fn(&mut Settings, &Value) -> Result<(), String>,
    /// Its value, as it could be given.
    pub show: fn(&Settings) -> Value,
}

/// A row of [`KEYS`]: name, about, sample, the field, how it is read, how it is shown.
macro_rules! key {
    ($name:literal, $about:literal, $sample:literal, $($field:ident).+, $read:expr, $show:expr) => {
        Key {
            name: $name,
            about: $about,
            sample: $sample,
            set: |settings, value| {
                settings.$($field).+ = $read(value)?;
                Ok(())
            },
            show: |settings| $show(&settings.$($field).+),
        }
    };
}

/// Every setting, in the order in which they are listed.
pub const KEYS: &[Key] = &[
    key!("server.host", "address to listen on", "\"127.0.0.2\"", host, read_host, shown_text),
    key!(
        "server.port",
        "port to listen on; 0 takes a free one",
        "80",
        port,
        |v| whole(v, 0, 65_535).map(|n| n as u16),
        shown
    ),
    key!(
        "server.insecure_without_auth",
        "let others than this machine connect without credentials",
        "true",
        insecure_without_auth,
        yes_no,
        shown
    ),
    key!(
        "server.ui_url",
        "address of the web pages, for links in messages",
        "\"http://x\"",
        ui_url,
        |v| text(v).map(Some),
        shown
    ),
    key!(
        "server.log_lines",
        "log lines on standard error: text or json",
        "\"json\"",
        log_lines_json,
        |v| Ok::<_, String>(one_of(v, ["text", "json"])? == "json"),
        |json: &bool| Value::from(if *json { "json" } else { "text" })
    ),
    key!("data", "directory of everything that is stored", "\"/x\"", data, path, shown_path),
    key!(
        "log.nats_url",
        "NATS servers that hold the log; none = segments in the data directory",
        "\"nats://x\"",
        log.nats_url,
        |v| text(v).map(Some),
        shown_secretly
    ),
    key!(
        "log.nats_prefix",
        "start of the subjects and of the stream's name",
        "\"x\"",
        log.nats_prefix,
        text,
        shown
    ),
    key!(
        "log.nats_replicas",
        "copies of the stream",
        "3",
        log.nats_replicas,
        |v| whole(v, 1, 5).map(|n| n as usize),
        shown
    ),
    key!(
        "log.nats_sync_always",
        "the NATS server runs with sync_interval: always",
        "true",
        log.nats_sync_always,
        yes_no,
        shown
    ),
    key!(
        "log.nats_credentials",
        "file of NATS credentials",
        "\"/x\"",
        log.nats_credentials,
        |v| path(v).map(Some),
        shown
    ),
    key!(
        "log.nats_certificates",
        "certificates of an own authority (PEM)",
        "\"/x\"",
        log.nats_certificates,
        |v| path(v).map(Some),
        shown
    ),
    key!(
        "log.nats_events_bytes_max",
        "bytes of the stream of events for outside programs",
        "\"1GiB\"",
        log.nats_events_bytes_max,
        |v| bytes(v, SEGMENT_BYTES_MIN, BYTES_MAX).map(|n| n as i64),
        |n: &i64| shown_bytes(n.unsigned_abs())
    ),
    key!(
        "log.segment_bytes",
        "size of a segment",
        "\"1MiB\"",
        log.segment_bytes,
        |v| bytes(v, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX),
        |n: &u64| shown_bytes(*n)
    ),
    key!(
        "log.queue_bytes_max",
        "bytes that may wait to become durable; above it requests get 503",
        "\"1MiB\"",
        log.queue_bytes_max,
        |v| bytes(v, SEGMENT_BYTES_MIN, BYTES_MAX),
        |n: &u64| shown_bytes(*n)
    ),
    key!(
        "log.queue_records_max",
        "records that may wait to become durable",
        "1000",
        log.queue_records_max,
        |v| whole(v, 1, 100_000_000),
        shown
    ),
    key!(
        "engine.settle",
        "an absence is never due sooner than this after it was armed",
        "\"2s\"",
        engine.settle_micros,
        micros,
        |n: &i64| shown_micros(*n)
    ),
    key!(
        "engine.grace",
        "an absence is never due sooner than this after we heard nothing at all",
        "\"2m\"",
        engine.grace_micros,
        micros,
        |n: &i64| shown_micros(*n)
    ),
    key!(
        "engine.attempts_max",
        "attempts at one action, the first included",
        "3",
        engine.attempts_max,
        |v| whole(v, 1, 101).map(|n| n as u32),
        shown
    ),
    key!(
        "engine.retry_delay",
        "pause before the second attempt; it doubles",
        "\"5s\"",
        engine.retry_delay_micros,
        micros,
        |n: &i64| shown_micros(*n)
    ),
    key!(
        "engine.retry_delay_max",
        "longest pause between two attempts",
        "\"1h\"",
        engine.retry_delay_max_micros,
        micros,
        |n: &i64| shown_micros(*n)
    ),
    key!(
        "engine.follow_wait",
        "how long an event waits for the one that it follows",
        "\"1m\"",
        engine.follow_wait_micros,
        micros,
        |n: &i64| shown_micros(*n)
    ),
    key!(
        "engine.follow_depth_max",
        "events that may wait in one chain",
        "5",
        engine.follow_depth_max,
        |v| whole(v, 1, 1_000).map(|n| n as u32),
        shown
    ),
    key!(
        "engine.cascade_depth_max",
        "automations that may cause one another",
        "5",
        engine.cascade_depth_max,
        |v| whole(v, 1, 1_000).map(|n| n as u32),
        shown
    ),
    key!(
        "engine.dead_letters_max",
        "dead letters that are kept",
        "5",
        engine.dead_letters_max,
        |v| whole(v, 1, 10_000_000).map(|n| n as usize),
        shown
    ),
    key!(
        "history.keep",
        "how long events are kept",
        "\"30d\"",
        history_age,
        |v| span(v, Duration::from_secs(60)),
        |age: &Duration| Value::from(shown_span(*age))
    ),
    key!(
        "history.bytes_max",
        "bytes of events that are kept",
        "\"1GiB\"",
        history_bytes_max,
        |v| bytes(v, SEGMENT_BYTES_MIN, BYTES_MAX),
        |n: &u64| shown_bytes(*n)
    ),
    key!(
        "history.segment_bytes",
        "size of a segment",
        "\"1MiB\"",
        history_segment_bytes,
        |v| bytes(v, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX),
        |n: &u64| shown_bytes(*n)
    ),
    key!(
        "state.snapshot_records",
        "a snapshot of the state is written after so many records",
        "100000",
        snapshot_records,
        |v| whole(v, 1, 1_000_000_000),
        shown
    ),
    key!(
        "state.snapshot_every",
        "and after this long, when anything changed",
        "\"10m\"",
        snapshot_every,
        |v| span(v, Duration::from_secs(1)),
        |every: &Duration| Value::from(shown_span(*every))
    ),
    key!(
        "smtp.host",
        "mail server of send-email-notification",
        "\"x\"",
        smtp.host,
        |v| text(v).map(Some),
        shown
    ),
    key!(
        "smtp.port",
        "its port; none = 465, 587 or 25, by smtp.tls",
        "26",
        smtp.port,
        |v| whole(v, 1, 65_535).map(|n| Some(n as u16)),
        shown
    ),
    key!(
        "smtp.tls",
        "how it is spoken to: tls, starttls or none",
        "\"none\"",
        smtp.tls,
        |v| one_of(v, ["tls", "starttls", "none"]),
        |word: &&str| Value::from(*word)
    ),
    key!("smtp.user", "user there", "\"x\"", smtp.user, |v| text(v).map(Some), shown),
    key!(
        "smtp.password_file",
        "file that holds the user's password",
        "\"/x\"",
        smtp.password_file,
        |v| path(v).map(Some),
        shown
    ),
    key!("smtp.from", "sender of the mails", "\"a@x\"", smtp.from, |v| text(v).map(Some), shown),
    key!(
        "commands.allowed",
        "programs that run-command may start, as absolute paths; * allows all",
        "\"/bin/df\"",
        programs,
        |v| list(v, program),
        shown
    ),
    key!(
        "outbound.networks",
        "networks that requests may reach though they are not public",
        "\"10.1.0.0/16\"",
        networks,
        |v| list(v, network),
        |all: &Vec<pavlov_notifier::network::Network>| all.iter().map(ToString::to_string).collect()
    ),
];

fn read_host(value: &Value) -> Result<std::net::IpAddr, String> {
    let text = value.as_str().unwrap_or_default().trim();
    let address = if text == "localhost" { "127.0.0.1" } else { text };
    address.parse().map_err(|_| "an IP address such as 127.0.0.1 or ::1".into())
}

fn program(text: &str) -> Result<String, String> {
    if text == "*" || text.starts_with('/') {
        Ok(text.to_owned())
    } else {
        Err("absolute paths, or *".into())
    }
}

fn network(text: &str) -> Result<pavlov_notifier::network::Network, String> {
    text.parse().map_err(|_| "networks such as 10.1.0.0/16 or fd00::/8".into())
}

fn shown<T: serde::Serialize>(value: &T) -> Value {
    json!(value)
}

fn shown_text<T: ToString>(value: &T) -> Value {
    value.to_string().into()
}

fn shown_path(value: &std::path::Path) -> Value {
    value.display().to_string().into()
}

/// A URL without the password that it may hold.
fn shown_secretly(value: &Option<String>) -> Value {
    let hidden = |url: &String| match (url.find("://"), url.rfind('@')) {
        (Some(start), Some(end)) if start + 3 < end => format!("{}***{}", &url[..start + 3], &url[end..]),
        _ => url.clone(),
    };
    json!(value.as_ref().map(hidden))
}
