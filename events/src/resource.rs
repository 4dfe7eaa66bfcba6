//! [`Resource`]: what an event is about, as a set of labels.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;

/// The label that names a resource.
pub const ID: &str = "prefect.resource.id";
/// The label that says what a related resource is to the event.
pub const ROLE: &str = "prefect.resource.role";
/// The label with a name for people.
pub const NAME: &str = "prefect.resource.name";

/// Labels in the order they were given; a label appears once.
///
/// JSON shape: `{"prefect.resource.id": "host.a", "team": "sre"}`. A primary resource has a non-empty
/// `prefect.resource.id`, a related one a `prefect.resource.role` as well; [`crate::Event`] checks both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    labels: Vec<(Box<str>, Box<str>)>,
}

impl Resource {
    /// A resource with this id and no other label.
    pub fn new(id: impl Into<Box<str>>) -> Self {
        Self { labels: vec![(ID.into(), id.into())] }
    }

    /// A related resource with this role and id.
    pub fn related(role: impl Into<Box<str>>, id: impl Into<Box<str>>) -> Self {
        Self { labels: vec![(ID.into(), id.into()), (ROLE.into(), role.into())] }
    }

    /// The same with one more label; a label that is there already gets the new value.
    #[must_use]
    pub fn with(mut self, label: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        self.set(label.into(), value.into());
        self
    }

    /// Sets one label; one that is there already keeps its place and gets the new value.
    pub fn set(&mut self, label: Box<str>, value: Box<str>) {
        match self.labels.iter_mut().find(|(name, _)| *name == label) {
            Some((_, old)) => *old = value,
            None => self.labels.push((label, value)),
        }
    }

    /// The value of a label.
    pub fn get(&self, label: &str) -> Option<&str> {
        self.labels.iter().find(|(name, _)| &**name == label).map(|(_, value)| &**value)
    }

    /// The resource's id, empty for labels that were never checked.
    pub fn id(&self) -> &str {
        self.get(ID).unwrap_or_default()
    }

    /// The role of a related resource.
    pub fn role(&self) -> &str {
        self.get(ROLE).unwrap_or_default()
    }

    /// All labels in their order.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.labels.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no label at all.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

impl<'de> Deserialize<'de> for Resource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Labels;
        impl<'de> Visitor<'de> for Labels {
            type Value = Resource;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels: an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Resource, A::Error> {
                let mut labels: Vec<(Box<str>, Box<str>)> = Vec::with_capacity(4);
                while let Some(entry) = map.next_entry::<Box<str>, Box<str>>()? {
                    labels.push(entry);
                }
                Ok(Resource { labels: without_repeats(labels) })
            }
        }
        deserializer.deserialize_map(Labels)
    }
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.labels.len()))?;
        for (name, value) in &self.labels {
            map.serialize_entry(&**name, &**value)?;
        }
        map.end()
    }
}

/// A JSON object may repeat a name; the last value counts and takes the first one's place, as in Python.
fn without_repeats(labels: Vec<(Box<str>, Box<str>)>) -> Vec<(Box<str>, Box<str>)> {
    let few = labels.len() <= 16;
    let repeated =
        few && labels.iter().enumerate().any(|(i, (name, _))| labels[..i].iter().any(|(n, _)| n == name));
    if few && !repeated {
        return labels;
    }
    let mut place = std::collections::HashMap::with_capacity(labels.len());
    let mut kept: Vec<(Box<str>, Box<str>)> = Vec::with_capacity(labels.len());
    for (name, value) in labels {
        match place.get(&name) {
            Some(&at) => {
                let (_, old): &mut (Box<str>, Box<str>) = &mut kept[at];
                *old = value;
            }
            None => {
                place.insert(name.clone(), kept.len());
                kept.push((name, value));
            }
        }
    }
    kept
}
