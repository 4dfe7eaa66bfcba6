//! `automations`: declare them from files, look at them, switch them.

use super::check::{check_text, counted};
use super::client::{Client, Failure, plain};
use super::declarations::{self, Declaration};
use super::error::CliError;
use super::output::{Output, field};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Automations of one page; the genuine server gives no more at once.
const PAGE: usize = 200;

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create the automations of a file
    #[command(
        after_help = "The file is YAML or JSON: one automation, a list, or several YAML documents. It is checked \
                            whole before anything is sent."
    )]
    Create(Create),
    /// List all
    Ls,
    /// Show one as it is declared
    Show(Which),
    /// Evaluate one no longer
    Pause(Which),
    /// Evaluate one again
    Resume(Which),
    /// Remove one and what it counts
    Rm(Which),
}

/// The automation.
#[derive(Debug, Args)]
pub struct Which {
    /// Name or id
    automation: String,
}

/// The file.
#[derive(Debug, Args)]
pub struct Create {
    /// The file; `-` is standard input
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
    /// Update the automation that has the same name already
    #[arg(long)]
    replace: bool,
}

/// Does it.
pub async fn run(command: Command, client: &Client, out: &Output) -> Result<(), CliError> {
    match command {
        Command::Create(create) => create.run(client, out).await,
        Command::Ls => ls(client, out).await,
        Command::Show(which) => show(&find(client, &which.automation).await?, out),
        Command::Pause(which) => switch(&which.automation, false, client, out).await,
        Command::Resume(which) => switch(&which.automation, true, client, out).await,
        Command::Rm(which) => {
            let found = find(client, &which.automation).await?;
            client.ask(Method::DELETE, &path_of(&found), None).await?;
            out.done(&brief(&found), &format!("removed {}", plain(&found["name"])))
        }
    }
}

impl Create {
    async fn run(&self, client: &Client, out: &Output) -> Result<(), CliError> {
        let text = declarations::read_file(&self.file)?;
        let file = self.file.display().to_string();
        let (findings, _) = check_text(&text);
        if !findings.is_empty() {
            let lines: Vec<String> =
                findings.iter().map(|f| format!("\n  {}", f.line_of_text(&file))).collect();
            return Err(CliError::Usage(format!(
                "{file} is not sound, and nothing was created:{}",
                lines.concat()
            )));
        }
        let declared = declarations::parse(&text).map_err(|f| CliError::Usage(f.line_of_text(&file)))?;
        let plan = self.plan(client, declared).await?;
        let count = plan.len();
        let mut made = Vec::new();
        for (declaration, existing) in plan {
            match put(client, &declaration, existing.as_deref()).await {
                Ok(value) => made.push(value),
                Err(failure) => {
                    let before = format!("{} of {count} are done; ", made.len());
                    return Err(refused(
                        &declaration,
                        failure,
                        &file,
                        if made.is_empty() { "" } else { &before },
                    ));
                }
            }
        }
        if out.is_json() {
            return out.json(&Value::from(made));
        }
        let line = |value: &Value| {
            format!("{} {} ({})\n", plain(&value["done"]), plain(&value["name"]), plain(&value["id"]))
        };
        out.text(&made.iter().map(line).collect::<String>())
    }

    /// Which automation each declaration replaces, if any; looked up before the first change.
    async fn plan(
        &self,
        client: &Client,
        declared: Vec<Declaration>,
    ) -> Result<Vec<(Declaration, Option<String>)>, CliError> {
        let mut plan = Vec::with_capacity(declared.len());
        for declaration in declared {
            let name = declaration.name().unwrap_or_default().to_owned();
            let found = named(client, &name).await?;
            let existing = match found.as_slice() {
                [] => None,
                [one] if self.replace => Some(plain(&one["id"])),
                [one] => {
                    return Err(CliError::Refused(format!(
                        "there is an automation '{name}' already ({}), and nothing was created; give --replace \
                         to update it, or another name",
                        plain(&one["id"])
                    )));
                }
                several => return Err(ambiguous(&name, several)),
            };
            plan.push((declaration, existing));
        }
        Ok(plan)
    }
}

async fn put(client: &Client, declaration: &Declaration, existing: Option<&str>) -> Result<Value, Failure> {
    let done = |id: &str, done: &str| json!({"id": id, "name": declaration.name(), "done": done});
    match existing {
        None => {
            let made = client.post("/automations/", &declaration.value).await?;
            Ok(done(&plain(&made["id"]), "created"))
        }
        Some(id) => {
            // An update has all fields of a creation but the owner.
            let mut value = declaration.value.clone();
            if let Some(fields) = value.as_object_mut() {
                fields.shift_remove("owner_resource");
            }
            client.ask(Method::PUT, &format!("/automations/{id}"), Some(&value)).await?;
            Ok(done(id, "replaced"))
        }
    }
}

fn refused(declaration: &Declaration, failure: Failure, file: &str, before: &str) -> CliError {
    let findings = declaration.findings_of_server(failure.faults());
    if findings.is_empty() {
        let error = CliError::from(failure);
        let text = format!("{before}'{}': {error}", declaration.name().unwrap_or_default());
        return if matches!(error, CliError::Unreachable(_)) {
            CliError::Unreachable(text)
        } else {
            CliError::Refused(text)
        };
    }
    let lines: Vec<String> = findings.iter().map(|f| format!("\n  {}", f.line_of_text(file))).collect();
    CliError::Refused(format!("{before}the server refused this:{}", lines.concat()))
}

async fn ls(client: &Client, out: &Output) -> Result<(), CliError> {
    let all = filtered(client, &Value::Null).await?;
    let enabled = |item: &Value| if item["enabled"] == true { "on" } else { "off" }.to_owned();
    let actions = |item: &Value| {
        let lists = ["actions", "actions_on_trigger", "actions_on_resolve"].map(|name| item[name].as_array());
        let mut types: Vec<String> =
            lists.into_iter().flatten().flatten().map(|one| plain(&one["type"])).collect();
        types.dedup();
        types.join(", ")
    };
    out.list(
        &all,
        &[
            ("NAME", &field("/name")),
            ("ON", &enabled),
            ("TRIGGER", &field("/trigger/type")),
            ("ACTIONS", &actions),
            ("ID", &field("/id")),
        ],
    )
}

/// YAML that `create` takes again, after a head with what is not declared.
fn show(found: &Value, out: &Output) -> Result<(), CliError> {
    if out.is_json() {
        return out.json(found);
    }
    let mut declared = found.clone();
    let mut head = String::new();
    if let Some(fields) = declared.as_object_mut() {
        for name in ["id", "created", "updated"] {
            if let Some(value) = fields.shift_remove(name) {
                head.push_str(&format!("# {name}: {}\n", plain(&value)));
            }
        }
    }
    without_ids(&mut declared["trigger"]);
    let yaml = serde_yaml_ng::to_string(&declared).map_err(|error| CliError::Refused(error.to_string()))?;
    out.text(&format!("{head}{yaml}"))
}

fn without_ids(trigger: &mut Value) {
    if let Some(fields) = trigger.as_object_mut() {
        fields.shift_remove("id");
        for child in fields.get_mut("triggers").and_then(Value::as_array_mut).into_iter().flatten() {
            without_ids(child);
        }
    }
}

async fn switch(which: &str, enabled: bool, client: &Client, out: &Output) -> Result<(), CliError> {
    let mut found = find(client, which).await?;
    client.ask(Method::PATCH, &path_of(&found), Some(&json!({"enabled": enabled}))).await?;
    found["enabled"] = enabled.into();
    let word = if enabled { "resumed" } else { "paused" };
    out.done(&brief(&found), &format!("{word} {}", plain(&found["name"])))
}

/// The automation with this id or name.
///
/// # Errors
/// When there is none, or several have the name.
pub async fn find(client: &Client, which: &str) -> Result<Value, CliError> {
    if pavlov_events::Uuid::parse_str(which).is_ok() {
        return match client.get(&format!("/automations/{which}")).await {
            Ok(found) => Ok(found),
            Err(failure) if failure.is_not_found() => Err(not_there(which)),
            Err(failure) => Err(failure.into()),
        };
    }
    let mut found = named(client, which).await?;
    match found.len() {
        0 => Err(not_there(which)),
        1 => Ok(found.remove(0)),
        _ => Err(ambiguous(which, &found)),
    }
}

async fn named(client: &Client, name: &str) -> Result<Vec<Value>, CliError> {
    filtered(client, &json!({"name": {"any_": [name]}})).await
}

async fn filtered(client: &Client, automations: &Value) -> Result<Vec<Value>, CliError> {
    let mut all = Vec::new();
    loop {
        let mut body = json!({"limit": PAGE, "offset": all.len(), "sort": "NAME_ASC"});
        if !automations.is_null() {
            body["automations"] = automations.clone();
        }
        let page = client.post("/automations/filter", &body).await?;
        let items = page.as_array().cloned().unwrap_or_default();
        let last = items.len() < PAGE;
        all.extend(items);
        if last {
            return Ok(all);
        }
    }
}

fn path_of(automation: &Value) -> String {
    format!("/automations/{}", plain(&automation["id"]))
}

fn brief(automation: &Value) -> Value {
    json!({"id": automation["id"], "name": automation["name"], "enabled": automation["enabled"]})
}

fn not_there(which: &str) -> CliError {
    CliError::Refused(format!("there is no automation '{which}'; `pavlov automations ls` lists all"))
}

fn ambiguous(name: &str, found: &[Value]) -> CliError {
    let ids: Vec<String> = found.iter().map(|one| format!("\n  {}", plain(&one["id"]))).collect();
    CliError::Refused(format!(
        "{} have the name '{name}'; give an id instead:{}",
        counted(found.len(), "automation"),
        ids.concat()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Format;
    use crate::cli::testing::Server;

    const ID: &str = "0199a5c0-0000-7000-8000-000000000001";
    const SOUND: &str =
        "name: a\ntrigger:\n  type: event\n  posture: Reactive\n  threshold: 1\n  within: 0\nactions: []\n";

    struct File(PathBuf);

    impl File {
        fn new(text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("pavlov-{}.yaml", crate::cli::units::new_id()));
            std::fs::write(&path, text).expect("written");
            Self(path)
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).expect("removed");
        }
    }

    async fn create(
        text: &str,
        replace: bool,
        answers: Vec<(u16, Value)>,
    ) -> (Result<(), CliError>, Vec<(String, String)>) {
        let (file, server) = (File::new(text), Server::new(answers));
        let done = run(
            Command::Create(Create { file: file.0.clone(), replace }),
            &server.client(),
            &Output::new(Format::Json),
        )
        .await;
        (done, server.asked().into_iter().map(|(method, path, _)| (method, path)).collect())
    }

    fn call(method: &str, path: &str) -> (String, String) {
        (method.to_owned(), path.to_owned())
    }

    #[tokio::test]
    async fn a_name_is_looked_up_before_anything_is_created() {
        let existing = json!([{"id": ID, "name": "a"}]);
        let (done, asked) = create(SOUND, false, vec![(200, json!([])), (201, json!({"id": ID}))]).await;
        done.expect("created");
        assert_eq!(asked, [call("POST", "/api/automations/filter"), call("POST", "/api/automations/")]);

        let (done, asked) = create(SOUND, false, vec![(200, existing.clone())]).await;
        let error = done.expect_err("the name is taken");
        assert!(error.code() == 1 && error.to_string().contains("--replace"), "{error}");
        assert_eq!(asked.len(), 1);

        let (done, asked) = create(SOUND, true, vec![(200, existing), (204, Value::Null)]).await;
        done.expect("replaced");
        assert_eq!(asked[1], call("PUT", &format!("/api/automations/{ID}")));
    }

    #[tokio::test]
    async fn a_faulty_file_sends_nothing_and_a_refusal_names_its_line() {
        let (done, asked) = create(&SOUND.replace("threshold: 1", "threshold: many"), false, vec![]).await;
        let error = done.expect_err("faulty");
        assert!(error.code() == 2 && error.to_string().contains(".yaml:5: trigger.threshold"), "{error}");
        assert!(asked.is_empty());

        let loc = ["body", "trigger", "EventTrigger", "within"];
        let faults = json!({"exception_detail": [{"loc": loc, "msg": "too short", "input": 0}]});
        let (done, _) = create(SOUND, false, vec![(200, json!([])), (422, faults)]).await;
        let error = done.expect_err("refused");
        assert!(
            error.code() == 1 && error.to_string().contains(".yaml:6: trigger.within: too short (given: 0)"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn automations_are_named_by_id_or_by_a_name_of_one() {
        let server = Server::new([
            (200, json!([])),
            (200, json!([{"id": "1"}, {"id": "2"}])),
            (404, json!({"detail": "Automation not found"})),
            (200, json!([{"id": ID, "name": "a", "enabled": true}])),
            (204, Value::Null),
        ]);
        let (client, out) = (server.client(), Output::new(Format::Json));
        for (which, words) in [("a", "no automation 'a'"), ("a", "2 automations have"), (ID, "there is no")] {
            let error = find(&client, which).await.expect_err("not one");
            assert!(error.code() == 1 && error.to_string().contains(words), "{error}");
        }
        run(Command::Pause(Which { automation: "a".into() }), &client, &out).await.expect("paused");
        assert_eq!(
            server.asked()[4],
            ("PATCH".into(), format!("/api/automations/{ID}"), json!({"enabled": false}))
        );
    }
}
