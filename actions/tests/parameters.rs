//! Parameters are filled in as the genuine package does, or the case says how we differ (`ours`).

use pavlov_actions::{Scope, template};
use pavlov_events::{Event, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;

#[test]
fn parameters_are_filled_in_as_the_genuine_package_does() {
    let event: Event = serde_json::from_str(include_str!("templates/event.json")).expect("an event");
    let scope = Scope::new(Value::Null, Value::Null, Some(Arc::new(event)), Timestamp::MIN);
    let answers: Vec<Value> =
        serde_json::from_str(include_str!("parameters/answers.json")).expect("recorded");
    let ours: Value = serde_json::from_str(include_str!("parameters/ours.json")).expect("differences");
    let mut differences = 0;
    for (index, answer) in answers.iter().enumerate() {
        let parameters = answer["parameters"].as_object().expect("an object");
        let mut variable = |name: &str| (name == "region").then(|| json!("eu"));
        let filled = template::render_parameters(parameters, &scope, &mut variable);
        let filled = match filled {
            Ok(filled) => json!({"filled": filled}),
            Err(problem) => json!({"error": problem.0}),
        };
        let genuine = match answer.get("filled") {
            Some(value) => json!({"filled": value}),
            None => json!({"error": answer["error"]}),
        };
        let own = ours.get(index.to_string());
        differences += usize::from(own.is_some());
        assert_eq!(&filled, own.unwrap_or(&genuine), "case {index}: {}", answer["parameters"]);
    }
    assert_eq!(Some(differences), ours.as_object().map(serde_json::Map::len));
}
