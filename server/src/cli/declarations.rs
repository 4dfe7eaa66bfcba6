//! Automations in a file: YAML or JSON, one, a list, or several documents.

use super::client::plain;
use super::error::CliError;
use super::locate;
use pavlov_actions::Automation;
use pavlov_events::{Faults, Loc, Reader};
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;

/// Characters of an input that a fault shows.
const GIVEN_CHARS_MAX: usize = 60;

/// One automation of a file, as it is written there.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// Prefect's JSON of an automation.
    pub value: Value,
    /// Where it lies in its document.
    path: Vec<Loc>,
    /// The document's text.
    text: std::sync::Arc<str>,
    /// Lines before the document.
    lines_before: usize,
}

/// Something wrong in a file, at a line.
///
/// JSON shape: `{"file": "a.yaml", "line": 7, "field": "trigger.within", "message": "…", "given": 5}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The line, from 1.
    pub line: usize,
    /// The field's path in its automation; empty for the whole.
    pub field: String,
    /// What is wrong and what is allowed.
    pub message: String,
    /// What was given.
    pub given: Option<Value>,
}

impl Finding {
    /// `a.yaml:7: trigger.within: Input should be … (given: 5)`.
    pub fn line_of_text(&self, file: &str) -> String {
        let field = if self.field.is_empty() { String::new() } else { format!("{}: ", self.field) };
        let given = match &self.given {
            Some(given) if !given.is_object() && !given.is_array() => {
                format!(" (given: {})", given.to_string().chars().take(GIVEN_CHARS_MAX).collect::<String>())
            }
            _ => String::new(),
        };
        format!("{file}:{}: {field}{}{given}", self.line, self.message)
    }

    /// The finding as JSON.
    pub fn to_value(&self, file: &str) -> Value {
        json!({"file": file, "line": self.line, "field": self.field, "message": self.message, "given": self.given})
    }
}

impl Declaration {
    /// The automation's name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.value.get("name")?.as_str()
    }

    /// Reads the automation as the server does.
    pub fn check(&self) -> Vec<Finding> {
        let mut faults = Faults::new();
        // Faults do not depend on ids.
        let _read = Automation::read_create(
            &mut Reader::new(&self.value, "body", &mut faults),
            &mut pavlov_events::Uuid::nil,
        );
        let finding =
            |fault: &pavlov_events::Fault| self.finding(&fault.loc, fault.msg.clone(), Some(&fault.input));
        faults.iter().map(finding).collect()
    }

    /// The faults of a 422, found in this file.
    pub fn findings_of_server(&self, faults: &[Value]) -> Vec<Finding> {
        let step = |step: &Value| match step.as_u64() {
            Some(index) => Loc::Index(index as usize),
            None => Loc::Field(plain(step)),
        };
        let finding = |fault: &Value| {
            let loc: Vec<Loc> = fault["loc"].as_array().into_iter().flatten().map(step).collect();
            self.finding(&loc, plain(&fault["msg"]), fault.get("input"))
        };
        faults.iter().map(finding).collect()
    }

    /// The finding at a `loc` such as `["body", "actions", 0, "CallWebhook", "payload"]`. The names of classes
    /// in it are no fields; the last step may be a field that is missing.
    fn finding(&self, loc: &[Loc], message: String, given: Option<&Value>) -> Finding {
        let (mut value, mut real) = (Some(&self.value), Vec::new());
        let steps = loc.get(1..).unwrap_or_default();
        for (index, step) in steps.iter().enumerate() {
            let next = value.and_then(|value| match step {
                Loc::Field(name) => value.get(name),
                Loc::Index(index) => value.get(index),
            });
            if next.is_some() || (index + 1 == steps.len() && message == "Field required") {
                real.push(step.clone());
                value = next;
            }
        }
        let shown: Vec<String> = real.iter().map(ToString::to_string).collect();
        Finding {
            line: self.line_of(&real),
            field: shown.join("."),
            given: value.and(given).cloned(),
            message,
        }
    }

    /// The line of a field in the file.
    pub fn line_of(&self, field: &[Loc]) -> usize {
        let path: Vec<Loc> = self.path.iter().chain(field).cloned().collect();
        self.lines_before + locate::line_of(&self.text, &path)
    }
}

/// Reads a file; `-` is standard input.
///
/// # Errors
/// [`CliError::Usage`] when it cannot be read.
pub fn read_file(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    match path.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text).map(drop),
        _ => std::fs::read_to_string(path).map(|read| text = read),
    }
    .map_err(|error| CliError::file(path, &error))?;
    Ok(text)
}

/// The automations of a text, or why it is no list of them.
pub fn parse(text: &str) -> Result<Vec<Declaration>, Box<Finding>> {
    let mut all = Vec::new();
    for (lines_before, document) in documents(text) {
        let value = parse_document(&document).map_err(|(line, message)| {
            Box::new(Finding { line: lines_before + line, field: String::new(), message, given: None })
        })?;
        let text: std::sync::Arc<str> = document.into();
        let mut push = |value: Value, path: Vec<Loc>| {
            all.push(Declaration { value, path, text: text.clone(), lines_before });
        };
        let list = |items: Vec<Value>, path: &[Loc], push: &mut dyn FnMut(Value, Vec<Loc>)| {
            for (index, item) in items.into_iter().enumerate() {
                push(item, path.iter().cloned().chain([Loc::Index(index)]).collect());
            }
        };
        match value {
            Value::Null => {}
            Value::Array(items) => list(items, &[], &mut push),
            Value::Object(mut fields) => match (fields.len(), fields.get_mut("automations").map(Value::take))
            {
                (1, Some(Value::Array(items))) => {
                    list(items, &[Loc::Field("automations".into())], &mut push);
                }
                (_, Some(taken)) => {
                    fields.insert("automations".into(), taken);
                    push(Value::Object(fields), Vec::new());
                }
                (_, None) => push(Value::Object(fields), Vec::new()),
            },
            other => push(other, Vec::new()),
        }
    }
    if all.is_empty() {
        let message = "no automation: give one, a list, or several YAML documents".into();
        return Err(Box::new(Finding { line: 1, field: String::new(), message, given: None }));
    }
    Ok(all)
}

/// The YAML documents of a text, each with the number of lines before it.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(0, String::new())];
    for (number, line) in text.split_inclusive('\n').enumerate() {
        // At the first column these end a document even inside a block of text (YAML 1.2, section 9.1.4).
        let mark = line.trim_end();
        if mark == "---" || mark.starts_with("--- ") || mark == "..." {
            documents.push((number, String::new()));
        }
        if mark != "..." {
            documents.last_mut().expect("never empty").1.push_str(line);
        } else if let Some(last) = documents.last_mut() {
            last.0 = number + 1;
        }
    }
    documents
}

/// A document as JSON, or the line and what is wrong there.
fn parse_document(text: &str) -> Result<Value, (usize, String)> {
    let mut yaml: serde_yaml_ng::Value = serde_yaml_ng::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |at| at.line());
        (line, format!("not YAML: {error}"))
    })?;
    yaml.apply_merge().map_err(|error| (1, format!("not YAML: {error}")))?;
    serde_json::to_value(yaml).map_err(|error| (1, format!("not what JSON can hold: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "name: one\ntrigger: {type: event, posture: Reactive, threshold: 1, within: 0}\n\
                       actions: []\n---\n# second\n\
                       name: two\ntrigger:\n  type: event\n  posture: Sideways\n  threshold: 1\n  \
                       within: 0\nactions:\n- type: call-webhook\n";

    #[test]
    fn documents_lists_and_wrapped_lists_are_read() {
        for (text, names) in [
            (TWO, vec!["one", "two"]),
            ("- name: a\n- name: b\n", vec!["a", "b"]),
            ("automations:\n- name: a\n", vec!["a"]),
            ("{\"name\": \"json\"}", vec!["json"]),
            ("---\n\n---\nname: a\n...\n", vec!["a"]),
        ] {
            let read = parse(text).expect("declarations");
            assert_eq!(read.iter().filter_map(Declaration::name).collect::<Vec<_>>(), names, "{text}");
        }
        for (text, line) in [("", 1), ("a: 1\nb: [\n", 3), ("name: a\n---\nname: x\nname: y\n", 3)] {
            let finding = parse(text).expect_err("no declarations");
            assert_eq!(finding.line, line, "{text:?} {}", finding.message);
        }
    }

    #[test]
    fn findings_name_line_field_and_input() {
        let read = parse(TWO).expect("declarations");
        assert_eq!(read[0].check(), []);
        let lines: Vec<String> =
            read[1].check().iter().map(|finding| finding.line_of_text("f.yaml")).collect();
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(
            lines[0].starts_with(
                "f.yaml:9: trigger.posture: Input should be Posture.Reactive or Posture.Proactive"
            ),
            "{lines:?}"
        );
        assert!(lines[0].ends_with("(given: \"Sideways\")"), "{lines:?}");
        assert!(lines[1].starts_with("f.yaml:13: actions.0.block_document_id: Field required"), "{lines:?}");
    }

    #[test]
    fn faults_of_the_server_are_found_in_the_file_too() {
        let read = parse(TWO).expect("declarations");
        let faults = [json!({"loc": ["body", "actions", 0, "CallWebhook", "type"], "msg": "no", "input": 3})];
        let finding = &read[1].findings_of_server(&faults)[0];
        assert_eq!(finding.line_of_text("f"), "f:13: actions.0.type: no (given: 3)");
    }
}
