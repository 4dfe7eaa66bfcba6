//! Resources and labels inside templates.

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr, Tuple};
use pavlov_events::Resource;
use pavlov_events::resource::{ID, NAME, ROLE};
use std::sync::Arc;

/// A resource: its labels by name, and `id`, `name`, `role` and `labels` by attribute.
#[derive(Debug)]
pub(crate) struct ResourceView(pub(crate) Resource);

impl ResourceView {
    pub(crate) fn value(resource: &Resource) -> Value {
        Value::from_object(Self(resource.clone()))
    }
}

impl Object for ResourceView {
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let label = |label: &str| self.0.get(label).map(Value::from);
        match key {
            "id" => label(ID),
            "name" => Some(label(NAME).or_else(|| label("name")).unwrap_or_else(|| Value::from(()))),
            "role" => label(ROLE).or_else(|| label("role")),
            "labels" => {
                let pairs = self.0.labels().map(|(name, value)| (name.to_owned(), value.to_owned()));
                Some(LabelDiver::value(pairs.collect()))
            }
            _ => label(key),
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names: Vec<Value> = self.0.labels().map(|(name, _)| Value::from(name)).collect();
        Enumerator::Iter(Box::new(names.into_iter()))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }
}

/// Labels whose names are walked by attribute: `labels.prefect.resource.id`.
#[derive(Debug)]
pub(crate) struct LabelDiver {
    value: String,
    labels: Vec<(String, String)>,
}

impl LabelDiver {
    pub(crate) fn value(labels: Vec<(String, String)>) -> Value {
        Value::from_object(Self { value: String::new(), labels })
    }

    /// The value of the label that was walked to.
    pub(crate) fn text(&self) -> &str {
        &self.value
    }

    /// All labels as a dictionary, or the value alone where there are none.
    pub(crate) fn map(&self) -> Value {
        if self.labels.is_empty() && !self.value.is_empty() {
            return Value::from(self.value.as_str());
        }
        Value::from_pairs(self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

impl Object for LabelDiver {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let exact = self.labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        let below = |(name, value): &(String, String)| {
            let rest = name.strip_prefix(key)?.strip_prefix('.')?;
            Some((rest.to_owned(), value.clone()))
        };
        let labels: Vec<(String, String)> = self.labels.iter().filter_map(below).collect();
        match exact {
            Some(value) if labels.is_empty() => Some(Value::from(value)),
            None if labels.is_empty() => None,
            exact => Some(Value::from_object(Self { value: exact.unwrap_or_default(), labels })),
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let pair = |(name, value): &(String, String)| {
            Value::from(Tuple::from([Value::from(name.as_str()), Value::from(value.as_str())]))
        };
        let pairs: Vec<Value> = self.labels.iter().map(pair).collect();
        Enumerator::Iter(Box::new(pairs.into_iter()))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.labels.len())
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.labels.is_empty() || !self.value.is_empty()
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.value)
    }
}
