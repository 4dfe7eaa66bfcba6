//! Commands: changes that somebody asks for. Each is accepted or refused here, against the state that the
//! log's order gives, and nowhere else.

use super::{Machine, Reply};
use crate::command::{Answer, Command, Refusal};
use crate::ledger::Standing;
use crate::record::CommandRecord;
use crate::rules::AllTriggers;
use crate::state::row::Row;
use crate::telling;
use pavlov_actions::{Automation, outcome_event};
use pavlov_events::{Event, Uuid};
use pavlov_orchestrator::apply::{Applied, Ctx};
use pavlov_orchestrator::block::BlockCommand;
use pavlov_triggers::Trigger;
use serde_json::{Value, json};
use std::sync::Arc;

impl Machine {
    /// Carries a command out, or says why not.
    pub(super) fn command(&mut self, record: CommandRecord) {
        let CommandRecord { command, key, depth } = record;
        let known = key.as_deref().and_then(|key| self.state.answer(key));
        let answer = known.unwrap_or_else(|| {
            let answer = self.carry_out(command, depth);
            if let Some(key) = key {
                self.state.keep_answer(key, answer.clone());
            }
            answer
        });
        self.applied.reply = Some(Reply::Answered(answer));
    }

    fn carry_out(&mut self, command: Command, depth: u32) -> Answer {
        match command {
            Command::CreateAutomation { automation } => self.create_automation(&automation),
            Command::UpdateAutomation { id, automation } => self.update_automation(id, &automation),
            Command::EnableAutomation { id, enabled } => self.enable_automation(id, enabled),
            Command::DeleteAutomation { id } => self.delete_automation(id),
            Command::DeleteAutomationsOwnedBy { resource } => self.delete_automations_owned_by(&resource),
            Command::Block { command } => self.block(&command),
            Command::Emit { event } => self.emit(&event, depth),
            Command::Redrive { ids } => self.redrive(ids),
            Command::Discard { ids } => self.discard(&ids),
            Command::Configure { settings } => {
                self.state.settings = settings;
                self.state.touch(Row::Settings);
                Ok(Value::Null)
            }
        }
    }

    fn create_automation(&mut self, stored: &Value) -> Answer {
        let mut automation = read_automation(stored)?;
        if self.state.automations.contains_key(&automation.id) {
            return Err(Refusal::invalid(format!(
                "an automation with the id {} is there already",
                automation.id
            )));
        }
        (automation.created, automation.updated) = (self.state.meta.time, self.state.meta.time);
        let automation = Arc::new(automation);
        self.put_automation(&automation);
        self.arm(&automation);
        self.tell_automation("created", &automation);
        Ok(automation.to_value())
    }

    /// Replaces the definition. A trigger that did not change keeps what it counts.
    fn update_automation(&mut self, id: Uuid, stored: &Value) -> Answer {
        let old = self.automation(id)?;
        let mut automation = read_automation(stored)?;
        (automation.id, automation.created, automation.updated) = (id, old.created, self.state.meta.time);
        automation.owner_resource.clone_from(&old.owner_resource);
        let same = automation.enabled && old.enabled && counts_alike(&automation.trigger, &old.trigger);
        if same {
            automation.trigger = old.trigger.clone();
        } else {
            self.forget_counts(&old);
        }
        let automation = Arc::new(automation);
        self.put_automation(&automation);
        if !same {
            self.arm(&automation);
        }
        self.tell_automation("updated", &automation);
        Ok(Value::Null)
    }

    fn enable_automation(&mut self, id: Uuid, enabled: bool) -> Answer {
        let old = self.automation(id)?;
        if old.enabled == enabled {
            return Ok(Value::Null);
        }
        let mut automation = Automation::clone(&old);
        (automation.enabled, automation.updated) = (enabled, self.state.meta.time);
        if let Some(reason) = automation.loop_reason() {
            return Err(Refusal::invalid(reason));
        }
        self.forget_counts(&old);
        let automation = Arc::new(automation);
        self.put_automation(&automation);
        self.arm(&automation);
        self.tell_automation("updated", &automation);
        Ok(Value::Null)
    }

    fn delete_automation(&mut self, id: Uuid) -> Answer {
        let automation = self.automation(id)?;
        self.forget_counts(&automation);
        self.rules.remove(id);
        self.state.automations.remove(&id);
        self.state.touch(Row::Automation(id));
        self.tell_automation("deleted", &automation);
        Ok(Value::Null)
    }

    fn delete_automations_owned_by(&mut self, resource: &str) -> Answer {
        let owned = |automation: &&Arc<Automation>| automation.owner_resource.as_deref() == Some(resource);
        let ids: Vec<Uuid> =
            self.state.automations.values().filter(owned).map(|automation| automation.id).collect();
        for id in ids {
            self.delete_automation(id)?;
        }
        Ok(Value::Null)
    }

    fn block(&mut self, command: &BlockCommand) -> Answer {
        let ids = &mut self.ids;
        let applied = self
            .state
            .blocks
            .apply(command, &mut Ctx { now: self.state.meta.time, ids: &mut || ids.next_uuid() })?;
        Ok(self.blocks_changed(applied))
    }

    /// The types that every server has; nothing changes when they are there.
    pub(super) fn install_system_blocks(&mut self) {
        let ids = &mut self.ids;
        let mut ctx = Ctx { now: self.state.meta.time, ids: &mut || ids.next_uuid() };
        if let Ok(applied) = self.state.blocks.install_system_types(false, &mut ctx) {
            self.blocks_changed(applied);
        }
    }

    /// Answers with what changed, so that the door can tell a creation from a find.
    fn blocks_changed(&mut self, applied: Applied) -> Value {
        let changed = !applied.changes.is_empty();
        for row in applied.changes {
            self.state.touch(Row::Block(row.to_string()));
        }
        for told in applied.events {
            let event = telling::block_changed(self.ids.next_uuid(), self.state.meta.time, told);
            self.derive(event, 0);
        }
        json!({"body": applied.answer, "changed": changed})
    }

    fn emit(&mut self, event: &Event, depth: u32) -> Answer {
        if !self.state.seen.contains(event.id) {
            self.derive(event.clone(), depth);
        }
        Ok(json!({"id": event.id}))
    }

    /// Letters begin again from their first attempt.
    fn redrive(&mut self, ids: Vec<Uuid>) -> Answer {
        let letters = self.state.ledger.iter().filter(|(_, entry)| entry.is_letter());
        let chosen: Vec<Uuid> = match ids.is_empty() {
            true => letters.map(|(id, _)| *id).collect(),
            false => ids,
        };
        if let Some(missing) =
            chosen.iter().find(|id| !self.state.ledger.get(*id).is_some_and(|e| e.is_letter()))
        {
            return Err(Refusal::not_found(format!("no dead or held letter has the id {missing}")));
        }
        for id in &chosen {
            let Some(mut entry) = self.state.ledger.get(id).cloned() else { continue };
            (entry.standing, entry.attempt) = (Standing::Running, 1);
            let event = telling::action_redriven(self.ids.next_uuid(), self.state.meta.time, &entry);
            let depth = entry.depth;
            self.state.put_entry(entry);
            self.derive(event, depth);
            self.applied.starts.push(*id);
        }
        Ok(json!({"redriven": chosen.len()}))
    }

    fn discard(&mut self, ids: &[Uuid]) -> Answer {
        let is_letter = |id: &&Uuid| self.state.ledger.get(*id).is_some_and(|entry| entry.is_letter());
        if let Some(missing) = ids.iter().find(|id| !is_letter(id)) {
            return Err(Refusal::not_found(format!("no dead or held letter has the id {missing}")));
        }
        for id in ids {
            if let Some(entry) = self.state.remove_entry(*id) {
                let event = telling::action_discarded(self.ids.next_uuid(), self.state.meta.time, &entry);
                self.derive(event, entry.depth);
            }
        }
        Ok(json!({"discarded": ids.len()}))
    }

    fn automation(&self, id: Uuid) -> Result<Arc<Automation>, Refusal> {
        self.state.automations.get(&id).cloned().ok_or_else(|| Refusal::not_found("Automation not found"))
    }

    fn put_automation(&mut self, automation: &Arc<Automation>) {
        self.rules_changed(automation);
        self.state.automations.insert(automation.id, Arc::clone(automation));
        self.state.touch(Row::Automation(automation.id));
    }

    fn forget_counts(&mut self, automation: &Automation) {
        for trigger in automation.trigger.all() {
            self.state.forget_trigger(trigger.id());
        }
    }

    /// Starts what counts without any event.
    fn arm(&mut self, automation: &Arc<Automation>) {
        if automation.enabled {
            let mut ctx = super::context(&self.state.meta, &self.state.settings, &mut self.ids);
            let mut states = crate::state::counts(
                &mut self.state.counting,
                &mut self.state.deadlines,
                &mut self.state.dirty,
            );
            pavlov_triggers::arm(&automation.trigger, &mut states, &mut ctx);
        }
    }

    fn tell_automation(&mut self, what: &str, automation: &Automation) {
        let event =
            outcome_event::automation_changed(self.ids.next_uuid(), self.state.meta.time, what, automation);
        self.derive(event, 0);
    }
}

/// Whether two definitions count the same, whatever their ids: then a change keeps the counts.
fn counts_alike(a: &Trigger, b: &Trigger) -> bool {
    fn without_ids(value: &mut Value) {
        if let Some(object) = value.as_object_mut() {
            object.remove("id");
            if let Some(Value::Array(below)) = object.get_mut("triggers") {
                below.iter_mut().for_each(without_ids);
            }
        }
    }
    let (mut a, mut b) = (a.to_value(), b.to_value());
    without_ids(&mut a);
    without_ids(&mut b);
    a == b
}

/// Definitions were checked at the door; one that cannot be read comes from a newer binary.
fn read_automation(stored: &Value) -> Result<Automation, Refusal> {
    Automation::from_stored(stored).map_err(|faults| Refusal::invalid(telling::faults_as_text(&faults)))
}
