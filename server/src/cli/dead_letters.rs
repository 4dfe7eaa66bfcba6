//! `dead-letters`: actions that were given up, or whose end nobody saw, until a person decides.

use super::check::counted;
use super::client::Client;
use super::error::CliError;
use super::output::{Output, field, when};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Entries of one page.
const PAGE: usize = 1_000;

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
            &entries(client, "dead-letters", "dead_letters", "").await?,
            &[
                ("SINCE", &when("/since")),
                ("STATE", &field("/standing")),
                ("ACTION", &field("/action/type")),
                ("AUTOMATION", &field("/automation/name")),
                ("TRIES", &field("/attempt")),
                ("WHY", &field("/reason")),
                ("ID", &field("/id")),
            ],
        ),
        Command::Redrive(which) => decide("redrive", "redriven", &which, client, out).await,
        Command::Discard(which) => decide("discard", "discarded", &which, client, out).await,
    }
}

async fn decide(
    verb: &str,
    done: &str,
    which: &Which,
    client: &Client,
    out: &Output,
) -> Result<(), CliError> {
    let body = if which.all { json!({"all": true}) } else { json!({"ids": which.ids}) };
    let answer = client.post(&format!("/pavlov/dead-letters/{verb}"), &body).await?;
    let count = answer[done].as_u64().unwrap_or_default() as usize;
    out.done(&answer, &format!("{done} {}", counted(count, "letter")))
}

/// All entries of the ledger that a route below `/pavlov/` lists, page by page.
pub async fn entries(client: &Client, route: &str, name: &str, query: &str) -> Result<Vec<Value>, CliError> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let path = format!("/pavlov/{route}?limit={PAGE}&offset={}{query}", all.len());
        let page = client.get(&path).await?;
        let items = page[name].as_array().cloned().unwrap_or_default();
        let last = items.len() < PAGE;
        all.extend(items);
        if last {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Format;
    use crate::cli::testing::Server;

    const ID: &str = "0199a5c0-0000-7000-8000-000000000001";

    #[tokio::test]
    async fn letters_are_decided_by_id_or_all_at_once() {
        let server = Server::new([(200, json!({"redriven": 1})), (200, json!({"discarded": 3}))]);
        let (client, out) = (server.client(), Output::new(Format::Json));
        let these = Which { ids: vec![ID.parse().expect("an id")], all: false };
        run(Command::Redrive(these), &client, &out).await.expect("redriven");
        run(Command::Discard(Which { ids: vec![], all: true }), &client, &out).await.expect("discarded");
        let asked = server.asked();
        assert_eq!(
            asked[0],
            ("POST".into(), "/api/pavlov/dead-letters/redrive".into(), json!({"ids": [ID]}))
        );
        assert_eq!(
            asked[1],
            ("POST".into(), "/api/pavlov/dead-letters/discard".into(), json!({"all": true}))
        );
    }

    #[tokio::test]
    async fn pages_are_followed_to_the_end() {
        let full = vec![json!({"id": ID}); PAGE];
        let server =
            Server::new([(200, json!({"dead_letters": full})), (200, json!({"dead_letters": [{}]}))]);
        let found = entries(&server.client(), "dead-letters", "dead_letters", "").await.expect("listed");
        assert_eq!(found.len(), PAGE + 1);
        assert!(server.asked()[1].1.ends_with("offset=1000"));
    }
}
