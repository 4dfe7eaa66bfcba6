//! What the tests of this crate share: places to keep what is counted, and short ways to make things.

use pavlov_events::{Event, Ids, Reader, Timestamp, Uuid};
use pavlov_triggers::{
    Bucket, Composite, Context, Firing, Trigger, TriggerStates, arm, on_bucket_deadline,
    on_composite_deadline, on_event,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Midnight of the day all tests begin.
pub fn start() -> Timestamp {
    Timestamp::parse("2026-11-20T00:00:00Z").expect("a time")
}

/// A trigger of JSON that must be valid.
pub fn trigger(value: &Value) -> Trigger {
    read_trigger(value).unwrap_or_else(|faults| panic!("{value} is refused: {faults:?}"))
}

/// A trigger of JSON, or all faults.
pub fn read_trigger(value: &Value) -> Result<Trigger, Vec<pavlov_events::Fault>> {
    let mut faults = Vec::new();
    let mut last = 0;
    let mut ids = || {
        last += 1;
        Uuid::from_u128(last)
    };
    let read = Trigger::read(&mut Reader::new(value, "trigger", &mut faults), &mut ids);
    match read {
        Some(trigger) if faults.is_empty() => Ok(trigger),
        _ => Err(faults),
    }
}

/// Buckets and composites as they are written to a store and read again, so every step tests that too.
#[derive(Default)]
pub struct States {
    pub buckets: BTreeMap<(Uuid, Vec<String>), Bucket>,
    pub composites: BTreeMap<Uuid, Composite>,
}

impl TriggerStates for States {
    fn bucket(&self, trigger: Uuid, key: &[String]) -> Option<&Bucket> {
        self.buckets.get(&(trigger, key.to_vec()))
    }
    fn put_bucket(&mut self, trigger: Uuid, key: &[String], bucket: Bucket) {
        let text = serde_json::to_string(&bucket).expect("a bucket is JSON");
        let read: Bucket = serde_json::from_str(&text).expect("and is read again");
        assert_eq!(read, bucket, "{text}");
        self.buckets.insert((trigger, key.to_vec()), read);
    }
    fn remove_bucket(&mut self, trigger: Uuid, key: &[String]) {
        self.buckets.remove(&(trigger, key.to_vec()));
    }
    fn composite(&self, trigger: Uuid) -> Option<&Composite> {
        self.composites.get(&trigger)
    }
    fn put_composite(&mut self, trigger: Uuid, composite: Composite) {
        let text = serde_json::to_string(&composite).expect("a composite is JSON");
        let read: Composite = serde_json::from_str(&text).expect("and is read again");
        assert_eq!(read, composite, "{text}");
        self.composites.insert(trigger, read);
    }
    fn remove_composite(&mut self, trigger: Uuid) {
        self.composites.remove(&trigger);
    }
}

/// One automation's trigger with its state and a clock that the test moves.
pub struct World {
    pub trigger: Trigger,
    pub states: States,
    pub now: Timestamp,
    pub firings: Vec<Firing>,
    pub deaf: Option<(Timestamp, i64)>,
    position: u64,
}

impl World {
    /// A trigger that became active at [`start`].
    pub fn new(trigger: Trigger) -> Self {
        let (states, firings) = (States::default(), Vec::new());
        let mut world = Self { trigger, states, now: start(), firings, deaf: None, position: 0 };
        world.apply(|trigger, states, ctx| {
            arm(trigger, states, ctx);
            Vec::new()
        });
        world
    }

    /// One event, as the machine brings it to every leaf that covers it. How many leaves did.
    pub fn event(&mut self, event: Event) -> usize {
        let event = Arc::new(event);
        let mut covered = 0;
        self.apply(|trigger, states, ctx| {
            let mut firings = Vec::new();
            for (number, leaf) in trigger.leaves().into_iter().enumerate() {
                if leaf.covers(&event) {
                    covered += 1;
                    firings.extend(on_event(trigger, number, &event, states, ctx));
                }
            }
            firings
        });
        covered
    }

    /// Time passes; every deadline is called when it is due, those at `until` itself only if `inclusive`.
    pub fn pass(&mut self, until: Timestamp, inclusive: bool) {
        while let Some(due) = self.next_due().filter(|due| *due < until || (inclusive && *due == until)) {
            self.now = self.now.max(due);
            self.call_due();
        }
        self.now = until;
    }

    /// Calls each deadline that is due once, in order of due time, then id.
    pub fn call_due(&mut self) {
        let mut due: Vec<(Timestamp, Uuid, Option<Vec<String>>)> = Vec::new();
        for ((trigger, key), bucket) in &self.states.buckets {
            due.extend(bucket.due.map(|at| (at, *trigger, Some(key.clone()))));
        }
        for (trigger, composite) in &self.states.composites {
            due.extend(composite.due.map(|at| (at, *trigger, None)));
        }
        due.retain(|(at, ..)| *at <= self.now);
        due.sort();
        for (_, id, key) in due {
            self.apply(|trigger, states, ctx| match &key {
                Some(key) => on_bucket_deadline(trigger, id, key, states, ctx),
                None => {
                    on_composite_deadline(trigger, id, states, ctx);
                    Vec::new()
                }
            });
        }
        let left = self.next_due();
        assert!(left.is_none_or(|due| due > self.now), "{left:?} was called and is still due");
    }

    fn next_due(&self) -> Option<Timestamp> {
        let buckets = self.states.buckets.values().filter_map(|bucket| bucket.due);
        buckets.chain(self.states.composites.values().filter_map(|composite| composite.due)).min()
    }

    fn apply(
        &mut self,
        what: impl FnOnce(&Trigger, &mut dyn TriggerStates, &mut Context<'_>) -> Vec<Firing>,
    ) {
        self.position += 1;
        let mut ids = Ids::new(Uuid::from_u128(1), self.position, self.now);
        let mut ctx = Context {
            now: self.now,
            ids: &mut ids,
            settle_micros: 1_000_000,
            deaf_until: self.deaf.map(|(until, _)| until),
            deaf_micros: self.deaf.map_or(0, |(_, micros)| micros),
        };
        self.firings.extend(what(&self.trigger, &mut self.states, &mut ctx));
    }
}
