//! The rows of the collection in their stored form, and [`RowKey`], the name of a row.

use crate::error::Error;
use indexmap::IndexMap;
use pavlov_events::{Timestamp, Uuid};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::str::FromStr;

/// What a kind of block is for. Stored and answered in the same shape, Prefect's:
///
/// ```json
/// {"id": "…", "created": "…", "updated": "…", "name": "Slack Webhook", "slug": "slack-webhook",
///  "logo_url": null, "documentation_url": null, "description": null, "code_example": null, "is_protected": false}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockType {
    /// Its id.
    pub id: Uuid,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Its name for people.
    pub name: String,
    /// Its unique name for programs: lowercase letters, digits, dashes.
    pub slug: String,
    /// Where its picture is.
    pub logo_url: Option<String>,
    /// Where its documentation is.
    pub documentation_url: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// How it is used, in Markdown.
    pub code_example: Option<String>,
    /// Whether it, and its schemas, cannot be deleted.
    pub is_protected: bool,
}

/// Which fields a block of a type has. Stored shape; what is answered is put together by reading, because
/// the definitions of nested blocks are those blocks' own schemas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockSchema {
    /// Its id.
    pub id: Uuid,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// See [`checksum()`](super::checksum()).
    pub checksum: String,
    /// JSON Schema with Prefect's additions, without nested blocks.
    pub fields: Map<String, Value>,
    /// The type it belongs to.
    pub block_type_id: Uuid,
    /// What such a block can do, such as `notify`.
    pub capabilities: Vec<String>,
    /// The version of the package that declares it, or `non-versioned`.
    pub version: String,
    /// The schemas of nested blocks.
    pub references: Vec<SchemaReference>,
}

/// One field of a schema that holds another block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaReference {
    /// The field. A field that takes one of several blocks has several references.
    pub name: String,
    /// The schema of the nested block.
    pub block_schema_id: Uuid,
}

/// The values of one block. Stored shape: secret values are encrypted (see [`super::secret`]), values that
/// are other documents are in `references`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockDocument {
    /// Its id.
    pub id: Uuid,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Its name, unique within its type.
    pub name: String,
    /// Its values by field.
    pub data: Map<String, Value>,
    /// The schema they follow.
    pub block_schema_id: Uuid,
    /// Its type.
    pub block_type_id: Uuid,
    /// The type's name when the document was created.
    pub block_type_name: String,
    /// Whether it was made by a program for itself; lists leave it out unless asked.
    pub is_anonymous: bool,
    /// The documents that are the values of fields, by field.
    pub references: IndexMap<String, Uuid>,
}

/// The name of a stored row. As text: `block_types/<id>`, `block_schemas/<id>`, `block_documents/<id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// A [`BlockType`].
    Type(Uuid),
    /// A [`BlockSchema`].
    Schema(Uuid),
    /// A [`BlockDocument`].
    Document(Uuid),
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(id) => write!(f, "block_types/{id}"),
            Self::Schema(id) => write!(f, "block_schemas/{id}"),
            Self::Document(id) => write!(f, "block_documents/{id}"),
        }
    }
}

impl FromStr for RowKey {
    type Err = Error;

    /// Fails with [`Error::Key`] for any other text.
    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::Key { key: text.to_owned() };
        let (kind, id) = text.split_once('/').ok_or_else(unknown)?;
        let id = Uuid::try_parse(id).map_err(|_| unknown())?;
        match kind {
            "block_types" => Ok(Self::Type(id)),
            "block_schemas" => Ok(Self::Schema(id)),
            "block_documents" => Ok(Self::Document(id)),
            _ => Err(unknown()),
        }
    }
}
