//! [`Action`]: the closed list of what an automation can do.

use crate::kind::{
    CallWebhook, ChangeFlowRunState, EmitEvent, HttpRequest, PublishNats, RunCommand, RunDeployment,
    SendEmailNotification, SendNotification, Target, TargetKind,
};
pub use crate::options::OnUnknown;
use crate::options::Options;
use pavlov_events::{Faults, Loc, Reader};
use serde_json::{Map, Value, json};

/// What a user asked for, and how it is attempted.
///
/// Shape: `{"type": "<kind>", …the kind's fields…, …options that are set…}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// What is done.
    pub kind: Kind,
    /// How it is attempted.
    pub options: Options,
}

/// The closed list of kinds: Prefect's first, in the order of its union, then ours.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each kind is described at its own type and named by its tag")]
pub enum Kind {
    DoNothing,
    RunDeployment(RunDeployment),
    PauseDeployment(Target),
    ResumeDeployment(Target),
    CancelFlowRun,
    DeleteFlowRun,
    ChangeFlowRunState(ChangeFlowRunState),
    PauseWorkQueue(Target),
    ResumeWorkQueue(Target),
    SendNotification(SendNotification),
    CallWebhook(CallWebhook),
    PauseAutomation(Target),
    ResumeAutomation(Target),
    SuspendFlowRun,
    ResumeFlowRun,
    PauseWorkPool(Target),
    ResumeWorkPool(Target),
    SendEmailNotification(SendEmailNotification),
    HttpRequest(HttpRequest),
    EmitEvent(EmitEvent),
    PublishNats(PublishNats),
    RunCommand(RunCommand),
}

/// How many of [`NAMES`] are Prefect's.
const PREFECT_KINDS: usize = 17;
/// The tag of each kind and the name of its class, which faults carry in their `loc`.
const NAMES: [(&str, &str); 22] = [
    ("do-nothing", "DoNothing"),
    ("run-deployment", "RunDeployment"),
    ("pause-deployment", "PauseDeployment"),
    ("resume-deployment", "ResumeDeployment"),
    ("cancel-flow-run", "CancelFlowRun"),
    ("delete-flow-run", "DeleteFlowRun"),
    ("change-flow-run-state", "ChangeFlowRunState"),
    ("pause-work-queue", "PauseWorkQueue"),
    ("resume-work-queue", "ResumeWorkQueue"),
    ("send-notification", "SendNotification"),
    ("call-webhook", "CallWebhook"),
    ("pause-automation", "PauseAutomation"),
    ("resume-automation", "ResumeAutomation"),
    ("suspend-flow-run", "SuspendFlowRun"),
    ("resume-flow-run", "ResumeFlowRun"),
    ("pause-work-pool", "PauseWorkPool"),
    ("resume-work-pool", "ResumeWorkPool"),
    ("send-email-notification", "SendEmailNotification"),
    ("http-request", "HttpRequest"),
    ("emit-event", "EmitEvent"),
    ("publish-nats", "PublishNats"),
    ("run-command", "RunCommand"),
];

impl Action {
    /// Reads an action. Faults lie under the class that fits its `type`, as in
    /// `["body", "actions", 0, "SendNotification", "body"]`; an unknown `type` names all kinds.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let object = reader.object()?;
        let Some(given) = object.get("type") else { return Self::read_untyped(reader) };
        let found = given.as_str().and_then(|tag| NAMES.iter().find(|(name, _)| *name == tag));
        match found {
            Some((tag, class)) => Self::read_kind(&mut reader.arm(class), tag),
            None => {
                let tags = NAMES.map(|(tag, _)| (tag, ()));
                reader.at(Loc::Field("type".into()), given).literal(&tags);
                None
            }
        }
    }

    /// Reads an action that was written by [`Self::to_value`], by this or an earlier version.
    pub fn from_stored(value: &Value) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        let action = Self::read(&mut Reader::new(value, "action", &mut faults));
        action.filter(|_| faults.is_empty()).ok_or(faults)
    }

    /// The action as JSON: the genuine fields in their order with defaults, then the options that are set.
    pub fn to_value(&self) -> Value {
        let mut out = Map::new();
        out.insert("type".into(), self.type_name().into());
        self.kind.write(&mut out);
        self.options.write(&mut out);
        Value::Object(out)
    }

    /// The tag, such as `call-webhook`.
    pub fn type_name(&self) -> &'static str {
        self.kind.type_name()
    }

    /// Whether Prefect's clients know this kind.
    pub fn is_prefect(&self) -> bool {
        NAMES[..PREFECT_KINDS].iter().any(|(tag, _)| *tag == self.type_name())
    }

    /// How it is attempted.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Whether performing it changes nothing anywhere.
    pub fn does_nothing(&self) -> bool {
        self.kind == Kind::DoNothing
    }

    /// Whether it may simply be performed again when nobody knows how an attempt ended: what the action
    /// says, else what suits its kind.
    pub fn may_be_repeated(&self) -> bool {
        match self.options.on_unknown {
            Some(OnUnknown::Retry) => true,
            Some(OnUnknown::Hold) => false,
            None => match &self.kind {
                Kind::RunCommand(_) => false,
                Kind::HttpRequest(request) => request.is_repeatable(),
                _ => true,
            },
        }
    }

    /// Who is bothered by it: actions on the same target share a queue, so that one that hangs holds only
    /// itself.
    pub fn target(&self) -> String {
        match &self.kind {
            Kind::SendNotification(kind) => format!("block {}", kind.block_document_id),
            Kind::CallWebhook(kind) => format!("block {}", kind.block_document_id),
            Kind::SendEmailNotification(kind) => match (&kind.block_document_id, &kind.server) {
                (Some(id), _) => format!("block {id}"),
                (None, server) => format!("mail {}", server.as_deref().unwrap_or_default()),
            },
            Kind::HttpRequest(kind) => {
                // The host, as far as it is no template.
                let host = kind.url.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '{']).next());
                format!("http {}", host.unwrap_or_default())
            }
            Kind::RunCommand(kind) => format!("program {}", kind.argv.first().map_or("", String::as_str)),
            _ => self.type_name().to_owned(),
        }
    }

    fn read_kind(reader: &mut Reader<'_>, tag: &'static str) -> Option<Self> {
        let kind = Kind::read(reader, tag);
        let options = Options::read(reader);
        Some(Self { kind: kind?, options: options? })
    }

    /// Without a `type` the genuine server takes the class that uses the most of the given fields, the
    /// first of several.
    fn read_untyped(reader: &mut Reader<'_>) -> Option<Self> {
        let given = reader.object()?;
        let mut best: Option<(usize, Self)> = None;
        for (tag, _) in &NAMES[..PREFECT_KINDS] {
            let mut unused = Faults::new();
            let Some(action) = Self::read_kind(&mut Reader::new(reader.value(), "body", &mut unused), tag)
            else {
                continue;
            };
            let shown = action.to_value();
            let used = given.keys().filter(|name| shown.get(name.as_str()).is_some()).count();
            if unused.is_empty() && best.as_ref().is_none_or(|(most, _)| used > *most) {
                best = Some((used, action));
            }
        }
        best.map(|(_, action)| action)
    }
}

impl Kind {
    /// The tag, such as `call-webhook`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::DoNothing => "do-nothing",
            Self::RunDeployment(_) => "run-deployment",
            Self::PauseDeployment(_) => "pause-deployment",
            Self::ResumeDeployment(_) => "resume-deployment",
            Self::CancelFlowRun => "cancel-flow-run",
            Self::DeleteFlowRun => "delete-flow-run",
            Self::ChangeFlowRunState(_) => "change-flow-run-state",
            Self::PauseWorkQueue(_) => "pause-work-queue",
            Self::ResumeWorkQueue(_) => "resume-work-queue",
            Self::SendNotification(_) => "send-notification",
            Self::CallWebhook(_) => "call-webhook",
            Self::PauseAutomation(_) => "pause-automation",
            Self::ResumeAutomation(_) => "resume-automation",
            Self::SuspendFlowRun => "suspend-flow-run",
            Self::ResumeFlowRun => "resume-flow-run",
            Self::PauseWorkPool(_) => "pause-work-pool",
            Self::ResumeWorkPool(_) => "resume-work-pool",
            Self::SendEmailNotification(_) => "send-email-notification",
            Self::HttpRequest(_) => "http-request",
            Self::EmitEvent(_) => "emit-event",
            Self::PublishNats(_) => "publish-nats",
            Self::RunCommand(_) => "run-command",
        }
    }

    fn read(reader: &mut Reader<'_>, tag: &str) -> Option<Self> {
        use TargetKind::{Automation, Deployment, WorkPool, WorkQueue};
        Some(match tag {
            "do-nothing" => Self::DoNothing,
            "run-deployment" => Self::RunDeployment(RunDeployment::read(reader)?),
            "pause-deployment" => Self::PauseDeployment(Target::read(reader, Deployment)?),
            "resume-deployment" => Self::ResumeDeployment(Target::read(reader, Deployment)?),
            "cancel-flow-run" => Self::CancelFlowRun,
            "delete-flow-run" => Self::DeleteFlowRun,
            "change-flow-run-state" => Self::ChangeFlowRunState(ChangeFlowRunState::read(reader)?),
            "pause-work-queue" => Self::PauseWorkQueue(Target::read(reader, WorkQueue)?),
            "resume-work-queue" => Self::ResumeWorkQueue(Target::read(reader, WorkQueue)?),
            "send-notification" => Self::SendNotification(SendNotification::read(reader)?),
            "call-webhook" => Self::CallWebhook(CallWebhook::read(reader)?),
            "pause-automation" => Self::PauseAutomation(Target::read(reader, Automation)?),
            "resume-automation" => Self::ResumeAutomation(Target::read(reader, Automation)?),
            "suspend-flow-run" => Self::SuspendFlowRun,
            "resume-flow-run" => Self::ResumeFlowRun,
            "pause-work-pool" => Self::PauseWorkPool(Target::read(reader, WorkPool)?),
            "resume-work-pool" => Self::ResumeWorkPool(Target::read(reader, WorkPool)?),
            "send-email-notification" => Self::SendEmailNotification(SendEmailNotification::read(reader)?),
            "http-request" => Self::HttpRequest(HttpRequest::read(reader)?),
            "emit-event" => Self::EmitEvent(EmitEvent::read(reader)?),
            "publish-nats" => Self::PublishNats(PublishNats::read(reader)?),
            "run-command" => Self::RunCommand(RunCommand::read(reader)?),
            other => {
                reader.fault("literal_error", format!("unknown type '{other}'"), Some(json!({})));
                return None;
            }
        })
    }

    fn write(&self, out: &mut Map<String, Value>) {
        use TargetKind::{Automation, Deployment, WorkPool, WorkQueue};
        match self {
            Self::DoNothing
            | Self::CancelFlowRun
            | Self::DeleteFlowRun
            | Self::SuspendFlowRun
            | Self::ResumeFlowRun => {}
            Self::RunDeployment(deed) => deed.write(out),
            Self::PauseDeployment(target) | Self::ResumeDeployment(target) => target.write(Deployment, out),
            Self::ChangeFlowRunState(deed) => deed.write(out),
            Self::PauseWorkQueue(target) | Self::ResumeWorkQueue(target) => target.write(WorkQueue, out),
            Self::SendNotification(deed) => deed.write(out),
            Self::CallWebhook(deed) => deed.write(out),
            Self::PauseAutomation(target) | Self::ResumeAutomation(target) => target.write(Automation, out),
            Self::PauseWorkPool(target) | Self::ResumeWorkPool(target) => target.write(WorkPool, out),
            Self::SendEmailNotification(deed) => deed.write(out),
            Self::HttpRequest(deed) => deed.write(out),
            Self::EmitEvent(deed) => deed.write(out),
            Self::PublishNats(deed) => deed.write(out),
            Self::RunCommand(deed) => deed.write(out),
        }
    }
}
