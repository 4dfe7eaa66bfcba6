//! `state`: check and make anew what is stored, while no server runs.

use super::error::{CliError, chain};
use super::output::Output;
use super::progress::Progress;
use super::server::Stored;
use super::server_start::segment_options;
use crate::settings::Settings;
use clap::Subcommand;
use pavlov_engine::log::segment::SegmentLog;
use pavlov_engine::log::{self, Log};
use pavlov_engine::record::Record;
use pavlov_engine::recovery;
use serde_json::json;

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the state anew from the newest snapshot; the next start replays the log after it
    #[command(after_help = "The old state is kept beside as state.aside-N. Stop the server first.")]
    Rebuild(Stored),
    /// Read every record of the log, the state and every snapshot, and say what is damaged
    #[command(
        after_help = "Changes nothing but what opening mends. Stop the server first. Exit code 4 if something is damaged."
    )]
    Verify(Stored),
}

/// Does it.
pub async fn run(command: Command, out: &Output) -> Result<(), CliError> {
    match command {
        Command::Rebuild(stored) => rebuild(&stored.settings()?, out).await,
        Command::Verify(stored) => verify(&stored.settings()?, out).await,
    }
}

async fn rebuild(settings: &Settings, out: &Output) -> Result<(), CliError> {
    let log = open(settings)?;
    let data = settings.data.clone();
    let work = tokio::task::spawn_blocking(move || {
        let aside = recovery::move_aside(&data.join("state")).map_err(|error| faulty(&error))?;
        let recovered = recovery::recover(&data, &log, super::units::new_id()).map_err(|error| {
            let (why, aside) = (chain(&error), aside.display());
            CliError::Faults(format!("{why}; the old state is at {aside}, and can be moved back to `state`"))
        })?;
        let (position, last) = (recovered.state.meta.position, log.last_position());
        log.close();
        Ok::<_, CliError>((aside, position, last))
    });
    let (aside, position, last) = waited("reading the snapshot", work).await??;
    let left = last.saturating_sub(position);
    let old_state = aside.display().to_string();
    let shown = json!({
        "position": position, "log_end": last, "records_to_replay": left, "old_state": old_state,
    });
    out.done(
        &shown,
        &format!(
            "the state is made anew up to position {position}; the next start replays the {left} records after it. \
             The old one is at {}",
            aside.display()
        ),
    )
}

async fn verify(settings: &Settings, out: &Output) -> Result<(), CliError> {
    let log = open(settings)?;
    let (first, last) = (log.first_position(), log.last_position());
    let records = read_log(&log, first, last).await?;
    let data = settings.data.clone();
    let meta = tokio::task::spawn_blocking(move || recovery::verify(&data));
    let meta = waited("reading the state", meta).await?.map_err(|error| faulty(&error))?;
    let checksum = log.checksum(meta.position).map_err(|error| faulty(&error))?;
    let id = log.id();
    if meta.position > 0 && meta.log != id {
        return Err(CliError::Faults(format!(
            "the state belongs to the log {}, and this one is {id}; the next start makes it anew",
            meta.log
        )));
    }
    if meta.position > last || checksum.is_some_and(|found| found != meta.checksum) {
        return Err(CliError::Faults(format!(
            "the state is at position {}, and the log, which ends at {last}, has no such record; the next start makes \
             the state anew",
            meta.position
        )));
    }
    out.done(
        &json!({"log": id, "first": first, "last": last, "records": records, "state_position": meta.position}),
        &format!("sound: {records} records ({first} to {last}), the state at position {}", meta.position),
    )
}

/// Reads every record of the log.
async fn read_log(log: &SegmentLog, first: u64, last: u64) -> Result<u64, CliError> {
    let mut entries = log.entries(first).map_err(|error| faulty(&error))?;
    let mut progress = Progress::new("records read", (last + 1).saturating_sub(first));
    let (mut records, mut position) = (0, first.saturating_sub(1));
    while position < last {
        let group = match entries.recv().await {
            Some(group) => group.map_err(|error| faulty(&error))?,
            None => {
                return Err(CliError::Faults(format!(
                    "the log ends at {position}, and should end at {last}"
                )));
            }
        };
        for entry in group {
            Record::decode(&entry.bytes)
                .map_err(|error| CliError::Faults(format!("record {}: {}", entry.position, chain(&error))))?;
            (records, position) = (records + 1, entry.position);
        }
        progress.at(records);
    }
    Ok(records)
}

fn open(settings: &Settings) -> Result<SegmentLog, CliError> {
    if settings.log.nats_url.is_some() {
        return Err(CliError::Usage(
            "the log is on NATS, and this command reads segments; to make the state anew, stop the server, move \
             `state` in the data directory away, and start it again"
                .into(),
        ));
    }
    let directory = settings.data.join("log");
    if !directory.is_dir() {
        return Err(CliError::Usage(format!(
            "there is no log in {}; name the data directory with --data",
            settings.data.display()
        )));
    }
    SegmentLog::open(segment_options(settings)).map_err(|error| match error {
        log::Error::InUse { process, .. } => {
            CliError::Usage(format!("process {process} uses the log: stop the server first"))
        }
        error => CliError::Faults(format!("cannot open the log: {}", chain(&error))),
    })
}

/// Waits for work that cannot say how far it is.
async fn waited<T>(what: &'static str, work: tokio::task::JoinHandle<T>) -> Result<T, CliError> {
    let (mut progress, mut work) = (Progress::new(what, 0), work);
    let mut seconds = 0;
    loop {
        match tokio::time::timeout(std::time::Duration::from_secs(1), &mut work).await {
            Ok(done) => return done.map_err(|error| CliError::Faults(format!("{what} failed: {error}"))),
            Err(_) => {
                seconds += 1;
                progress.at(seconds);
            }
        }
    }
}

fn faulty(error: &dyn std::error::Error) -> CliError {
    CliError::Faults(chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Format;
    use crate::cli::server_start::engine_options;
    use pavlov_engine::Engine;
    use pavlov_events::{Event, Resource, Uuid};
    use std::io::{Seek, SeekFrom, Write};
    use std::path::Path;

    fn settings(data: &Path) -> Settings {
        Settings { data: data.to_owned(), ..Settings::default() }
    }

    async fn run_engine(data: &Path, name: &str) -> u64 {
        let options = engine_options(&settings(data)).await.expect("sound");
        let engine = Engine::start(options).await.expect("starts");
        let event = Event::new(
            Uuid::from_u128(name.len() as u128),
            super::super::units::now(),
            name,
            Resource::new("r"),
        );
        engine.handle().submit_events(vec![event]).await.expect("taken");
        let position = engine.handle().progress().borrow().position;
        assert_eq!(engine.stop().await, None);
        position
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_rebuilt_state_goes_on_where_the_old_one_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let (data, out) = (directory.path(), Output::new(Format::Json));
        run_engine(data, "a").await;
        verify(&settings(data), &out).await.expect("sound");
        rebuild(&settings(data), &out).await.expect("rebuilt");
        assert!(data.join("state.aside-1").is_dir());
        verify(&settings(data), &out).await.expect("sound");
        let options = engine_options(&settings(data)).await.expect("sound");
        let engine = Engine::start(options).await.expect("starts");
        let mut filter = pavlov_events::EventFilter::everything(super::super::units::now().plus_seconds(60));
        filter.event.name.push("a".into());
        assert_eq!(engine.handle().history().query(&filter, 10).expect("readable").total, 1);
        engine.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn damage_has_its_own_exit_code() {
        let directory = tempfile::tempdir().expect("a directory");
        let (data, out) = (directory.path(), Output::new(Format::Json));
        assert_eq!(verify(&settings(data), &out).await.expect_err("no log").code(), 2);
        for name in ["a", "bb", "ccc"] {
            run_engine(data, name).await;
        }
        let segment =
            std::fs::read_dir(data.join("log")).expect("the log").map(|entry| entry.expect("a file").path());
        let segment = segment
            .filter(|path| path.metadata().is_ok_and(|meta| meta.len() > 1 << 20))
            .min()
            .expect("a segment");
        let text = std::fs::read(&segment).expect("readable");
        let place = text.windows(8).position(|window| window == b"\"events\"").expect("an event");
        let mut file = std::fs::OpenOptions::new().write(true).open(&segment).expect("writable");
        file.seek(SeekFrom::Start(place as u64)).and_then(|_| file.write_all(b"X")).expect("written");
        let error = verify(&settings(data), &out).await.expect_err("damaged");
        assert_eq!(error.code(), 4, "{error}");
    }
}
