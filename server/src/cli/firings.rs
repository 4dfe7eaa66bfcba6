//! `firings`: what fired, and what was done about it, read from the events that tell of it.

use super::actions;
use super::automations;
use super::client::{Client, plain};
use super::error::CliError;
use super::events::{ago, payload, query};
use super::output::{Output, field, when};
use super::units;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::Duration;

/// The events that tell of firings.
const NAMES: [&str; 2] = ["prefect.automation.triggered", "prefect.automation.resolved"];
/// Outcome events of one firing that are shown: an automation has few actions, each with few attempts.
const OUTCOMES_MAX: usize = 500;

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List firings, newest first
    Ls(Ls),
    /// Show one with the event that caused it and how its actions went
    Show(Show),
}

/// Which firings.
#[derive(Debug, Args)]
pub struct Ls {
    /// Only those of this automation, by name or id
    #[arg(long, value_name = "AUTOMATION")]
    automation: Option<String>,
    /// How far back: 30s, 5m, 24h, 7d
    #[arg(long, value_name = "SPAN", value_parser = units::span, default_value = "24h")]
    since: Duration,
    /// Most firings
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// Which firing.
#[derive(Debug, Args)]
pub struct Show {
    /// Id of the firing (as templates know it), or of the event that tells of it (as `firings ls` shows it)
    id: String,
}

/// Does it.
pub async fn run(command: Command, client: &Client, out: &Output) -> Result<(), CliError> {
    match command {
        Command::Ls(ls) => {
            let mut filter = json!({"event": {"name": NAMES}, "occurred": {"since": ago(ls.since)}});
            if let Some(which) = &ls.automation {
                filter["resource"] = json!({"id": [resource_of(client, which).await?]});
            }
            let found = query(client, &filter, ls.limit).await?;
            out.list(
                &found,
                &[
                    ("WHEN", &when("/occurred")),
                    ("CHANGE", &change),
                    ("AUTOMATION", &automation),
                    ("WHY", &payload("reason")),
                    ("FOR", &labels),
                    ("ID", &field("/id")),
                ],
            )
        }
        Command::Show(show) => show.run(client, out).await,
    }
}

impl Show {
    async fn run(&self, client: &Client, out: &Output) -> Result<(), CliError> {
        let told = self.find(client).await?;
        let link = format!("prefect.event.{}", plain(&told["id"]));
        let filter = json!({
            "event": {"prefix": actions::PREFIXES},
            "related": {"id": [link], "role": ["automation-triggered-event"]},
            "order": "ASC",
        });
        let outcomes = query(client, &filter, OUTCOMES_MAX).await?;
        if out.is_json() {
            return out.json(&json!({"firing": told, "actions": outcomes}));
        }
        let cause = &told["payload"]["triggering_event"];
        let mut shown = json!({
            "automation": automation(&told),
            "change": change(&told),
            "when": plain(&told["occurred"]),
            "why": plain(&told["payload"]["reason"]),
            "for": labels(&told),
            "firing": plain(&told["payload"]["firing"]),
        });
        if cause.is_object() {
            shown["event"] = json!({
                "name": cause["event"], "resource": cause["resource"]["prefect.resource.id"],
                "occurred": cause["occurred"], "id": cause["id"],
            });
        }
        out.item(&shown)?;
        if outcomes.is_empty() {
            return out.text("\nno action was triggered\n");
        }
        out.text("\n")?;
        actions::list(&outcomes, out)
    }

    async fn find(&self, client: &Client) -> Result<Value, CliError> {
        if pavlov_events::Uuid::parse_str(&self.id).is_err() {
            return Err(CliError::Usage(format!("'{}' is no id; `pavlov firings ls` shows them", self.id)));
        }
        let by_id = json!({"event": {"name": NAMES}, "id": {"id": [self.id]}});
        let in_payload = json!({"event": {"name": NAMES}, "text": {"query": self.id}});
        for filter in [by_id, in_payload] {
            if let Some(told) = query(client, &filter, 1).await?.pop() {
                return Ok(told);
            }
        }
        Err(CliError::Refused(format!("there is no firing {}; `pavlov firings ls --since 7d` lists them", self.id)))
    }
}

/// The resource id of an automation; an id needs no look-up, so that removed automations are found too.
pub async fn resource_of(client: &Client, which: &str) -> Result<String, CliError> {
    if let Ok(id) = pavlov_events::Uuid::parse_str(which) {
        return Ok(format!("prefect.automation.{id}"));
    }
    let found = automations::find(client, which).await?;
    Ok(format!("prefect.automation.{}", plain(&found["id"])))
}

/// The automation's name in an event about it.
pub fn automation(event: &Value) -> String {
    event["resource"].get("prefect.resource.name").map(plain).unwrap_or_default()
}

fn change(event: &Value) -> String {
    plain(&event["event"]).rsplit('.').next().unwrap_or_default().to_owned()
}

fn labels(event: &Value) -> String {
    let labels = event["payload"]["triggering_labels"].as_object();
    let shown = labels.into_iter().flatten().map(|(name, value)| format!("{name}={}", plain(value)));
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Format;
    use crate::cli::testing::Server;

    const ID: &str = "0199a5c0-0000-7000-8000-000000000001";

    #[tokio::test]
    async fn a_firing_is_found_by_both_its_ids_and_shown_with_its_actions() {
        let told = json!({"id": "e1", "event": NAMES[0], "payload": {"firing": ID}, "resource": {}});
        let page = |events: Value| (200, json!({"events": events, "total": 1, "next_page": null}));
        let server = Server::new([page(json!([])), page(json!([told])), page(json!([]))]);
        let show = Show { id: ID.into() };
        show.run(&server.client(), &Output::new(Format::Table)).await.expect("shown");
        let asked = server.asked();
        assert_eq!(asked[0].2["filter"]["id"], json!({"id": [ID]}));
        assert_eq!(asked[1].2["filter"]["text"], json!({"query": ID}));
        assert_eq!(asked[2].2["filter"]["related"]["id"], json!(["prefect.event.e1"]));
    }

    #[tokio::test]
    async fn what_is_not_there_is_said() {
        let none = || (200, json!({"events": [], "total": 0, "next_page": null}));
        let server = Server::new([none(), none()]);
        let show = |id: &str| Show { id: id.into() };
        let out = Output::new(Format::Table);
        assert_eq!(show(ID).run(&server.client(), &out).await.expect_err("none").code(), 1);
        assert_eq!(show("x").run(&server.client(), &out).await.expect_err("no id").code(), 2);
    }
}
