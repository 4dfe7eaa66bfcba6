//! From an event to what is done outside, with real receivers, and across restarts.

use pavlov_tests::peers::http::{Answer, Receiver};
use pavlov_tests::peers::server::{Options, Server};
use pavlov_tests::peers::smtp::Smtp;
use pavlov_tests::peers::wait::until;
use pavlov_tests::shapes::{automation, event, on, post};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

const EXECUTED: &str = "prefect.automation.action.executed";
const FAILED: &str = "prefect.automation.action.failed";
const RETRYING: &str = "pavlov.automation.action.retrying";
const TRIGGERED: &str = "prefect.automation.triggered";

#[test]
fn an_event_becomes_one_webhook_call_with_a_templated_body() {
    let (server, receiver) = (Server::start(Options::default()), Receiver::start(&[]));
    let url = format!("{}/alerts", receiver.url);
    let block = server.block("webhook", "alerts", json!({"method": "POST", "url": url}));
    let payload = r#"{"host": {{ event.resource.id | tojson }}, "number": {{ event.payload.number }}}"#;
    let action = json!({"type": "call-webhook", "block_document_id": block, "payload": payload});
    let made = server.declare(&automation("call", on("disk.full"), &[action]));
    let told = event("disk.full", "host.\"a\"", 95);
    // Telling it twice is telling it once.
    server.tell(std::slice::from_ref(&told));
    server.tell(&[told, event("disk.fine", "host.b", 1)]);
    let executed = server.wait_for(1, &[EXECUTED]);
    let received = receiver.received();
    assert_eq!(received.len(), 1, "{received:#?}");
    assert_eq!((received[0].method.as_str(), received[0].path.as_str()), ("POST", "/alerts"));
    assert_eq!(received[0].json(), json!({"host": "host.\"a\"", "number": 95}));
    assert_eq!(received[0].header("idempotency-key"), executed[0]["payload"]["invocation"].as_str());
    assert_eq!(executed[0]["payload"]["status_code"], 204);
    assert_eq!(executed[0]["resource"]["prefect.resource.id"], format!("prefect.automation.{made}"));
    let firings = server.events(&[TRIGGERED]);
    assert_eq!(firings.len(), 1);
    let cause = &executed[0]["related"];
    let firing = format!("prefect.event.{}", firings[0]["id"].as_str().expect("an id"));
    assert!(
        cause.as_array().expect("a list").iter().any(|one| one["prefect.resource.id"] == *firing),
        "{cause}"
    );
}

#[test]
fn people_are_told_through_slack_a_custom_webhook_and_by_mail() {
    let (smtp, receiver) = (Smtp::start(), Receiver::start(&[]));
    let options = Options::default()
        .set("SMTP__HOST", "127.0.0.1")
        .set("SMTP__PORT", smtp.port)
        .set("SMTP__TLS", "none")
        .set("SMTP__FROM", "pavlov@example.org");
    let server = Server::start(options);
    let slack = server.block("slack-webhook", "slack", json!({"url": format!("{}/slack", receiver.url)}));
    let custom = json!({
        "name": "pager", "url": format!("{}/{{{{team}}}}", receiver.url), "method": "POST",
        "json_data": {"title": "{{subject}}", "text": "{{body}}"}, "secrets": {"team": "sre"},
    });
    let custom = server.block("custom-webhook", "pager", custom);
    let notify = |block: &str| {
        json!({"type": "send-notification", "block_document_id": block, "subject": "{{ automation.name }}",
            "body": "{{ event.resource.id }} is at {{ event.payload.number }} %"})
    };
    let mail = json!({"type": "send-email-notification", "to": ["sre@example.org"], "subject": "{{ event.event }}",
        "body": "see {{ event.resource.id }}"});
    // Printing what is not there fails; the message goes out all the same, and says so.
    let broken = json!({"type": "send-notification", "block_document_id": slack, "body": "{{ event.payload.nothing }}"});
    server.declare(&automation("disks", on("disk.full"), &[notify(&slack), notify(&custom), mail]));
    server.declare(&automation("broken", on("disk.odd"), &[broken]));
    server.tell(&[event("disk.full", "host.a", 95)]);
    let content = smtp.mail();
    assert_eq!(content["to"], json!(["sre@example.org"]));
    let text = content["content"].as_str().expect("text");
    assert!(text.contains("Subject: disk.full") && text.contains("see host.a"), "{text}");
    server.wait_for(3, &[EXECUTED]);
    let received = receiver.received();
    let at =
        |path: &str| received.iter().find(|one| one.path == path).unwrap_or_else(|| panic!("{received:#?}"));
    assert_eq!(at("/sre").json(), json!({"title": "disks", "text": "host.a is at 95 %"}));
    let to_slack = at("/slack").json().to_string();
    assert!(to_slack.contains("disks") && to_slack.contains("host.a is at 95 %"), "{to_slack}");

    server.tell(&[event("disk.odd", "host.b", 1)]);
    let fallback = receiver.wait_for(3)[2].body.clone();
    assert!(fallback.contains("host.b") && fallback.contains("undefined"), "{fallback}");
}

#[test]
fn commands_and_events_are_actions_and_their_results_go_on() {
    let receiver = Receiver::start(&[]);
    let server = Server::start(Options::default().set("COMMANDS__ALLOWED", "/bin/echo,/bin/sh"));
    let run = json!({"type": "run-command", "argv": ["/bin/echo", "restarted {{ event.resource.id }}; rm -rf $HOME"]});
    server.declare(&automation("restart", on("host.down"), &[run]));
    let tell = json!({"type": "emit-event", "event": "host.restarted", "resource": {"prefect.resource.id": "host.x"},
        "payload": {"number": "{{ event.payload.action_index }}", "said": "{{ event.payload.stdout }}"}});
    let mut told = on(EXECUTED);
    told["match"] = json!({"prefect.resource.name": "restart"});
    server.declare(&automation("tell", told, &[tell]));
    server.declare(&automation(
        "send",
        on("host.restarted"),
        &[post(
            &receiver.url,
            json!({"number": "{{ event.payload.number }}", "said": "{{ event.payload.said }}"}),
        )],
    ));
    let forbidden = json!({"type": "run-command", "argv": ["/bin/ls"]});
    server.declare(&automation("forbidden", on("host.odd"), &[forbidden]));
    server.tell(&[event("host.down", "host.a", 1), event("host.odd", "host.b", 1)]);
    let said = receiver.wait_for(1)[0].json();
    // No shell has read the text, and the number is one.
    assert_eq!(said, json!({"number": 0, "said": "restarted host.a; rm -rf $HOME\n"}));
    let failed = server.wait_for(1, &[FAILED]);
    assert!(
        failed[0]["payload"]["reason"].as_str().is_some_and(|why| why.contains("/bin/ls")),
        "{failed:#?}"
    );
}

#[test]
fn what_may_pass_is_tried_again_until_it_passes() {
    let answers = [Answer::Status(500), Answer::Cut, Answer::Hang, Answer::Endless, Answer::TooMany(2)];
    let (server, receiver) = (Server::start(Options::default()), Receiver::start(&answers));
    let mut action = post(&receiver.url, json!({"n": "{{ event.payload.number }}"}));
    action["timeout_seconds"] = json!(1);
    action["retry_delay_seconds"] = json!(0.05);
    server.declare(&automation("patient", on("a"), &[action]));
    server.tell(&[event("a", "host.a", 7)]);
    let executed = server.wait_for(1, &[EXECUTED]);
    let received = receiver.received();
    // The endless answer is a 200, which is done whatever comes after it.
    let keys: BTreeSet<_> = received.iter().map(|one| one.header("idempotency-key")).collect();
    assert_eq!(keys, BTreeSet::from([executed[0]["payload"]["invocation"].as_str()]));
    assert_eq!(received.len(), 4, "{received:#?}");
    assert_eq!(server.events(&[RETRYING]).len(), 3);
    assert!(server.events(&[FAILED]).is_empty());

    server.tell(&[event("a", "host.b", 8)]);
    let received = receiver.wait_for(6);
    let pause = received[5].at - received[4].at;
    assert!(pause >= Duration::from_secs(2), "the receiver asked for 2 s and got {pause:?}");
}

#[test]
fn what_is_given_up_waits_for_a_person_who_tries_it_again() {
    let answers = [Answer::Status(400), Answer::Status(500), Answer::Status(500)];
    let (server, receiver) = (Server::start(Options::default()), Receiver::start(&answers));
    let mut action = post(&receiver.url, json!({"to": "{{ event.resource.id }}"}));
    action["retries"] = json!(1);
    action["retry_delay_seconds"] = json!(0.05);
    server.declare(&automation("send", on("a"), &[action]));
    // 4xx is final at once; 5xx after its one repetition.
    server.tell(&[event("a", "host.a", 1)]);
    server.wait_for(1, &[FAILED]);
    server.tell(&[event("a", "host.b", 1)]);
    server.wait_for(2, &[FAILED]);
    assert_eq!(receiver.received().len(), 3);
    server.declare(&automation("metadata", on("b"), &[post("http://169.254.169.254/latest", json!({}))]));
    server.tell(&[event("b", "host.c", 1)]);
    let failed = server.wait_for(3, &[FAILED]);
    assert!(failed[2]["payload"]["reason"].to_string().contains("169.254.169.254"), "{}", failed[2]);

    let letters = server.get("/api/pavlov/dead-letters");
    assert_eq!(letters["total"], 3, "{letters}");
    let ids: Vec<&Value> =
        letters["dead_letters"].as_array().expect("letters").iter().map(|one| &one["id"]).collect();
    // They outlive a crash, and are tried again one by one or all together.
    server.kill();
    server.resume();
    server.post("/api/pavlov/dead-letters/redrive", &json!({"ids": [ids[1]]}));
    assert_eq!(receiver.wait_for(4)[3].json(), json!({"to": "host.b"}));
    let (code, text) = server.run(&["dead-letters", "redrive", "--all"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(receiver.wait_for(5)[4].json(), json!({"to": "host.a"}));
    let left = || Some(server.get("/api/pavlov/dead-letters")).filter(|page| page["total"] == 1);
    let left = until("two letters to be gone", left);
    assert_eq!(left["dead_letters"][0]["automation"]["name"], "metadata");
}

#[test]
fn an_absence_is_told_once_when_its_time_is_over() {
    let (server, receiver) = (Server::start(Options::default()), Receiver::start(&[]));
    let trigger = json!({
        "type": "event", "posture": "Proactive", "after": ["backup.started"], "expect": ["backup.finished"],
        "for_each": ["prefect.resource.id"], "threshold": 1, "within": 10,
    });
    let labels = json!({"missing": "{{ labels['prefect.resource.id'] }}"});
    server.declare(&automation("backups", trigger, &[post(&receiver.url, labels)]));
    server.tell(&[event("backup.started", "host.a", 1), event("backup.started", "host.b", 1)]);
    let begun = std::time::Instant::now();
    server.tell(&[event("backup.finished", "host.a", 1)]);
    let received = receiver.wait_for(1);
    let waited = received[0].at - begun;
    assert_eq!(received[0].json(), json!({"missing": "host.b"}));
    assert!((9.5..14.0).contains(&waited.as_secs_f64()), "told after {waited:?} instead of 10 s");
    assert_eq!(receiver.quiet_for(Duration::from_secs(2)).len(), 1);
    assert_eq!(server.events(&[TRIGGERED]).len(), 1);
}

#[test]
fn a_server_that_dies_in_the_middle_goes_on_where_it_was() {
    let receiver = Receiver::start(&[Answer::Status(503), Answer::Hang]);
    let server = Server::start(Options::default().set("ENGINE__GRACE", "1s"));
    let mut action = post(&receiver.url, json!({"count": "{{ firing.trigger.threshold }}"}));
    action["retry_delay_seconds"] = json!(1);
    let trigger =
        json!({"type": "event", "posture": "Reactive", "expect": ["a"], "threshold": 3, "within": 3600});
    server.declare(&automation("thrice", trigger, &[action]));
    let absent = json!({
        "type": "event", "posture": "Proactive", "after": ["b"], "expect": ["c"], "threshold": 1, "within": 10,
    });
    server.declare(&automation("absent", absent, &[json!({"type": "do-nothing"})]));
    // Two of three are counted, then it is killed; a deadline is armed.
    server.tell(&[event("a", "host.a", 1), event("a", "host.a", 2), event("b", "host.a", 1)]);
    server.kill();
    server.resume();
    assert_eq!(server.events(&["a", "b"]).len(), 3);
    server.tell(&[event("a", "host.a", 2), event("a", "host.a", 3)]);
    // The first attempt gets a 503, the second hangs: it is killed in the middle of it.
    receiver.wait_for(2);
    server.kill();
    server.resume();
    server.wait_for(1, &[EXECUTED]);
    let received = receiver.received();
    assert_eq!(received.len(), 3, "{received:#?}");
    let keys: BTreeSet<_> = received.iter().map(|one| one.header("idempotency-key")).collect();
    assert_eq!(keys.len(), 1, "all attempts are at one action");
    // A stop that is asked for ends well, and the deadline is still there after it.
    assert!(server.stop().success());
    server.resume();
    let firings = server.wait_for(2, &[TRIGGERED]);
    assert_eq!(firings.len(), 2);
    let names: Vec<&Value> = firings.iter().map(|one| &one["resource"]["prefect.resource.name"]).collect();
    assert_eq!(names, ["thrice", "absent"]);
}

#[test]
fn no_secret_is_written_anywhere() {
    let canary = "canary-7f3a9c51d2";
    let (server, receiver) = (
        Server::start(Options::default().set("STATE__SNAPSHOT_RECORDS", 5)),
        Receiver::start(&[Answer::Status(400)]),
    );
    let url = format!("{}/{canary}/slack", receiver.url);
    let slack = server.block("slack-webhook", "marker-of-blocks", json!({"url": url}));
    let nowhere = format!("http://127.0.0.1:1/{canary}?token={canary}");
    let dead =
        server.block("webhook", "nowhere", json!({"url": nowhere, "headers": {"Authorization": canary}}));
    let custom = json!({
        "name": "custom", "url": format!("{}/custom", receiver.url), "method": "POST",
        "headers": {"X-Token": "{{token}}"}, "secrets": {"token": canary},
    });
    let custom = server.block("custom-webhook", "custom", custom);
    let send = |block: &str| json!({"type": "send-notification", "block_document_id": block, "body": "x", "retries": 0});
    let call = json!({"type": "call-webhook", "block_document_id": dead, "retries": 0});
    server.declare(&automation("secrets", on("marker-of-events"), &[send(&slack), send(&custom), call]));
    server.tell(&[event("marker-of-events", "host.a", 1)]);
    server.wait_for(2, &[FAILED]);
    let received = receiver.wait_for(2);
    let used = |path: &str| received.iter().any(|one| one.path.contains(path));
    assert!(used(canary) && used("/custom"), "{received:#?}");
    assert!(received.iter().any(|one| one.header("x-token") == Some(canary)), "{received:#?}");
    // Shown masked; and what the API tells of everything that happened has no trace of it.
    let shown = server.get(&format!("/api/block_documents/{slack}"));
    assert!(shown["data"]["url"].as_str().is_some_and(|url| url.contains('*')), "{shown}");
    let everything = server.post("/api/events/filter", &json!({"limit": 50})).to_string();
    for page in [
        everything,
        server.get("/api/pavlov/dead-letters").to_string(),
        server.run(&["actions", "ls", "--failed"]).1,
    ] {
        assert!(!page.contains(canary), "{page}");
    }
    assert!(server.stop().success());
    let mut found = Found::default();
    found.search(server.folder(), canary);
    assert_eq!(found.secrets, Vec::<String>::new(), "the secret stands in plain text");
    for place in ["data/log/", "data/state/", "data/history/", "data/snapshots/"] {
        let seen = found.markers.iter().any(|path| path.contains(place));
        assert!(seen, "the search sees nothing in {place}, so it proves nothing: {:#?}", found.markers);
    }
}

/// Files that hold the secret, and files that hold what was told beside it.
#[derive(Default)]
struct Found {
    secrets: Vec<String>,
    markers: Vec<String>,
}

impl Found {
    fn search(&mut self, folder: &Path, secret: &str) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                self.search(&path, secret);
                continue;
            }
            let bytes = std::fs::read(&path).expect("readable");
            let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
            if holds(secret) {
                self.secrets.push(path.display().to_string());
            }
            if holds("marker-of-") {
                self.markers.push(path.display().to_string());
            }
        }
    }
}
