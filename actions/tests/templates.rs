//! Each file of `templates/` is a case: JSON context, `---`, template, `---`, what it yields or `error: …`.
//!
//! `PAVLOV_UPDATE_CASES=1` writes what is yielded now into the files, to be reviewed as a diff.

use pavlov_actions::{Scope, template};
use pavlov_events::{Event, Timestamp};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// The present of every case; the recorder of `templates/record.py` freezes the same.
const NOW: &str = "2026-11-20T21:00:00Z";
/// The address of the pages.
const UI_URL: &str = "http://ui.example.org:4200";

fn scope(context: &Value, event: &Value) -> Scope {
    let or_null = |name: &str| context.get(name).cloned().unwrap_or(Value::Null);
    let event = context.get("event").cloned().unwrap_or_else(|| event.clone());
    let mut firing = match context.get("firing") {
        Some(firing) => firing.clone(),
        None => json!({"id": "0199a5c0-0000-7000-8000-0000000000f1", "triggered": "2026-11-20T20:04:22Z",
            "triggering_labels": {}, "triggering_firings": []}),
    };
    firing["triggering_event"] = event.clone();
    if let Some(labels) = context.get("labels") {
        firing["triggering_labels"] = labels.clone();
    }
    let mut automation = or_null("automation");
    if automation.is_null() {
        automation =
            json!({"id": "0199a5c0-0000-7000-8000-0000000000a1", "name": "disk full", "tags": ["a"]});
    }
    let event = serde_json::from_value::<Event>(event).ok().map(Arc::new);
    let now = Timestamp::parse(NOW).expect("a time");
    Scope::new(automation, firing, event, now).with_ui_url(Some(UI_URL.into()))
}

#[test]
fn every_template_yields_what_its_case_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates");
    let event: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("event.json")).expect("the event"))
            .expect("JSON");
    let update = std::env::var("PAVLOV_UPDATE_CASES").is_ok();
    let mut wrong = Vec::new();
    let mut count = 0;
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("the folder").flatten().map(|e| e.path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|ext| ext == "txt")) {
        let text = std::fs::read_to_string(path).expect("a case");
        let mut parts = text.splitn(3, "---\n");
        let (context, source) = (parts.next().expect("context"), parts.next().expect("template"));
        let expected = parts.next().unwrap_or_default().trim_end_matches('\n');
        let context: Value = serde_json::from_str(context).expect("the context is JSON");
        let source = source.trim_end_matches('\n');
        let yielded = match template::render("case", source, &scope(&context, &event)) {
            Ok(text) => text,
            Err(error) => format!("error: {error}"),
        };
        count += 1;
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if yielded.trim_end_matches('\n') != expected {
            if update {
                let head = text.splitn(3, "---\n").take(2).collect::<Vec<_>>().join("---\n");
                std::fs::write(path, format!("{head}---\n{yielded}\n")).expect("the case is written");
            }
            wrong.push(format!("{name}: {source}\n  expected {expected}\n  yielded  {yielded}"));
        }
    }
    assert!(count >= 60, "only {count} cases");
    assert!(wrong.is_empty() || update, "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
