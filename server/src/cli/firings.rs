//! `firings`: what fired, and what was done about it.

use super::automations;
use super::client::{Client, plain};
use super::error::CliError;
use super::events::query;
use super::output::{Output, field, when};
use clap::{Args, Subcommand};
use pavlov_events::Uuid;
use serde_json::{Value, json};

/// Firings of one page.
const PAGE: usize = 200;

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
    /// Most firings
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// Which firing.
#[derive(Debug, Args)]
pub struct Show {
    /// Id as `firings ls` shows it, or as templates know it (`firing.id`)
    id: Uuid,
}

/// Does it.
pub async fn run(command: Command, client: &Client, out: &Output) -> Result<(), CliError> {
    match command {
        Command::Ls(ls) => out.list(
            &ls.all(client).await?,
            &[
                ("WHEN", &when("/occurred")),
                ("CHANGE", &field("/change")),
                ("AUTOMATION", &field("/automation/name")),
                ("WHY", &field("/reason")),
                ("FOR", &labels),
                ("ID", &field("/id")),
            ],
        ),
        Command::Show(show) => show.run(client, out).await,
    }
}

impl Ls {
    async fn all(&self, client: &Client) -> Result<Vec<Value>, CliError> {
        let chosen = match &self.automation {
            Some(which) => format!("&automation={}", id_of(client, which).await?),
            None => String::new(),
        };
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let path = format!("/pavlov/firings?limit={}{chosen}{token}", PAGE.min(self.limit));
            let page = client.get(&path).await?;
            all.extend(page["firings"].as_array().cloned().unwrap_or_default());
            match page["next"].as_str() {
                Some(next) if all.len() < self.limit => token = format!("&page-token={next}"),
                _ => {
                    all.truncate(self.limit);
                    return Ok(all);
                }
            }
        }
    }
}

impl Show {
    async fn run(&self, client: &Client, out: &Output) -> Result<(), CliError> {
        let firing = self.find(client).await?;
        if out.is_json() {
            return out.json(&firing);
        }
        let cause = &firing["triggering_event"];
        let mut shown = json!({
            "automation": firing["automation"]["name"], "change": firing["change"], "when": firing["occurred"],
            "why": firing["reason"], "for": labels(&firing), "firing": firing["firing"],
        });
        if cause.is_object() {
            shown["event"] = json!({
                "name": cause["event"], "resource": cause["resource"]["prefect.resource.id"],
                "occurred": cause["occurred"], "id": cause["id"],
            });
        }
        out.item(&shown)?;
        let actions = firing["actions"].as_array().map_or(&[][..], Vec::as_slice);
        if actions.is_empty() {
            return out.text("\nno action was triggered\n");
        }
        out.text("\n")?;
        let result =
            |action: &Value| plain(action.pointer("/standing/standing").unwrap_or(&action["result"]));
        let why = |action: &Value| plain(action.pointer("/standing/reason").unwrap_or(&action["reason"]));
        out.list(
            actions,
            &[
                ("#", &field("/action_index")),
                ("ACTION", &field("/action_type")),
                ("RESULT", &result),
                ("WHY", &why),
                ("ID", &field("/id")),
            ],
        )
    }

    async fn find(&self, client: &Client) -> Result<Value, CliError> {
        match client.get(&format!("/pavlov/firings/{}", self.id)).await {
            Ok(firing) => return Ok(firing),
            Err(failure) if failure.is_not_found() => {}
            Err(failure) => return Err(failure.into()),
        }
        // The id that templates know stands in the payload of the event that the other id names.
        let names = ["prefect.automation.triggered", "prefect.automation.resolved"];
        let filter = json!({"event": {"name": names}, "text": {"query": self.id}});
        match query(client, &filter, 1).await?.pop() {
            Some(told) => Ok(client.get(&format!("/pavlov/firings/{}", plain(&told["id"]))).await?),
            None => Err(CliError::Refused(format!(
                "there is no firing {}; `pavlov firings ls` lists them",
                self.id
            ))),
        }
    }
}

/// The id of an automation; an id needs no look-up, so that removed automations are found too.
pub async fn id_of(client: &Client, which: &str) -> Result<String, CliError> {
    match Uuid::parse_str(which) {
        Ok(id) => Ok(id.to_string()),
        Err(_) => Ok(plain(&automations::find(client, which).await?["id"])),
    }
}

fn labels(firing: &Value) -> String {
    let labels = firing["labels"].as_object();
    let shown = labels.into_iter().flatten().map(|(name, value)| format!("{name}={}", plain(value)));
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Format;
    use crate::cli::testing::Server;

    const ID: &str = "0199a5c0-0000-7000-8000-000000000001";

    fn show() -> Show {
        Show { id: ID.parse().expect("an id") }
    }

    #[tokio::test]
    async fn a_firing_is_found_by_both_its_ids() {
        let missing = || (404, json!({"detail": "Firing not found"}));
        let told = json!({"events": [{"id": "e1"}], "next_page": null});
        let server = Server::new([missing(), (200, told), (200, json!({"id": "e1"}))]);
        let out = Output::new(Format::Table);
        show().run(&server.client(), &out).await.expect("shown");
        let asked = server.asked();
        assert_eq!(asked[1].2["filter"]["text"], json!({"query": ID}));
        assert_eq!(asked[2].1, "/api/pavlov/firings/e1");

        let server = Server::new([missing(), (200, json!({"events": [], "next_page": null}))]);
        assert_eq!(show().run(&server.client(), &out).await.expect_err("none").code(), 1);
    }

    #[tokio::test]
    async fn pages_are_followed_until_there_are_enough() {
        let page = |next: Value| (200, json!({"firings": [{"id": 1}, {"id": 2}], "next": next}));
        let server = Server::new([(200, json!([{"id": ID}])), page(json!("t")), page(json!("u"))]);
        let ls = Ls { automation: Some("a".into()), limit: 3 };
        assert_eq!(ls.all(&server.client()).await.expect("listed").len(), 3);
        let paths: Vec<String> = server.asked().into_iter().map(|(_, path, _)| path).collect();
        assert_eq!(paths[1], format!("/api/pavlov/firings?limit=3&automation={ID}"));
        assert_eq!(paths[2], format!("/api/pavlov/firings?limit=3&automation={ID}&page-token=t"));
    }
}
