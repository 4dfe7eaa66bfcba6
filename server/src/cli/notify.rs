//! `notify`: try out the way of a notification. The test goes the whole way that a real one goes: an
//! automation of its own, an event, the firing, the ledger, the receiver; then the automation is removed.

use super::blocks;
use super::client::{Client, plain};
use super::error::CliError;
use super::events::query;
use super::output::Output;
use super::units;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Time between two looks for the outcome.
const PAUSE: Duration = Duration::from_millis(200);
/// The event that sets the test off.
const EVENT: &str = "pavlov.notify.test";
/// Outcome events that end the wait.
const ENDS: [&str; 3] =
    ["prefect.automation.action.executed", "prefect.automation.action.failed", "pavlov.automation.action.held"];

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
    /// Block that it goes to: TYPE/NAME or id
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
    /// Longest wait for the outcome
    #[arg(long, value_name = "SPAN", value_parser = units::span, default_value = "60s")]
    wait: Duration,
}

/// Does it.
pub async fn run(command: Command, client: &Client, out: &Output) -> Result<(), CliError> {
    let Command::Test(test) = command;
    let action = test.action(client).await?;
    let resource = format!("pavlov.notify-test.{}", units::new_id());
    let made = client.post("/automations/", &automation(&resource, &action)).await?;
    let path = format!("/automations/{}", plain(&made["id"]));
    let outcome = test.outcome(client, &resource, &plain(&made["id"])).await;
    if let Err(failure) = client.ask(Method::DELETE, &path, None).await {
        let error = CliError::from(failure);
        out.note(&format!("the automation of this test could not be removed: {error}; try `pavlov automations rm {}`", plain(&made["id"])));
    }
    let outcome = outcome?;
    let reason = plain(&outcome["payload"]["reason"]);
    match outcome["event"].as_str() {
        Some("prefect.automation.action.executed") => out.done(&outcome, "delivered"),
        _ if out.is_json() => {
            out.json(&outcome)?;
            Err(CliError::Refused(format!("not delivered: {reason}")))
        }
        _ => Err(CliError::Refused(format!("not delivered: {reason}"))),
    }
}

impl Test {
    async fn action(&self, client: &Client) -> Result<Value, CliError> {
        // What is said here is text, not a template.
        let (subject, body) = (literal(&self.subject), literal(&self.body));
        let Some(which) = &self.block else {
            return Ok(json!({"type": "send-email-notification", "to": [self.email], "subject": subject, "body": body, "retries": 0}));
        };
        let block = blocks::find(client, which).await?;
        let id = &block["id"];
        Ok(match block["block_type"]["slug"].as_str() {
            Some("webhook") => json!({"type": "call-webhook", "block_document_id": id, "payload": {"subject": subject, "body": body}, "retries": 0}),
            _ => json!({"type": "send-notification", "block_document_id": id, "subject": subject, "body": body, "retries": 0}),
        })
    }

    async fn outcome(&self, client: &Client, resource: &str, automation: &str) -> Result<Value, CliError> {
        let event = json!({
            "id": units::new_id(), "occurred": units::now(), "event": EVENT,
            "resource": {"prefect.resource.id": resource},
        });
        client.post("/events", &json!([event])).await?;
        let filter = json!({
            "event": {"name": ENDS},
            "resource": {"id": [format!("prefect.automation.{automation}")]},
        });
        let started = Instant::now();
        loop {
            if let Some(outcome) = query(client, &filter, 1).await?.pop() {
                return Ok(outcome);
            }
            if started.elapsed() >= self.wait {
                return Err(CliError::Refused(format!(
                    "no outcome after {} s; `pavlov actions ls` shows what became of it",
                    self.wait.as_secs()
                )));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn automation(resource: &str, action: &Value) -> Value {
    json!({
        "name": format!("notify test {resource}"),
        "description": "Made by `pavlov notify test`, which removes it; if it is still here, it may be removed.",
        "trigger": {
            "type": "event", "posture": "Reactive", "expect": [EVENT], "threshold": 1, "within": 0,
            "match": {"prefect.resource.id": resource},
        },
        "actions": [action],
    })
}

/// A text that a template prints as it is.
fn literal(text: &str) -> String {
    if text.contains("{{") || text.contains("{%") || text.contains("{#") {
        format!("{{{{ {} }}}}", Value::from(text))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::check_text;
    use crate::cli::output::Format;
    use crate::cli::testing::Server;

    const ID: &str = "0199a5c0-0000-7000-8000-000000000001";

    fn test(block: Option<&str>, email: Option<&str>) -> Test {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Test { block: owned(block), email: owned(email), subject: "a {{ b".into(), body: "c".into(), wait: Duration::ZERO }
    }

    #[tokio::test]
    async fn the_outcome_is_waited_for_and_the_automation_removed() {
        for (ends, code) in [
            (json!([{"event": "prefect.automation.action.executed", "payload": {}}]), None),
            (json!([{"event": "prefect.automation.action.failed", "payload": {"reason": "refused"}}]), Some(1)),
            (json!([]), Some(1)),
        ] {
            let server = Server::new([
                (201, json!({"id": ID})),
                (204, Value::Null),
                (200, json!({"events": ends, "next_page": null})),
                (204, Value::Null),
            ]);
            let command = Command::Test(test(None, Some("a@example.org")));
            let done = run(command, &server.client(), &Output::new(Format::Table)).await;
            assert_eq!(done.err().map(|error| error.code()), code);
            let asked = server.asked();
            assert_eq!((asked[3].0.as_str(), asked[3].1.as_str()), ("DELETE", format!("/api/automations/{ID}").as_str()));
            assert_eq!(asked[0].2["trigger"]["match"], asked[1].2[0]["resource"]);
        }
    }

    #[tokio::test]
    async fn each_kind_of_receiver_gets_a_sound_automation() {
        for (slug, kind) in [("webhook", "call-webhook"), ("slack-webhook", "send-notification")] {
            let server = Server::new([(200, json!({"id": ID, "block_type": {"slug": slug}}))]);
            let action = test(Some(ID), None).action(&server.client()).await.expect("an action");
            assert_eq!(action["type"], kind);
            let (findings, _) = check_text(&automation("x", &action).to_string());
            assert_eq!(findings, []);
        }
        let action = test(None, Some("a@example.org")).action(&Server::new([]).client()).await.expect("an action");
        assert_eq!(check_text(&automation("x", &action).to_string()), (vec![], 1));
    }
}
