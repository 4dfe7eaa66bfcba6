//! `events send`: one event from the command line, or many from a file in batches that can be resumed.

use super::check::counted;
use super::client::{Client, Failure};
use super::declarations::read_file;
use super::error::CliError;
use super::output::Output;
use super::progress::Progress;
use super::units;
use clap::Args;
use pavlov_events::{Timestamp, Uuid};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Events of one request.
const BATCH: usize = 100;
/// Times that a batch is sent again when the server is busy or away; waiting 1 + 2 + 4 + 8 s.
const ATTEMPTS_MAX: u32 = 5;

/// What is told.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pavlov events send backup.failed --resource host.db1 --payload '{\"code\": 3}'
  pavlov events send deploy.finished --resource app.shop --related team=team.web --label env=prod
  pavlov events send -f events.jsonl")]
pub struct Send {
    /// Name of the event, dotted and past tense
    #[arg(required_unless_present = "file", requires = "resource")]
    name: Option<String>,
    /// Id of the resource that it happened to
    #[arg(long, value_name = "ID")]
    resource: Option<String>,
    /// A label of the resource. May be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// Another resource that is involved. May be given several times
    #[arg(long, value_name = "ROLE=ID", value_parser = pair)]
    related: Vec<(String, String)>,
    /// Free data: a JSON object, or @FILE with one
    #[arg(long, value_name = "JSON|@FILE")]
    payload: Option<String>,
    /// When it happened (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    occurred: Option<String>,
    /// Id of the event before it
    #[arg(long, value_name = "ID")]
    follows: Option<Uuid>,
    /// Events of a file instead: JSON lines or a JSON list; `-` is standard input. Missing ids and times are
    /// filled in
    #[arg(long, short, value_name = "FILE")]
    #[arg(conflicts_with_all = ["name", "resource", "label", "related", "payload", "occurred", "follows"])]
    file: Option<PathBuf>,
    /// Go on with a file where a failure stopped it; the failure's message says with what
    #[arg(long, value_name = "KEY:COUNT", value_parser = resume, requires = "file")]
    resume: Option<(Uuid, usize)>,
}

impl Send {
    /// Sends it and prints the id, or how many.
    pub async fn run(&self, client: &Client, out: &Output) -> Result<(), CliError> {
        if let Some(file) = &self.file {
            return self.send_file(file, client, out).await;
        }
        let event = self.event()?;
        client.post("/events", &json!([event])).await?;
        out.done(&event, event["id"].as_str().unwrap_or_default())
    }

    fn event(&self) -> Result<Value, CliError> {
        let occurred = match &self.occurred {
            None => units::now(),
            Some(text) => Timestamp::parse(text).ok_or_else(|| {
                CliError::Usage(format!(
                    "--occurred '{text}' is no time: give one such as 2026-11-20T20:04:21Z"
                ))
            })?,
        };
        let mut resource = Map::new();
        resource.insert("prefect.resource.id".into(), self.resource.clone().into());
        resource.extend(self.label.iter().map(|(name, value)| (name.clone(), value.clone().into())));
        let related = self
            .related
            .iter()
            .map(|(role, id)| json!({"prefect.resource.id": id, "prefect.resource.role": role}));
        Ok(json!({
            "occurred": occurred,
            "event": self.name,
            "resource": resource,
            "related": related.collect::<Vec<_>>(),
            "payload": self.payload()?,
            "id": units::new_id(),
            "follows": self.follows,
        }))
    }

    fn payload(&self) -> Result<Value, CliError> {
        let text = match self.payload.as_deref() {
            None => return Ok(json!({})),
            Some(given) => match given.strip_prefix('@') {
                Some(path) => read_file(path.as_ref())?,
                None => given.to_owned(),
            },
        };
        match serde_json::from_str::<Value>(&text) {
            Ok(payload) if payload.is_object() => Ok(payload),
            Ok(_) => {
                Err(CliError::Usage("--payload should be a JSON object, such as '{\"code\": 3}'".into()))
            }
            Err(error) => Err(CliError::Usage(format!("--payload is not JSON: {error}"))),
        }
    }

    async fn send_file(&self, file: &std::path::Path, client: &Client, out: &Output) -> Result<(), CliError> {
        let (key, skip) = self.resume.unwrap_or_else(|| (units::new_id(), 0));
        let events = complete(read_events(&read_file(file)?)?, key);
        let mut done = skip.min(events.len());
        let mut progress = Progress::new("events sent", events.len() as u64);
        for batch in events[done..].chunks(BATCH) {
            progress.at(done as u64);
            if let Err(failure) = send_batch(client, batch).await {
                progress.end();
                return Err(stopped(failure, file, key, (done, events.len())));
            }
            done += batch.len();
        }
        progress.end();
        let sent = done - skip.min(done);
        out.done(&json!({"sent": sent}), &format!("sent {}", counted(sent, "event")))
    }
}

/// Sends a batch; again, with the same ids, while the server is busy or away. A second arrival of an id
/// changes nothing.
async fn send_batch(client: &Client, batch: &[Value]) -> Result<(), Failure> {
    let body = Value::from(batch);
    let mut attempt = 1;
    loop {
        match client.post("/events", &body).await {
            Ok(_) => return Ok(()),
            Err(failure) if failure.may_pass() && attempt < ATTEMPTS_MAX => {
                let asked = match failure {
                    Failure::Refused { retry_after, .. } => retry_after,
                    Failure::Unreachable(_) => None,
                };
                let seconds = asked.unwrap_or(1 << (attempt - 1)).min(60);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                attempt += 1;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// What a person needs to know to go on. Indexes in a refusal count from the batch's start; a person counts from
/// the file's.
fn stopped(failure: Failure, file: &std::path::Path, key: Uuid, (done, total): (usize, usize)) -> CliError {
    let go_on = format!(
        "\n{done} of {total} events are stored; to go on after them: \
         pavlov events send -f {} --resume {key}:{done}",
        file.display()
    );
    match CliError::from(failure.moved(done)) {
        CliError::Unreachable(text) => CliError::Unreachable(format!("{text}{go_on}")),
        error => CliError::Refused(format!("{error}{go_on}")),
    }
}

/// The events of a text: a JSON list, or one object a line.
fn read_events(text: &str) -> Result<Vec<Value>, CliError> {
    let list = text.trim_start().starts_with('[');
    let events: Vec<Value> = if list {
        serde_json::from_str(text)
            .map_err(|error| CliError::Usage(format!("the list is not JSON: {error}")))?
    } else {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let read = |(number, line)| {
            serde_json::from_str(line)
                .map_err(|error| CliError::Usage(format!("line {} is not JSON: {error}", number + 1)))
        };
        lines.map(read).collect::<Result<_, _>>()?
    };
    match events.iter().position(|event| !event.is_object()) {
        Some(index) => {
            Err(CliError::Usage(format!("event {} is no JSON object, and nothing was sent", index + 1)))
        }
        None => Ok(events),
    }
}

/// Fills in missing ids and times. The ids are computed from the key and the place in the file: what is sent
/// again when sending is resumed is known by its id.
fn complete(mut events: Vec<Value>, key: Uuid) -> Vec<Value> {
    let now = units::now().to_string();
    for (index, event) in events.iter_mut().enumerate() {
        let Some(fields) = event.as_object_mut() else { continue };
        fields.entry("id").or_insert_with(|| Uuid::new_v5(&key, &index.to_be_bytes()).to_string().into());
        fields.entry("occurred").or_insert_with(|| now.clone().into());
    }
    events
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.into(), value.into())),
        _ => Err("should be two words with = between them".into()),
    }
}

fn resume(text: &str) -> Result<(Uuid, usize), String> {
    let parts = text.split_once(':').and_then(|(key, count)| Some((key.parse().ok()?, count.parse().ok()?)));
    parts.ok_or_else(|| "should be what the message of the failure said".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use crate::cli::events;
    use crate::cli::output::Format;
    use crate::cli::testing::Server;
    use clap::Parser;

    fn send(words: &[&str]) -> Result<Send, clap::Error> {
        let all = ["pavlov", "events", "send"].iter().chain(words);
        match Cli::try_parse_from(all)?.command {
            Command::Events(events::Command::Send(send)) => Ok(*send),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_is_made_of_words() {
        let words = ["job.failed", "--resource", "job.a", "--label", "team=sre", "--related", "host=host.1"];
        let rest = ["--payload", "{\"n\": 1}", "--occurred", "2026-11-20T20:04:21Z"];
        let event = send(&[&words[..], &rest].concat()).expect("sound").event().expect("an event");
        assert_eq!(event["resource"], json!({"prefect.resource.id": "job.a", "team": "sre"}));
        assert_eq!(
            event["related"],
            json!([{"prefect.resource.id": "host.1", "prefect.resource.role": "host"}])
        );
        assert_eq!(
            (&event["payload"], &event["occurred"]),
            (&json!({"n": 1}), &json!("2026-11-20T20:04:21Z"))
        );
        pavlov_events::Event::parse(&event.to_string(), None).expect("what the server takes");
    }

    #[test]
    fn what_makes_no_event_is_a_wrong_use() {
        for words in
            [&["a"][..], &[], &["a", "--resource", "b", "--label", "x"], &["-f", "x", "--resource", "y"]]
        {
            assert!(send(words).is_err(), "{words:?}");
        }
        for (option, value) in
            [("--payload", "[1]"), ("--payload", "{"), ("--occurred", "noon"), ("--payload", "@/none")]
        {
            let error =
                send(&["a", "--resource", "b", option, value]).expect("words").event().expect_err("no event");
            assert_eq!(error.code(), 2, "{value}");
        }
    }

    #[test]
    fn files_are_lists_or_lines() {
        assert_eq!(read_events("\n{\"a\": 1}\n\n{}\n").expect("lines").len(), 2);
        assert_eq!(read_events(" [{\"a\": 1}]").expect("a list").len(), 1);
        for (text, needle) in
            [("{}\n{", "line 2"), ("[{}, 3]", "event 2"), ("[", "the list"), ("3", "event 1")]
        {
            let error = read_events(text).expect_err("no events").to_string();
            assert!(error.contains(needle), "{error}");
        }
    }

    #[tokio::test]
    async fn a_stopped_file_goes_on_with_the_same_ids() {
        let file = std::env::temp_dir().join(format!("pavlov-{}.jsonl", units::new_id()));
        std::fs::write(&file, "{\"event\": \"x\"}\n".repeat(150)).expect("written");
        let name = file.to_str().expect("a name");
        let (out, refusal) = (
            Output::new(Format::Table),
            json!({"exception_detail": [{"loc": ["body", 3, "resource"], "msg": "no"}]}),
        );

        let server = Server::new([(204, Value::Null), (422, refusal)]);
        let sending = send(&["-f", name]).expect("sound");
        let error = sending.run(&server.client(), &out).await.expect_err("refused").to_string();
        assert!(
            error.contains("event 104: resource: no") && error.contains("100 of 150 events are stored"),
            "{error}"
        );
        let resume = error.rsplit_once("--resume ").expect("a way on").1;
        let tried = server.asked()[1].2.clone();

        let server = Server::new([(204, Value::Null)]);
        let sending = send(&["-f", name, "--resume", resume]).expect("sound");
        sending.run(&server.client(), &out).await.expect("sent");
        let ids = |events: &Value| {
            events.as_array().expect("a list").iter().map(|e| e["id"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&server.asked()[0].2), ids(&tried));
        assert_eq!(ids(&tried).len(), 50);
        std::fs::remove_file(file).expect("removed");
    }

    #[tokio::test]
    async fn a_busy_server_gets_the_batch_again() {
        let server = Server::new([(503, json!({"detail": "busy"})), (204, Value::Null)]);
        send_batch(&server.client(), &[json!({"id": "1"})]).await.expect("sent at last");
        let asked = server.asked();
        assert_eq!(asked[0], asked[1]);
    }
}
