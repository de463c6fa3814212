//! Deletions that take their time, and what a second DELETE can change of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use http::Method;
use jiff::Timestamp;
use sampan_store::embedded::Embedded;
use sampan_testkit::{Reply, TestServer, fixtures};
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";
const NOON: i64 = 1_767_268_800;

static SECONDS: AtomicI64 = AtomicI64::new(NOON);

fn clock() -> Timestamp {
    Timestamp::from_second(SECONDS.load(Ordering::Relaxed)).expect("it is a time")
}

async fn delete(server: &TestServer, path: &str, options: &Value) -> Reply {
    let headers = [("content-type", "application/json")];
    server.request(Method::DELETE, path, &headers, options.to_string()).await
}

#[tokio::test]
async fn a_second_deletion_only_shortens_the_time_and_counts_it_from_the_first() {
    let server = TestServer::configured(Arc::new(Embedded::in_memory()), |config| config.clock = clock).await;
    let path = format!("{PODS}/a");
    let mut pod = fixtures::pod("a");
    pod["spec"]["nodeName"] = json!("n");
    server.create(PODS, &pod).await.ok();
    // When it is asked, with which options; the end, the seconds of grace, and the finalizers afterwards.
    let rows = [
        (0, json!({}), "2026-01-01T12:00:30Z", 30, Value::Null),
        (5, json!({"gracePeriodSeconds": 60}), "2026-01-01T12:00:30Z", 30, Value::Null),
        (6, json!({"propagationPolicy": "Foreground"}), "2026-01-01T12:00:30Z", 30, Value::Null),
        (
            7,
            json!({"propagationPolicy": "Orphan", "gracePeriodSeconds": 30}),
            "2026-01-01T12:00:30Z",
            30,
            Value::Null,
        ),
        (10, json!({"gracePeriodSeconds": 5}), "2026-01-01T12:00:05Z", 5, Value::Null),
        (
            11,
            json!({"gracePeriodSeconds": -1, "propagationPolicy": "Foreground"}),
            "2026-01-01T12:00:01Z",
            1,
            json!(["foregroundDeletion"]),
        ),
    ];
    for (second, options, ends, grace, finalizers) in rows {
        SECONDS.store(NOON + second, Ordering::Relaxed);
        let meta = delete(&server, &path, &options).await.ok()["metadata"].clone();
        assert_eq!(
            (&meta["deletionTimestamp"], &meta["deletionGracePeriodSeconds"], &meta["finalizers"]),
            (&json!(ends), &json!(grace), &finalizers),
            "{options}"
        );
    }
    server.patch(&path, "merge-patch", &json!({"metadata": {"finalizers": null}})).await.ok();
    delete(&server, &path, &json!({"gracePeriodSeconds": 0})).await.ok();
    server.get(&path).await.refused(404);
}
