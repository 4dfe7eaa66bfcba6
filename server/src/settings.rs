//! [`Settings`]: what the server is told, from where, and what is wrong with it.
//!
//! A value comes from the first of: a flag, an environment variable, the settings file, the default. Read
//! [`keys::KEYS`] for the list of all keys; each is one row there and nowhere else.

pub mod keys;
pub mod values;

use crate::cli::CliError;
use keys::{KEYS, Key};
use pavlov_engine::engine::SnapshotPolicy;
use pavlov_notifier::network::Network;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What every variable of ours begins with.
const PREFIX: &str = "PAVLOV_";

/// All settings, with where each came from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address that is listened on.
    pub host: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// Whether others than this machine may connect although nobody is asked for credentials.
    pub insecure_without_auth: bool,
    /// The address of the web pages, for links in messages.
    pub ui_url: Option<String>,
    /// The directory of everything that is stored.
    pub data: PathBuf,
    /// The log.
    pub log: LogSettings,
    /// What decisions read.
    pub engine: pavlov_engine::Settings,
    /// Bytes of a segment of the history.
    pub history_segment_bytes: u64,
    /// How long events are kept.
    pub history_age: Duration,
    /// How many bytes of events are kept.
    pub history_bytes_max: u64,
    /// After how many records a snapshot of the state is written.
    pub snapshot_records: u64,
    /// After how long, when anything changed.
    pub snapshot_every: Duration,
    /// The mail server.
    pub smtp: SmtpSettings,
    /// Programs that run-command may start.
    pub programs: Vec<String>,
    /// Networks that requests may reach though they are not public.
    pub networks: Vec<Network>,
    /// Whether log lines are JSON.
    pub log_lines_json: bool,
    /// Where each value that is not a default came from, by key.
    pub sources: BTreeMap<&'static str, Source>,
}

/// Where the log lies.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// The NATS servers; none = our own segments in the data directory.
    pub nats_url: Option<String>,
    /// Start of the stream's subjects and name.
    pub nats_prefix: String,
    /// Copies of the stream.
    pub nats_replicas: usize,
    /// Whether the NATS server syncs each message.
    pub nats_sync_always: bool,
    /// A file of NATS credentials.
    pub nats_credentials: Option<PathBuf>,
    /// Certificates of an own authority.
    pub nats_certificates: Option<PathBuf>,
    /// Bytes of the events' copy that are kept in NATS.
    pub nats_events_bytes_max: i64,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Bytes that may wait to become durable.
    pub queue_bytes_max: u64,
    /// Records that may wait to become durable.
    pub queue_records_max: u64,
}

/// The mail server of send-email-notification.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    /// Its name; none = there is no mail server.
    pub host: Option<String>,
    /// Its port; none = the usual one of `tls`.
    pub port: Option<u16>,
    /// How the connection is protected: `tls`, `starttls` or `none`.
    pub tls: &'static str,
    /// The user.
    pub user: Option<String>,
    /// The file that the user's password stands in.
    pub password_file: Option<PathBuf>,
    /// The sender.
    pub from: Option<String>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// The settings file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let segments = pavlov_engine::log::segment::Options::new("");
        let retention = pavlov_engine::engine::Retention::default();
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 4200,
            insecure_without_auth: false,
            ui_url: None,
            data: "pavlov-data".into(),
            log: LogSettings {
                nats_url: None,
                nats_prefix: "pavlov".into(),
                nats_replicas: 1,
                nats_sync_always: false,
                nats_credentials: None,
                nats_certificates: None,
                nats_events_bytes_max: 10 << 30,
                segment_bytes: segments.segment_bytes,
                queue_bytes_max: segments.queue_bytes_max as u64,
                queue_records_max: segments.queue_records_max as u64,
            },
            engine: pavlov_engine::Settings::default(),
            history_segment_bytes: pavlov_engine::history::Options::default().segment_bytes,
            history_age: retention.age,
            history_bytes_max: retention.bytes_max,
            snapshot_records: SnapshotPolicy::default().records,
            snapshot_every: SnapshotPolicy::default().every,
            smtp: SmtpSettings {
                host: None,
                port: None,
                tls: "tls",
                user: None,
                password_file: None,
                from: None,
            },
            programs: Vec::new(),
            networks: Vec::new(),
            log_lines_json: false,
            sources: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Puts the settings together. `flags` are (key, flag, value).
    ///
    /// # Errors
    /// [`CliError::Usage`] for the first unknown key and the first value that is not allowed.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
        flags: &[(&'static str, &'static str, Option<Value>)],
    ) -> Result<Self, CliError> {
        let mut settings = Self::default();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|error| CliError::file(path, &error))?;
            for (name, value) in read_file(&text).map_err(|why| usage(&path.display(), &why))? {
                let source = Source::File(path.to_owned());
                settings.set(&name, &value, source).map_err(|why| usage(&path.display(), &why))?;
            }
        }
        let mut variables: Vec<(String, String)> = variables.into_iter().collect();
        variables.sort();
        for (variable, text) in variables {
            if let Some(name) = key_of_variable(&variable) {
                let source = Source::Variable(variable.clone());
                settings.set(&name, &Value::from(text), source).map_err(|why| usage(&variable, &why))?;
            }
        }
        for (name, flag, value) in flags {
            if let Some(value) = value {
                settings.set(name, value, Source::Flag(flag)).map_err(|why| usage(flag, &why))?;
            }
        }
        settings.check()?;
        Ok(settings)
    }

    /// Where the value of a key came from.
    pub fn source(&self, name: &str) -> Source {
        self.sources.get(name).cloned().unwrap_or(Source::Default)
    }

    /// Whether only this machine can connect.
    pub fn is_loopback(&self) -> bool {
        self.host.is_loopback()
    }

    fn set(&mut self, name: &str, value: &Value, source: Source) -> Result<(), String> {
        let key = find(name)?;
        // Nothing given is the default, so that a file may name a key and leave it open.
        if !value.is_null() {
            (key.set)(self, value)
                .map_err(|allowed| format!("{name} is {value}, and should be {allowed}"))?;
            self.sources.insert(key.name, source);
        }
        Ok(())
    }

    /// Rules over several keys.
    fn check(&self) -> Result<(), CliError> {
        if !self.is_loopback() && !self.insecure_without_auth {
            return Err(CliError::Usage(format!(
                "server.host is {} ({}): whoever reaches it could change everything, because nobody is asked for \
                 credentials yet. Listen on 127.0.0.1 and put a proxy with authentication before it, or give \
                 --insecure-without-auth if the network is closed",
                self.host,
                self.source("server.host")
            )));
        }
        let smtp = &self.smtp;
        if smtp.host.is_some() && smtp.from.is_none() {
            return Err(CliError::Usage(
                "smtp.from should be set where smtp.host is: it is the sender of every mail".into(),
            ));
        }
        if smtp.user.is_some() != smtp.password_file.is_some() {
            return Err(CliError::Usage(
                "smtp.user and smtp.password_file belong together: give both or none".into(),
            ));
        }
        Ok(())
    }
}

fn usage(whence: &dyn fmt::Display, why: &str) -> CliError {
    CliError::Usage(format!("{whence}: {why}"))
}

fn find(name: &str) -> Result<&'static Key, String> {
    KEYS.iter().find(|key| key.name == name).ok_or_else(|| {
        let nearest = KEYS.iter().min_by_key(|key| distance(key.name, name)).map_or("", |key| key.name);
        format!("there is no setting '{name}'; the nearest one is '{nearest}' (`pavlov server settings` lists all)")
    })
}

/// `PAVLOV_SERVER__PORT` is `server.port`. Two underscores, because Kubernetes puts `PAVLOV_SERVER_PORT` and the
/// like into every container of a name space with a service `pavlov-server`. Other variables are not ours.
fn key_of_variable(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix(PREFIX)?;
    (rest == "DATA" || rest.contains("__")).then(|| rest.to_ascii_lowercase().replace("__", "."))
}

/// The keys of a settings file with their values.
fn read_file(text: &str) -> Result<Vec<(String, Value)>, String> {
    let yaml: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(text).map_err(|error| format!("not YAML: {error}"))?;
    let value = serde_json::to_value(yaml).map_err(|error| format!("not YAML: {error}"))?;
    let sections = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Object(sections) => sections,
        other => return Err(format!("should be sections of settings, such as `server:`, not {other}")),
    };
    let mut all = Vec::new();
    for (section, value) in sections {
        match value {
            Value::Object(fields) => {
                all.extend(fields.into_iter().map(|(name, value)| (format!("{section}.{name}"), value)));
            }
            value => all.push((section, value)),
        }
    }
    Ok(all)
}

/// How many letters must be changed, added or left out to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn load(file: &str, variables: &[(&str, &str)], port: Option<u16>) -> Result<Settings, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pavlov.yaml");
        std::fs::write(&path, file).expect("written");
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let flags = [("server.port", "--port", port.map(Value::from))];
        Settings::load(Some(&path), variables, &flags).map_err(|error| {
            assert_eq!(error.code(), 2);
            error.to_string()
        })
    }

    #[test]
    fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
        let file = "server:\n  port: 1\n";
        let port = |file: &str, variables: &[(&str, &str)], flag| {
            let settings = load(file, variables, flag).expect("sound");
            (settings.port, settings.source("server.port").to_string().contains("pavlov.yaml"))
        };
        let variable = [("PAVLOV_SERVER__PORT", "2")];
        assert_eq!(port(file, &variable, Some(3)).0, 3);
        assert_eq!(port(file, &variable, None).0, 2);
        assert_eq!(port(file, &[], None), (1, true));
        assert_eq!(port("", &[], None), (4200, false));
        assert_eq!(port("server:\n  port:\n", &[], None), (4200, false));
        let settings = load(file, &variable, Some(3)).expect("sound");
        assert_eq!(settings.source("server.port"), Source::Flag("--port"));
        assert_eq!(settings.source("server.host"), Source::Default);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (file, needles) in [
            ("server:\n  prot: 1\n", &["server.prot", "'server.port'"][..]),
            ("servers:\n  port: 1\n", &["servers.port", "'server.port'"]),
            ("server:\n  port: 70000\n", &["server.port is 70000", "0 to 65535"]),
            ("engine:\n  settle: soon\n", &["engine.settle", "such as 90s"]),
            ("smtp:\n  tls: ssl\n", &["smtp.tls", "'starttls'"]),
            ("outbound:\n  networks: [10.0.0.0/99]\n", &["outbound.networks", "10.1.0.0/16"]),
            ("commands:\n  allowed: [df]\n", &["commands.allowed", "absolute"]),
            ("server:\n  host: 0.0.0.0\n", &["0.0.0.0", "--insecure-without-auth", "pavlov.yaml"]),
            ("smtp:\n  host: mail\n", &["smtp.from"]),
            ("smtp:\n  user: a\n", &["smtp.password_file"]),
            ("- a\n", &["sections"]),
            ("a: [\n", &["not YAML"]),
        ] {
            let error = load(file, &[], None).expect_err(file);
            assert!(needles.iter().all(|needle| error.contains(needle)), "{file}{error}");
        }
    }

    #[test]
    fn variables_of_others_are_left_alone_and_ours_are_checked() {
        let injected =
            [("PAVLOV_SERVER_PORT", "tcp://10.0.0.1:4200"), ("PAVLOV_API_URL", "x"), ("PAVLOV_LOG", "debug")];
        assert_eq!(load("", &injected, None).expect("sound").port, 4200);
        let error = load("", &[("PAVLOV_SERVER__PROT", "1")], None).expect_err("unknown");
        assert!(error.contains("PAVLOV_SERVER__PROT") && error.contains("'server.port'"), "{error}");
        let settings =
            load("", &[("PAVLOV_COMMANDS__ALLOWED", "/bin/df,/bin/ls"), ("PAVLOV_DATA", "/x")], None);
        let settings = settings.expect("sound");
        assert_eq!((settings.programs.len(), settings.data), (2, PathBuf::from("/x")));
    }

    /// What a key shows is what it takes, and each key changes its own value alone.
    #[test]
    fn every_key_takes_what_it_shows() {
        for key in KEYS {
            let shown = (key.show)(&Settings::default());
            let mut settings = Settings::default();
            if !shown.is_null() {
                (key.set)(&mut settings, &shown)
                    .unwrap_or_else(|error| panic!("{} {shown}: {error}", key.name));
            }
            let given: Value = serde_json::from_str(key.sample).unwrap_or_else(|_| json!(key.sample));
            (key.set)(&mut settings, &given).unwrap_or_else(|error| panic!("{} {given}: {error}", key.name));
            for other in KEYS {
                let changed = (other.show)(&settings) != (other.show)(&Settings::default());
                assert_eq!(changed, other.name == key.name, "{} changes {}", key.name, other.name);
            }
        }
    }

    #[test]
    fn the_guide_lists_every_key() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/cli.md");
        let guide = std::fs::read_to_string(path).expect("the guide");
        let missing: Vec<&str> = KEYS
            .iter()
            .map(|key| key.name)
            .filter(|name| !guide.contains(&format!("| `{name}` |")))
            .collect();
        assert!(missing.is_empty(), "docs/guide/cli.md does not list {missing:?}");
    }
}
