//! Limits on what one event may hold. The numbers are Prefect's defaults
//! (`server.events.*` settings), so what a genuine server takes is taken here.

/// Labels on one resource.
pub const LABELS_PER_RESOURCE_MAX: usize = 500;
/// Related resources of one event.
pub const RELATED_MAX: usize = 100;
/// Characters of an event name.
pub const EVENT_NAME_CHARS_MAX: usize = 1024;
/// Bytes of one event as JSON. Lower than Prefect's 1.5 MB: a record of the log holds at most 900 KB
/// (DESIGN section 2), and the event needs an envelope.
pub const EVENT_BYTES_MAX: usize = 880_000;
/// Events of one record; larger requests become several records.
pub const EVENTS_PER_RECORD_MAX: usize = 1_000;
/// Bytes of one record of the log.
pub const RECORD_BYTES_MAX: usize = 900_000;
/// Objects and lists inside one another in a payload that comes in. The JSON reader takes 128; the room
/// between is for automations that cause one another, whose events carry their cause inside.
pub const PAYLOAD_DEPTH_MAX: usize = 64;
