//! Random events and filters.

use super::*;
use pavlov_events::Faults;
use pavlov_events::filter::{NameFilter, RelatedFilter, ResourceFilter, TextFilter};
use pavlov_events::pattern::ResourceSpecification;
use proptest::prelude::*;
use tempfile::TempDir;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_question_is_answered_as_by_looking_at_each_event(
        events in some_events(),
        filters in prop::collection::vec(a_filter(), 1..12),
    ) {
        let dir = TempDir::new().expect("a directory");
        let (writer, reader) = filled(dir.path(), &events);
        for filter in &filters {
            check(&reader, &events, filter);
        }
        // Dropping them waits for the index files, which answer from then on.
        drop((writer, reader));
        let (_writer, reader) = History::open(dir.path(), TINY, None).expect("it opens again");
        for filter in &filters {
            check(&reader, &events, filter);
        }
        prop_assert_eq!(reader.stats().expect("stats").events, events.len() as u64);
    }

    #[test]
    fn what_is_cut_and_written_again_is_the_same_bytes(events in some_events(), cut in 0..70usize) {
        let (cut, dir) = (cut.min(events.len()), TempDir::new().expect("a directory"));
        let (mut writer, reader) = History::open(dir.path(), TINY, None).expect("an empty directory opens");
        append(&mut writer, &events[..cut], 0);
        let point = writer.sync().expect("syncing works");
        append(&mut writer, &events[cut..], cut);
        drop((writer, reader));
        let before = contents(dir.path());
        let (mut writer, reader) = History::open(dir.path(), TINY, Some(point)).expect("it is cut");
        prop_assert_eq!(reader.stats().expect("stats").events, cut as u64);
        // Groups of other sizes make no other segments.
        for (number, event) in events.iter().enumerate().skip(cut) {
            writer.append(cursor(number), event).expect("appending works");
        }
        writer.flush().expect("flushing works");
        check(&reader, &events, &everything());
        drop((writer, reader));
        prop_assert_eq!(contents(dir.path()), before);
    }
}

fn specification(label: &str, pattern: &str) -> ResourceSpecification {
    let mut faults = Faults::new();
    let value = serde_json::json!({label: pattern});
    let read = ResourceSpecification::read(&mut pavlov_events::Reader::new(&value, "labels", &mut faults));
    read.unwrap_or_else(|| panic!("{faults:?}"))
}

fn a_name() -> impl Strategy<Value = String> {
    prop_oneof![Just("disk.full"), Just("disk.ok"), Just("job.failed"), Just("é.x"), Just("j")]
        .prop_map(str::to_owned)
}

fn an_id() -> impl Strategy<Value = String> {
    let long = "arn:of:some:cloud:with:a:very:long:common:prefix:that:is:longer:than:a:fence:";
    prop_oneof![
        (0..12u32).prop_map(|n| format!("host.{n}")),
        (0..4u32).prop_map(move |n| format!("{long}{n}")),
        Just("höst".to_owned()),
        Just("h".to_owned()),
    ]
}

fn a_role() -> impl Strategy<Value = String> {
    prop_oneof![Just("site"), Just("flow")].prop_map(str::to_owned)
}

fn some_events() -> impl Strategy<Value = Vec<Event>> {
    let one = (0..60i64, a_name(), an_id(), prop::collection::vec((a_role(), an_id()), 0..3));
    prop::collection::vec(one, 0..70).prop_map(|all| {
        let build = |(number, (seconds, name, id, related)): (usize, (i64, String, String, Vec<_>))| {
            let related: Vec<(&str, &str)> =
                related.iter().map(|(role, id): &(String, String)| (&**role, &**id)).collect();
            event(number as u64, seconds, &name, &id, &related)
        };
        all.into_iter().enumerate().map(build).collect()
    })
}

/// Mostly no condition, so that filters with one or two of them are common.
fn maybe<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    (prop::collection::vec(of, 1..3), prop::bool::weighted(0.2))
        .prop_map(|(list, wanted)| if wanted { list } else { Vec::new() })
}

fn a_prefix(of: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (of, 0..4usize).prop_map(|(text, count)| text.chars().take(count).collect())
}

fn some_labels() -> impl Strategy<Value = Option<ResourceSpecification>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(ResourceSpecification::default())),
        1 => Just(Some(specification("team", "s*"))),
        1 => Just(Some(specification("prefect.resource.id", "host.1*"))),
        1 => Just(Some(specification("prefect.resource.role", "site"))),
    ]
}

fn a_resource_filter() -> impl Strategy<Value = ResourceFilter> {
    (maybe(an_id()), maybe(a_prefix(an_id())), some_labels(), prop::bool::weighted(0.2))
        .prop_map(|(id, id_prefix, labels, distinct)| ResourceFilter { id, id_prefix, labels, distinct })
}

fn a_related_filter() -> impl Strategy<Value = RelatedFilter> {
    (maybe(an_id()), maybe(a_role()), maybe((an_id(), a_role())), some_labels())
        .prop_map(|(id, role, pairs, labels)| RelatedFilter { id, role, resources_in_roles: pairs, labels })
}

fn a_filter() -> impl Strategy<Value = EventFilter> {
    let name = (maybe(a_prefix(a_name())), maybe(a_prefix(a_name())), maybe(a_name()), maybe(a_name()));
    let name = name.prop_map(|(prefix, exclude_prefix, name, exclude_name)| {
        let exclude_prefix = exclude_prefix.into_iter().filter(|prefix| !prefix.is_empty()).collect();
        NameFilter { prefix, exclude_prefix, name, exclude_name }
    });
    let text = prop_oneof![5 => Just(None), 1 => Just(Some(TextFilter::new("sre -\"disk.ok\" +number")))];
    let time = (-5..50i64, 10..70i64, any::<bool>());
    let ids = maybe((0..80u128).prop_map(|n| Uuid::from_u128(n * 7_919)));
    (name, a_resource_filter(), maybe(a_related_filter()), maybe(a_resource_filter()), ids, text, time)
        .prop_map(|(event, resource, related, any_resource, ids, text, (since, length, ascending))| {
            EventFilter {
                since: Timestamp::from_micros(START).plus_seconds(since),
                until: Timestamp::from_micros(START).plus_seconds(since + length),
                event,
                resource,
                related,
                any_resource,
                ids,
                text,
                ascending,
            }
        })
}
