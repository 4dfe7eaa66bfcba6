//! [`EngineWorld`]: what actions may reach, over a running engine.

use crate::clock;
use crate::command::{Command, RefusalKind};
use crate::error::SubmitError;
use crate::handle::Handle;
use crate::secret::SecretBox;
use pavlov_actions::World;
use pavlov_actions::world::{NatsMessage, Pending, Refusal};
use pavlov_events::{Event, Timestamp, Uuid};
use pavlov_notifier::Outbound;
use pavlov_notifier::channel::{MailServer, Mailers};
use pavlov_notifier::outbound::Policies;
use pavlov_orchestrator::block::secret::reveal_documents;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What actions may reach.
#[derive(Clone, Debug, Default)]
pub struct WorldOptions {
    /// The address of the web pages, for links in messages.
    pub ui_url: Option<String>,
    /// Which addresses outbound requests may reach.
    pub outbound: Policies,
    /// Mail servers by name; the first one serves actions that name none.
    pub mail_servers: BTreeMap<String, MailServer>,
    /// Programs that `run-command` may start, as absolute paths; `*` allows all.
    pub programs: Vec<String>,
    /// The NATS server that `publish-nats` publishes to.
    pub nats: Option<async_nats::Client>,
}

/// The world of all actions.
pub struct EngineWorld {
    handle: Handle,
    options: WorldOptions,
    secrets: Arc<SecretBox>,
    outbound: Outbound,
    mailers: Mailers,
}

impl EngineWorld {
    /// The world over an engine.
    pub fn new(handle: Handle, options: WorldOptions, secrets: Arc<SecretBox>) -> Self {
        let outbound = Outbound::new(options.outbound.clone());
        Self { handle, options, secrets, outbound, mailers: Mailers::default() }
    }

    /// The world as one action sees it; `depth` counts the automations that caused one another.
    pub fn for_action(&self, depth: u32) -> ActionWorld<'_> {
        ActionWorld { world: self, depth }
    }
}

/// The world as one action sees it.
pub struct ActionWorld<'a> {
    world: &'a EngineWorld,
    depth: u32,
}

impl World for ActionWorld<'_> {
    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn ui_url(&self) -> Option<String> {
        self.world.options.ui_url.clone()
    }

    fn block_document(&self, id: Uuid) -> Option<Value> {
        let mut document = self.world.handle.read(|state| state.blocks.document_to_use(id))?;
        reveal_documents(&mut document, &mut |text| self.world.secrets.decrypt(text)).ok()?;
        Some(document)
    }

    /// Variables come with the orchestrator; until then no name has a value.
    fn variable(&self, _name: &str) -> Option<Value> {
        None
    }

    fn outbound(&self) -> &Outbound {
        &self.world.outbound
    }

    fn mailers(&self) -> &Mailers {
        &self.world.mailers
    }

    fn mail_server(&self, name: Option<&str>) -> Option<MailServer> {
        let servers = &self.world.options.mail_servers;
        match name {
            Some(name) => servers.get(name).cloned(),
            None => servers.values().next().cloned(),
        }
    }

    fn allowed_programs(&self) -> &[String] {
        &self.world.options.programs
    }

    fn command(&self, kind: &str, payload: Value, key: &str) -> Pending<'_, Result<Value, Refusal>> {
        let id = payload.get("automation_id").and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
        let command = match (kind, id) {
            ("pause-automation", Some(id)) => Some(Command::EnableAutomation { id, enabled: false }),
            ("resume-automation", Some(id)) => Some(Command::EnableAutomation { id, enabled: true }),
            _ => None,
        };
        let (kind, key) = (kind.to_owned(), key.to_owned());
        Box::pin(async move {
            match command {
                Some(command) => self.ask(command, key).await,
                None => Err(refusal(false, 501, format!("this server does not offer '{kind}'"))),
            }
        })
    }

    fn emit(&self, event: Event) -> Pending<'_, Result<(), Refusal>> {
        let key = format!("emit {}", event.id);
        Box::pin(async move { self.ask(Command::Emit { event: Arc::new(event) }, key).await.map(drop) })
    }

    fn publish_nats(&self, message: NatsMessage) -> Pending<'_, Result<(), Refusal>> {
        Box::pin(async move {
            let Some(client) = &self.world.options.nats else {
                return Err(refusal(false, 501, "no NATS server is set".to_owned()));
            };
            let mut headers = async_nats::HeaderMap::new();
            for (name, value) in &message.headers {
                headers.insert(name.as_str(), value.as_str());
            }
            let failed = |error: String| refusal(true, 503, format!("NATS: {error}"));
            let payload = message.payload.into();
            let sent = client.publish_with_headers(message.subject, headers, payload).await;
            sent.map_err(|error| failed(error.to_string()))?;
            client.flush().await.map_err(|error| failed(error.to_string()))
        })
    }
}

impl ActionWorld<'_> {
    async fn ask(&self, command: Command, key: String) -> Result<Value, Refusal> {
        match self.world.handle.keyed_command(command, Some(key), self.depth).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(refused)) => {
                let status = match refused.kind {
                    RefusalKind::NotFound => 404,
                    RefusalKind::Conflict => 409,
                    RefusalKind::Forbidden => 403,
                    RefusalKind::Invalid => 422,
                };
                Err(refusal(false, status, refused.detail))
            }
            Err(error @ SubmitError::TooLarge { .. }) => Err(refusal(false, 413, error.to_string())),
            Err(error) => Err(refusal(true, 503, error.to_string())),
        }
    }
}

fn refusal(retry: bool, status: u16, detail: String) -> Refusal {
    Refusal { retry, status, detail }
}
