//! [`Engine`]: options → engine → [`Handle`]. The wiring is one straight function, so that what depends on
//! what can be read in one place; stopping goes through it backwards.

use crate::applier::Applier;
pub use crate::applier::Retention;
use crate::effects::Effects;
use crate::error::{Error, SubmitError, file};
use crate::events_stream::{self, EventsStream};
use crate::handle::{Gauges, Handle, Inner, Progress};
use crate::history::{self, History};
use crate::log::Log;
use crate::log::nats::NatsLog;
use crate::log::segment::SegmentLog;
use crate::machine::Machine;
use crate::persist::Persister;
pub use crate::persist::SnapshotPolicy;
use crate::record::{Body, Claim, Lost};
use crate::recovery;
use crate::secret::SecretBox;
use crate::settings::Settings;
use crate::state::store::sync_directory;
use crate::submit::Submitter;
use crate::world::{EngineWorld, WorldOptions};
use crate::{clock, command::Command};
use pavlov_events::Uuid;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Where the log is kept.
#[derive(Clone)]
pub enum LogOptions {
    /// In our own segments below the data directory.
    Embedded(crate::log::segment::Options),
    /// In a JetStream stream; the events are copied to another one.
    Nats(Box<NatsOptions>),
}

/// What the NATS back end needs.
#[derive(Clone)]
pub struct NatsOptions {
    /// The log's stream.
    pub log: crate::log::nats::Options,
    /// A connection for the copy of the events and for `publish-nats`.
    pub client: async_nats::Client,
    /// Bytes of the copy of the events that are kept.
    pub events_bytes_max: i64,
}

/// What an engine needs.
pub struct Options {
    /// The data directory; made if it is not there. One process at a time.
    pub data: PathBuf,
    /// The log.
    pub log: LogOptions,
    /// The history's segments.
    pub history: history::Options,
    /// How much of the history is kept.
    pub retention: Retention,
    /// What decisions read.
    pub settings: Settings,
    /// When snapshots are written.
    pub snapshots: SnapshotPolicy,
    /// What actions may reach.
    pub world: WorldOptions,
    /// The key of the secrets; without one, the file `secret.key` in the data directory.
    pub secrets: Option<SecretBox>,
}

/// A running engine.
pub struct Engine {
    handle: Handle,
    applier: JoinHandle<Option<String>>,
    /// The deadline clock and the copy of the events.
    tasks: Vec<AbortHandle>,
    log: Arc<dyn Log>,
    secrets: Arc<SecretBox>,
    world: Arc<EngineWorld>,
}

impl Engine {
    /// Opens what is there, replays the log's tail, takes the lead, and goes on with what was under way.
    /// Returns when that is done: everything acknowledged before is in force again.
    ///
    /// # Errors
    /// [`Error`] when the data directory, the log or the state cannot be used.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let runtime = tokio::runtime::Handle::current();
        make_data_directory(&options.data)?;
        let log = open_log(&options.log).await?;
        let key = options.data.join("secret.key");
        let key_is_new = options.secrets.is_none() && !key.exists();

        let (origin, new_log) = (random_id()?, random_id()?);
        let recovered = recovery::recover(&options.data, log.as_ref(), new_log)?;
        let (state, store, lost) = (recovered.state, recovered.store, recovered.lost);
        let (position, point) = (state.meta.position, state.meta.history);
        if key_is_new && state.blocks.block_documents().next().is_some() {
            let reason =
                format!("{} is missing, and there are block documents encrypted with it", key.display());
            return Err(Error::Secret { reason });
        }
        let secrets = Arc::new(match options.secrets {
            Some(secrets) => secrets,
            None => SecretBox::open(&key)?,
        });
        if let Some(lost) = lost {
            tracing::error!(after = lost.after, until = lost.until, "the end of the log is lost");
            recovery::note_rename(&options.data, log.id(), lost.new_log)?;
            log.set_id(lost.new_log)?;
        }
        let (writer, reader) = History::open(&options.data.join("history"), options.history, Some(point))?;
        // The parts sync what is in their directories; that the directories themselves survive is promised
        // here, before anything is acknowledged.
        sync_directory(&options.data)?;
        let replay_until = log.last_position();
        let entries = log.entries(position + 1)?;
        let persister =
            Persister::start(store, position, &options.data, options.snapshots, Arc::clone(&log))?;

        let epoch = Arc::new(AtomicU64::new(0));
        let inner = Arc::new(Inner {
            machine: RwLock::new(Machine::new(state)),
            submitter: Submitter::new(Arc::clone(&log), origin),
            log: Arc::clone(&log),
            history: reader,
            progress: watch::Sender::new(Progress { position, ..Progress::default() }),
            next_deadline: watch::Sender::new(None),
            gauges: Gauges::default(),
        });
        let handle = Handle { inner: Arc::clone(&inner) };
        let world = Arc::new(EngineWorld::new(handle.clone(), options.world, Arc::clone(&secrets)));
        let effects = Effects::new(handle.clone(), Arc::clone(&world), runtime.clone(), Arc::clone(&epoch));
        let applier = Applier {
            inner,
            entries,
            writer,
            persister,
            effects,
            runtime,
            replay_until,
            retention: options.retention,
        };
        let applier = std::thread::Builder::new()
            .name("pavlov-apply".into())
            .spawn(move || applier.run())
            .map_err(file(&options.data))?;

        replayed(&handle, replay_until).await?;
        let mine = lead(&handle, lost, &epoch).await?;
        propose(&handle, options.settings).await?;
        let mut tasks = vec![tokio::spawn(clock::run(handle.clone(), mine)).abort_handle()];
        if let LogOptions::Nats(nats) = options.log {
            let copy = EventsStream {
                prefix: nats.log.prefix,
                replicas: nats.log.replicas,
                bytes_max: nats.events_bytes_max,
            };
            tasks.push(tokio::spawn(events_stream::run(handle.clone(), nats.client, copy)).abort_handle());
        }
        handle.inner.progress.send_modify(|progress| progress.ready = true);
        Ok(Self { handle, applier, tasks, log, secrets, world })
    }

    /// What the rest of the program may ask.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The key of the secrets, for the door.
    pub fn secrets(&self) -> Arc<SecretBox> {
        Arc::clone(&self.secrets)
    }

    /// What actions may reach, for trying one out.
    pub fn world(&self) -> Arc<EngineWorld> {
        Arc::clone(&self.world)
    }

    /// Stops: nothing more is taken, what was taken is applied and made durable. Attempts that are under way
    /// are made again after the next start. Returns why the engine had stopped by itself, if it had.
    pub async fn stop(self) -> Option<String> {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.handle.inner.submitter.close();
        let log = Arc::clone(&self.log);
        let closed = tokio::task::spawn_blocking(move || log.close()).await;
        let applier = self.applier;
        let ended = tokio::task::spawn_blocking(move || applier.join()).await;
        match (closed, ended) {
            (Ok(()), Ok(Ok(failure))) => failure,
            _ => Some("a thread of the engine failed".into()),
        }
    }
}

fn make_data_directory(data: &Path) -> Result<(), Error> {
    let fresh = !data.exists();
    std::fs::create_dir_all(data).map_err(file(data))?;
    match data.parent().filter(|_| fresh) {
        Some(parent) if parent.as_os_str().is_empty() => sync_directory(Path::new(".")),
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

/// Opening waits for a disk or a server, so it happens beside the other tasks.
async fn open_log(options: &LogOptions) -> Result<Arc<dyn Log>, Error> {
    let options = options.clone();
    let opened = tokio::task::spawn_blocking(move || -> Result<Arc<dyn Log>, Error> {
        Ok(match options {
            LogOptions::Embedded(segments) => Arc::new(SegmentLog::open(segments)?),
            LogOptions::Nats(nats) => Arc::new(NatsLog::open(nats.log)?),
        })
    });
    opened.await.unwrap_or_else(|failed| Err(Error::Stopped { reason: failed.to_string() }))
}

/// Waits until the log's tail is applied.
async fn replayed(handle: &Handle, until: u64) -> Result<(), Error> {
    let mut progress = handle.progress();
    let seen = progress.wait_for(|p| p.position >= until || p.failure.is_some()).await;
    match seen.ok().and_then(|p| p.failure.clone()) {
        None => Ok(()),
        Some(reason) => Err(Error::Stopped { reason }),
    }
}

/// Claims the lead until it is granted.
async fn lead(handle: &Handle, lost: Option<Lost>, epoch: &AtomicU64) -> Result<u64, Error> {
    let mine = handle.read(|state| state.meta.epoch) + 1;
    // Set before the claim is applied: the attempts that it resumes must carry the new epoch.
    epoch.store(mine, Ordering::Release);
    submitted(handle, Body::Claim(Claim { epoch: mine, lost })).await?;
    Ok(mine)
}

/// Proposes the settings of this start, if they differ from those in force.
async fn propose(handle: &Handle, settings: Settings) -> Result<(), Error> {
    if handle.read(|state| state.settings != settings) {
        let refused = |error: SubmitError| Error::Stopped { reason: error.to_string() };
        let _set = handle.command(Command::Configure { settings }).await.map_err(refused)?;
    }
    Ok(())
}

async fn submitted(handle: &Handle, body: Body) -> Result<(), Error> {
    loop {
        match handle.tell(body.clone()).await {
            Ok(_) => return Ok(()),
            Err(SubmitError::Busy { .. }) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            Err(error) => return Err(Error::Stopped { reason: error.to_string() }),
        }
    }
}

fn random_id() -> Result<Uuid, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Secret { reason: format!("no random bytes: {error}") })?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pavlov_events::{Event, Resource};

    fn options(data: &std::path::Path) -> Options {
        Options {
            data: data.to_owned(),
            log: LogOptions::Embedded(crate::log::segment::Options::new(data.join("log"))),
            history: history::Options::default(),
            retention: Retention::default(),
            settings: Settings::default(),
            snapshots: SnapshotPolicy::default(),
            world: WorldOptions::default(),
            secrets: None,
        }
    }

    fn event(number: u128, name: &str) -> Vec<Event> {
        vec![Event::new(Uuid::from_u128(number), clock::now(), name, Resource::new("r"))]
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_record_that_makes_the_machine_fail_harms_only_itself() {
        let dir = tempfile::tempdir().expect("a directory");
        let engine = Engine::start(options(dir.path())).await.expect("starts");
        engine.handle().submit_events(event(1, "before")).await.expect("taken");
        let failed = engine.handle().submit_events(event(2, crate::machine::PANIC_EVENT)).await;
        assert_eq!(failed, Err(SubmitError::Internal));
        assert!(engine.stop().await.is_some_and(|reason| reason.contains("passed over")));

        let engine = Engine::start(options(dir.path())).await.expect("starts again");
        engine.handle().submit_events(event(3, "after")).await.expect("taken");
        let names: Vec<String> = engine
            .handle()
            .history()
            .after(None, 100)
            .expect("readable")
            .iter()
            .map(|(_, body)| {
                Event::from_stored(std::str::from_utf8(body).expect("text")).expect("an event").event.into()
            })
            .collect();
        let told: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| !name.starts_with("prefect.")).collect();
        assert_eq!(told, ["before", "pavlov.event.refused", "after"]);
        assert_eq!(engine.stop().await, None);
    }
}
