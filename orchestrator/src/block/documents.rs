//! Applying commands on block documents, with the documents that are values of others.

use super::blocks::Blocks;
use super::command::{DocumentUpdate, NewDocument};
use super::row::{BlockDocument, RowKey};
use super::secret::{SecretPaths, is_reference};
use super::{render, told};
use crate::apply::{Applied, Ctx};
use crate::error::Refusal;
use indexmap::IndexMap;
use pavlov_events::Uuid;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// How deep documents may lie in each other, as in Prefect.
pub const DEPTH_MAX: usize = 50;
/// How many documents one document may hold in all, each counted as often as it appears: reading writes
/// them all out, and a few dozen that each hold the next one twice would be more than memory holds.
pub const NESTED_MAX: usize = 1_000;

impl Blocks {
    /// Creates a document; the answer is the document with its secrets masked.
    pub(super) fn create_document(
        &mut self,
        new: &NewDocument,
        ctx: &mut Ctx<'_>,
    ) -> Result<Applied, Refusal> {
        let name = new.name.clone().filter(|name| !name.is_empty());
        if let Some(name) = name.as_ref().filter(|name| self.has_name(new.block_type_id, name)) {
            return Err(Refusal::conflict(format!("a block document {name:?} of this type already exists")));
        }
        let block_type = self
            .block_type(new.block_type_id)
            .ok_or_else(|| Refusal::conflict(format!("block type {} not found", new.block_type_id)))?;
        let schema = self.existing_schema(new.block_schema_id)?;
        check_encrypted(&SecretPaths::of(&schema.fields), &new.data)?;
        let (data, references) = separate(&new.data)?;
        let id = ctx.id();
        let name = match name {
            Some(name) => name,
            None if new.is_anonymous => format!("anonymous-{}", ctx.id()),
            None => return Err(Refusal::invalid("name: missing; only anonymous block documents have none")),
        };
        let row = BlockDocument {
            id,
            created: ctx.now,
            updated: ctx.now,
            name,
            data,
            block_schema_id: new.block_schema_id,
            block_type_id: new.block_type_id,
            block_type_name: block_type.name.clone(),
            is_anonymous: new.is_anonymous,
            references,
        };
        self.check_references(&row)?;
        self.put_document(row);
        let row = self.existing_document(id)?;
        Ok(Applied {
            answer: render::block_document(self, row, false),
            changes: vec![RowKey::Document(id)],
            events: told::block_document(self, "created", row),
        })
    }

    /// Changes a document's values and perhaps its schema. A mask keeps the secret it stands for; with
    /// `merge_existing_data` what is not named stays, nested documents too.
    pub(super) fn update_document(
        &mut self,
        update: &DocumentUpdate,
        ctx: &mut Ctx<'_>,
    ) -> Result<Applied, Refusal> {
        let mut row = self.existing_document(update.id)?.clone();
        let Some(new) = &update.data else { return Ok(Applied::default()) };
        let paths = SecretPaths::of(&self.existing_schema(row.block_schema_id)?.fields);
        if let Some(id) = update.block_schema_id.filter(|id| *id != row.block_schema_id) {
            let schema = self.existing_schema(id)?;
            if schema.block_type_id != row.block_type_id {
                return Err(Refusal::invalid(format!("block schema {id} is of another block type")));
            }
            check_encrypted(&SecretPaths::of(&schema.fields), new)?;
            row.block_schema_id = id;
        }
        check_encrypted(&paths, new)?;
        let mut new = new.clone();
        paths.restore(&mut new, &row.data);
        let (data, references) = separate(&new)?;
        if update.merge_existing_data {
            row.data.retain(|name, _| !references.contains_key(name));
            row.references.retain(|name, _| !data.contains_key(name));
            row.data.extend(data);
            row.references.extend(references);
        } else {
            (row.data, row.references) = (data, references);
        }
        row.updated = ctx.now;
        self.check_references(&row)?;
        self.put_document(row);
        Ok(Applied {
            answer: Value::Null,
            changes: vec![RowKey::Document(update.id)],
            events: told::block_document(self, "updated", self.existing_document(update.id)?),
        })
    }

    /// Deletes a document; those that hold it lose that value.
    pub(super) fn delete_document(&mut self, id: Uuid) -> Result<Applied, Refusal> {
        let events = told::block_document(self, "deleted", self.existing_document(id)?);
        let changes = self.remove_documents(|document| document.id == id).into_iter().collect();
        Ok(Applied { answer: Value::Null, changes, events })
    }

    pub(super) fn existing_document(&self, id: Uuid) -> Result<&BlockDocument, Refusal> {
        self.block_document(id).ok_or_else(|| Refusal::not_found(format!("block document {id} not found")))
    }

    /// Refuses targets that are missing, circles, and too much nesting in the document or in one that
    /// holds it.
    fn check_references(&self, row: &BlockDocument) -> Result<(), Refusal> {
        for (name, target) in &row.references {
            if self.block_document(*target).is_none() {
                return Err(Refusal::conflict(format!("{name}: block document {target} not found")));
            }
            if *target == row.id || self.reaches(*target, row.id) {
                return Err(Refusal::invalid(format!(
                    "{name}: block document {target} holds block document {} itself",
                    row.id
                )));
            }
        }
        if row.references.is_empty() {
            return Ok(());
        }
        let holders = self.block_documents().filter(|document| self.reaches(document.id, row.id));
        let mut nesting = Nesting { blocks: self, changed: row, known: BTreeMap::new() };
        for id in holders.map(|document| document.id).chain([row.id]) {
            let (count, depth) = nesting.of(id);
            if count > NESTED_MAX || depth > DEPTH_MAX {
                return Err(Refusal::invalid(format!(
                    "block document {id} would hold {count} others {depth} deep, allowed are {NESTED_MAX} \
                     and {DEPTH_MAX} deep"
                )));
            }
        }
        Ok(())
    }

    /// Whether a document holds another one, at any depth.
    fn reaches(&self, from: Uuid, to: Uuid) -> bool {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(id) = open.pop() {
            let targets = self.block_document(id).into_iter().flat_map(|row| row.references.values());
            for target in targets {
                if *target == to {
                    return true;
                }
                if seen.insert(*target) {
                    open.push(*target);
                }
            }
        }
        false
    }
}

/// Counts what documents hold as if one of them were already changed.
struct Nesting<'a> {
    blocks: &'a Blocks,
    changed: &'a BlockDocument,
    known: BTreeMap<Uuid, (usize, usize)>,
}

impl Nesting<'_> {
    /// How many documents one holds, with repetitions, and how deep. There are no circles when this is asked,
    /// and what is stored is at most [`DEPTH_MAX`] deep, so the recursion ends soon.
    fn of(&mut self, id: Uuid) -> (usize, usize) {
        if let Some(known) = self.known.get(&id) {
            return *known;
        }
        let row = if id == self.changed.id { Some(self.changed) } else { self.blocks.block_document(id) };
        let (mut count, mut depth) = (0_usize, 0);
        for target in row.into_iter().flat_map(|row| row.references.values()) {
            let (below, deeper) = self.of(*target);
            count = count.saturating_add(below).saturating_add(1);
            depth = depth.max(deeper + 1);
        }
        self.known.insert(id, (count, depth));
        (count, depth)
    }
}

/// A secret that is still plain was encrypted for another schema than the one that holds now.
fn check_encrypted(paths: &SecretPaths, data: &Map<String, Value>) -> Result<(), Refusal> {
    if paths.are_encrypted(data) {
        return Ok(());
    }
    Err(Refusal::conflict("the block schema changed while its secret values were being encrypted; try again"))
}

/// Plain values by field, and referenced documents by field.
type Separated = (Map<String, Value>, IndexMap<String, Uuid>);

/// Splits values from references to other documents, which are only known at the top level, as in Prefect.
fn separate(data: &Map<String, Value>) -> Result<Separated, Refusal> {
    let (mut plain, mut references) = (Map::new(), IndexMap::new());
    for (name, value) in data {
        if !is_reference(value) {
            plain.insert(name.clone(), value.clone());
            continue;
        }
        let id = value["$ref"].get("block_document_id").and_then(Value::as_str);
        let id = id.and_then(|text| Uuid::try_parse(text).ok()).ok_or_else(|| {
            Refusal::invalid(format!(
                "{name}: given {value}, allowed is {{\"$ref\": {{\"block_document_id\": \"<a UUID>\"}}}}"
            ))
        })?;
        references.insert(name.clone(), id);
    }
    Ok((plain, references))
}
