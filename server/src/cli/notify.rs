//! `notify`: try out the way of a notification, before a night depends on it.

use super::blocks;
use super::client::{Client, Failure, plain};
use super::error::CliError;
use super::output::Output;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send one message to a block or an address, and say how it went
    Test(Test),
}

/// The message and where it goes.
#[derive(Debug, Args)]
#[group(id = "receiver", required = true, multiple = false, args = ["block", "email"])]
pub struct Test {
    /// Block that it goes to: TYPE/NAME such as slack-webhook/on-call, or id
    #[arg(long, value_name = "BLOCK")]
    block: Option<String>,
    /// Address that it goes to, by the mail server of the settings
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Subject
    #[arg(long, default_value = "Pavlov: test")]
    subject: String,
    /// Text
    #[arg(long, default_value = "This is a test. Nothing needs to be done.")]
    body: String,
}

/// Does it.
pub async fn run(command: Command, client: &Client, out: &Output) -> Result<(), CliError> {
    let Command::Test(test) = command;
    let action = test.action(client).await?;
    match client.post("/pavlov/notify/test", &action).await {
        Ok(answer) => out.done(&answer, "delivered"),
        // The server did as it was told, and the receiver was at fault.
        Err(Failure::Refused { status: 502, body, .. }) if body["delivered"] == false => {
            if out.is_json() {
                out.json(&body)?;
            }
            Err(CliError::Refused(format!("not delivered: {}", plain(&body["reason"]))))
        }
        Err(failure) => Err(failure.into()),
    }
}

impl Test {
    async fn action(&self, client: &Client) -> Result<Value, CliError> {
        // What is said here is text, not a template.
        let (subject, body) = (literal(&self.subject), literal(&self.body));
        let Some(which) = &self.block else {
            return Ok(
                json!({"type": "send-email-notification", "to": [self.email], "subject": subject, "body": body}),
            );
        };
        let block = blocks::find(client, which).await?;
        let id = &block["id"];
        Ok(match block["block_type"]["slug"].as_str() {
            Some("webhook") => {
                json!({"type": "call-webhook", "block_document_id": id, "payload": {"subject": subject, "body": body}})
            }
            _ => {
                json!({"type": "send-notification", "block_document_id": id, "subject": subject, "body": body})
            }
        })
    }
}

/// A text that a template prints as it is. No quotes: the payload of a webhook is JSON before it is a template.
fn literal(text: &str) -> String {
    let marked = ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark));
    if marked { format!("{{% raw %}}{text}{{% endraw %}}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Format;
    use crate::cli::testing::Server;
    use pavlov_events::{Faults, Reader};

    const ID: &str = "0199a5c0-0000-7000-8000-000000000001";

    fn test(block: Option<&str>, email: Option<&str>) -> Test {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Test { block: owned(block), email: owned(email), subject: "a {{ b".into(), body: "c".into() }
    }

    #[tokio::test]
    async fn the_exit_code_tells_whether_it_was_delivered() {
        for (status, answer, words) in [
            (200, json!({"delivered": true}), None),
            (
                502,
                json!({"delivered": false, "reason": "connection refused"}),
                Some("not delivered: connection refused"),
            ),
            (502, json!({"detail": "a proxy's"}), Some("502 Bad Gateway")),
        ] {
            let server = Server::new([(status, answer)]);
            let command = Command::Test(test(None, Some("a@example.org")));
            let error = run(command, &server.client(), &Output::new(Format::Table)).await.err();
            assert_eq!(error.as_ref().map(CliError::code), words.map(|_| 1));
            assert!(words.is_none_or(|words| error.is_some_and(|error| error.to_string().contains(words))));
        }
    }

    #[tokio::test]
    async fn each_kind_of_receiver_gets_a_sound_action() {
        for (slug, kind) in [
            ("webhook", "call-webhook"),
            ("slack-webhook", "send-notification"),
            ("", "send-email-notification"),
        ] {
            let server = Server::new([(200, json!({"id": ID, "block_type": {"slug": slug}}))]);
            let test = if slug.is_empty() { test(None, Some("a@example.org")) } else { test(Some(ID), None) };
            let action = test.action(&server.client()).await.expect("an action");
            let mut faults = Faults::new();
            let read = pavlov_actions::Action::read(&mut Reader::new(&action, "body", &mut faults));
            let read = read.unwrap_or_else(|| panic!("{faults:?}"));
            assert_eq!(read.type_name(), kind);
            assert_eq!(faults, []);
        }
    }
}
