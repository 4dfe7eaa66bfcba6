//! `actions`: how actions went, read from the outcome events.

use super::client::{Client, plain};
use super::dead_letters;
use super::error::CliError;
use super::events::{ago, payload, query};
use super::firings::id_of;
use super::output::{Output, field, when};
use super::units;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::Duration;

/// The starts of the names of outcome events: the genuine ones and ours.
const PREFIXES: [&str; 2] = ["prefect.automation.action.", "pavlov.automation.action."];

/// The names of those that tell of something that went wrong.
const FAILURES: [&str; 3] = [
    "prefect.automation.action.failed",
    "pavlov.automation.action.retrying",
    "pavlov.automation.action.held",
];

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List how actions went, newest first
    Ls(Ls),
}

/// Which actions.
#[derive(Debug, Args)]
pub struct Ls {
    /// Only those of this automation, by name or id
    #[arg(long, value_name = "AUTOMATION")]
    automation: Option<String>,
    /// Only failures, retries and what is held
    #[arg(long)]
    failed: bool,
    /// What is not done yet instead: under way, waiting for the next attempt, held, given up
    #[arg(long, conflicts_with_all = ["failed", "since", "limit", "automation"])]
    open: bool,
    /// How far back: 30s, 5m, 24h, 7d
    #[arg(long, value_name = "SPAN", value_parser = units::span, default_value = "24h")]
    since: Duration,
    /// Most outcomes
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// Does it.
pub async fn run(command: Command, client: &Client, out: &Output) -> Result<(), CliError> {
    let Command::Ls(ls) = command;
    if ls.open {
        return out.list(
            &dead_letters::entries(client, "actions", "actions", "").await?,
            &[
                ("CREATED", &when("/created")),
                ("STATE", &field("/standing")),
                ("NEXT", &when("/next_attempt")),
                ("ACTION", &field("/action/type")),
                ("AUTOMATION", &field("/automation/name")),
                ("TRIES", &field("/attempt")),
                ("WHY", &field("/reason")),
                ("ID", &field("/id")),
            ],
        );
    }
    let names = if ls.failed { json!({"name": FAILURES}) } else { json!({"prefix": PREFIXES}) };
    let mut filter = json!({"event": names, "occurred": {"since": ago(ls.since)}});
    if let Some(which) = &ls.automation {
        filter["resource"] = json!({"id": [format!("prefect.automation.{}", id_of(client, which).await?)]});
    }
    let automation = |event: &Value| plain(&event["resource"]["prefect.resource.name"]);
    out.list(
        &query(client, &filter, ls.limit).await?,
        &[
            ("WHEN", &when("/occurred")),
            ("OUTCOME", &outcome),
            ("ACTION", &payload("action_type")),
            ("AUTOMATION", &automation),
            ("WHY", &payload("reason")),
            ("ID", &payload("invocation")),
        ],
    )
}

fn outcome(event: &Value) -> String {
    plain(&event["event"]).rsplit('.').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Format;
    use crate::cli::testing::Server;

    #[tokio::test]
    async fn outcomes_of_one_automation_are_asked_for_by_its_resource() {
        let id = "0199a5c0-0000-7000-8000-000000000001";
        let server =
            Server::new([(200, json!([{"id": id}])), (200, json!({"events": [], "next_page": null}))]);
        let ls = Ls {
            automation: Some("a".into()),
            failed: true,
            open: false,
            since: Duration::from_secs(60),
            limit: 5,
        };
        run(Command::Ls(ls), &server.client(), &Output::new(Format::Json)).await.expect("listed");
        let filter = &server.asked()[1].2["filter"];
        assert_eq!(filter["resource"]["id"], json!([format!("prefect.automation.{id}")]));
        assert_eq!(filter["event"]["name"][0], "prefect.automation.action.failed");
    }
}
