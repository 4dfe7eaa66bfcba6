//! Ids of logs.

use uuid::Uuid;

/// A random id, for a new log.
pub(super) fn random_id() -> Uuid {
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the system gives random bytes");
    uuid::Builder::from_random_bytes(random).into_uuid()
}
