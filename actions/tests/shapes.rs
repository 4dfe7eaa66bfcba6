//! Every action of `shapes/answers.json` is read, refused and shown as the genuine server does it.

use pavlov_actions::Action;
use pavlov_events::{Fault, Faults, Loc, Reader};
use serde_json::{Value, json};

/// The words of a template's fault are the engine's own; up to here they are Prefect's.
const TEMPLATE_FAULT: &str = "is not a valid template:";

#[test]
fn actions_are_read_and_shown_as_the_genuine_server_does() {
    let answers: Vec<Value> = serde_json::from_str(include_str!("shapes/answers.json")).expect("recorded");
    assert!(answers.len() > 50);
    for answer in answers {
        let given = &answer["given"];
        let body = json!({"actions": [given]});
        let mut faults = Faults::new();
        let mut reader = Reader::new(&body, "body", &mut faults);
        let read = reader.required("actions", |list| list.list(Action::read));
        match answer.get("shown") {
            Some(shown) => {
                assert_eq!(faults, [], "{given}");
                let action = &read.expect("no faults")[0];
                assert_eq!(action.to_value().to_string(), shown.to_string(), "{given}");
                assert_eq!(&Action::from_stored(shown).expect("what is shown is read"), action);
            }
            None => {
                let noted = serde_json::to_value(&faults).expect("plain data");
                assert_eq!(comparable(noted), comparable(answer["faults"].clone()), "{given}");
            }
        }
    }
}

/// Faults without what differs on purpose: the words of template, JSON and UUID errors, and the exact input
/// where we show the text that a JSON payload became.
fn comparable(mut faults: Value) -> Value {
    for fault in faults.as_array_mut().expect("a list") {
        let msg = fault["msg"].as_str().expect("text").to_owned();
        let cut = |mark: &str| msg.find(mark).map(|at| msg[..at + mark.len()].to_owned());
        if let Some(msg) = cut(TEMPLATE_FAULT).filter(|_| !msg.contains("for loops")) {
            fault["msg"] = msg.into();
        } else if let Some(msg) = cut("Invalid JSON:") {
            fault["msg"] = msg.into();
        } else if let Some(msg) = cut("Input should be a valid UUID,") {
            fault["msg"] = msg.into();
            fault["ctx"] = Value::Null;
        }
    }
    faults
}

#[test]
fn our_own_actions_are_read_and_shown_as_declared() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("shapes/ours.json")).expect("cases");
    for case in cases {
        let given = &case["given"];
        let mut faults = Faults::new();
        let read = Action::read(&mut Reader::new(given, "action", &mut faults));
        let shown: Vec<String> = faults.iter().map(shown).collect();
        match case.get("shown") {
            Some(expected) => {
                assert!(shown.is_empty(), "{given}: {shown:?}");
                let action = read.expect("no faults");
                assert_eq!(action.to_value().to_string(), expected.to_string());
                assert_eq!(Action::from_stored(expected).as_ref(), Ok(&action));
            }
            None => {
                assert_eq!(serde_json::to_value(shown).expect("plain"), case["faults"], "{given}");
                assert_eq!(read, None);
            }
        }
    }
}

/// `Class.field.0: what is wrong`.
fn shown(fault: &Fault) -> String {
    let steps = fault.loc[1..].iter().map(|step| match step {
        Loc::Field(name) => name.clone(),
        Loc::Index(index) => index.to_string(),
    });
    format!("{}: {}", steps.collect::<Vec<_>>().join("."), fault.msg)
}
