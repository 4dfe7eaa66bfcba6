//! The machine alone: records in, events and promises out, no clock and no disk.

use super::{Applied, Machine, Place, Reply};
use crate::command::Command;
use crate::ledger::{Outcome, Report, Standing};
use crate::record::{Body, Claim, CommandRecord, Record, Tick};
use crate::state::{Loading, State};
use pavlov_actions::Automation;
use pavlov_events::{Event, Faults, Ids, Reader, Resource, Timestamp, Uuid};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const START: i64 = 1_760_000_000_000_000;

/// A log of one origin, applied as it grows.
struct World {
    machine: Machine,
    position: u64,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let machine = Machine::new(State::new(Uuid::from_u128(1)));
        let mut world = Self { machine, position: 0, now: Timestamp::from_micros(START) };
        world.apply(Body::Claim(Claim { epoch: 1, lost: None }));
        world
    }

    fn apply(&mut self, body: Body) -> Applied {
        self.position += 1;
        let record = Record { origin: Uuid::from_u128(9), number: self.position, body };
        self.machine.apply(self.place(), record)
    }

    fn place(&self) -> Place {
        Place { position: self.position, time: self.now, checksum: self.position as u32 }
    }

    fn wait(&mut self, seconds: i64) -> Applied {
        self.now = self.now.plus_seconds(seconds);
        let epoch = self.machine.state.meta.epoch;
        self.apply(Body::Tick(Tick { epoch }))
    }

    fn command(&mut self, command: Command) -> Result<Value, crate::Refusal> {
        let applied = self.apply(Body::Command(Box::new(CommandRecord { command, key: None, depth: 0 })));
        match applied.reply {
            Some(Reply::Answered(answer)) => answer,
            other => panic!("a command is answered, not {other:?}"),
        }
    }

    fn automation(&mut self, trigger: Value, actions: Value) -> Uuid {
        let body = json!({"name": "a", "trigger": trigger, "actions": actions});
        let mut ids = Ids::new(Uuid::from_u128(2), self.position, self.now);
        let mut faults = Faults::new();
        let read =
            Automation::read_create(&mut Reader::new(&body, "body", &mut faults), &mut || ids.next_uuid());
        let automation = read.unwrap_or_else(|| panic!("{faults:?}"));
        let id = automation.id;
        self.command(Command::CreateAutomation { automation: automation.to_stored() }).expect("created");
        id
    }

    fn event(&self, id: u128, name: &str, resource: &str) -> Event {
        Event::new(Uuid::from_u128(id), self.now, name, Resource::new(resource))
    }

    fn tell(&mut self, events: Vec<Event>) -> Applied {
        self.apply(Body::Events(events))
    }

    /// The state as rows, and a machine that was loaded from them.
    fn reloaded(&self) -> (BTreeMap<Vec<u8>, Vec<u8>>, Machine) {
        let rows = self.machine.state.all_rows();
        let (mut state, mut loading) = (State::new(Uuid::nil()), Loading::default());
        for (key, value) in &rows {
            state.load_row(&mut loading, key, value).expect("a row");
        }
        state.loaded(loading).expect("whole");
        (rows, Machine::new(state))
    }
}

fn names(applied: &Applied) -> Vec<&str> {
    applied.events.iter().map(|event| &*event.event).collect()
}

fn reactive(name: &str) -> Value {
    json!({"type": "event", "posture": "Reactive", "expect": [name]})
}

const WEBHOOK: &str = r#"[{"type": "http-request", "method": "POST", "url": "http://127.0.0.1:1/"}]"#;

fn request() -> Value {
    serde_json::from_str(WEBHOOK).expect("JSON")
}

#[test]
fn an_event_fires_and_everything_is_told_in_order() {
    let mut world = World::new();
    world.automation(reactive("a"), json!([{"type": "do-nothing"}]));
    let event = world.event(5, "a", "r");
    let applied = world.tell(vec![event.clone()]);
    let expected = [
        "a",
        "prefect.automation.triggered",
        "prefect.automation.action.triggered",
        "prefect.automation.action.executed",
    ];
    assert_eq!(names(&applied), expected);
    assert!(names(&world.tell(vec![event])).is_empty(), "a repeated event changes nothing");
    assert_eq!(world.machine.counts.firings, 1);
}

#[test]
fn a_repeated_record_of_an_origin_is_skipped() {
    let mut world = World::new();
    let body = Body::Events(vec![world.event(5, "a", "r")]);
    world.apply(body.clone());
    let record = Record { origin: Uuid::from_u128(9), number: world.position, body };
    world.position += 1;
    assert!(world.machine.apply(world.place(), record).events.is_empty());
    assert_eq!(world.machine.counts.skipped, 1);
}

#[test]
fn a_failed_attempt_is_repeated_until_it_is_a_dead_letter_that_can_be_redriven() {
    let mut world = World::new();
    world.automation(reactive("a"), request());
    let event = world.event(5, "a", "r");
    let [entry] = world.tell(vec![event]).starts[..] else { panic!("one attempt") };
    let most = world.machine.state.settings.attempts_max;
    for attempt in 1..=most {
        let report = Report::Failed {
            retry: true,
            retry_after_micros: None,
            reason: "503".into(),
            payload: json!({"status_code": 503}),
            related: vec![],
        };
        let applied = world.apply(Body::Outcome(Box::new(Outcome { entry, attempt, epoch: 1, report })));
        let last = attempt == most;
        let expected =
            if last { "prefect.automation.action.failed" } else { "pavlov.automation.action.retrying" };
        assert_eq!(names(&applied), [expected]);
        if !last {
            assert_eq!(world.wait(400).starts, [entry], "attempt {attempt}");
        }
    }
    assert!(matches!(world.machine.state.ledger[&entry].standing, Standing::Dead { .. }));
    world.command(Command::Redrive { ids: vec![] }).expect("redriven");
    let report = Report::Done { payload: json!({}), related: vec![] };
    let done = world.apply(Body::Outcome(Box::new(Outcome { entry, attempt: 1, epoch: 1, report })));
    assert_eq!(names(&done), ["prefect.automation.action.executed"]);
    assert!(world.machine.state.ledger.is_empty());
}

#[test]
fn retry_after_is_kept() {
    let mut world = World::new();
    world.automation(reactive("a"), request());
    let event = world.event(5, "a", "r");
    let [entry] = world.tell(vec![event]).starts[..] else { panic!("one attempt") };
    let report = Report::Failed {
        retry: true,
        retry_after_micros: Some(60_000_000),
        reason: "429".into(),
        payload: Value::Null,
        related: vec![],
    };
    world.apply(Body::Outcome(Box::new(Outcome { entry, attempt: 1, epoch: 1, report })));
    assert!(world.wait(59).starts.is_empty());
    assert_eq!(world.wait(1).starts, [entry]);
}

#[test]
fn what_was_under_way_is_made_again_and_what_may_not_be_repeated_is_held() {
    let mut world = World::new();
    world.automation(reactive("a"), request());
    world.automation(reactive("b"), json!([{"type": "run-command", "argv": ["true"]}]));
    let events = vec![world.event(5, "a", "r"), world.event(6, "b", "r")];
    let starts = world.tell(events).starts;
    let (repeatable, once) = (starts[0], starts[1]);
    let started = Outcome { entry: once, attempt: 1, epoch: 1, report: Report::Started };
    assert!(matches!(world.apply(Body::Outcome(Box::new(started))).reply, Some(Reply::Begin(true))));
    let claimed = world.apply(Body::Claim(Claim { epoch: 2, lost: None }));
    assert_eq!(claimed.starts, [repeatable]);
    assert_eq!(names(&claimed), ["pavlov.automation.action.held"]);
    let late = Outcome { entry: once, attempt: 1, epoch: 1, report: Report::Started };
    assert!(matches!(world.apply(Body::Outcome(Box::new(late))).reply, Some(Reply::Begin(false))));
}

#[test]
fn a_follower_waits_for_its_leader_and_not_for_ever() {
    let mut world = World::new();
    let first = world.event(1, "first", "r");
    let mut second = world.event(2, "second", "r");
    second.follows = Some(first.id);
    second.occurred = world.now.plus_seconds(1);
    let sequence =
        json!({"type": "sequence", "within": 60, "triggers": [reactive("first"), reactive("second")]});
    world.automation(sequence, json!([]));
    assert_eq!(names(&world.tell(vec![second])), ["second"], "it is a fact at once");
    assert_eq!(world.machine.state.waiting.len(), 1);
    assert_eq!(names(&world.tell(vec![first])), ["first", "prefect.automation.triggered"]);

    let mut orphan = world.event(4, "second", "r");
    orphan.follows = Some(Uuid::from_u128(3));
    world.tell(vec![orphan]);
    world.wait(899);
    assert_eq!(world.machine.state.waiting.len(), 1);
    world.wait(1);
    assert!(world.machine.state.waiting.is_empty() && world.machine.counts.waited_in_vain == 1);
}

#[test]
fn an_absence_that_fell_due_while_nobody_listened_has_its_grace_and_fires_once() {
    let mut world = World::new();
    let absence = json!({"type": "event", "posture": "Proactive", "after": ["up"], "expect": ["down"],
        "for_each": ["prefect.resource.id"], "threshold": 1, "within": 10});
    world.automation(absence, json!([]));
    let up = world.event(1, "up", "r");
    world.tell(vec![up]);
    world.now = world.now.plus_seconds(3_600);
    world.apply(Body::Claim(Claim { epoch: 2, lost: None }));
    assert!(names(&world.wait(29)).is_empty());
    let fired = world.wait(1);
    assert_eq!(names(&fired), ["prefect.automation.triggered"]);
    let payload: Value = serde_json::from_str(&fired.events[0].payload).expect("JSON");
    assert_eq!(
        (payload["late_micros"].as_i64(), payload["deaf_micros"].as_i64()),
        (Some(3_620_000_000), Some(3_600_000_000))
    );
    assert!(names(&world.wait(1_000)).is_empty());
}

#[test]
fn an_unrelated_edit_keeps_what_a_trigger_counts_and_a_new_condition_does_not() {
    let mut world = World::new();
    let trigger = |threshold: u32| json!({"type": "event", "posture": "Reactive", "expect": ["a"], "threshold": threshold, "within": 60});
    let id = world.automation(trigger(2), json!([]));
    let mut number = 10;
    let mut once = |world: &mut World| {
        number += 1;
        let event = world.event(number, "a", "r");
        world.tell(vec![event]).events.len() - 1
    };
    let update = |world: &mut World, name: &str, threshold: u32| {
        let body = json!({"name": name, "trigger": trigger(threshold), "actions": []});
        let mut ids = Ids::new(Uuid::from_u128(3), world.position, world.now);
        let mut faults = Faults::new();
        let automation =
            Automation::read_update(&mut Reader::new(&body, "body", &mut faults), &mut || ids.next_uuid())
                .expect("valid");
        world.command(Command::UpdateAutomation { id, automation: automation.to_stored() }).expect("updated");
    };
    assert_eq!(once(&mut world), 0);
    update(&mut world, "renamed", 2);
    assert_eq!(once(&mut world), 1, "the count went on");
    update(&mut world, "renamed", 3);
    assert_eq!([once(&mut world), once(&mut world), once(&mut world)], [0, 0, 1], "the count began anew");
}

#[test]
fn automations_that_set_each_other_off_end() {
    let mut world = World::new();
    world.automation(
        json!({"type": "event", "posture": "Reactive", "expect": ["prefect.automation.triggered"]}),
        json!([{"type": "do-nothing"}]),
    );
    world.automation(reactive("a"), json!([]));
    let event = world.event(5, "a", "r");
    let applied = world.tell(vec![event]);
    let depth = world.machine.state.settings.cascade_depth_max as usize;
    assert!(applied.events.len() <= 1 + 3 * (depth + 2), "{} events", applied.events.len());
    assert!(world.machine.counts.too_deep > 0);
}

#[derive(Clone, Debug)]
enum Step {
    Event { name: u8, resource: u8, follows: Option<u8>, late: u8 },
    Wait(u8),
    Outcome { which: u8, well: bool },
    Claim,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4u8, 0..3u8, proptest::option::weighted(0.2, any::<u8>()), 0..20u8)
            .prop_map(|(name, resource, follows, late)| Step::Event { name, resource, follows, late }),
        2 => (0..40u8).prop_map(Step::Wait),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(which, well)| Step::Outcome { which, well }),
        1 => Just(Step::Claim),
    ]
}

fn busy_world() -> World {
    let mut world = World::new();
    world.automation(
        json!({"type": "event", "posture": "Reactive", "expect": ["n0"], "threshold": 2, "within": 30,
        "for_each": ["prefect.resource.id"]}),
        request(),
    );
    world.automation(
        json!({"type": "event", "posture": "Proactive", "after": ["n1"], "expect": ["n2"],
        "for_each": ["prefect.resource.id"], "threshold": 1, "within": 15}),
        json!([{"type": "do-nothing"}]),
    );
    world.automation(
        json!({"type": "sequence", "within": 40, "triggers": [reactive("n0"), reactive("n3")]}),
        request(),
    );
    world.automation(
        json!({"type": "compound", "require": "all", "within": 40,
        "triggers": [reactive("n1"), reactive("n2")]}),
        json!([{"type": "do-nothing"}]),
    );
    world
}

fn perform(world: &mut World, number: usize, step: &Step, starts: &mut Vec<Uuid>) -> Vec<String> {
    let applied = match step {
        Step::Event { name, resource, follows, late } => {
            let mut event = world.event(1_000 + number as u128, &format!("n{name}"), &format!("r{resource}"));
            event.occurred = world.now.plus_seconds(-i64::from(*late));
            event.follows = follows.map(|other| Uuid::from_u128(1_000 + u128::from(other) % 60));
            world.tell(vec![event])
        }
        Step::Wait(seconds) => world.wait(i64::from(*seconds)),
        Step::Outcome { which, well } if !starts.is_empty() => {
            let entry = starts[usize::from(*which) % starts.len()];
            let report = if *well {
                Report::Done { payload: json!({}), related: vec![] }
            } else {
                let reason = "no".to_owned();
                Report::Failed {
                    retry: true,
                    retry_after_micros: None,
                    reason,
                    payload: json!({}),
                    related: vec![],
                }
            };
            let attempt = world.machine.state.ledger.get(&entry).map_or(1, |entry| entry.attempt);
            let epoch = world.machine.state.meta.epoch;
            world.apply(Body::Outcome(Box::new(Outcome { entry, attempt, epoch, report })))
        }
        Step::Outcome { .. } => return Vec::new(),
        Step::Claim => {
            let epoch = world.machine.state.meta.epoch + 1;
            world.apply(Body::Claim(Claim { epoch, lost: None }))
        }
    };
    starts.extend(applied.starts);
    applied.events.iter().map(|event| event.to_json()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Wherever a machine is stopped and loaded from its rows, it goes on exactly as one that was not.
    #[test]
    fn a_machine_loaded_from_its_rows_goes_on_as_if_nothing_had_happened(
        steps in proptest::collection::vec(step(), 1..80),
        reload_every in 1..12usize,
    ) {
        let (mut whole, mut broken) = (busy_world(), busy_world());
        let (mut starts, mut starts_again) = (Vec::new(), Vec::new());
        for (number, step) in steps.iter().enumerate() {
            let told = perform(&mut whole, number, step, &mut starts);
            let told_again = perform(&mut broken, number, step, &mut starts_again);
            prop_assert_eq!(told, told_again);
            if number % reload_every == 0 {
                let (rows, machine) = broken.reloaded();
                prop_assert_eq!(&machine.state.all_rows(), &rows);
                broken.machine = machine;
            }
        }
        prop_assert_eq!(whole.machine.state.all_rows(), broken.machine.state.all_rows());
    }

    /// The changed rows of each step, put together, are all rows.
    #[test]
    fn every_change_marks_its_row(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = busy_world();
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut starts = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            perform(&mut world, number, step, &mut starts);
            for (key, value) in world.machine.state.take_changes() {
                match value {
                    Some(value) => rows.insert(key, value),
                    None => rows.remove(&key),
                };
            }
            prop_assert_eq!(&rows, &world.machine.state.all_rows());
        }
    }
}
