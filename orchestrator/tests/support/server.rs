//! The routes of blocks, as thin as they can be: parse, encrypt, apply, reveal.

use pavlov_events::{Faults, Timestamp, Uuid};
use pavlov_orchestrator::block::command::BlockCommand;
use pavlov_orchestrator::block::secret::reveal_documents;
use pavlov_orchestrator::block::{Blocks, RowKey, parse};
use pavlov_orchestrator::{Applied, Ctx, Refusal, RefusalKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most rows of a page on a genuine server.
const LIMIT_MAX: i64 = 200;

/// A server over one collection; it also keeps the rows a store would hold.
pub struct Server {
    pub blocks: Blocks,
    rows: BTreeMap<String, Value>,
    now: i64,
    last_id: u128,
}

/// What a request came to.
pub enum Reply {
    Ok(u16, Value),
    Refused(Refusal),
    Faults(Faults),
    BadLimit,
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Faults> for Reply {
    fn from(faults: Faults) -> Self {
        Self::Faults(faults)
    }
}

impl Reply {
    pub fn status(&self) -> u16 {
        match self {
            Self::Ok(status, _) => *status,
            Self::Faults(_) | Self::BadLimit => 422,
            Self::Refused(refusal) => match refusal.kind {
                RefusalKind::NotFound => 404,
                RefusalKind::Conflict => 409,
                RefusalKind::Forbidden => 403,
                RefusalKind::Invalid => 400,
            },
        }
    }
}

impl Server {
    /// A server with the system types, as after its first start.
    pub fn new() -> Self {
        let mut server =
            Self { blocks: Blocks::default(), rows: BTreeMap::new(), now: 1_700_000_000_000_000, last_id: 0 };
        server
            .apply(BlockCommand::InstallSystemTypes { protected_only: false })
            .expect("nothing is in the way");
        server
    }

    pub fn ask(&mut self, method: &str, path: &str, body: &Value) -> Reply {
        match self.route(method, path, body) {
            Ok(reply) | Err(reply) => reply,
        }
    }

    fn route(&mut self, method: &str, path: &str, body: &Value) -> Result<Reply, Reply> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let secrets = query == "include_secrets=true";
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("POST", ["block_types" | "block_schemas" | "block_documents", "filter" | "count"]) => {
                self.list(&parts, body)
            }
            ("POST", ["block_types", "install_system_block_types"]) => {
                self.write(BlockCommand::InstallSystemTypes { protected_only: true }, 200)
            }
            ("GET", ["block_capabilities"]) => Ok(Reply::Ok(200, self.blocks.read_capabilities())),
            ("POST", ["block_types"]) => self.write(parse::create_type(body)?, 201),
            ("POST", ["block_schemas"]) => self.write(parse::create_schema(body)?, 201),
            ("POST", ["block_documents"]) => self.write(parse::create_document(body)?, 201),
            ("PATCH", ["block_types", id]) => self.write(parse::update_type(uuid(id), body)?, 204),
            ("PATCH", ["block_documents", id]) => self.write(parse::update_document(uuid(id), body)?, 204),
            ("DELETE", ["block_types", id]) => self.write(BlockCommand::DeleteType { id: uuid(id) }, 204),
            ("DELETE", ["block_schemas", id]) => self.write(BlockCommand::DeleteSchema { id: uuid(id) }, 204),
            ("DELETE", ["block_documents", id]) => {
                self.write(BlockCommand::DeleteDocument { id: uuid(id) }, 204)
            }
            ("GET", parts) => self.read(parts, secrets),
            other => panic!("the case asks for {other:?}, which is no route of blocks"),
        }
    }

    fn read(&self, parts: &[&str], secrets: bool) -> Result<Reply, Reply> {
        let blocks = &self.blocks;
        let answer = match parts {
            ["block_types", "slug", slug] => blocks.read_type_by_slug(slug)?,
            ["block_types", "slug", slug, "block_documents"] => {
                blocks.read_documents_of_type(slug, secrets)?
            }
            ["block_types", "slug", slug, "block_documents", "name", name] => {
                blocks.read_document_by_name(slug, name, secrets)?
            }
            ["block_types", id] => blocks.read_type(uuid(id))?,
            ["block_schemas", "checksum", checksum] => blocks.read_schema_by_checksum(checksum, None)?,
            ["block_schemas", id] => blocks.read_schema(uuid(id))?,
            ["block_documents", id] => blocks.read_document(uuid(id), secrets)?,
            other => panic!("the case asks for {other:?}, which is no route of blocks"),
        };
        Ok(Reply::Ok(200, revealed(answer)))
    }

    fn list(&self, parts: &[&str], body: &Value) -> Result<Reply, Reply> {
        let answer = match parts {
            ["block_types", _] => {
                let query = parse::type_query(body)?;
                self.blocks.read_types(&query, limit(query.limit)?)
            }
            ["block_schemas", _] => {
                let query = parse::schema_query(body)?;
                self.blocks.read_schemas(&query, limit(query.limit)?)
            }
            [_, "count"] => self.blocks.count_documents(&parse::document_count(body)?),
            _ => {
                let query = parse::document_query(body)?;
                self.blocks.read_documents(&query, limit(query.limit)?)
            }
        };
        Ok(Reply::Ok(200, revealed(answer)))
    }

    fn write(&mut self, mut command: BlockCommand, status: u16) -> Result<Reply, Reply> {
        self.blocks.protect(&mut command, &mut |plain| format!("<{plain}>"))?;
        let creates_schema = matches!(command, BlockCommand::CreateSchema(_));
        let applied = self.apply(command)?;
        let found = creates_schema && applied.changes.is_empty();
        Ok(Reply::Ok(if found { 200 } else { status }, applied.answer))
    }

    /// Applies what a log would give back, and checks that the named changes are all changes there are.
    fn apply(&mut self, command: BlockCommand) -> Result<Applied, Refusal> {
        let logged = serde_json::to_string(&command).expect("a command is plain data");
        let read: BlockCommand = serde_json::from_str(&logged).expect("a command survives the log");
        assert_eq!(read, command);
        self.now += 1_000_000;
        let mut last_id = self.last_id;
        let mut ids = || {
            last_id += 1;
            Uuid::from_u128(last_id)
        };
        let mut ctx = Ctx { now: Timestamp::from_micros(self.now), ids: &mut ids };
        let before = self.blocks.clone();
        let applied = self.blocks.apply(&read, &mut ctx);
        self.last_id = last_id;
        match &applied {
            Ok(applied) => {
                for key in &applied.changes {
                    match self.blocks.row(key) {
                        Some(row) => self.rows.insert(key.to_string(), row),
                        None => self.rows.remove(&key.to_string()),
                    };
                }
            }
            Err(_) => assert_eq!(self.blocks, before, "a refused command changes nothing"),
        }
        assert_eq!(self.restored(), self.blocks, "the stored rows are the state");
        applied
    }

    fn restored(&self) -> Blocks {
        let mut blocks = Blocks::default();
        for (key, row) in &self.rows {
            let key: RowKey = key.parse().expect("a key survives the store");
            blocks.load(key, row.clone()).expect("a row survives the store");
        }
        blocks
    }
}

/// Masked answers hold nothing to reveal.
fn revealed(mut answer: Value) -> Value {
    reveal_documents(&mut answer, &mut |text| Some(text.strip_prefix('<')?.strip_suffix('>')?.to_owned()))
        .expect("the values were encrypted here");
    answer
}

fn limit(given: Option<i64>) -> Result<usize, Reply> {
    let limit = given.unwrap_or(LIMIT_MAX);
    let limit = usize::try_from(limit).ok().filter(|_| limit <= LIMIT_MAX);
    limit.ok_or(Reply::BadLimit)
}

fn uuid(text: &str) -> Uuid {
    serde_json::from_value(json!(text)).expect("a case names ids in paths")
}
