//! [`Index`]: which leaves could be interested in an event, without looking at the others.
//!
//! Each leaf is filed under its event names (exact, or by what they begin with) joined with its most
//! selective positive condition on one label. An event then looks up only the names and labels it carries.

use crate::event_trigger::EventTrigger;
use pavlov_events::pattern::{Glob, LabelPattern, ResourceSpecification, Token};
use pavlov_events::resource::{ID, ROLE};
use pavlov_events::{Event, Resource};
use std::collections::{BTreeMap, HashMap};

/// Values one leaf may be filed under; beyond that the coarser of its conditions is dropped.
const FILINGS_MAX: usize = 256;

/// Where a candidate is found: the automation's slot and the leaf's number in it.
type Posting = (u32, u32);

/// Files leaves by what they need, and finds those an event could concern.
///
/// The answer of [`Self::candidates`] is never too small and mostly exact; [`EventTrigger::covers`] decides.
#[derive(Debug, Default)]
pub struct Index {
    names: Texts<Group>,
}

/// Leaves that share a name, filed by label.
#[derive(Debug, Default)]
struct Group {
    resource: BTreeMap<Box<str>, Texts<Vec<Posting>>>,
    related: BTreeMap<Box<str>, Texts<Vec<Posting>>>,
    rest: Vec<Posting>,
}

/// Things filed under whole texts, under beginnings of texts (by length in bytes), and under nothing.
#[derive(Debug, Default)]
struct Texts<T> {
    whole: HashMap<Box<str>, T>,
    beginnings: BTreeMap<usize, HashMap<Box<str>, T>>,
    any: T,
}

/// What a text must be or begin with; the empty beginning is every text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Whole(Box<str>),
    Beginning(Box<str>),
}

/// A condition on one label of the resource or of one related resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Resource,
    Related,
}

/// The condition a leaf is filed under: one of the values, on this label.
struct Condition<'a> {
    scope: Scope,
    label: &'a str,
    values: Vec<Need>,
}

impl Index {
    /// An index without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Files a leaf. The same (slot, leaf) must be removed with the same trigger.
    pub fn insert(&mut self, slot: u32, leaf: u32, trigger: &EventTrigger) {
        let (names, condition) = filing(trigger);
        for name in &names {
            let group = self.names.entry(name);
            match &condition {
                None => add(&mut group.rest, (slot, leaf)),
                Some(condition) => {
                    let texts = group.labels_mut(condition.scope).entry(condition.label.into()).or_default();
                    for value in &condition.values {
                        add(texts.entry(value), (slot, leaf));
                    }
                }
            }
        }
    }

    /// Takes a leaf out.
    pub fn remove(&mut self, slot: u32, leaf: u32, trigger: &EventTrigger) {
        let (names, condition) = filing(trigger);
        for name in &names {
            let group = self.names.entry(name);
            match &condition {
                None => group.rest.retain(|posting| *posting != (slot, leaf)),
                Some(condition) => {
                    let labels = group.labels_mut(condition.scope);
                    if let Some(texts) = labels.get_mut(condition.label) {
                        for value in &condition.values {
                            texts.entry(value).retain(|posting| *posting != (slot, leaf));
                            texts.forget(value, Vec::is_empty);
                        }
                        if texts.is_empty(Vec::is_empty) {
                            labels.remove(condition.label);
                        }
                    }
                }
            }
            self.names.forget(name, Group::is_empty);
        }
    }

    /// Finds the leaves an event could concern, sorted and without repeats; `out` is cleared first.
    pub fn candidates(&self, event: &Event, out: &mut Vec<Posting>) {
        out.clear();
        self.names.each(&event.event, &mut |group| {
            out.extend_from_slice(&group.rest);
            probe(&group.resource, &event.resource, out);
            if !group.related.is_empty() {
                event.related.iter().for_each(|related| probe(&group.related, related, out));
            }
        });
        out.sort_unstable();
        out.dedup();
    }

    /// How many leaves every event is checked against, because they need no name and no label value.
    pub fn residual_len(&self) -> usize {
        self.names.any.rest.len()
    }
}

impl Group {
    fn labels_mut(&mut self, scope: Scope) -> &mut BTreeMap<Box<str>, Texts<Vec<Posting>>> {
        match scope {
            Scope::Resource => &mut self.resource,
            Scope::Related => &mut self.related,
        }
    }

    fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.resource.is_empty() && self.related.is_empty()
    }
}

impl<T: Default> Texts<T> {
    fn entry(&mut self, need: &Need) -> &mut T {
        match need {
            Need::Beginning(text) if text.is_empty() => &mut self.any,
            Need::Beginning(text) => {
                self.beginnings.entry(text.len()).or_default().entry(text.clone()).or_default()
            }
            Need::Whole(text) => self.whole.entry(text.clone()).or_default(),
        }
    }

    /// Drops the entry of a need if nothing is in it.
    fn forget(&mut self, need: &Need, is_empty: impl Fn(&T) -> bool) {
        match need {
            Need::Beginning(text) => {
                if let Some(texts) = self.beginnings.get_mut(&text.len()) {
                    if texts.get(text).is_some_and(&is_empty) {
                        texts.remove(text);
                    }
                    if texts.is_empty() {
                        self.beginnings.remove(&text.len());
                    }
                }
            }
            Need::Whole(text) => {
                if self.whole.get(text).is_some_and(is_empty) {
                    self.whole.remove(text);
                }
            }
        }
    }

    fn is_empty(&self, is_empty: impl Fn(&T) -> bool) -> bool {
        self.whole.is_empty() && self.beginnings.is_empty() && is_empty(&self.any)
    }

    /// Visits everything filed under what `text` is or begins with.
    fn each<'a>(&'a self, text: &str, visit: &mut dyn FnMut(&'a T)) {
        visit(&self.any);
        if let Some(found) = self.whole.get(text) {
            visit(found);
        }
        for (length, texts) in &self.beginnings {
            // A length that cuts a character in two cannot be that of a beginning of this text.
            if let Some(found) = text.get(..*length).and_then(|beginning| texts.get(beginning)) {
                visit(found);
            }
        }
    }
}

/// Looks up one resource's labels: whichever are fewer, those filed or those carried.
fn probe(labels: &BTreeMap<Box<str>, Texts<Vec<Posting>>>, resource: &Resource, out: &mut Vec<Posting>) {
    let mut take = |texts: &Texts<Vec<Posting>>, value: &str| {
        texts.each(value, &mut |postings| out.extend_from_slice(postings));
    };
    if labels.len() <= resource.len() {
        for (label, texts) in labels {
            if let Some(value) = resource.get(label) {
                take(texts, value);
            }
        }
    } else {
        for (label, value) in resource.labels() {
            if let Some(texts) = labels.get(label) {
                take(texts, value);
            }
        }
    }
}

/// A leaf whose names or values repeat a text is filed there once.
fn add(postings: &mut Vec<Posting>, posting: Posting) {
    if postings.last() != Some(&posting) {
        postings.push(posting);
    }
}

/// Under which names and which condition a leaf is filed; the same for the same trigger, always.
fn filing(trigger: &EventTrigger) -> (Vec<Need>, Option<Condition<'_>>) {
    let mut names: Vec<Need> = match trigger.expect().len() {
        0 => vec![Need::Beginning("".into())],
        _ => trigger.names().map(|pattern| need(&pattern.glob)).collect(),
    };
    names.sort();
    names.dedup();
    let mut condition = best_condition(trigger);
    if names.len() * condition.as_ref().map_or(1, |condition| condition.values.len()) > FILINGS_MAX {
        match condition.as_ref().is_some_and(|condition| condition.values.len() <= FILINGS_MAX) {
            true => names = vec![Need::Beginning("".into())],
            false => condition = None,
        }
    }
    (names, condition)
}

/// The condition that few events meet: an id before another label, a whole value before a beginning, the
/// resource before a related one, a longer beginning before a shorter one.
fn best_condition(trigger: &EventTrigger) -> Option<Condition<'_>> {
    let resource = conditions(Scope::Resource, trigger.match_resource());
    let related = trigger.match_related().iter().flat_map(|one| conditions(Scope::Related, one));
    resource.chain(related).min_by_key(|condition| {
        let rank = match condition.label {
            ID => 0,
            ROLE => 2,
            _ => 1,
        };
        let shortest = condition.values.iter().filter_map(|value| match value {
            Need::Whole(_) => None,
            Need::Beginning(text) => Some(text.len()),
        });
        let beginning = shortest.min().map(|length| usize::MAX - length);
        (condition.label == ROLE, beginning, rank, condition.scope == Scope::Related)
    })
}

fn conditions(scope: Scope, specification: &ResourceSpecification) -> impl Iterator<Item = Condition<'_>> {
    specification.labels().filter_map(move |(label, patterns)| {
        let mut values: Vec<Need> = patterns.iter().map(positive).collect::<Option<_>>()?;
        values.sort();
        values.dedup();
        let tells_something = values.iter().all(|value| *value != Need::Beginning("".into()));
        tells_something.then_some(Condition { scope, label, values })
    })
}

fn positive(pattern: &LabelPattern) -> Option<Need> {
    (!pattern.negated).then(|| need(&pattern.glob))
}

/// What a text that fits the pattern must be or begin with.
fn need(glob: &Glob) -> Need {
    match glob {
        Glob::Exact(text) => Need::Whole(text.clone()),
        Glob::Prefix(text) => Need::Beginning(text.clone()),
        Glob::Pattern(tokens) => {
            let plain = tokens.iter().map_while(|token| match token {
                Token::Char(c) => Some(*c),
                _ => None,
            });
            Need::Beginning(plain.collect::<String>().into())
        }
    }
}
