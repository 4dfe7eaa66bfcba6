//! [`State`]: everything the machine knows, at exactly one position of the log.
//!
//! It lies in memory; each change marks its row, and now and then the marked rows go to the [`store`] in one
//! batch with the position. Loading the rows of a batch gives the same state again.

pub mod row;
pub mod snapshot;
pub mod store;

use crate::command::Answer;
use crate::deadlines::{Deadlines, Due};
use crate::error::Error;
use crate::history::Point;
use crate::ledger::Entry;
use crate::seen::{PIECES, Seen};
use crate::settings::Settings;
use crate::waiting::{Waiting, WaitingEvent};
use pavlov_actions::Automation;
use pavlov_events::{Timestamp, Uuid};
use pavlov_orchestrator::block::Blocks;
use pavlov_triggers::{Bucket, Composite, TriggerStates};
use row::{Row, bad};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use store::Batch;

/// The format of the rows that this binary writes.
pub const FORMAT: u32 = 1;
/// Answers to keyed commands that are kept; the oldest go first.
const ANSWERS_MAX: usize = 10_000;
/// Origins that are kept; one is made by every start of a replica.
const ORIGINS_MAX: usize = 1_000;

/// The position that the state belongs to, and what has to fit it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Meta {
    /// [`FORMAT`] when it was written.
    pub format: u32,
    /// The log's random id.
    pub log: Uuid,
    /// The last applied position, 0 before the first.
    pub position: u64,
    /// The checksum of the record there.
    pub checksum: u32,
    /// The time of the last applied record; never goes back.
    pub time: Timestamp,
    /// The history's length.
    pub history: Point,
    /// The leader's epoch.
    pub epoch: u64,
    /// No absence is due before this: the end of the grace after the last gap.
    pub deaf_until: Timestamp,
    /// How long that gap was.
    pub deaf_micros: i64,
}

/// How far an origin has come.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// Its last applied number.
    pub number: u64,
    /// When.
    pub time: Timestamp,
}

/// What triggers count.
#[derive(Debug, Default)]
pub struct Counting {
    /// Open counts by trigger and key.
    pub buckets: HashMap<Uuid, HashMap<Vec<String>, Bucket>>,
    /// Child firings by composite trigger.
    pub composites: HashMap<Uuid, Composite>,
}

/// The state.
#[derive(Debug)]
pub struct State {
    /// The position that this state belongs to.
    pub meta: Meta,
    /// What decisions read.
    pub settings: Settings,
    /// Origins by id.
    pub origins: BTreeMap<Uuid, Origin>,
    /// Automations by id.
    pub automations: BTreeMap<Uuid, Arc<Automation>>,
    /// What triggers count.
    pub counting: Counting,
    /// Effects that are not done, by the id of the triggered action.
    pub ledger: BTreeMap<Uuid, Entry>,
    /// Events that wait for the one they follow.
    pub waiting: Waiting,
    /// The newest event ids.
    pub seen: Seen,
    /// Answers to commands with a key.
    answers: HashMap<String, KeyedAnswer>,
    answer_order: VecDeque<String>,
    /// Block types, schemas and documents.
    pub blocks: Blocks,
    /// What is due when.
    pub deadlines: Deadlines,
    pub(crate) dirty: HashSet<Row>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeyedAnswer {
    position: u64,
    answer: Answer,
}

impl State {
    /// The state before the first record of a log.
    pub fn new(log: Uuid) -> Self {
        let start = Timestamp::from_micros(0);
        Self {
            meta: Meta {
                format: FORMAT,
                log,
                position: 0,
                checksum: 0,
                time: start,
                history: Point::default(),
                epoch: 0,
                deaf_until: start,
                deaf_micros: 0,
            },
            settings: Settings::default(),
            origins: BTreeMap::new(),
            automations: BTreeMap::new(),
            counting: Counting::default(),
            ledger: BTreeMap::new(),
            waiting: Waiting::default(),
            seen: Seen::default(),
            answers: HashMap::new(),
            answer_order: VecDeque::new(),
            blocks: Blocks::default(),
            deadlines: Deadlines::default(),
            dirty: HashSet::from([Row::Settings]),
        }
    }

    /// Notes that a row changed.
    pub fn touch(&mut self, row: Row) {
        self.dirty.insert(row);
    }

    /// How many rows changed since [`Self::take_changes`].
    pub fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    /// Sets how far an origin has come, and forgets the one that was silent longest when there are too many.
    pub fn advance_origin(&mut self, origin: Uuid, number: u64) {
        let time = self.meta.time;
        self.origins.insert(origin, Origin { number, time });
        self.touch(Row::Origin(origin));
        if self.origins.len() > ORIGINS_MAX {
            let oldest =
                self.origins.iter().min_by_key(|(id, origin)| (origin.time, **id)).map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                self.origins.remove(&oldest);
                self.touch(Row::Origin(oldest));
            }
        }
    }

    /// Puts or replaces an effect, with its deadline.
    pub fn put_entry(&mut self, entry: Entry) {
        let id = entry.action.id;
        let new = entry.due();
        let old = self.ledger.insert(id, entry).and_then(|old| old.due());
        self.deadlines.replace(old, new, Due::Ledger(id));
        self.touch(Row::Ledger(id));
    }

    /// Removes an effect that came to its end.
    pub fn remove_entry(&mut self, id: Uuid) -> Option<Entry> {
        let entry = self.ledger.remove(&id)?;
        self.deadlines.replace(entry.due(), None, Due::Ledger(id));
        self.touch(Row::Ledger(id));
        Some(entry)
    }

    /// Lets an event wait for the one it follows.
    pub fn put_waiting(&mut self, waiting: WaitingEvent) {
        let (id, until) = (waiting.event.id, waiting.until);
        self.waiting.put(waiting);
        self.deadlines.replace(None, Some(until), Due::Waiting(id));
        self.touch(Row::Waiting(id));
    }

    /// Takes an event that waited.
    pub fn take_waiting(&mut self, id: Uuid) -> Option<WaitingEvent> {
        let waiting = self.waiting.take(id)?;
        self.deadlines.replace(Some(waiting.until), None, Due::Waiting(id));
        self.touch(Row::Waiting(id));
        Some(waiting)
    }

    /// Notes an event's id; `false` when it was seen before.
    pub fn note_event(&mut self, id: Uuid) -> bool {
        let piece = self.seen.open_piece() as u16;
        let new = self.seen.insert(id);
        if new {
            self.touch(Row::Seen(piece));
        }
        new
    }

    /// The answer that a command with this key got.
    pub fn answer(&self, key: &str) -> Option<Answer> {
        self.answers.get(key).map(|keyed| keyed.answer.clone())
    }

    /// Keeps the answer to a command with a key.
    pub fn keep_answer(&mut self, key: String, answer: Answer) {
        let keyed = KeyedAnswer { position: self.meta.position, answer };
        self.touch(Row::CommandKey(key.clone()));
        if self.answers.insert(key.clone(), keyed).is_none() {
            self.answer_order.push_back(key);
        }
        if self.answer_order.len() > ANSWERS_MAX
            && let Some(oldest) = self.answer_order.pop_front()
        {
            self.answers.remove(&oldest);
            self.touch(Row::CommandKey(oldest));
        }
    }

    /// Drops everything that a trigger counts.
    pub fn forget_trigger(&mut self, trigger: Uuid) {
        for (key, bucket) in self.counting.buckets.remove(&trigger).unwrap_or_default() {
            self.deadlines.replace(bucket.due, None, Due::Bucket(trigger, key.clone()));
            self.dirty.insert(Row::Bucket(trigger, key));
        }
        if let Some(composite) = self.counting.composites.remove(&trigger) {
            self.deadlines.replace(composite.due, None, Due::Composite(trigger));
            self.dirty.insert(Row::Composite(trigger));
        }
    }

    /// The changed rows as a batch, the position among them.
    pub fn take_changes(&mut self) -> Batch {
        self.dirty.insert(Row::Meta);
        let mut batch: Batch = self.dirty.iter().map(|row| (row.key(), self.value(row))).collect();
        self.dirty.clear();
        batch.sort_unstable();
        batch
    }

    /// Every row, in the order of the keys.
    pub fn all_rows(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let buckets = self
            .counting
            .buckets
            .iter()
            .flat_map(|(trigger, keys)| keys.keys().map(|key| Row::Bucket(*trigger, key.clone())));
        let rows = [Row::Meta, Row::Settings]
            .into_iter()
            .chain(self.origins.keys().map(|id| Row::Origin(*id)))
            .chain(self.automations.keys().map(|id| Row::Automation(*id)))
            .chain(buckets)
            .chain(self.counting.composites.keys().map(|id| Row::Composite(*id)))
            .chain(self.ledger.keys().map(|id| Row::Ledger(*id)))
            .chain(self.waiting.ids().map(Row::Waiting))
            .chain((0..PIECES as u16).map(Row::Seen))
            .chain(self.answers.keys().map(|key| Row::CommandKey(key.clone())))
            .chain(self.blocks.keys().map(|key| Row::Block(key.to_string())));
        rows.filter_map(|row| Some((row.key(), self.value(&row)?))).collect()
    }

    /// Takes in one row that was stored. After the last one, [`Self::loaded`] must be called.
    pub fn load_row(&mut self, loading: &mut Loading, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let row = Row::from_key(key)?;
        match row {
            Row::Meta => {
                self.meta = parse(key, value)?;
                if self.meta.format > FORMAT {
                    return Err(Error::NewerFormat { found: self.meta.format, known: FORMAT });
                }
            }
            Row::Settings => self.settings = parse(key, value)?,
            Row::Origin(id) => drop(self.origins.insert(id, parse(key, value)?)),
            Row::Automation(id) => {
                let value: serde_json::Value = parse(key, value)?;
                let automation = Automation::from_stored(&value)
                    .map_err(|faults| bad(key, crate::telling::faults_as_text(&faults)))?;
                self.automations.insert(id, Arc::new(automation));
            }
            Row::Bucket(trigger, name) => {
                let bucket: Bucket = parse(key, value)?;
                self.deadlines.replace(None, bucket.due, Due::Bucket(trigger, name.clone()));
                self.counting.buckets.entry(trigger).or_default().insert(name, bucket);
            }
            Row::Composite(trigger) => {
                let composite: Composite = parse(key, value)?;
                self.deadlines.replace(None, composite.due, Due::Composite(trigger));
                self.counting.composites.insert(trigger, composite);
            }
            Row::Ledger(_) => self.put_entry(parse(key, value)?),
            Row::Waiting(_) => self.put_waiting(parse(key, value)?),
            Row::Seen(_) => loading.seen.push(value.to_vec()),
            Row::CommandKey(name) => drop(self.answers.insert(name, parse(key, value)?)),
            Row::Block(name) => {
                let name = name.parse().map_err(|error| bad(key, error))?;
                self.blocks.load(name, parse(key, value)?).map_err(|error| bad(key, error))?;
            }
        }
        Ok(())
    }

    /// Puts together what no single row holds.
    pub fn loaded(&mut self, loading: Loading) -> Result<(), Error> {
        let pieces = loading.seen.iter().map(Vec::as_slice);
        self.seen = Seen::load(pieces).ok_or_else(|| bad(b"e", "the pieces of seen ids do not fit"))?;
        let mut order: Vec<(u64, &String)> =
            self.answers.iter().map(|(key, keyed)| (keyed.position, key)).collect();
        order.sort_unstable();
        self.answer_order = order.into_iter().map(|(_, key)| key.clone()).collect();
        self.dirty.clear();
        Ok(())
    }

    fn value(&self, row: &Row) -> Option<Vec<u8>> {
        fn json(value: &impl Serialize) -> Vec<u8> {
            serde_json::to_vec(value).expect("rows are plain data")
        }
        match row {
            Row::Meta => Some(json(&self.meta)),
            Row::Settings => Some(json(&self.settings)),
            Row::Origin(id) => self.origins.get(id).map(json),
            Row::Automation(id) => self.automations.get(id).map(|automation| json(&automation.to_stored())),
            Row::Bucket(trigger, key) => self.counting.buckets.get(trigger)?.get(key).map(json),
            Row::Composite(trigger) => self.counting.composites.get(trigger).map(json),
            Row::Ledger(id) => self.ledger.get(id).map(json),
            Row::Waiting(id) => self.waiting.get(*id).map(json),
            Row::Seen(piece) => {
                let bytes = self.seen.piece(usize::from(*piece));
                (bytes.len() > 8).then_some(bytes)
            }
            Row::CommandKey(key) => self.answers.get(key).map(json),
            Row::Block(key) => self.blocks.row(&key.parse().ok()?).map(|value| json(&value)),
        }
    }
}

/// What loading gathers until all rows are there.
#[derive(Debug, Default)]
pub struct Loading {
    seen: Vec<Vec<u8>>,
}

/// The counts of all triggers, as the triggers crate wants them. Three parts of the state, so that the rest
/// of it can be read meanwhile.
pub(crate) fn counts<'a>(
    counting: &'a mut Counting,
    deadlines: &'a mut Deadlines,
    dirty: &'a mut HashSet<Row>,
) -> Counts<'a> {
    Counts { counting, deadlines, dirty }
}

pub(crate) struct Counts<'a> {
    counting: &'a mut Counting,
    deadlines: &'a mut Deadlines,
    dirty: &'a mut HashSet<Row>,
}

impl TriggerStates for Counts<'_> {
    fn bucket(&self, trigger: Uuid, key: &[String]) -> Option<&Bucket> {
        self.counting.buckets.get(&trigger)?.get(key)
    }

    fn put_bucket(&mut self, trigger: Uuid, key: &[String], bucket: Bucket) {
        let new = bucket.due;
        let old = self.counting.buckets.entry(trigger).or_default().insert(key.to_vec(), bucket);
        self.deadlines.replace(old.and_then(|old| old.due), new, Due::Bucket(trigger, key.to_vec()));
        self.dirty.insert(Row::Bucket(trigger, key.to_vec()));
    }

    fn remove_bucket(&mut self, trigger: Uuid, key: &[String]) {
        let Some(keys) = self.counting.buckets.get_mut(&trigger) else { return };
        let Some(old) = keys.remove(key) else { return };
        self.deadlines.replace(old.due, None, Due::Bucket(trigger, key.to_vec()));
        self.dirty.insert(Row::Bucket(trigger, key.to_vec()));
    }

    fn composite(&self, trigger: Uuid) -> Option<&Composite> {
        self.counting.composites.get(&trigger)
    }

    fn put_composite(&mut self, trigger: Uuid, composite: Composite) {
        let new = composite.due;
        let old = self.counting.composites.insert(trigger, composite);
        self.deadlines.replace(old.and_then(|old| old.due), new, Due::Composite(trigger));
        self.dirty.insert(Row::Composite(trigger));
    }

    fn remove_composite(&mut self, trigger: Uuid) {
        if let Some(old) = self.counting.composites.remove(&trigger) {
            self.deadlines.replace(old.due, None, Due::Composite(trigger));
            self.dirty.insert(Row::Composite(trigger));
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(key: &[u8], value: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(|error| bad(key, error))
}
