//! Settings of the log on NATS.

use super::super::{Error, RECORD_BYTES_MAX};
use std::{path::PathBuf, time::Duration};

/// Settings of the log on NATS.
#[derive(Debug, Clone)]
pub struct Options {
    /// Servers, separated by commas: `nats://user:password@host:4222,tls://other`.
    pub url: String,
    /// First token of the subjects, and in capitals the start of the stream's name: letters, digits, `-`, `_`.
    /// Default `pavlov`.
    pub prefix: String,
    /// A `.creds` file, if the server wants one.
    pub credentials: Option<PathBuf>,
    /// Certificates of an own authority (PEM).
    pub certificates: Option<PathBuf>,
    /// Copies of the stream when we make it, 1 to 5, default 1. An existing stream must have as many.
    pub replicas: usize,
    /// Whether the server runs with `sync_interval: always`. It does not tell; only then larger groups go as atomic
    /// batches, which cost one sync instead of one per record. Default no.
    pub sync_always: bool,
    /// Most bytes that may wait to come back, default 64 MiB.
    pub queue_bytes_max: usize,
    /// Most records that may wait to come back, default 200,000.
    pub queue_records_max: usize,
    /// Largest record in bytes, default and most [`RECORD_BYTES_MAX`].
    pub record_bytes_max: usize,
    /// Without an acknowledgement for so long, what is in flight counts as lost. Default 2 s.
    pub ack_timeout: Duration,
    /// An acknowledged record not delivered for so long has the consumer rebuilt. Default 250 ms.
    pub stall_timeout: Duration,
    /// For connecting and for single requests. Default 5 s.
    pub request_timeout: Duration,
    /// How long closing waits for the server, and then for the reader. Default 10 s.
    pub close_timeout: Duration,
}

impl Options {
    /// The defaults, for a server.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "pavlov".into(),
            credentials: None,
            certificates: None,
            replicas: 1,
            sync_always: false,
            queue_bytes_max: 64 << 20,
            queue_records_max: 200_000,
            record_bytes_max: RECORD_BYTES_MAX,
            ack_timeout: Duration::from_secs(2),
            stall_timeout: Duration::from_millis(250),
            request_timeout: Duration::from_secs(5),
            close_timeout: Duration::from_secs(10),
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |field, given: String, allowed: &str| {
            Err(Error::Option { field, given, allowed: allowed.to_owned() })
        };
        let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.prefix.is_empty() || !self.prefix.chars().all(known) {
            return wrong(
                "prefix",
                format!("{:?}", self.prefix),
                "letters, digits, `-` and `_`, at least one",
            );
        }
        if !(1..=5).contains(&self.replicas) {
            return wrong("replicas", self.replicas.to_string(), "1 to 5");
        }
        if !(1..=RECORD_BYTES_MAX).contains(&self.record_bytes_max) {
            return wrong("record_bytes_max", self.record_bytes_max.to_string(), "1 to 921600");
        }
        Ok(())
    }

    pub(super) fn stream(&self) -> String {
        format!("{}_LOG", self.prefix.to_ascii_uppercase())
    }

    pub(super) fn log_subject(&self) -> String {
        format!("{}.log", self.prefix)
    }

    pub(super) fn outside_subject(&self) -> String {
        format!("{}.in.>", self.prefix)
    }
}
