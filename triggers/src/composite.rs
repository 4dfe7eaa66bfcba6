//! [`Composite`]: what a compound or a sequence holds of its children, and when that is enough.
//! Semantics: `docs/spec/triggers.md`, sections TRG-7x and TRG-8x.

use crate::evaluate::{Context, Told, TriggerStates};
use crate::firing::{Firing, Reason, TriggerChange};
use crate::limits::{KEPT_PER_CHILD, LOOKBACK_MICROS};
use crate::trigger::{Compound, Require, Sequence, Trigger};
use pavlov_events::{Timestamp, Uuid};
use serde::{Deserialize, Serialize};

/// The firings of a composite's children that were not used for a firing of its own yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Composite {
    /// When [`crate::on_composite_deadline`] must be called, because the oldest firing can be part of
    /// nothing any more; `None` without a `within`.
    pub due: Option<Timestamp>,
    /// By the time they came true; at the same instant, in the order of the log.
    #[serde(default)]
    children: Vec<ChildFiring>,
    /// What caused the composite's last firing: one cause makes it fire once.
    #[serde(default)]
    fired_by: Option<Uuid>,
}

/// A firing of one child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ChildFiring {
    /// The child's index.
    child: usize,
    cause: Uuid,
    firing: Firing,
}

impl Composite {
    /// The firings held, by the time they came true.
    pub fn firings(&self) -> impl ExactSizeIterator<Item = &Firing> {
        self.children.iter().map(|child| &child.firing)
    }

    fn insert(&mut self, child: usize, told: Told) -> usize {
        let at = told.firing.occurred;
        let place = self.children.partition_point(|other| other.firing.occurred <= at);
        self.children.insert(place, ChildFiring { child, cause: told.cause, firing: told.firing });
        place
    }

    fn at(&self, place: usize) -> Timestamp {
        self.children[place].firing.occurred
    }

    /// Whether two places lie within the limit of each other, both ends included.
    fn close(&self, first: usize, last: usize, within_micros: Option<i64>) -> bool {
        within_micros.is_none_or(|within| self.at(last).since(self.at(first)) <= within)
    }

    /// Takes the firings at these places out, and with them everything that came true before the last.
    fn consume(&mut self, places: &[usize]) -> Vec<Firing> {
        let used = places.iter().map(|place| self.children[*place].firing.clone()).collect();
        let behind = places.iter().max().map_or(0, |last| last + 1);
        self.children.drain(..behind);
        used
    }

    /// Drops the oldest firings of each child beyond the limit, except those at the places to `keep`.
    fn prune(&mut self, width: usize, keep: &[usize]) {
        if self.children.len() <= KEPT_PER_CHILD {
            return;
        }
        let mut seen = vec![0; width];
        let mut kept = vec![false; self.children.len()];
        for (place, child) in self.children.iter().enumerate().rev() {
            seen[child.child] += 1;
            kept[place] = seen[child.child] <= KEPT_PER_CHILD;
        }
        keep.iter().for_each(|place| kept[*place] = true);
        let mut kept = kept.into_iter();
        self.children.retain(|_| kept.next().unwrap_or(true));
    }

    fn set_due(&mut self, within_micros: Option<i64>) {
        self.due = within_micros
            .and_then(|within| self.children.iter().map(|child| free_at(&child.firing, within)).min());
    }
}

/// A child fired. Returns the composite's own firing if that was enough.
pub(crate) fn on_child(
    node: &Trigger,
    child: usize,
    told: Told,
    states: &mut dyn TriggerStates,
    ctx: &mut Context<'_>,
) -> Option<Told> {
    let (id, within_micros) = shape(node)?;
    let mut state = states.composite(id).cloned().unwrap_or_default();
    if state.fired_by == Some(told.cause) {
        return None;
    }
    let (cause, late_micros, deaf_micros) = (told.cause, told.firing.late_micros, told.firing.deaf_micros);
    let event = told.firing.event.clone();
    let place = state.insert(child, told);
    let (places, reason) = match node {
        Trigger::Compound(compound) => (enough(compound, &state, place), reason(compound)),
        Trigger::Sequence(sequence) => {
            let (complete, useful) = in_order(sequence, &state);
            if complete.is_none() {
                state.prune(sequence.triggers.len(), &useful);
            }
            (complete, Reason::SequenceComplete)
        }
        Trigger::Event(_) => return None,
    };
    let fired = places.map(|places| {
        state.fired_by = Some(cause);
        let firings = state.consume(&places);
        let event = match node {
            Trigger::Sequence(_) => firings.last().and_then(|last| last.event.clone()),
            _ => event,
        };
        let occurred = firings.iter().map(|firing| firing.occurred).max().unwrap_or(ctx.now);
        let firing = Firing {
            id: ctx.ids.next_uuid(),
            trigger: id,
            change: TriggerChange::Triggered,
            triggered: ctx.now,
            occurred,
            labels: Vec::new(),
            event,
            firings,
            late_micros,
            deaf_micros,
            reason,
        };
        Told { firing, cause }
    });
    if fired.is_none() && matches!(node, Trigger::Compound(_)) {
        state.prune(node.children().len(), &[]);
    }
    state.set_due(within_micros);
    states.put_composite(id, state);
    fired
}

/// Forgets the firings that can be part of nothing any more.
pub(crate) fn on_deadline(node: &Trigger, states: &mut dyn TriggerStates, ctx: &mut Context<'_>) {
    let Some((id, Some(within_micros))) = shape(node) else { return };
    let Some(mut state) = states.composite(id).cloned() else { return };
    state.children.retain(|child| free_at(&child.firing, within_micros) > ctx.now);
    state.set_due(Some(within_micros));
    if state.children.is_empty() && state.fired_by.is_none() {
        states.remove_composite(id);
    } else {
        states.put_composite(id, state);
    }
}

fn shape(node: &Trigger) -> Option<(Uuid, Option<i64>)> {
    match node {
        Trigger::Event(_) => None,
        Trigger::Compound(compound) => Some((compound.id, compound.within_micros)),
        Trigger::Sequence(sequence) => Some((sequence.id, sequence.within_micros)),
    }
}

fn reason(compound: &Compound) -> Reason {
    match compound.require {
        Require::Any => Reason::AnyChild,
        Require::All => Reason::AllChildren,
        Require::Number(_) => Reason::EnoughChildren,
    }
}

/// Children may be late by as much as the look-back; until then an older firing can still be needed.
fn free_at(firing: &Firing, within_micros: i64) -> Timestamp {
    firing.occurred.plus_micros(within_micros).max(firing.triggered).plus_micros(LOOKBACK_MICROS)
}

/// The places of enough different children that lie close to each other, one of them the new firing; of
/// each child the latest. In the order of the children.
fn enough(compound: &Compound, state: &Composite, new: usize) -> Option<Vec<usize>> {
    let needed = compound.expected_firings();
    let within = compound.within_micros;
    let first = (0..=new).find(|place| state.close(*place, new, within))?;
    let (mut counts, mut different, mut behind) = (vec![0_usize; compound.triggers.len()], 0, first);
    let mut found = None;
    for start in first..=new {
        while behind < state.children.len() && state.close(start, behind, within) {
            let count = &mut counts[state.children[behind].child];
            *count += 1;
            different += usize::from(*count == 1);
            behind += 1;
        }
        if different >= needed {
            found = Some(start..behind);
        }
        let count = &mut counts[state.children[start].child];
        *count = count.saturating_sub(1);
        different -= usize::from(*count == 0);
    }
    let mut latest = vec![None; compound.triggers.len()];
    for place in found? {
        latest[state.children[place].child] = Some(place);
    }
    Some(latest.into_iter().flatten().collect())
}

/// Looks for the whole sequence among the firings held: the places of its steps, if it is there, and the
/// places of all beginnings of it that can still be continued.
///
/// For each number of steps the beginning that started last is kept: whatever another one could become,
/// it can become too. One cause is never two steps in a row.
fn in_order(sequence: &Sequence, state: &Composite) -> (Option<Vec<usize>>, Vec<usize>) {
    let steps = sequence.triggers.len();
    let mut beginnings: Vec<Option<Vec<usize>>> = vec![None; steps];
    for place in by_cause_last_step_first(state) {
        let ChildFiring { child: step, cause, .. } = state.children[place];
        let longer = match step.checked_sub(1) {
            None => Some(vec![place]),
            Some(before) => beginnings[before]
                .as_ref()
                .filter(|way| {
                    let apart = way.last().is_some_and(|last| state.children[*last].cause != cause);
                    apart && state.close(way[0], place, sequence.within_micros)
                })
                .map(|way| way.iter().copied().chain([place]).collect()),
        };
        let Some(longer) = longer else { continue };
        if step + 1 == steps {
            return (Some(longer), Vec::new());
        }
        if beginnings[step].as_ref().is_none_or(|way| longer[0] >= way[0]) {
            beginnings[step] = Some(longer);
        }
    }
    (None, beginnings.into_iter().flatten().flatten().collect())
}

/// All places in their order, but those of one cause and instant from the last step to the first, so that a
/// cause which fires several steps continues what was there before it.
fn by_cause_last_step_first(state: &Composite) -> Vec<usize> {
    let mut places: Vec<usize> = (0..state.children.len()).collect();
    let same = |a: &usize, b: &usize| {
        state.children[*a].cause == state.children[*b].cause && state.at(*a) == state.at(*b)
    };
    for group in places.chunk_by_mut(same) {
        group.sort_by_key(|place| std::cmp::Reverse(state.children[*place].child));
    }
    places
}
