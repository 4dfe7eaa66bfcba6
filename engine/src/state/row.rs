//! [`Row`]: the keys of the state's rows.

use crate::error::Error;
use pavlov_events::Uuid;

/// One row of the state. The first byte of a key is its kind; ids follow as 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Row {
    /// Position, time, log and history that the state belongs to.
    Meta,
    /// [`crate::settings::Settings`].
    Settings,
    /// The last number of an origin.
    Origin(Uuid),
    /// An automation.
    Automation(Uuid),
    /// An open count, by trigger and key.
    Bucket(Uuid, Vec<String>),
    /// The child firings of a composite trigger.
    Composite(Uuid),
    /// An effect that is not done.
    Ledger(Uuid),
    /// An event that waits for the one it follows.
    Waiting(Uuid),
    /// A piece of [`crate::seen::Seen`].
    Seen(u16),
    /// The answer to a command with a key.
    CommandKey(String),
    /// A row of the blocks.
    Block(String),
}

impl Row {
    /// The row's key in the store.
    pub fn key(&self) -> Vec<u8> {
        let with = |kind: u8, rest: &[u8]| [&[kind], rest].concat();
        match self {
            Self::Meta => b"m".to_vec(),
            Self::Settings => b"s".to_vec(),
            Self::Origin(id) => with(b'o', id.as_bytes()),
            Self::Automation(id) => with(b'a', id.as_bytes()),
            Self::Bucket(id, key) => {
                let mut bytes = with(b'b', id.as_bytes());
                serde_json::to_writer(&mut bytes, key).expect("a list of strings is JSON");
                bytes
            }
            Self::Composite(id) => with(b'c', id.as_bytes()),
            Self::Ledger(id) => with(b'l', id.as_bytes()),
            Self::Waiting(id) => with(b'w', id.as_bytes()),
            Self::Seen(piece) => with(b'e', &piece.to_be_bytes()),
            Self::CommandKey(key) => with(b'k', key.as_bytes()),
            Self::Block(key) => with(b'B', key.as_bytes()),
        }
    }

    /// Reads a key.
    pub fn from_key(key: &[u8]) -> Result<Self, Error> {
        Self::parse(key).ok_or_else(|| bad(key, "unknown kind of row"))
    }

    fn parse(key: &[u8]) -> Option<Self> {
        let (kind, rest) = key.split_first()?;
        let id = || Uuid::from_slice(rest).ok();
        let text = || String::from_utf8(rest.to_vec()).ok();
        Some(match kind {
            b'm' if rest.is_empty() => Self::Meta,
            b's' if rest.is_empty() => Self::Settings,
            b'o' => Self::Origin(id()?),
            b'a' => Self::Automation(id()?),
            b'b' => {
                let (id, key) = rest.split_at_checked(16)?;
                Self::Bucket(Uuid::from_slice(id).ok()?, serde_json::from_slice(key).ok()?)
            }
            b'c' => Self::Composite(id()?),
            b'l' => Self::Ledger(id()?),
            b'w' => Self::Waiting(id()?),
            b'e' => Self::Seen(u16::from_be_bytes(rest.try_into().ok()?)),
            b'k' => Self::CommandKey(text()?),
            b'B' => Self::Block(text()?),
            _ => return None,
        })
    }
}

/// A row that cannot be read.
pub(crate) fn bad(key: &[u8], reason: impl ToString) -> Error {
    Error::BadRow { key: String::from_utf8_lossy(key).into_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let id = Uuid::from_u128(77);
        for row in [
            Row::Meta,
            Row::Settings,
            Row::Origin(id),
            Row::Automation(id),
            Row::Bucket(id, vec!["a".into(), "é\"".into()]),
            Row::Bucket(id, vec![]),
            Row::Composite(id),
            Row::Ledger(id),
            Row::Waiting(id),
            Row::Seen(511),
            Row::CommandKey("k 1".into()),
            Row::Block("type/x".into()),
        ] {
            assert_eq!(Row::from_key(&row.key()).expect("just written"), row);
        }
        assert!(
            Row::from_key(b"").is_err() && Row::from_key(b"zz").is_err() && Row::from_key(b"o1").is_err()
        );
    }
}
