//! What the block routes share: commands with their secrets encrypted, and documents with theirs revealed.

use crate::door::Door;
use crate::reply::{self, Failure};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use pavlov_engine::Command;
use pavlov_events::Faults;
use pavlov_orchestrator::block::BlockCommand;
use pavlov_orchestrator::block::secret::reveal_documents;
use serde_json::Value;

/// What the machine said to a block command.
#[derive(Debug)]
pub struct Told {
    /// The answer's body.
    pub body: Value,
    /// Whether anything changed; a schema that is there already changes nothing.
    pub changed: bool,
}

/// Encrypts a command's secrets, so that no record ever holds one, and carries it out.
pub async fn carry_out(door: &Door, mut command: BlockCommand) -> Result<Told, Failure> {
    let mut failed = None;
    let protected = door.engine.read(|state| {
        state.blocks.protect(&mut command, &mut |plain| match door.secrets.encrypt(plain) {
            Ok(sealed) => sealed,
            Err(error) => {
                failed = Some(error);
                String::new()
            }
        })
    });
    if let Some(error) = failed {
        return Err(reply::internal("encrypt a secret", &error));
    }
    protected.map_err(refused)?;
    let answer = door.engine.command(Command::Block { command }).await?;
    let mut answer = answer.map_err(|refusal| reply::refused(&refusal))?;
    let changed = answer["changed"].as_bool().unwrap_or(true);
    Ok(Told { body: answer["body"].take(), changed })
}

/// Reads a body into a block command or query.
pub fn parse<T>(body: &Value, parsed: Result<T, Faults>) -> Result<T, Failure> {
    parsed.map_err(|faults| reply::faults(&faults, &body.to_string()).into())
}

/// A document or a list of them, with the secrets in plain text if they were asked for.
pub fn documents(door: &Door, mut found: Value, include_secrets: bool) -> Result<Response, Failure> {
    if include_secrets {
        reveal_documents(&mut found, &mut |sealed| door.secrets.decrypt(sealed))
            .map_err(|error| reply::internal("read a secret", &error))?;
    }
    Ok(reply::ok(&found))
}

/// Whether secrets are asked for in the address.
pub fn include_secrets(uri: &Uri) -> Result<bool, Failure> {
    crate::query::flag(uri, "include_secrets")
}

/// A refusal of the collection itself.
pub fn refused(refusal: pavlov_orchestrator::Refusal) -> Failure {
    reply::refused(&refusal)
}

/// 201 with what was made.
pub fn created(told: &Told) -> Response {
    reply::json(StatusCode::CREATED, &told.body)
}
