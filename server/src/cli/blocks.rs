//! `blocks`: block documents, which hold addresses and credentials. Secrets are shown masked.

use super::client::{Client, plain};
use super::error::CliError;
use super::output::{Output, field, when};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Documents of one page; the genuine server gives no more at once.
const PAGE: usize = 200;

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List all
    Ls,
    /// Show one, secrets masked
    Show(Show),
}

/// The block document.
#[derive(Debug, Args)]
pub struct Show {
    /// TYPE/NAME such as slack-webhook/on-call, or the id
    block: String,
}

/// Does it.
pub async fn run(command: Command, client: &Client, out: &Output) -> Result<(), CliError> {
    match command {
        Command::Ls => {
            let name =
                |item: &Value| format!("{}/{}", plain(&item["block_type"]["slug"]), plain(&item["name"]));
            out.list(
                &all(client).await?,
                &[("BLOCK", &name), ("UPDATED", &when("/updated")), ("ID", &field("/id"))],
            )
        }
        Command::Show(show) => {
            let found = find(client, &show.block).await?;
            if out.is_json() {
                return out.json(&found);
            }
            let slug = &found["block_type"]["slug"];
            out.item(&json!({
                "name": found["name"], "type": slug, "id": found["id"],
                "updated": found["updated"], "data": found["data"],
            }))
        }
    }
}

/// The block document with this id or TYPE/NAME.
pub async fn find(client: &Client, which: &str) -> Result<Value, CliError> {
    let path = match which.split_once('/') {
        Some((slug, name)) => {
            format!("/block_types/slug/{}/block_documents/name/{}", escaped(slug), escaped(name))
        }
        None if pavlov_events::Uuid::parse_str(which).is_ok() => format!("/block_documents/{which}"),
        None => {
            return Err(CliError::Usage(format!(
                "'{which}' names no block: give TYPE/NAME such as slack-webhook/on-call, or an id"
            )));
        }
    };
    match client.get(&path).await {
        Ok(found) => Ok(found),
        Err(failure) if failure.is_not_found() => {
            Err(CliError::Refused(format!("there is no block '{which}'; `pavlov blocks ls` lists all")))
        }
        Err(failure) => Err(failure.into()),
    }
}

async fn all(client: &Client) -> Result<Vec<Value>, CliError> {
    let mut all = Vec::new();
    loop {
        let page =
            client.post("/block_documents/filter", &json!({"limit": PAGE, "offset": all.len()})).await?;
        let items = page.as_array().cloned().unwrap_or_default();
        let last = items.len() < PAGE;
        all.extend(items);
        if last {
            return Ok(all);
        }
    }
}

/// A part of a path as it may stand in an address.
fn escaped(part: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    part.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::Server;

    #[tokio::test]
    async fn blocks_are_named_by_type_and_name_or_by_id() {
        let server =
            Server::new([(200, json!({"id": "1"})), (404, json!({"detail": "Block document not found"}))]);
        let client = server.client();
        find(&client, "slack-webhook/on call").await.expect("found");
        let id = "0199a5c0-0000-7000-8000-000000000001";
        assert_eq!(find(&client, id).await.expect_err("not there").code(), 1);
        assert_eq!(find(&client, "on-call").await.expect_err("no name").code(), 2);
        let paths: Vec<String> = server.asked().into_iter().map(|(_, path, _)| path).collect();
        let by_name = "/api/block_types/slug/slack-webhook/block_documents/name/on%20call";
        assert_eq!(paths, [by_name.to_owned(), format!("/api/block_documents/{id}")]);
    }
}
