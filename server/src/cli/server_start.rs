//! `server start`: settings → engine → listener, and back in reverse.

use super::error::{CliError, chain};
use super::examples;
use super::output::Output;
use super::server::Flags;
use crate::settings::{LogSettings, Settings, SmtpSettings};
use clap::Args;
use pavlov_engine::engine::{NatsOptions, Retention, SnapshotPolicy};
use pavlov_engine::log::{nats, segment};
use pavlov_engine::world::WorldOptions;
use pavlov_engine::{Engine, Handle, LogOptions, Options, history};
use pavlov_notifier::channel::MailServer;
use pavlov_notifier::channel::email::Security;
use pavlov_notifier::outbound::Policies;
use pavlov_server::routes::status::durability;
use pavlov_server::{ServeOptions, serve};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A stop takes no longer than this; what is not done by then is done after the next start.
const STOP_MAX: Duration = Duration::from_secs(10);
/// Log lines without `PAVLOV_LOG`; the NATS library tells every connection at `info`.
const LOG_FILTER: &str = "info,async_nats=warn";
/// Segments are whole pages.
const PAGE_BYTES: u64 = 4096;

/// How the server is started.
#[derive(Debug, Args)]
#[command(after_help = "Every setting can also stand in the file of --config or in the environment: \
    PAVLOV_SERVER__PORT is server.port (`pavlov server settings` lists all). A flag beats the environment, \
    which beats the file. PAVLOV_LOG filters log lines: info, debug, pavlov_engine=debug.")]
pub struct Start {
    #[command(flatten)]
    flags: Flags,
    /// Load the example automations, if the server has no automation yet, and print what to try
    #[arg(long)]
    examples: bool,
}

impl Start {
    /// Runs the server until it is interrupted.
    ///
    /// # Errors
    /// [`CliError::Usage`] for wrong settings, [`CliError::Server`] when it cannot start or fails.
    pub async fn run(&self, out: &Output) -> Result<(), CliError> {
        let settings = self.flags.settings()?;
        log_lines(settings.log_lines_json)?;
        raise_file_limit();
        let options = engine_options(&settings).await?;
        let (listener, address) = listen(&settings).await?;
        let engine = Engine::start(options).await.map_err(|error| {
            CliError::Server(format!("cannot start with {}: {}", settings.data.display(), chain(&error)))
        })?;
        let handle = engine.handle();
        let loaded = if self.examples { examples::load(&handle).await? } else { false };
        out.note(&greeting(&settings, address, &handle));
        if self.examples {
            out.note(&examples::what_to_try(loaded, address));
        }
        until_stopped(engine, listener).await
    }
}

/// Serves until somebody or something stops it, then stops in reverse order.
async fn until_stopped(engine: Engine, listener: TcpListener) -> Result<(), CliError> {
    let (stop, mut stopping) = watch::channel(false);
    let told_to_stop = async move { drop(stopping.wait_for(|stopping| *stopping).await) };
    let options = ServeOptions { secrets: engine.secrets(), world: engine.world() };
    let mut serving = tokio::spawn(serve(engine.handle(), options, listener, told_to_stop));
    let handle = engine.handle();
    let mut progress = handle.progress();
    let why = tokio::select! {
        signal = interrupted() => signal?,
        _ = progress.wait_for(|progress| progress.failure.is_some()) => "the engine failed",
        ended = &mut serving => return Err(CliError::Server(format!("the listener ended by itself: {ended:?}"))),
    };
    tracing::info!(why, "stopping");
    stop.send_replace(true);
    let stopped = async {
        // Connections that do not end by themselves are cut with the process.
        let _served = tokio::time::timeout(STOP_MAX / 2, serving).await;
        engine.stop().await
    };
    let unfinished = |why: &str| Err(CliError::Server(format!("{why}; nothing acknowledged is lost")));
    tokio::select! {
        stopped = tokio::time::timeout(STOP_MAX, stopped) => match stopped {
            Ok(None) => Ok(()),
            Ok(Some(failure)) if handle.gauges().panics.load(Ordering::Relaxed) > 0 => Err(begin_anew(&failure)),
            Ok(Some(failure)) => Err(CliError::Server(format!("the server stopped: {failure}"))),
            Err(_) => unfinished(&format!("not everything had stopped after {} s", STOP_MAX.as_secs())),
        },
        _ = interrupted() => unfinished("interrupted twice, and stopped at once"),
    }
}

/// Each segment of the history keeps two files open, and each connection one; the usual soft limit of 1,024
/// would end at some ten million events.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, allowed = limit.current, "the limit of open files could not be raised");
    }
}

/// A record made the machine fail, and a machine that failed cannot be trusted. The process becomes a new
/// one, which loads the state from before that record and passes it over. Returns only if that fails.
fn begin_anew(failure: &str) -> CliError {
    tracing::error!(failure, "beginning anew without the record that made the machine fail");
    let mut arguments = std::env::args_os();
    let error = match (std::env::current_exe(), arguments.next()) {
        (Ok(program), Some(_name)) => std::process::Command::new(program).args(arguments).exec(),
        (Err(error), _) => error,
        (Ok(_), None) => std::io::Error::other("the program's name is not known"),
    };
    CliError::Server(format!("the server stopped: {failure}; it could not begin anew: {error}"))
}

/// What the engine is told.
///
/// # Errors
/// When the password of the mail server cannot be read, or the log cannot be where the settings want it.
pub async fn engine_options(settings: &Settings) -> Result<Options, CliError> {
    let log = log_options(settings).await?;
    let nats = match &log {
        LogOptions::Nats(nats) => Some(nats.client.clone()),
        LogOptions::Embedded(_) => None,
    };
    Ok(Options {
        data: settings.data.clone(),
        log,
        history: history::Options { segment_bytes: settings.history_segment_bytes },
        retention: Retention { age: settings.history_age, bytes_max: settings.history_bytes_max },
        settings: settings.engine.clone(),
        snapshots: SnapshotPolicy {
            records: settings.snapshot_records,
            every: settings.snapshot_every,
            ..SnapshotPolicy::default()
        },
        world: WorldOptions {
            ui_url: settings.ui_url.clone(),
            outbound: Policies { loopback: settings.is_loopback(), networks: settings.networks.clone() },
            mail_servers: mail_servers(&settings.smtp)?,
            programs: settings.programs.clone(),
            nats,
        },
        secrets: None,
    })
}

/// Where the segments of the log lie.
pub fn segment_options(settings: &Settings) -> segment::Options {
    let log: &LogSettings = &settings.log;
    segment::Options {
        segment_bytes: log.segment_bytes / PAGE_BYTES * PAGE_BYTES,
        queue_bytes_max: usize::try_from(log.queue_bytes_max).unwrap_or(usize::MAX),
        queue_records_max: usize::try_from(log.queue_records_max).unwrap_or(usize::MAX),
        ..segment::Options::new(settings.data.join("log"))
    }
}

async fn log_options(settings: &Settings) -> Result<LogOptions, CliError> {
    let from: &LogSettings = &settings.log;
    let Some(url) = &from.nats_url else { return Ok(LogOptions::Embedded(segment_options(settings))) };
    let log = nats::Options {
        prefix: from.nats_prefix.clone(),
        credentials: from.nats_credentials.clone(),
        certificates: from.nats_certificates.clone(),
        replicas: from.nats_replicas,
        sync_always: from.nats_sync_always,
        queue_bytes_max: usize::try_from(from.queue_bytes_max).unwrap_or(usize::MAX),
        queue_records_max: usize::try_from(from.queue_records_max).unwrap_or(usize::MAX),
        ..nats::Options::new(url)
    };
    let client = nats_client(&log).await?;
    Ok(LogOptions::Nats(Box::new(NatsOptions { log, client, events_bytes_max: from.nats_events_bytes_max })))
}

/// A connection of its own for what others read, so that it never stands in the way of the log.
async fn nats_client(log: &nats::Options) -> Result<async_nats::Client, CliError> {
    let mut connecting = async_nats::ConnectOptions::new().name("pavlov events").max_reconnects(None);
    if let Some(path) = &log.credentials {
        connecting = connecting.credentials_file(path).await.map_err(|error| CliError::file(path, &error))?;
    }
    if let Some(path) = &log.certificates {
        connecting = connecting.add_root_certificates(path.clone());
    }
    let servers: Vec<&str> = log.url.split(',').map(str::trim).collect();
    connecting.connect(servers).await.map_err(|error| {
        CliError::Server(format!(
            "cannot connect to the NATS server of log.nats_url: {}; is it there, with JetStream (nats-server -js)?",
            chain(&error)
        ))
    })
}

fn mail_servers(smtp: &SmtpSettings) -> Result<BTreeMap<String, MailServer>, CliError> {
    let (Some(host), Some(from)) = (&smtp.host, &smtp.from) else { return Ok(BTreeMap::new()) };
    let (security, port) = match smtp.tls {
        "starttls" => (Security::StartTls, 587),
        "none" => (Security::None, 25),
        _ => (Security::Tls, 465),
    };
    let credentials = match (&smtp.user, &smtp.password_file) {
        (Some(user), Some(path)) => {
            let password = std::fs::read_to_string(path).map_err(|error| CliError::file(path, &error))?;
            Some((user.clone(), password.trim_end_matches(['\r', '\n']).to_owned()))
        }
        _ => None,
    };
    let server = MailServer {
        host: host.clone(),
        port: smtp.port.unwrap_or(port),
        security,
        verify: true,
        credentials,
        from: from.clone(),
        guarded: false,
    };
    Ok(BTreeMap::from([("default".to_owned(), server)]))
}

async fn listen(settings: &Settings) -> Result<(TcpListener, SocketAddr), CliError> {
    let wanted = SocketAddr::new(settings.host, settings.port);
    let cannot = |error: std::io::Error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "; another program uses it: give another --port, or 0 for a free one"
            }
            _ => "",
        };
        CliError::Server(format!("cannot listen on {wanted}: {error}{hint}"))
    };
    let listener = TcpListener::bind(wanted).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok((listener, address))
}

/// Log lines go to standard error. `PAVLOV_LOG` says which.
fn log_lines(json: bool) -> Result<(), CliError> {
    use std::io::IsTerminal;
    let words = std::env::var("PAVLOV_LOG").unwrap_or_else(|_| LOG_FILTER.into());
    let filter = tracing_subscriber::EnvFilter::try_new(&words).map_err(|error| {
        CliError::Usage(format!(
            "PAVLOV_LOG '{words}' is no filter ({error}); give one such as info or pavlov_engine=debug"
        ))
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match json {
        true => lines.json().try_init(),
        false => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
    };
    set.map_err(|error| CliError::Server(format!("cannot write log lines: {error}")))
}

fn greeting(settings: &Settings, address: SocketAddr, handle: &Handle) -> String {
    let durability = durability(&handle.log_status());
    let automations = handle.read(|state| state.automations.len());
    let open =
        if settings.is_loopback() { "" } else { "\n  NOBODY IS ASKED FOR CREDENTIALS on that address" };
    format!(
        "Pavlov {} listens on http://{address}/api{open}\n  data       {}\n  durability {durability}\n  \
         automations {automations}",
        env!("CARGO_PKG_VERSION"),
        std::path::absolute(&settings.data).unwrap_or_else(|_| settings.data.clone()).display(),
    )
}

async fn interrupted() -> Result<&'static str, CliError> {
    let cannot = |error: std::io::Error| CliError::Server(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = tokio::signal::ctrl_c() => Ok("SIGINT"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mail_server_is_made_of_the_settings() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("password");
        std::fs::write(&file, "secret\n").expect("written");
        let smtp = SmtpSettings {
            host: Some("mail".into()),
            port: None,
            tls: "starttls",
            user: Some("u".into()),
            password_file: Some(file),
            from: Some("a@x".into()),
        };
        let servers = mail_servers(&smtp).expect("readable");
        let server = &servers["default"];
        assert_eq!((server.port, server.security), (587, Security::StartTls));
        assert_eq!(server.credentials, Some(("u".into(), "secret".into())));
        let missing = SmtpSettings { password_file: Some("/none".into()), ..smtp };
        assert_eq!(mail_servers(&missing).expect_err("no file").code(), 2);
    }

    #[tokio::test]
    async fn a_port_in_use_is_said_with_a_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = taken.local_addr().expect("bound").port();
        let error = listen(&Settings { port, ..Settings::default() }).await.expect_err("taken");
        assert!(error.code() == 5 && error.to_string().contains("--port"), "{error}");
    }

    #[tokio::test]
    async fn loopback_is_reached_by_requests_exactly_while_we_listen_there() {
        for (host, reached) in [("127.0.0.1", true), ("::1", true), ("0.0.0.0", false)] {
            let settings = Settings { host: host.parse().expect("an address"), ..Settings::default() };
            let options = engine_options(&settings).await.expect("sound");
            assert_eq!(options.world.outbound.loopback, reached, "{host}");
        }
    }

    #[tokio::test]
    async fn a_nats_server_that_is_not_there_is_said_with_a_way_out() {
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
        let mut settings = Settings::default();
        settings.log.nats_url = Some(format!("nats://{free}"));
        let error = engine_options(&settings).await.err().expect("nobody listens");
        assert!(error.code() == 5 && error.to_string().contains("nats-server -js"), "{error}");
    }

    #[test]
    fn segments_are_whole_pages() {
        let mut settings = Settings::default();
        settings.log.segment_bytes = (1 << 20) + 1;
        assert_eq!(segment_options(&settings).segment_bytes, 1 << 20);
    }
}
