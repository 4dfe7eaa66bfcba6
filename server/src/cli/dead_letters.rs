//! `dead-letters`: actions that were given up, or whose end nobody saw, until a person decides.

use super::check::counted;
use super::client::{Client, plain};
use super::error::CliError;
use super::output::{Output, field, when};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what was given up or waits for a decision
    Ls,
    /// Try again, from the first attempt
    Redrive(Which),
    /// Give up for good
    Discard(Which),
}

/// The letters.
#[derive(Debug, Args)]
#[group(id = "letters", required = true, multiple = false, args = ["ids", "all"])]
pub struct Which {
    /// Ids, as `dead-letters ls` shows them
    ids: Vec<pavlov_events::Uuid>,
    /// All there are now
    #[arg(long)]
    all: bool,
}

/// Does it.
pub async fn run(command: Command, client: &Client, out: &Output) -> Result<(), CliError> {
    match command {
        Command::Ls => out.list(
            &letters(client).await?,
            &[
                ("SINCE", &when("/standing/since")),
                ("STATE", &field("/standing/state")),
                ("ACTION", &field("/action/action/type")),
                ("AUTOMATION", &field("/action/automation/name")),
                ("TRIES", &field("/attempt")),
                ("WHY", &field("/standing/reason")),
                ("ID", &id),
            ],
        ),
        Command::Redrive(which) => decide("redrive", "tried again", &which, client, out).await,
        Command::Discard(which) => decide("discard", "given up", &which, client, out).await,
    }
}

async fn decide(verb: &str, done: &str, which: &Which, client: &Client, out: &Output) -> Result<(), CliError> {
    // Also `--all` names them: nothing that comes in between is decided unseen.
    let ids: Vec<String> = if which.all {
        letters(client).await?.iter().map(id).collect()
    } else {
        which.ids.iter().map(ToString::to_string).collect()
    };
    if !ids.is_empty() {
        client.post(&format!("/pavlov/dead-letters/{verb}"), &json!({"ids": ids})).await?;
    }
    out.done(&json!({"ids": ids}), &format!("{} {done}", counted(ids.len(), "letter")))
}

async fn letters(client: &Client) -> Result<Vec<Value>, CliError> {
    let found = client.get("/pavlov/dead-letters").await?;
    Ok(found.as_array().cloned().unwrap_or_default())
}

fn id(letter: &Value) -> String {
    plain(&letter["action"]["id"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Format;
    use crate::cli::testing::Server;

    #[tokio::test]
    async fn all_names_those_that_were_seen() {
        let id = "0199a5c0-0000-7000-8000-000000000001";
        let server = Server::new([(200, json!([{"action": {"id": id}}])), (200, json!({}))]);
        let which = Which { ids: vec![], all: true };
        run(Command::Redrive(which), &server.client(), &Output::new(Format::Json)).await.expect("redriven");
        assert_eq!(server.asked()[1], ("POST".into(), "/api/pavlov/dead-letters/redrive".into(), json!({"ids": [id]})));
    }

    #[tokio::test]
    async fn nothing_to_decide_sends_nothing() {
        let server = Server::new([(200, json!([]))]);
        let which = Which { ids: vec![], all: true };
        run(Command::Discard(which), &server.client(), &Output::new(Format::Json)).await.expect("done");
        assert_eq!(server.asked().len(), 1);
    }
}
