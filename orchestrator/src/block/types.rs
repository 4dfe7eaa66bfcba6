//! Applying commands on block types.

use super::blocks::Blocks;
use super::command::{NewType, TypeText};
use super::row::{BlockType, RowKey};
use super::{render, told};
use crate::apply::{Applied, Ctx};
use crate::error::Refusal;
use pavlov_events::Uuid;
use serde_json::Value;
use std::collections::BTreeMap;

/// How names begin that only the system may give, in lowercase.
const RESERVED_PREFIX: &str = "prefect";

impl Blocks {
    /// Creates a type; the answer is the type. Refused: a reserved name, a slug that is taken.
    pub(super) fn create_type(&mut self, new: &NewType, ctx: &mut Ctx<'_>) -> Result<Applied, Refusal> {
        if new.name.to_lowercase().starts_with(RESERVED_PREFIX) {
            return Err(Refusal::forbidden(format!(
                "block type name {:?} is reserved: it begins with {RESERVED_PREFIX:?}",
                new.name
            )));
        }
        if self.block_type_by_slug(&new.slug).is_some() {
            return Err(Refusal::conflict(format!(
                "a block type with the slug {:?} already exists",
                new.slug
            )));
        }
        let row = BlockType {
            id: ctx.id(),
            created: ctx.now,
            updated: ctx.now,
            name: new.name.clone(),
            slug: new.slug.clone(),
            logo_url: new.logo_url.as_deref().map(|url| url.trim().to_owned()),
            documentation_url: new.documentation_url.as_deref().map(|url| url.trim().to_owned()),
            description: new.description.as_deref().map(escape_html),
            code_example: new.code_example.as_deref().map(escape_html),
            is_protected: false,
        };
        let applied = Applied {
            answer: render::block_type(&row),
            changes: vec![RowKey::Type(row.id)],
            events: vec![told::block_type("created", &row)],
        };
        self.put_type(row);
        Ok(applied)
    }

    /// Changes a type's texts. As in Prefect, a body that names all four texts as they are changes nothing.
    pub(super) fn update_type(
        &mut self,
        id: Uuid,
        set: &BTreeMap<TypeText, Option<String>>,
        ctx: &mut Ctx<'_>,
    ) -> Result<Applied, Refusal> {
        let mut row = self.existing_type(id)?.clone();
        let before = row.clone();
        for (text, value) in set {
            *row.text_mut(*text) = value.clone();
        }
        if row == before {
            return Ok(Applied::default());
        }
        row.updated = ctx.now;
        let events = vec![told::block_type("updated", &row)];
        self.put_type(row);
        Ok(Applied { answer: Value::Null, changes: vec![RowKey::Type(id)], events })
    }

    /// Deletes a type with its schemas and documents. Refused: a protected type.
    pub(super) fn delete_type(&mut self, id: Uuid) -> Result<Applied, Refusal> {
        let row = self.existing_type(id)?;
        if row.is_protected {
            return Err(Refusal::forbidden(format!(
                "block type {:?} is protected and cannot be deleted",
                row.slug
            )));
        }
        let events = vec![told::block_type("deleted", row)];
        let changes = self.remove_type(id).into_iter().collect();
        Ok(Applied { answer: Value::Null, changes, events })
    }

    fn existing_type(&self, id: Uuid) -> Result<&BlockType, Refusal> {
        self.block_type(id).ok_or_else(|| Refusal::not_found(format!("block type {id} not found")))
    }
}

impl BlockType {
    fn text_mut(&mut self, text: TypeText) -> &mut Option<String> {
        match text {
            TypeText::LogoUrl => &mut self.logo_url,
            TypeText::DocumentationUrl => &mut self.documentation_url,
            TypeText::Description => &mut self.description,
            TypeText::CodeExample => &mut self.code_example,
        }
    }
}

/// As the genuine server does on creation (not on update), because its pages show these texts.
fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
