//! `events`: tell them, follow them, look them up.

use super::client::{Client, plain};
use super::error::CliError;
use super::events_send::Send;
use super::events_tail::Tail;
use super::output::{Output, field, when};
use super::units;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Events of one page; the genuine server gives no more at once.
const PAGE: usize = 50;

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell one event, or those of a file
    Send(Box<Send>),
    /// Follow events as they become known
    Tail(Tail),
    /// Look events up, newest first
    Ls(Ls),
}

/// Which events.
#[derive(Clone, Debug, Default, Args)]
pub struct Which {
    /// Name of the event; `job.*` is every name that starts so. May be given several times
    #[arg(long, value_name = "NAME")]
    pub name: Vec<String>,
    /// Id of the resource; `host.*` is every id that starts so. May be given several times
    #[arg(long, value_name = "ID")]
    pub resource: Vec<String>,
    /// Words in name, labels or payload; `-word` excludes
    #[arg(long, value_name = "WORDS")]
    pub text: Option<String>,
}

/// How many of which.
#[derive(Debug, Args)]
pub struct Ls {
    #[command(flatten)]
    which: Which,
    /// How far back: 30s, 5m, 24h, 7d
    #[arg(long, value_name = "SPAN", value_parser = units::span, default_value = "24h")]
    since: Duration,
    /// Most events
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Oldest first
    #[arg(long)]
    ascending: bool,
}

/// Does it.
pub async fn run(command: Command, client: &Client, out: &Output) -> Result<(), CliError> {
    match command {
        Command::Send(send) => send.run(client, out).await,
        Command::Tail(tail) => tail.run(client, out).await,
        Command::Ls(ls) => {
            let mut filter = ls.which.filter()?;
            filter["occurred"] = json!({"since": ago(ls.since)});
            filter["order"] = if ls.ascending { "ASC" } else { "DESC" }.into();
            let found = query(client, &filter, ls.limit).await?;
            out.list(
                &found,
                &[
                    ("OCCURRED", &when("/occurred")),
                    ("EVENT", &field("/event")),
                    ("RESOURCE", &field("/resource/prefect.resource.id")),
                    ("ID", &field("/id")),
                ],
            )
        }
    }
}

impl Which {
    /// Prefect's event filter. The genuine filter needs *both* a full name and a prefix to fit, so one kind
    /// at a time.
    pub fn filter(&self) -> Result<Value, CliError> {
        let mut filter = Map::new();
        for (part, full, start, given) in
            [("event", "name", "prefix", &self.name), ("resource", "id", "id_prefix", &self.resource)]
        {
            let (starts, fulls): (Vec<&String>, Vec<&String>) =
                given.iter().partition(|one| one.ends_with('*'));
            if !starts.is_empty() && !fulls.is_empty() {
                return Err(CliError::Usage(format!(
                    "'{}' and '{}' cannot be asked for together: give either starts with * or full ones",
                    starts[0], fulls[0]
                )));
            }
            let starts: Vec<&str> = starts.iter().map(|one| &one[..one.len() - 1]).collect();
            if starts.iter().any(|start| start.contains('*')) || fulls.iter().any(|one| one.contains('*')) {
                return Err(CliError::Usage(format!("in {given:?} a * may only stand at the end")));
            }
            if !fulls.is_empty() {
                filter.insert(part.into(), json!({full: fulls}));
            } else if !starts.iter().all(|start| start.is_empty()) {
                filter.insert(part.into(), json!({start: starts}));
            }
        }
        if let Some(text) = &self.text {
            filter.insert("text".into(), json!({"query": text}));
        }
        Ok(Value::Object(filter))
    }
}

/// The instant that lies so far back.
pub fn ago(span: Duration) -> String {
    units::now().plus_micros(-i64::try_from(span.as_micros()).unwrap_or(i64::MAX)).to_string()
}

/// Up to `limit` events that fit a filter, page by page.
pub async fn query(client: &Client, filter: &Value, limit: usize) -> Result<Vec<Value>, CliError> {
    let body = json!({"filter": filter, "limit": PAGE.min(limit)});
    let mut page = client.post("/events/filter", &body).await?;
    let mut all = Vec::new();
    loop {
        all.extend(page["events"].as_array().cloned().unwrap_or_default());
        let next = page["next_page"].as_str().and_then(|url| url.split_once('?'));
        match next {
            // The server names itself as it knows itself; we stay with the address that we were given.
            Some((_, query)) if all.len() < limit => {
                page = client.get(&format!("/events/filter/next?{query}")).await?;
            }
            _ => {
                all.truncate(limit);
                return Ok(all);
            }
        }
    }
}

/// The payload's field as a cell.
pub fn payload<'a>(name: &'a str) -> impl Fn(&Value) -> String + use<'a> {
    move |event| event["payload"].get(name).map(plain).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::Server;

    #[test]
    fn a_star_at_the_end_is_a_start() {
        let which = |name: &[&str], resource: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect();
            Which { name: owned(name), resource: owned(resource), text: None }.filter().map_err(|e| e.code())
        };
        assert_eq!(
            which(&["a", "b"], &["host.*"]),
            Ok(json!({"event": {"name": ["a", "b"]}, "resource": {"id_prefix": ["host."]}}))
        );
        assert_eq!(which(&["*"], &[]), Ok(json!({})));
        assert_eq!(which(&["a", "b*"], &[]), Err(2));
        assert_eq!(which(&["a*b"], &[]), Err(2));
        assert_eq!(which(&["a*b*"], &[]), Err(2));
    }

    #[tokio::test]
    async fn pages_are_followed_until_there_are_enough() {
        let page = |ids: [u32; 2], next: Option<&str>| json!({"events": ids.map(|id| json!({"id": id})), "total": 9, "next_page": next});
        let next = "http://elsewhere/api/events/filter/next?page-token=abc";
        let server = Server::new([(200, page([1, 2], Some(next))), (200, page([3, 4], Some(next)))]);
        let found = query(&server.client(), &json!({}), 3).await.expect("found");
        assert_eq!(found, [1, 2, 3].map(|id| json!({"id": id})));
        let asked = server.asked();
        assert_eq!(asked[0].2["limit"], 3);
        assert_eq!(
            (asked[1].0.as_str(), asked[1].1.as_str()),
            ("GET", "/api/events/filter/next?page-token=abc")
        );
    }
}
