//! Webhooks, notifications, e-mails and requests.

use crate::world::{ACTION, BLOCK, Listener, Remembering, final_reason, perform, status};
use pavlov_actions::{Reason, Verdict};
use serde_json::{Value, json};
use std::time::Duration;

fn webhook(payload: &str) -> Value {
    json!({"type": "call-webhook", "block_document_id": BLOCK, "payload": payload})
}

fn notification(body: &str) -> Value {
    json!({"type": "send-notification", "block_document_id": BLOCK, "subject": "{{ automation.name }}", "body": body})
}

fn related(attempt: &pavlov_actions::Attempt) -> Value {
    serde_json::to_value(&attempt.related).expect("plain data")
}

#[tokio::test]
async fn a_webhook_is_called_as_its_block_says() {
    let listener = Listener::start(Some(
        "HTTP/1.1 200 OK\r\nx-a: b\r\nset-cookie: s=1\r\ncontent-length: 4\r\n\r\ndone",
    ))
    .await;
    let world = Remembering::new().with_block(
        "webhook",
        json!({"url": listener.url, "method": "PUT", "headers": {"X-Token": "secret"}, "verify": true}),
    );
    let attempt = perform(webhook("{\"text\": {{ event.payload.text | tojson }}}"), &world).await;
    assert_eq!(attempt.verdict, Verdict::Done);
    assert_eq!(attempt.payload["status_code"], 200);
    assert_eq!(attempt.payload["response_body"], "done");
    assert_eq!(attempt.payload["response_headers"], json!({"x-a": "b", "content-length": "4"}));
    assert_eq!(
        related(&attempt),
        json!([
            {"prefect.resource.id": format!("prefect.block-document.{BLOCK}"), "prefect.resource.role": "block",
             "prefect.resource.name": "the-block"},
            {"prefect.resource.id": "prefect.block-type.webhook", "prefect.resource.role": "block-type"}
        ])
    );
    let (head, body) = listener.request();
    assert!(head.starts_with("PUT /hook"), "{head}");
    for line in ["x-token: secret", &format!("idempotency-key: {ACTION}"), "content-type: application/json"] {
        assert!(head.contains(line), "{line} in {head}");
    }
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body, json!({"text": "it's \"full\"; rm -rf /"}));
}

#[tokio::test]
async fn a_webhooks_failures_have_their_verdict() {
    let call = async |answer: Option<&str>| {
        let listener = Listener::start(answer).await;
        let world = Remembering::new().with_block("webhook", json!({"url": listener.url}));
        let mut action = webhook("x");
        action["timeout_seconds"] = json!(0.3);
        perform(action, &world).await
    };
    let attempt = call(Some(&status("500 Internal Server Error"))).await;
    assert!(matches!(attempt.verdict, Verdict::Retry { after: None, .. }), "{attempt:?}");
    assert_eq!(attempt.payload["status_code"], 500);
    let attempt =
        call(Some("HTTP/1.1 429 Too Many Requests\r\nretry-after: 9\r\ncontent-length: 0\r\n\r\n")).await;
    assert!(
        matches!(attempt.verdict, Verdict::Retry { after: Some(pause), .. } if pause == Duration::from_secs(9)),
        "{attempt:?}"
    );
    assert!(final_reason(&call(Some(&status("404 Not Found"))).await).contains("answered 404"));
    let hanging = call(None).await;
    assert_eq!(hanging.reason.map(Reason::as_str), Some("timed-out"));
    assert!(matches!(hanging.verdict, Verdict::Retry { .. }));
}

#[tokio::test]
async fn a_webhook_that_cannot_be_called_says_why() {
    let none = perform(webhook("x"), &Remembering::new()).await;
    assert!(final_reason(&none).contains("404"), "{none:?}");
    let other = perform(webhook("x"), &Remembering::new().with_block("slack-webhook", json!({}))).await;
    assert_eq!(
        final_reason(&other),
        "a block of type 'slack-webhook' cannot be used here; these can: 'webhook'"
    );
    let world = Remembering::new().with_block("webhook", json!({"url": "http://10.0.0.1/secret-path"}));
    let inside = perform(webhook("x"), &world).await;
    assert!(final_reason(&inside).contains("not allowed") && !final_reason(&inside).contains("secret-path"));
    let template = perform(webhook("a\n{{ event.payload.nope }}"), &world).await;
    assert_eq!(
        final_reason(&template),
        "Template rendering failed: 'event.payload.nope' is undefined (in payload:2)"
    );
    assert_eq!(template.payload["template_source"], "a\n{{ event.payload.nope }}");
    assert!(
        template.payload["template_error"].as_str().expect("text").contains("2 > {{ event.payload.nope }}")
    );
}

#[tokio::test]
async fn a_notification_goes_to_slack_and_survives_its_template() {
    let listener = Listener::start(Some(&status("200 OK"))).await;
    let world = Remembering::new().with_block("slack-webhook", json!({"url": listener.url}));
    let attempt =
        perform(notification("{{ event.resource.name }} at {{ event.payload.percent }} %"), &world).await;
    assert_eq!((attempt.verdict, attempt.payload), (Verdict::Done, json!({})));
    let sent: Value = serde_json::from_str(&listener.request().1).expect("JSON");
    assert_eq!(sent["text"], "*disk full*\na1 at 93 %");

    let attempt = perform(notification("{{ event.payload.nope }}"), &world).await;
    assert_eq!(attempt.verdict, Verdict::Done);
    assert!(
        attempt.payload["template_error"]
            .as_str()
            .expect("told")
            .contains("'event.payload.nope' is undefined")
    );
    let sent: Value = serde_json::from_str(&listener.request().1).expect("JSON");
    let text = sent["text"].as_str().expect("text");
    let firing = "firing: 0199a5c0-0000-7000-8000-0000000000f1";
    for fact in
        ["*disk full*", "disk.full of host.a1", "prefect.resource.id: host.a1", firing, "is undefined"]
    {
        assert!(text.contains(fact), "{fact} in {text}");
    }
}

#[tokio::test]
async fn a_notification_through_an_unknown_channel_names_those_that_work() {
    let world = Remembering::new().with_block("discord-webhook", json!({"url": "x"}));
    let attempt = perform(notification("x"), &world).await;
    assert_eq!(
        final_reason(&attempt),
        "a block of type 'discord-webhook' cannot be used here; these can: 'slack-webhook', 'custom-webhook'"
    );
    assert_eq!(attempt.reason, Some(Reason::Unsupported));
    let refused = Listener::start(Some(&status("403 Forbidden"))).await;
    let world = Remembering::new().with_block("custom-webhook", json!({"url": refused.url}));
    let attempt = perform(notification("x"), &world).await;
    assert_eq!(final_reason(&attempt), "Notification failed: answered 403 Forbidden");
    assert_eq!(attempt.payload, json!({"notification_log": "answered 403 Forbidden"}));
}

#[tokio::test]
async fn a_request_keeps_the_type_of_its_values() {
    let listener = Listener::start(Some(&status("202 Accepted"))).await;
    let action = json!({"type": "http-request", "url": format!("{}/{{{{ event.resource.name }}}}", listener.url),
        "json": {"percent": "{{ event.payload.percent }}", "text": "{{ event.payload.percent }} %", "all": "{{ event.payload }}"},
        "headers": {"X-Event": "{{ event.event }}"}, "idempotency_header": "X-Key"});
    let attempt = perform(action, &Remembering::new()).await;
    assert_eq!((&attempt.verdict, &attempt.payload["status_code"]), (&Verdict::Done, &json!(202)));
    let (head, body) = listener.request();
    assert!(head.starts_with("POST /hook/a1 "), "{head}");
    assert!(head.contains("x-event: disk.full") && head.contains(&format!("x-key: {ACTION}")), "{head}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let payload = json!({"percent": 93, "text": "it's \"full\"; rm -rf /"});
    assert_eq!(body, json!({"percent": 93, "text": "93 %", "all": payload}));
}

#[tokio::test]
async fn a_request_that_may_have_been_done_is_not_repeated() {
    let hanging = Listener::start(None).await;
    let ask = async |more: Value| {
        let mut action =
            json!({"type": "http-request", "url": hanging.url, "body": "x", "timeout_seconds": 0.3});
        action.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        perform(action, &Remembering::new()).await
    };
    assert!(final_reason(&ask(json!({})).await).contains("may have been done"));
    assert!(matches!(ask(json!({"idempotency_header": "X-Key"})).await.verdict, Verdict::Retry { .. }));
    assert!(matches!(ask(json!({"method": "PUT"})).await.verdict, Verdict::Retry { .. }));
    assert!(matches!(ask(json!({"on_unknown": "retry"})).await.verdict, Verdict::Retry { .. }));
    assert_eq!(hanging.count(), 4);
}

#[tokio::test]
async fn a_request_may_name_its_own_successes() {
    let listener = Listener::start(Some(&status("409 Conflict"))).await;
    let action =
        |statuses: Value| json!({"type": "http-request", "url": listener.url, "success_statuses": statuses});
    assert_eq!(perform(action(json!([200, 409])), &Remembering::new()).await.verdict, Verdict::Done);
    final_reason(&perform(action(json!([200])), &Remembering::new()).await);
    final_reason(&perform(action(Value::Null), &Remembering::new()).await);
}

#[tokio::test]
async fn an_e_mail_needs_a_server() {
    let action = |more: Value| {
        let mut action =
            json!({"type": "send-email-notification", "to": "sre@example.org", "subject": "s", "body": "b"});
        action.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        action
    };
    let none = perform(action(json!({})), &Remembering::new()).await;
    assert_eq!(final_reason(&none), "the settings name no mail server");
    let named = perform(action(json!({"server": "spare"})), &Remembering::new()).await;
    assert_eq!(final_reason(&named), "the settings name no mail server 'spare'");
    let data = json!({"username": "pavlov@example.org", "smtp_server": "localhost", "smtp_port": 1, "smtp_type": "INSECURE"});
    let world = Remembering::new().with_block("email-server-credentials", data);
    let nobody = perform(action(json!({"block_document_id": BLOCK})), &world).await;
    assert_eq!(nobody.reason.map(Reason::as_str), Some("unreachable"));
    assert!(matches!(nobody.verdict, Verdict::Retry { .. }));
}

#[tokio::test]
async fn an_e_mail_is_rendered_and_survives_its_template() {
    use pavlov_notifier::channel::{MailServer, email::Security};
    use std::io::{BufRead, BufReader};
    let python =
        std::env::var("PAVLOV_TEST_PYTHON").expect("PAVLOV_TEST_PYTHON names a python with aiosmtpd");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../notifier/tests/peers/smtp_peer.py");
    let mut command = std::process::Command::new(python);
    let mut peer =
        command.args([script, "plain"]).stdout(std::process::Stdio::piped()).spawn().expect("python");
    let mut lines = BufReader::new(peer.stdout.take().expect("piped")).lines();
    let mut line = || lines.next().expect("a line").expect("text");
    let mut world = Remembering::new();
    world.mail = Some(MailServer {
        host: "127.0.0.1".into(),
        port: line().parse().expect("the peer needs aiosmtpd and cryptography"),
        security: Security::None,
        verify: true,
        credentials: None,
        from: "pavlov@example.org".into(),
        guarded: false,
    });
    let action = |body: &str| {
        json!({"type": "send-email-notification", "to": ["{{ event.resource.name }}@example.org, b@example.org"],
            "subject": "{{ event.event }}", "body": body, "html": "<b>{{ event.payload.percent }}</b>", "server": "main"})
    };
    assert_eq!(perform(action("at {{ event.payload.percent }}"), &world).await.verdict, Verdict::Done);
    let mail: Value = serde_json::from_str(&line()).expect("JSON");
    assert_eq!(mail["to"], json!(["a1@example.org", "b@example.org"]));
    let content = mail["content"].as_str().expect("text");
    for part in ["Subject: disk.full", "at 93", "<b>93</b>"] {
        assert!(content.contains(part), "{part} in {content}");
    }
    let failed = perform(action("{{ nope }}"), &world).await;
    assert_eq!(failed.verdict, Verdict::Done);
    assert!(failed.payload["template_error"].as_str().expect("told").contains("'nope' is undefined"));
    assert!(line().contains("disk.full of host.a1"));
    peer.kill().expect("ours");
    peer.wait().expect("ended");
}
