//! [`Record`]: the closed list of what the log can hold.
//!
//! JSON, one object a record, at most 900 KB:
//! `{"v":1,"origin":"0199…","number":17,"events":[{…},…]}` and likewise `command`, `outcome`, `tick`,
//! `claim`. An old reader refuses a version or a kind it does not know; an old writer's records stay
//! readable because fields are only ever added, with a default.

use crate::command::Command;
use crate::error::Error;
use crate::ledger::Outcome;
use bytes::Bytes;
use pavlov_events::{Event, Uuid};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version that this binary writes.
const VERSION: u32 = 1;
/// Digits reserved for a number, so that it can be filled in when its turn is known.
const NUMBER_WIDTH: usize = 20;

/// What one record says.
#[derive(Clone, Debug)]
pub enum Body {
    /// Told from outside; one request's events, at most 1,000.
    Events(Vec<Event>),
    /// Somebody asks for a change.
    Command(Box<CommandRecord>),
    /// How an attempt at an effect went.
    Outcome(Box<Outcome>),
    /// The leader says that time has passed: deadlines fire in ticks alone.
    Tick(Tick),
    /// A replica takes the lead; also the first record after every start.
    Claim(Claim),
}

/// A command, who asked for it, and the key that makes asking twice harmless.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CommandRecord {
    /// The change.
    pub command: Command,
    /// Two commands with the same key are one; the second gets the first one's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How many automations caused one another to get here; 0 for a person's request.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub depth: u32,
}

/// The body of a tick.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Tick {
    /// The leader's epoch.
    pub epoch: u64,
}

/// The body of a claim.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// The epoch that begins if the claim is granted: one more than the last.
    pub epoch: u64,
    /// What of the log was found to be lost at this start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
}

/// The end of a log that is gone: the log goes on under a new id.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Lost {
    /// The last position that is still there.
    pub after: u64,
    /// The last position that had been applied.
    pub until: u64,
    /// The id under which the log goes on.
    pub new_log: Uuid,
}

/// A record with where it comes from.
#[derive(Clone, Debug)]
pub struct Record {
    /// The replica incarnation that wrote it.
    pub origin: Uuid,
    /// Its place in that origin's sequence, from 1.
    pub number: u64,
    /// What it says.
    pub body: Body,
}

/// A record as bytes whose number is still open.
#[derive(Debug)]
pub struct Unnumbered {
    bytes: Vec<u8>,
    number_at: usize,
}

impl Unnumbered {
    /// Fills in the number.
    pub fn number(mut self, number: u64) -> Bytes {
        let digits = number.to_string();
        self.bytes[self.number_at..self.number_at + digits.len()].copy_from_slice(digits.as_bytes());
        Bytes::from(self.bytes)
    }

    /// Bytes of the record.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

impl Body {
    /// Writes the record of `origin`, all but its number.
    pub fn encode(&self, origin: Uuid) -> Unnumbered {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(format!("{{\"v\":{VERSION},\"origin\":\"{origin}\",\"number\":").as_bytes());
        let number_at = bytes.len();
        bytes.resize(number_at + NUMBER_WIDTH, b' ');
        match self {
            Self::Events(events) => {
                bytes.extend_from_slice(b",\"events\":[");
                for (index, event) in events.iter().enumerate() {
                    if index > 0 {
                        bytes.push(b',');
                    }
                    event.write_json(&mut bytes, false);
                }
                bytes.push(b']');
            }
            Self::Command(command) => field(&mut bytes, "command", command),
            Self::Outcome(outcome) => field(&mut bytes, "outcome", outcome),
            Self::Tick(tick) => field(&mut bytes, "tick", tick),
            Self::Claim(claim) => field(&mut bytes, "claim", claim),
        }
        bytes.push(b'}');
        Unnumbered { bytes, number_at }
    }
}

impl Record {
    /// Reads a record that [`Body::encode`] wrote, of this or an earlier version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let bad = |reason: String| Error::BadRecord { reason };
        let text = std::str::from_utf8(bytes).map_err(|error| bad(error.to_string()))?;
        let wire: Wire<'_> = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        if wire.v > VERSION {
            return Err(bad(format!("version {} is newer than {VERSION}, which this binary reads", wire.v)));
        }
        let body = match wire {
            Wire { events: Some(raw), .. } => Body::Events(
                raw.iter()
                    .map(|one| Event::from_stored(one.get()).map_err(|error| bad(error.to_string())))
                    .collect::<Result<_, _>>()?,
            ),
            Wire { command: Some(command), .. } => Body::Command(command),
            Wire { outcome: Some(outcome), .. } => Body::Outcome(outcome),
            Wire { tick: Some(tick), .. } => Body::Tick(tick),
            Wire { claim: Some(claim), .. } => Body::Claim(claim),
            _ => return Err(bad("none of events, command, outcome, tick, claim".into())),
        };
        Ok(Self { origin: wire.origin, number: wire.number, body })
    }

    /// The origin and number of a record without reading its body; `None` when the bytes start otherwise.
    pub fn peek(bytes: &[u8]) -> Option<(Uuid, u64)> {
        let rest = bytes.strip_prefix(b"{\"v\":1,\"origin\":\"")?;
        let origin = Uuid::try_parse_ascii(rest.get(..36)?).ok()?;
        let digits = rest.get(36..)?.strip_prefix(b"\",\"number\":")?.get(..NUMBER_WIDTH)?;
        let number = std::str::from_utf8(digits).ok()?.trim_end().parse().ok()?;
        Some((origin, number))
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    v: u32,
    origin: Uuid,
    number: u64,
    #[serde(borrow, default)]
    events: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    command: Option<Box<CommandRecord>>,
    #[serde(default)]
    outcome: Option<Box<Outcome>>,
    #[serde(default)]
    tick: Option<Tick>,
    #[serde(default)]
    claim: Option<Claim>,
}

fn field(bytes: &mut Vec<u8>, name: &str, value: &impl Serialize) {
    bytes.extend_from_slice(format!(",\"{name}\":").as_bytes());
    serde_json::to_writer(bytes, value).expect("records are plain data, and writing to memory does not fail");
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(depth: &u32) -> bool {
    *depth == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use pavlov_events::{Resource, Timestamp};

    #[test]
    fn records_survive_a_round_trip_and_show_their_number_early() {
        let event = Event::new(Uuid::from_u128(5), Timestamp::from_micros(7), "a.b", Resource::new("x"));
        for body in [
            Body::Events(vec![event.clone(), event]),
            Body::Tick(Tick { epoch: 3 }),
            Body::Claim(Claim { epoch: 4, lost: None }),
        ] {
            let origin = Uuid::from_u128(9);
            let bytes = body.encode(origin).number(u64::MAX);
            assert_eq!(Record::peek(&bytes), Some((origin, u64::MAX)));
            let record = Record::decode(&bytes).expect("just written");
            assert_eq!((record.origin, record.number), (origin, u64::MAX));
            assert_eq!(record.body.encode(origin).number(1), body.encode(origin).number(1));
        }
    }

    #[test]
    fn foreign_bytes_are_refused_with_a_reason() {
        for bytes in [
            &b"{}"[..],
            b"{\"v\":9,\"origin\":\"00000000-0000-0000-0000-000000000000\",\"number\":1}",
            b"\xff",
        ] {
            assert!(Record::decode(bytes).is_err());
        }
    }
}
