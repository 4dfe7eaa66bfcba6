//! [`Facts`]: what the index keeps of one event.

use pavlov_events::{Event, Timestamp, Uuid, resource};
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// What the index keeps of one event; borrowed from the event or from its stored text.
///
/// Reading the text takes this and skips the rest, which is three times as fast as reading an [`Event`].
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Facts<'a> {
    pub occurred: Timestamp,
    pub received: Timestamp,
    pub id: Uuid,
    #[serde(borrow, rename = "event")]
    pub name: Cow<'a, str>,
    #[serde(borrow)]
    pub resource: Who<'a>,
    #[serde(borrow)]
    pub related: Vec<Who<'a>>,
}

/// The id of a resource and, for a related one, its role.
#[derive(Debug, PartialEq)]
pub(super) struct Who<'a> {
    pub id: Cow<'a, str>,
    pub role: Cow<'a, str>,
}

impl<'a> Facts<'a> {
    pub fn of(event: &'a Event) -> Self {
        let who = |resource: &'a pavlov_events::Resource| Who {
            id: Cow::Borrowed(resource.id()),
            role: Cow::Borrowed(resource.role()),
        };
        Self {
            occurred: event.occurred,
            received: event.received,
            id: event.id,
            name: Cow::Borrowed(&event.event),
            resource: who(&event.resource),
            related: event.related.iter().map(who).collect(),
        }
    }

    /// Reads a stored body; `None` when it is none.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Who<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Labels;
        impl<'de> Visitor<'de> for Labels {
            type Value = Who<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels: an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Who<'de>, A::Error> {
                let mut who = Who { id: Cow::Borrowed(""), role: Cow::Borrowed("") };
                while let Some(Text(label)) = map.next_key()? {
                    match &*label {
                        resource::ID => who.id = map.next_value::<Text<'de>>()?.0,
                        resource::ROLE => who.role = map.next_value::<Text<'de>>()?.0,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(who)
            }
        }
        deserializer.deserialize_map(Labels)
    }
}

/// A string that is borrowed when it holds no escapes; serde's own `Cow` copies as a key or value of a map.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pavlov_events::Resource;

    #[test]
    fn the_facts_of_an_event_are_those_of_its_text() {
        let occurred = Timestamp::from_micros(1_700_000_000_123_456);
        let resource = Resource::new("host.\"é\n").with("prefect.resource.role", "odd").with("team", "a");
        let mut event = Event::new(Uuid::from_u128(7), occurred, "backup\t.done", resource);
        event.received = occurred.plus_micros(5);
        event.related = vec![Resource::related("site", "north"), Resource::related("r\\", "süd")];
        event.payload = r#"{"resource": {"prefect.resource.id": 5}}"#.into();
        let text = event.to_json();
        assert_eq!(Facts::read(text.as_bytes()), Some(Facts::of(&event)));
        assert_eq!(Facts::read(b"{}"), None);
    }
}
