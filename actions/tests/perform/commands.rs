//! Programs, events, messages on NATS, automations, and kinds that are not offered yet.

use crate::world::{ACTION, Remembering, final_reason, perform};
use pavlov_actions::world::Refusal;
use pavlov_actions::{Reason, Verdict};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn run(argv: Value) -> Value {
    json!({"type": "run-command", "argv": argv})
}

fn with(mut action: Value, more: Value) -> Value {
    action.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    action
}

#[tokio::test]
async fn a_program_gets_its_arguments_as_they_are() {
    let world = Remembering::new();
    let attempt = perform(run(json!(["/bin/echo", "{{ event.payload.text }}", "$HOME"])), &world).await;
    assert_eq!(attempt.verdict, Verdict::Done);
    assert_eq!(attempt.payload["exit_code"], 0);
    assert_eq!(attempt.payload["stdout"], "it's \"full\"; rm -rf / $HOME\n");
    let script = "read line; printf '%s|%s|%s|%s' \"$1\" \"$A\" \"$line\" \"$HOME\"; echo err >&2";
    let action = with(
        run(json!([script, "{{ event.payload.text }}"])),
        json!({"shell": true, "env": {"A": "{{ event.event }}"}, "stdin": "{{ event.resource.id }}\n"}),
    );
    let attempt = perform(action, &world).await;
    assert_eq!(attempt.payload["stdout"], "it's \"full\"; rm -rf /|disk.full|host.a1|", "{attempt:?}");
    assert_eq!(attempt.payload["stderr"], "err\n");
}

#[tokio::test]
async fn only_allowed_programs_run() {
    let mut world = Remembering::new();
    let refused = perform(run(json!(["/usr/bin/env"])), &world).await;
    assert!(final_reason(&refused).contains("do not allow the program '/usr/bin/env'"), "{refused:?}");
    assert_eq!(refused.reason, Some(Reason::Refused));
    let templated = perform(run(json!(["{{ '/bin/echo' }}", "x"])), &world).await;
    assert_eq!(templated.reason, Some(Reason::Refused));
    world.programs = vec!["/bin/echo".into()];
    let shell = perform(with(run(json!(["echo hi"])), json!({"shell": true})), &world).await;
    assert_eq!(shell.reason, Some(Reason::Refused));
    world.programs = vec!["*".into()];
    final_reason(&perform(run(json!(["/no/such/program"])), &world).await);
}

#[tokio::test]
async fn programs_are_bounded_in_time_and_output() {
    let world = Remembering::new();
    let shell = |script: &str, more: Value| with(run(json!([script])), with(json!({"shell": true}), more));
    let start = Instant::now();
    let slow = perform(shell("sleep 60 & sleep 60", json!({"timeout_seconds": 0.5})), &world).await;
    assert_eq!(slow.reason.map(Reason::as_str), Some("timed-out"));
    assert!(final_reason(&slow).contains("ended after"));
    let left = perform(shell("sleep 60 & echo started", json!({})), &world).await;
    assert_eq!((&left.verdict, &left.payload["stdout"]), (&Verdict::Done, &json!("started\n")));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let loud = perform(shell("yes | head -c 3000000", json!({"output_bytes_max": 100})), &world).await;
    assert_eq!(loud.payload["stdout"].as_str().map(str::len), Some(100));
    assert_eq!(loud.payload["stdout_bytes"], 3_000_000);
}

#[tokio::test]
async fn a_programs_failure_is_final_unless_retries_are_asked_for() {
    let world = Remembering::new();
    let shell = |more: Value| with(run(json!(["exit 3"])), with(json!({"shell": true}), more));
    let failed = perform(shell(json!({})), &world).await;
    assert_eq!(final_reason(&failed), "the program ended with code 3");
    assert_eq!((failed.reason, &failed.payload["exit_code"]), (Some(Reason::ProgramFailed), &json!(3)));
    assert!(matches!(perform(shell(json!({"retries": 2})), &world).await.verdict, Verdict::Retry { .. }));
}

#[tokio::test]
async fn an_event_is_told_with_an_id_of_its_own() {
    let world = Remembering::new();
    let action = json!({"type": "emit-event", "event": "host.{{ event.resource.name }}.quarantined",
        "resource": {"prefect.resource.id": "{{ event.resource.id }}"},
        "related": [{"prefect.resource.id": "team.sre", "prefect.resource.role": "owner"}],
        "payload": {"percent": "{{ event.payload.percent }}"}});
    let attempt = perform(action.clone(), &world).await;
    assert_eq!(attempt.verdict, Verdict::Done);
    perform(action.clone(), &world).await;
    let events = world.events.lock().expect("no panic").clone();
    let event = events[0].to_value();
    assert_eq!(attempt.payload["emitted_event"], event["id"]);
    assert_eq!(event["event"], "host.a1.quarantined");
    assert_eq!(event["payload"], json!({"percent": 93}));
    assert_eq!(event["follows"], "0199a5c0-0000-7000-8000-000000000001");
    assert_eq!(events[0].id, events[1].id, "a repeated try tells the same event");
    let empty = with(action, json!({"resource": {"prefect.resource.id": "{{ event.payload.text[:0] }}"}}));
    assert!(final_reason(&perform(empty, &world).await).contains("must be non-empty"));
}

#[tokio::test]
async fn a_message_is_published_under_a_key() {
    let mut world = Remembering::new();
    let action = json!({"type": "publish-nats", "subject": "ops.{{ event.resource.name }}",
        "payload": {"percent": "{{ event.payload.percent }}"}, "headers": {"X": "{{ event.event }}"}});
    assert_eq!(perform(action.clone(), &world).await.verdict, Verdict::Done);
    let message = world.messages.lock().expect("no panic")[0].clone();
    assert_eq!(
        (message.subject.as_str(), message.payload.as_slice()),
        ("ops.a1", b"{\"percent\":93}".as_slice())
    );
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(message.headers, [pair("X", "disk.full"), pair("Nats-Msg-Id", ACTION)]);
    for (subject, why) in [("ops.>", "wildcard"), ("ops. x", "space"), ("ops..x", "empty part")] {
        let attempt = perform(with(action.clone(), json!({"subject": subject})), &world).await;
        assert!(final_reason(&attempt).contains(why), "{attempt:?}");
    }
    world.refusal = Some(Refusal { retry: true, status: 503, detail: "NATS is away".into() });
    assert!(matches!(perform(action, &world).await.verdict, Verdict::Retry { .. }));
}

#[tokio::test]
async fn automations_are_paused_by_a_command_with_a_key() {
    let mut world = Remembering::new();
    let id = "0199a5c0-0000-7000-8000-0000000000d1";
    let paused = perform(json!({"type": "pause-automation", "source": "inferred"}), &world).await;
    assert_eq!((&paused.verdict, &paused.payload), (&Verdict::Done, &json!({"status_code": 204})));
    assert_eq!(paused.related[0].id(), format!("prefect.automation.{id}"));
    let asked = world.commands.lock().expect("no panic")[0].clone();
    assert_eq!(asked, ("pause-automation".into(), json!({"automation_id": id}), ACTION.into()));
    world.refusal = Some(Refusal { retry: false, status: 404, detail: "gone".into() });
    let gone = perform(json!({"type": "resume-automation", "automation_id": id}), &world).await;
    assert_eq!(final_reason(&gone), "Unexpected status from 'resume-automation' action: 404 (gone)");
}

#[tokio::test]
async fn kinds_that_need_the_orchestrator_say_so() {
    let id = "0199a5c0-0000-7000-8000-0000000000d1";
    for action in [
        json!({"type": "run-deployment", "deployment_id": id}),
        json!({"type": "pause-work-pool", "work_pool_id": id}),
        json!({"type": "resume-work-queue", "work_queue_id": id}),
        json!({"type": "cancel-flow-run"}),
        json!({"type": "change-flow-run-state", "state": "FAILED"}),
    ] {
        let attempt = perform(action.clone(), &Remembering::new()).await;
        let kind = action["type"].as_str().expect("a type");
        let words = format!("'{kind}' needs the orchestrator, which this server does not offer yet");
        assert_eq!(final_reason(&attempt), words);
        assert_eq!(attempt.reason, Some(Reason::Unsupported));
    }
    let inferred =
        perform(json!({"type": "pause-deployment", "source": "inferred"}), &Remembering::new()).await;
    assert_eq!(final_reason(&inferred), "No deployment could be inferred");
    assert_eq!(perform(json!({"type": "do-nothing"}), &Remembering::new()).await.verdict, Verdict::Done);
}
