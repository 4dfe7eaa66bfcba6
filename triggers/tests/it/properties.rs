//! What holds for every trigger and every order of events.

use crate::support::{World, start, trigger};
use pavlov_events::{Event, Resource, Timestamp, Uuid};
use pavlov_triggers::{EventTrigger, Firing, Index, Trigger, TriggerChange, first_mismatch};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

const NAMES: [&str; 8] = ["a", "a.b", "a.b.c", "ab", "b", "é.x", "!a", "a.b.d"];
const NAME_PATTERNS: [&str; 12] =
    ["a", "a.b", "a.*", "a*", "*", "*.c", "a.?", "b", "!a", "é*", "a.b.*", "[ab]"];
const LABELS: [&str; 4] = ["prefect.resource.id", "prefect.resource.role", "team", "zone"];
const VALUES: [&str; 7] = ["x", "xy", "xyz", "y", "", "é", "!x"];
const VALUE_PATTERNS: [&str; 11] = ["x", "x*", "xy*", "*", "!x", "!x*", "?y", "y", "", "é*", "xy?"];

fn specification() -> impl Strategy<Value = Value> {
    let one = select(&VALUE_PATTERNS[..]).prop_map(|text| json!(text));
    let value =
        prop_oneof![3 => one, 1 => vec(select(&VALUE_PATTERNS[..]), 0..3).prop_map(|list| json!(list))];
    vec((select(&LABELS[..]), value), 0..3).prop_map(|labels| {
        labels.into_iter().map(|(label, value)| (label.to_owned(), value)).collect::<Map<_, _>>().into()
    })
}

fn leaf() -> impl Strategy<Value = Value> {
    let names = || vec(select(&NAME_PATTERNS[..]), 0..3);
    let related = prop_oneof![specification(), vec(specification(), 0..3).prop_map(|list| json!(list))];
    let counting =
        (prop::bool::ANY, -1..4_i64, select(&[0.0, 0.5, 10.0, 61.25][..]), vec(select(&LABELS[..]), 0..3));
    (names(), names(), specification(), related, counting).prop_map(
        |(expect, after, resource, related, (reactive, threshold, within, for_each))| {
            let within = if reactive { within } else { within + 10.0 };
            json!({
                "type": "event", "posture": if reactive { "Reactive" } else { "Proactive" }, "expect": expect,
                "after": after, "match": resource, "match_related": related, "threshold": threshold,
                "within": within, "for_each": for_each,
            })
        },
    )
}

fn tree() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 12, 4, |inner| {
        let within = prop_oneof![Just(json!(null)), Just(json!(5)), Just(json!(60))];
        (vec(inner, 0..4), within, 0..4_usize).prop_map(|(triggers, within, kind)| {
            let require = match kind {
                1 => json!("any"),
                2 => json!("all"),
                3 if !triggers.is_empty() => json!(triggers.len().div_ceil(2)),
                _ => return json!({"type": "sequence", "triggers": triggers, "within": within}),
            };
            json!({"type": "compound", "triggers": triggers, "within": within, "require": require})
        })
    })
}

fn resource(role: bool) -> impl Strategy<Value = Resource> {
    vec((select(&LABELS[2..]), select(&VALUES[..])), 0..3).prop_flat_map(move |labels| {
        (select(&VALUES[..4]), select(&VALUES[..4])).prop_map(move |(id, of_role)| {
            let resource = if role { Resource::related(of_role, id) } else { Resource::new(id) };
            labels.iter().fold(resource, |resource, (label, value)| resource.with(*label, *value))
        })
    })
}

fn event() -> impl Strategy<Value = Event> {
    (select(&NAMES[..]), resource(false), vec(resource(true), 0..3), any::<u128>()).prop_map(
        |(name, resource, related, id)| {
            let mut event = Event::new(Uuid::from_u128(id), start(), name, resource);
            event.related = related;
            event
        },
    )
}

/// A timeline: by how much time passes, which event, how long ago it occurred (seconds; negative is ahead).
fn timeline() -> impl Strategy<Value = Vec<(i64, Event, i64)>> {
    vec((0..20_i64, event(), prop_oneof![3 => Just(0), 1 => -5..40_i64]), 0..25)
}

fn play(world: &mut World, timeline: &[(i64, Event, i64)], wanted: impl Fn(&Event) -> bool) {
    let mut at = start();
    for (pause, event, ago) in timeline {
        at = at.plus_seconds(*pause);
        if wanted(event) {
            world.pass(at, false);
            let occurred = at.plus_seconds(-ago);
            world.event(Event { occurred, received: at, ..event.clone() });
        }
    }
    world.pass(at.plus_seconds(200), true);
}

fn event_trigger(trigger: &Trigger) -> &EventTrigger {
    match trigger {
        Trigger::Event(event) => event,
        _ => panic!("an event trigger was declared"),
    }
}

/// What tells firings apart when their ids may differ.
fn essence(firing: &Firing) -> (Timestamp, TriggerChange, Vec<(String, String)>, Timestamp) {
    (firing.triggered, firing.change, firing.labels.clone(), firing.occurred)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_and_covers_agree_with_brute_force(
        leaves in vec((leaf(), prop::bool::ANY), 1..20),
        events in vec(event(), 1..10),
    ) {
        let leaves: Vec<(Trigger, bool)> = leaves.iter().map(|(value, kept)| (trigger(value), *kept)).collect();
        let mut index = Index::new();
        for (slot, (trigger, _)) in leaves.iter().enumerate() {
            index.insert(slot as u32, 3, event_trigger(trigger));
        }
        for (slot, (trigger, kept)) in leaves.iter().enumerate() {
            if !kept {
                index.remove(slot as u32, 3, event_trigger(trigger));
            }
        }
        let mut found = vec![(9, 9)];
        for event in &events {
            index.candidates(event, &mut found);
            prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "sorted, no repeats: {found:?}");
            let covers = |slot: usize| leaves[slot].1 && event_trigger(&leaves[slot].0).covers(event);
            let expected: Vec<(u32, u32)> =
                (0..leaves.len()).filter(|slot| covers(*slot)).map(|slot| (slot as u32, 3)).collect();
            found.retain(|(slot, _)| covers(*slot as usize));
            prop_assert_eq!(&found, &expected, "{}", event.to_json());
        }
        for (slot, (trigger, kept)) in leaves.iter().enumerate() {
            if *kept {
                index.remove(slot as u32, 3, event_trigger(trigger));
            }
        }
        prop_assert_eq!(format!("{index:?}"), format!("{:?}", Index::new()), "an empty index holds nothing");
    }

    #[test]
    fn a_mismatch_is_named_exactly_when_an_event_is_not_covered(leaf in leaf(), event in event()) {
        let trigger = trigger(&leaf);
        let trigger = event_trigger(&trigger);
        let mismatch = first_mismatch(trigger, &event);
        prop_assert_eq!(mismatch.is_none(), trigger.covers(&event), "{:?}", mismatch);
    }

    #[test]
    fn declarations_survive_a_round_trip(tree in tree()) {
        let trigger = trigger(&tree);
        let shown = trigger.to_value();
        let again = Trigger::from_stored(&shown).expect("what is stored is read");
        prop_assert_eq!(again.to_value(), shown);
        prop_assert_eq!(again, trigger);
    }

    #[test]
    fn the_same_timeline_gives_the_same_firings(tree in tree(), timeline in timeline()) {
        let (mut one, mut two) = (World::new(trigger(&tree)), World::new(trigger(&tree)));
        play(&mut one, &timeline, |_| true);
        play(&mut two, &timeline, |_| true);
        for firing in &one.firings {
            let value = firing.to_value(&one.trigger);
            prop_assert_eq!(&Firing::from_value(&value).expect("what is stored is read"), firing);
        }
        prop_assert_eq!(one.firings, two.firings);
    }

    #[test]
    fn events_that_are_not_covered_change_nothing(tree in tree(), timeline in timeline()) {
        let leaves = trigger(&tree);
        let leaves = leaves.leaves();
        let (mut all, mut few) = (World::new(trigger(&tree)), World::new(trigger(&tree)));
        play(&mut all, &timeline, |_| true);
        play(&mut few, &timeline, |event| leaves.iter().any(|leaf| leaf.covers(event)));
        let essences = |world: &World| world.firings.iter().map(essence).collect::<Vec<_>>();
        prop_assert_eq!(essences(&all), essences(&few));
    }

    #[test]
    fn keys_do_not_affect_each_other(leaf in leaf(), timeline in timeline()) {
        let mut leaf = leaf;
        leaf["for_each"] = json!(["prefect.resource.id"]);
        let id = |firing: &Firing| firing.labels[0].1.clone();
        let mut together = World::new(trigger(&leaf));
        play(&mut together, &timeline, |_| true);
        for key in &VALUES[..4] {
            let mut alone = World::new(trigger(&leaf));
            play(&mut alone, &timeline, |event| event.resource.id() == *key);
            let of_key: Vec<_> = together.firings.iter().filter(|f| id(f) == *key).map(essence).collect();
            prop_assert_eq!(of_key, alone.firings.iter().map(essence).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_threshold_fires_at_the_nth_event_of_a_window(threshold in 1..30_usize, count in 0..70_usize) {
        let within_0 = json!({"posture": "Reactive", "threshold": threshold});
        let within_60 = json!({"posture": "Reactive", "threshold": threshold, "within": 60});
        let fired = |declared: &Value| {
            let mut world = World::new(trigger(declared));
            let mut fired = Vec::new();
            for number in 1..=count {
                world.event(Event::new(Uuid::from_u128(number as u128), start(), "x", Resource::new("r")));
                if world.firings.len() > fired.len() {
                    fired.push(number);
                }
            }
            fired
        };
        let every: Vec<usize> = (1..=count).filter(|number| number % threshold == 0).collect();
        prop_assert_eq!(fired(&within_60), every.iter().take(1).copied().collect::<Vec<_>>());
        prop_assert_eq!(fired(&within_0), every);
    }

    #[test]
    fn an_absence_is_told_if_and_only_if_nothing_answered(
        steps in vec((1..15_i64, prop::bool::ANY, prop_oneof![2 => Just(0), 1 => 0..30_i64]), 0..30),
    ) {
        let declared = json!({"posture": "Proactive", "after": ["a"], "expect": ["b"], "within": 20});
        let mut world = World::new(trigger(&declared));
        // (applied, name, occurred), with times in seconds from the start.
        let (mut told, mut now): (Vec<(i64, &str, i64)>, i64) = (Vec::new(), 0);
        for (pause, starts, ago) in steps {
            now += pause;
            let name = if starts { "a" } else { "b" };
            let (at, occurred) = (start().plus_seconds(now), start().plus_seconds(now - ago));
            world.pass(at, false);
            world.event(Event { received: at, ..Event::new(Uuid::from_u128(now as u128), occurred, name, Resource::new("r")) });
            told.push((now, name, now - ago));
        }
        world.pass(start().plus_seconds(now + 500), true);
        let seconds = |at: Timestamp| at.since(start()).div_euclid(1_000_000);
        let answers = |a: &(i64, &str, i64), b: &(i64, &str, i64)| {
            b.1 == "b" && (b.2 > a.2 || (b.2 == a.2 && b.0 > a.0))
        };
        let alarms: Vec<&Firing> = world.firings.iter().filter(|f| f.change == TriggerChange::Triggered).collect();
        for alarm in &alarms {
            let (at, began) = (seconds(alarm.triggered), seconds(alarm.occurred) - 20);
            let silent = told.iter().filter(|a| a.1 == "a" && a.2 == began && a.0 <= at).any(|a| {
                !told.iter().any(|b| b.0 <= at && answers(a, b))
            });
            prop_assert!(silent, "told at {at} of {began}, but it was answered: {told:?}");
        }
        for a in told.iter().filter(|a| a.1 == "a") {
            let answered = told.iter().any(|b| answers(a, b));
            let alarmed = alarms.iter().any(|alarm| seconds(alarm.triggered) >= a.0);
            prop_assert!(answered || alarmed, "{a:?} was not answered and not told: {told:?}");
        }
        let resolved = world.firings.len() - alarms.len();
        prop_assert!(resolved <= alarms.len(), "at most one end for each absence");
    }
}

#[test]
fn memory_of_a_key_is_bounded() {
    let declared =
        json!({"posture": "Proactive", "after": ["a"], "expect": ["b"], "within": 20, "threshold": 100});
    let mut world = World::new(trigger(&declared));
    for number in 0..500 {
        let at = start().plus_micros(number);
        world.now = at;
        world.event(Event::new(Uuid::from_u128(number as u128), at, "b", Resource::new("r")));
    }
    let bucket = world.states.buckets.values().next().expect("what was heard is remembered");
    let heard = serde_json::to_value(bucket).expect("JSON")["heard"].as_array().map_or(0, Vec::len);
    assert_eq!(heard, 64, "HEARD_MAX, although the threshold is higher");
}

#[test]
fn no_event_is_kept_that_no_firing_will_show() {
    let declared = json!({"posture": "Proactive", "after": ["a"], "expect": ["b"], "within": 20});
    let mut world = World::new(trigger(&declared));
    for (name, kept) in [("a", true), ("b", false), ("a", true)] {
        world.now = world.now.plus_seconds(1);
        world.event(Event::new(Uuid::from_u128(1), world.now, name, Resource::new("r")));
        let bucket = world.states.buckets.values().next().expect("a bucket");
        let shown = serde_json::to_value(bucket).expect("JSON");
        assert_eq!(shown.get("last_event").is_some(), kept, "after {name}: {shown}");
    }
}

#[test]
fn a_leaf_is_filed_under_the_longest_beginning() {
    let declared = json!({"posture": "Reactive", "match": {"team": "p*", "zone": "europe-west*"}});
    let (mut index, trigger) = (Index::new(), trigger(&declared));
    index.insert(1, 2, event_trigger(&trigger));
    let mut found = Vec::new();
    for (zone, expected) in [("us", vec![]), ("europe-west-1", vec![(1, 2)])] {
        let resource = Resource::new("r").with("team", "platform").with("zone", zone);
        index.candidates(&Event::new(Uuid::from_u128(1), start(), "x", resource), &mut found);
        assert_eq!(found, expected, "{zone}");
    }
}

#[test]
fn other_rules_on_the_same_name_cost_nothing() {
    let mut index = Index::new();
    let triggers: Vec<Trigger> = (0..10_000)
        .map(|number| {
            trigger(&json!({
                "posture": "Reactive", "expect": ["prefect.flow-run.Failed"],
                "match": {"prefect.resource.id": format!("prefect.flow-run.{number}")},
            }))
        })
        .collect();
    for (slot, trigger) in triggers.iter().enumerate() {
        index.insert(slot as u32, 0, event_trigger(trigger));
    }
    let resource = Resource::new("prefect.flow-run.77");
    let event = Event::new(Uuid::from_u128(1), start(), "prefect.flow-run.Failed", resource);
    let mut found = Vec::new();
    index.candidates(&event, &mut found);
    assert_eq!(found, [(77, 0)]);
    assert_eq!(index.residual_len(), 0);
    let everything = trigger(&json!({"posture": "Reactive", "match": {"team": "!x"}}));
    index.insert(10_000, 0, event_trigger(&everything));
    assert_eq!(index.residual_len(), 1);
}
