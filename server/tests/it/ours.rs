//! Our own routes: status, firings, dead letters, trying a notification out.

use crate::support::{Server, event};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn status_and_metrics_tell_the_same() {
    let server = Server::start().await;
    server.post("/api/events", json!([event(1, "a"), event(1, "a")])).await;
    let (_, status) = server.get("/api/pavlov/status").await;
    assert_eq!((&status["ready"], &status["prefect_version"]), (&json!(true), &json!("3.8.8")));
    let applied = &status["applied"];
    assert_eq!(
        (&applied["events"], &applied["duplicates"], &applied["lag_records"]),
        (&json!(1), &json!(1), &json!(0))
    );
    assert!(status["durability"].as_str().is_some_and(|text| text.contains("fdatasync")));
    let (_, metrics) = server.get("/metrics").await;
    let metrics = metrics.as_str().expect("text");
    for line in [
        "pavlov_events_total 1",
        "pavlov_events_duplicate_total 1",
        "pavlov_log_healthy 1",
        "pavlov_apply_lag_records 0",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line} is missing in\n{metrics}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firing_shows_its_actions_and_a_dead_letter_can_be_tried_again_or_given_up() {
    let server = Server::start().await;
    // A deployment cannot be run by this server yet, so the action is given up at once.
    let definition = json!({
        "name": "broken",
        "trigger": {"type": "event", "posture": "Reactive", "expect": ["a"], "threshold": 1, "within": 0},
        "actions": [{"type": "do-nothing"},
            {"type": "run-deployment", "source": "selected", "deployment_id": "00000000-0000-0000-0000-00000000000d"}],
    });
    let (status, automation) = server.post("/api/automations/", definition).await;
    assert_eq!(status, 201, "{automation}");
    server.post("/api/events", json!([event(1, "a")])).await;
    let letter = dead_letter(&server).await;
    assert_eq!((&letter["standing"], &letter["automation"]["name"]), (&json!("dead"), &json!("broken")));
    assert_eq!(letter["action"]["type"], "run-deployment");

    let (_, firings) = server
        .get(&format!("/api/pavlov/firings?automation={}", automation["id"].as_str().expect("an id")))
        .await;
    assert_eq!((&firings["total"], &firings["firings"][0]["change"]), (&json!(1), &json!("triggered")));
    assert_eq!(letter["firing"], firings["firings"][0]["id"]);
    let (_, firing) =
        server.get(&format!("/api/pavlov/firings/{}", letter["firing"].as_str().expect("an id"))).await;
    let results: Vec<&Value> =
        firing["actions"].as_array().expect("actions").iter().map(|one| &one["result"]).collect();
    assert_eq!(results, ["executed", "failed"], "{firing}");
    assert_eq!(firing["actions"][1]["standing"]["standing"], "dead");
    assert_eq!(
        server.get(&format!("/api/pavlov/firings/{}", event(1, "a")["id"].as_str().expect("an id"))).await.0,
        404
    );

    let ids = json!({"ids": [letter["id"]]});
    assert_eq!(
        server.post("/api/pavlov/dead-letters/redrive", ids.clone()).await,
        (200, json!({"redriven": 1}))
    );
    dead_letter(&server).await;
    assert_eq!(
        server.post("/api/pavlov/dead-letters/discard", json!({"all": true})).await,
        (200, json!({"discarded": 1}))
    );
    assert_eq!(server.get("/api/pavlov/actions").await.1["total"], 0);
    assert_eq!(server.post("/api/pavlov/dead-letters/redrive", ids).await.0, 404);
    assert_eq!(server.post("/api/pavlov/dead-letters/redrive", json!({})).await.0, 422);
    assert_eq!(server.get("/api/pavlov/actions?standing=lost").await.0, 422);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_a_notification_says_why_it_does_not_arrive() {
    let server = Server::start().await;
    let nobody = "00000000-0000-0000-0000-000000000000";
    let action =
        json!({"type": "send-notification", "block_document_id": nobody, "subject": "s", "body": "b"});
    let (status, told) = server.post("/api/pavlov/notify/test", action).await;
    assert_eq!((status, &told["delivered"]), (502, &json!(false)));
    assert!(told["reason"].as_str().is_some_and(|reason| reason.contains(nobody)), "{told}");
    let (status, told) = server.post("/api/pavlov/notify/test", json!({"type": "do-nothing"})).await;
    assert!(status == 422 && told.to_string().contains("send-notification"), "{told}");
    server.stop().await;
}

/// The one letter, once it is there: attempts are made beside the requests.
async fn dead_letter(server: &Server) -> Value {
    for _ in 0..500 {
        let (_, letters) = server.get("/api/pavlov/dead-letters").await;
        if let Some(letter) = letters["dead_letters"].get(0) {
            return letter.clone();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no letter came");
}
