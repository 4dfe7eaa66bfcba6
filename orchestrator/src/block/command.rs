//! [`BlockCommand`]: everything that can be asked for, as the log holds it.

use super::blocks::Blocks;
use crate::apply::{Applied, Ctx};
use crate::error::Refusal;
use pavlov_events::Uuid;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A change somebody asks for. Stored in the log; a reader that does not know a `kind` or a field fails.
///
/// ```json
/// {"kind": "create-type", "name": "Slack Webhook", "slug": "slack-webhook",
///  "logo_url": null, "documentation_url": null, "description": null, "code_example": null}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum BlockCommand {
    /// A new type.
    CreateType(NewType),
    /// Other texts for a type; those not named stay.
    UpdateType {
        /// The type.
        id: Uuid,
        /// The new texts.
        set: BTreeMap<TypeText, Option<String>>,
    },
    /// A type goes, with its schemas and documents.
    DeleteType {
        /// The type.
        id: Uuid,
    },
    /// A new schema, or the one that is there already with the same checksum and version.
    CreateSchema(NewSchema),
    /// A schema goes, with its documents.
    DeleteSchema {
        /// The schema.
        id: Uuid,
    },
    /// A new document. Its secret values are encrypted before ([`Blocks::protect`]).
    CreateDocument(NewDocument),
    /// Other values for a document.
    UpdateDocument(DocumentUpdate),
    /// A document goes; those that hold it lose that value.
    DeleteDocument {
        /// The document.
        id: Uuid,
    },
    /// The types a server starts with, as far as they are missing.
    InstallSystemTypes {
        /// Only the three that cannot be deleted.
        protected_only: bool,
    },
}

/// What a new type is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewType {
    /// Its name for people.
    pub name: String,
    /// Its unique name for programs.
    pub slug: String,
    /// Where its picture is.
    pub logo_url: Option<String>,
    /// Where its documentation is.
    pub documentation_url: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// How it is used.
    pub code_example: Option<String>,
}

/// The texts of a type that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeText {
    /// Where its picture is.
    LogoUrl,
    /// Where its documentation is.
    DocumentationUrl,
    /// What it is for.
    Description,
    /// How it is used.
    CodeExample,
}

/// What a new schema is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSchema {
    /// The type it belongs to.
    pub block_type_id: Uuid,
    /// JSON Schema with Prefect's additions, nested blocks in its `definitions`.
    pub fields: Map<String, Value>,
    /// What such a block can do.
    pub capabilities: Vec<String>,
    /// The version of the package that declares it.
    pub version: String,
}

/// What a new document is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDocument {
    /// Its name; may be missing when it is anonymous.
    pub name: Option<String>,
    /// Its values; `{"$ref": {"block_document_id": id}}` stands for another document.
    pub data: Map<String, Value>,
    /// The schema they follow.
    pub block_schema_id: Uuid,
    /// Its type.
    pub block_type_id: Uuid,
    /// Whether it was made by a program for itself.
    pub is_anonymous: bool,
}

/// Other values for a document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentUpdate {
    /// The document.
    pub id: Uuid,
    /// The new values; without them nothing is changed, as in Prefect.
    pub data: Option<Map<String, Value>>,
    /// Another schema of the same type.
    pub block_schema_id: Option<Uuid>,
    /// Whether values not named stay.
    pub merge_existing_data: bool,
}

impl Blocks {
    /// Applies one command: all of it, or nothing with the reason.
    pub fn apply(&mut self, command: &BlockCommand, ctx: &mut Ctx<'_>) -> Result<Applied, Refusal> {
        match command {
            BlockCommand::CreateType(new) => self.create_type(new, ctx),
            BlockCommand::UpdateType { id, set } => self.update_type(*id, set, ctx),
            BlockCommand::DeleteType { id } => self.delete_type(*id),
            BlockCommand::CreateSchema(new) => self.create_schema(new, ctx),
            BlockCommand::DeleteSchema { id } => self.delete_schema(*id),
            BlockCommand::CreateDocument(new) => self.create_document(new, ctx),
            BlockCommand::UpdateDocument(update) => self.update_document(update, ctx),
            BlockCommand::DeleteDocument { id } => self.delete_document(*id),
            BlockCommand::InstallSystemTypes { protected_only } => {
                self.install_system_types(*protected_only, ctx)
            }
        }
    }
}
