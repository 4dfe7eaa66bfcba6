//! Runs `tests/cases/triggers/*.json`: a trigger, a timeline, and the firings it must give; and checks that
//! every rule of `docs/spec/triggers.md` has a case.
//!
//! A case that declares something faulty is named `err_…` and has `faults` instead of a timeline.
//! Steps of a timeline, `at` counted from the start: `event`; `tick` (time passes up to and including it);
//! `down` (no deadline is called from here) and `up` (they are called again, after `grace`). Between steps
//! every deadline is called at its time; an event at the very time of a deadline comes before it.

use crate::support::{World, read_trigger, start};
use pavlov_events::event::Defaults;
use pavlov_events::read::duration_seconds;
use pavlov_events::{Event, Reader, Timestamp, Uuid};
use pavlov_triggers::{Firing, Trigger};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

fn cases() -> Vec<(String, Value)> {
    let folders = ["tests/cases/triggers", "tests/cases/examples"].map(|folder| root().join(folder));
    let files = folders.iter().flat_map(|folder| {
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    });
    let mut files: Vec<PathBuf> = files
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("readable");
        let case = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, case)
    };
    files.into_iter().map(read).collect()
}

#[test]
fn every_case_gives_what_it_expects() {
    let cases = cases();
    assert!(cases.len() > 50, "only {} cases were found", cases.len());
    let mut failed = Vec::new();
    for (name, case) in &cases {
        let outcome = match case.get("faults") {
            Some(expected) => refused(case, expected),
            None => run(case),
        };
        match outcome {
            Ok(()) => println!("ok     {name}"),
            Err(why) => {
                println!("FAILED {name}");
                failed.push(format!("{name} ({})\n{why}", case["about"].as_str().unwrap_or_default()));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {} cases failed\n\n{}", failed.len(), cases.len(), failed.join("\n\n"));
}

#[test]
fn every_rule_of_the_specification_has_a_case() {
    let text = std::fs::read_to_string(root().join("docs/spec/triggers.md")).expect("the specification");
    let mut rules = BTreeSet::new();
    for line in text.lines() {
        let Some(id) = line.strip_prefix("**TRG-").and_then(|rest| rest.split("**").next()) else { continue };
        assert!(rules.insert(format!("TRG-{id}")), "TRG-{id} is written twice");
        assert!(line.contains("MUST") || line.contains("MAY"), "TRG-{id} says neither MUST nor MAY");
    }
    assert!(rules.len() > 40, "only {} rules were found", rules.len());
    let mut named = BTreeSet::new();
    for (name, case) in cases() {
        let spec = case["spec"].as_array().unwrap_or_else(|| panic!("{name} names no rule"));
        assert!(case["about"].is_string(), "{name} says not what it is about");
        assert_eq!(case.get("faults").is_some(), name.starts_with("err_"), "{name}");
        for rule in spec {
            let rule = rule.as_str().expect("a rule's id").to_owned();
            assert!(rules.contains(&rule), "{name} names {rule}, which is not in the specification");
            named.insert(rule);
        }
    }
    let missing: Vec<&String> = rules.difference(&named).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

fn refused(case: &Value, expected: &Value) -> Result<(), String> {
    let faults = read_trigger(&case["trigger"]).err().unwrap_or_default();
    let seen: Value = faults.iter().map(|f| json!({"type": f.kind, "loc": f.loc, "msg": f.msg})).collect();
    if seen == *expected { Ok(()) } else { Err(format!("expected {expected:#}\ngot {seen:#}")) }
}

fn run(case: &Value) -> Result<(), String> {
    let trigger = read_trigger(&case["trigger"]).map_err(|faults| format!("refused: {faults:?}"))?;
    let shown = trigger.to_value();
    let again = Trigger::from_stored(&shown).map_err(|error| error.to_string())?;
    if again != trigger {
        return Err(format!("{shown} is read back as another trigger"));
    }
    if let Some(expected) = case.get("shown")
        && shown != *expected
    {
        return Err(format!("expected to show {expected:#}\nshows {shown:#}"));
    }
    let mut world = World::new(trigger);
    let mut awake = true;
    for (number, step) in case["timeline"].as_array().into_iter().flatten().enumerate() {
        let at = time(&step["at"])?;
        if awake {
            world.pass(at, step.get("tick").is_some());
        } else {
            world.now = at;
        }
        if let Some(event) = step.get("event") {
            let covered = world.event(read_event(event, at, number)?);
            if let Some(expected) = step.get("covered")
                && json!(covered) != *expected
            {
                return Err(format!("{covered} leaves cover {event}, not {expected}"));
            }
        } else if step.get("down").is_some() {
            awake = false;
            world.deaf = Some((at, at.micros()));
        } else if let Some(grace) = step.get("grace") {
            awake = true;
            let (since, until) = (world.deaf.map_or(at, |(since, _)| since), plus(at, grace)?);
            world.deaf = Some((until, at.since(since)));
        } else if step.get("tick").is_none() {
            return Err(format!("a step that does nothing: {step}"));
        }
    }
    compare(case, &world)
}

fn compare(case: &Value, world: &World) -> Result<(), String> {
    let expected = case["expect"].as_array().ok_or("no `expect`")?;
    let seen: Vec<Value> = world.firings.iter().map(shown_firing).collect();
    let fits = |(expected, seen): (&Value, &Value)| {
        let fields = expected.as_object().expect("an object");
        let complete = fields.contains_key("at") && fields.contains_key("change");
        complete && fields.iter().all(|(name, value)| seen.get(name) == Some(value))
    };
    if expected.len() != seen.len() || !expected.iter().zip(&seen).all(fits) {
        return Err(format!("expected {expected:#?}\ngot {seen:#?}"));
    }
    for firing in &world.firings {
        let value = firing.to_value(&world.trigger);
        let again = Firing::from_value(&value).map_err(|error| error.to_string())?;
        if again != *firing {
            return Err(format!("{value} is read back as another firing"));
        }
    }
    let left = json!({"buckets": world.states.buckets.len(), "composites": world.states.composites.len()});
    match case.get("left") {
        Some(expected) if *expected != left => Err(format!("expected to be left: {expected}, is: {left}")),
        _ => Ok(()),
    }
}

fn shown_firing(firing: &Firing) -> Value {
    let span = |micros: i64| format!("+{}s", micros as f64 / 1e6);
    json!({
        "at": span(firing.triggered.since(start())),
        "change": firing.change.as_str(),
        "reason": firing.reason.as_str(),
        "occurred": span(firing.occurred.since(start())),
        "labels": firing.labels.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "label_order": firing.labels.iter().map(|(label, _)| label).collect::<Vec<_>>(),
        "event": firing.event.as_ref().map(|event| event.event.clone()),
        "event_occurred": firing.event.as_ref().map(|event| span(event.occurred.since(start()))),
        "late": span(firing.late_micros),
        "deaf": span(firing.deaf_micros),
        "firings": firing.firings.iter().map(shown_firing).map(|child| json!([child["event"], child["occurred"]])).collect::<Vec<_>>(),
    })
}

fn time(value: &Value) -> Result<Timestamp, String> {
    plus(start(), value)
}

fn plus(from: Timestamp, value: &Value) -> Result<Timestamp, String> {
    let text = value.as_str().ok_or_else(|| format!("no time: {value}"))?;
    let (sign, body) = match text.strip_prefix('-') {
        Some(body) => (-1.0, body),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let seconds = match body.strip_suffix('s') {
        Some(seconds) => seconds.parse().ok(),
        None => duration_seconds(body),
    };
    let seconds: f64 = seconds.ok_or_else(|| format!("no time: {text}"))?;
    Ok(from.plus_micros((sign * seconds * 1e6).round() as i64))
}

/// An event as in a case: only its name must be given.
fn read_event(value: &Value, at: Timestamp, number: usize) -> Result<Event, String> {
    let mut value = value.clone();
    let fields = value.as_object_mut().ok_or("an event is an object")?;
    if let Some(occurred) = fields.remove("occurred") {
        fields.insert("occurred".into(), json!(time(&occurred)?));
    }
    fields.entry("resource").or_insert_with(|| json!({"prefect.resource.id": "r"}));
    let defaults = Defaults { id: Uuid::from_u128(1_000 + number as u128), occurred: at };
    let mut faults = Vec::new();
    let event = Event::read(&mut Reader::new(&value, "event", &mut faults), Some(defaults));
    let mut event = event.filter(|_| faults.is_empty()).ok_or_else(|| format!("{faults:?}"))?;
    event.received = at;
    Ok(event)
}
