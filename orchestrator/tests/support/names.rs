//! Ids as `<id 1>`, `<id 2>`, … in the order of their first appearance, times as `<time>`: what the script
//! `tests_data/record_block_cases.py` does to a genuine server's answers.

use pavlov_events::Uuid;
use pavlov_orchestrator::block::system::system_types;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Characters of an id as text.
const ID_CHARS: usize = 36;

/// The ids seen so far.
pub struct Names {
    seen: Vec<String>,
    system_slugs: BTreeSet<String>,
}

impl Names {
    pub fn new() -> Self {
        Self { seen: Vec::new(), system_slugs: system_types().into_iter().map(|one| one.slug).collect() }
    }

    /// An answer as it stands in a case.
    pub fn normalise(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::from(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.normalise(item)).collect(),
            Value::Object(object) => {
                let fields = object.iter().map(|(key, item)| (key.clone(), self.field(object, key, item)));
                Value::Object(fields.collect())
            }
            other => other.clone(),
        }
    }

    /// A text of a case with the real ids.
    pub fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (index, id) in self.seen.iter().enumerate() {
            text = text.replace(&format!("<id {}>", index + 1), id);
        }
        text
    }

    fn field(&mut self, owner: &Map<String, Value>, key: &str, item: &Value) -> Value {
        match key {
            "created" | "updated" if item.is_string() => Value::from("<time>"),
            "capabilities" if item.is_array() => {
                let mut sorted = item.as_array().cloned().unwrap_or_default();
                sorted.sort_by_key(Value::to_string);
                Value::Array(sorted)
            }
            "code_example" if self.is_system(owner) => Value::from("<code example>"),
            _ => self.normalise(item),
        }
    }

    fn is_system(&self, owner: &Map<String, Value>) -> bool {
        owner.get("slug").and_then(Value::as_str).is_some_and(|slug| self.system_slugs.contains(slug))
    }

    fn text(&mut self, text: &str) -> String {
        let (mut out, mut at) = (String::new(), 0);
        while at < text.len() {
            let id = text.get(at..at + ID_CHARS).filter(|part| Uuid::try_parse(part).is_ok());
            if let Some(id) = id {
                out.push_str(&self.name(id));
                at += ID_CHARS;
            } else {
                let next = text[at..].chars().next().expect("there is text left");
                out.push(next);
                at += next.len_utf8();
            }
        }
        out
    }

    fn name(&mut self, id: &str) -> String {
        let index = self.seen.iter().position(|seen| seen == id).unwrap_or_else(|| {
            self.seen.push(id.to_owned());
            self.seen.len() - 1
        });
        format!("<id {}>", index + 1)
    }
}
