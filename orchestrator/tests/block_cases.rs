//! The cases in `tests/cases`: requests with what a genuine Prefect server answered (recorded by
//! `tests_data/record_block_cases.py`). A step with `ours` is one we answer differently, and says why.

mod support;

use serde_json::{Value, json};
use std::path::PathBuf;
use support::names::Names;
use support::server::{Reply, Server};

/// The cases by name; each is a test of its own.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        const CASES: &[&str] = &[$(stringify!($name)),*];
        $(#[test] fn $name() { run(stringify!($name)); })*
    };
}

cases!(
    differences,
    document_faults,
    document_lists,
    documents,
    nested_schemas,
    references,
    schemas,
    system,
    type_faults,
    types
);

#[test]
fn every_case_file_is_run() {
    let files = std::fs::read_dir(folder()).expect("the folder of cases");
    let mut found: Vec<String> = files
        .map(|file| {
            file.expect("a readable folder").path().file_stem().expect("a name").display().to_string()
        })
        .collect();
    found.sort();
    assert_eq!(found, CASES);
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

fn run(name: &str) {
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).expect("the case's file");
    let case: Value = serde_json::from_str(&text).expect("a case is JSON");
    let (mut server, mut names) = (Server::new(), Names::new());
    for (index, step) in case["steps"].as_array().expect("a case has steps").iter().enumerate() {
        let what = format!("{name}, step {index}: {} {}", step["method"], step["path"]);
        let text = |key: &str| names.fill(step[key].as_str().expect("method and path are text"));
        let body: Value = serde_json::from_str(&names.fill(&step["body"].to_string())).expect("still JSON");
        let reply = server.ask(&text("method"), &text("path"), &body);
        let expected = step.get("ours").unwrap_or(step);
        match expected["status"].as_u64().expect("a recorded status") {
            500 => assert!(matches!(reply, Reply::Refused(_)), "{what}: a crash there is a refusal here"),
            status => assert_eq!(u64::from(reply.status()), status, "{what}: {}", shown(&reply)),
        }
        match &reply {
            Reply::Ok(_, answer) => assert_same(&names.normalise(answer), &expected["answer"], &what),
            Reply::Faults(faults) => {
                let ours = without_uuid_words(names.normalise(&json!(faults)));
                assert_same(&ours, &without_uuid_words(expected["faults"].clone()), &what);
            }
            Reply::Refused(_) | Reply::BadLimit => {}
        }
    }
}

/// What is wrong with an id is said by the reader of `pavlov-events`, not here.
fn without_uuid_words(mut faults: Value) -> Value {
    for fault in faults.as_array_mut().expect("faults are a list") {
        if fault["type"] == "uuid_parsing" {
            fault["msg"].take();
            fault["ctx"].take();
        }
    }
    faults
}

fn assert_same(ours: &Value, expected: &Value, what: &str) {
    if let Some((place, ours, expected)) = difference(ours, expected) {
        panic!("{what}\nat {place:?} we answer\n  {ours}\nexpected is\n  {expected}");
    }
}

/// The first place (a JSON pointer) where two values differ, and what stands there.
fn difference(ours: &Value, expected: &Value) -> Option<(String, Value, Value)> {
    let deeper = |key: String, ours: &Value, expected: &Value| {
        difference(ours, expected).map(|(place, ours, expected)| (format!("/{key}{place}"), ours, expected))
    };
    match (ours, expected) {
        (Value::Object(a), Value::Object(b))
            if a.keys().all(|key| b.contains_key(key)) && a.len() == b.len() =>
        {
            a.iter().find_map(|(key, value)| deeper(key.clone(), value, &b[key]))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(index, (a, b))| deeper(index.to_string(), a, b))
        }
        _ => (ours != expected).then(|| (String::new(), ours.clone(), expected.clone())),
    }
}

fn shown(reply: &Reply) -> String {
    match reply {
        Reply::Ok(_, answer) => answer.to_string(),
        Reply::Refused(refusal) => refusal.to_string(),
        Reply::Faults(faults) => json!(faults).to_string(),
        Reply::BadLimit => "the limit is out of range".into(),
    }
}
