use sampan_testkit::{TestServer, eventually};
use serde_json::{Value, json};

use super::*;
use crate::testing::api;

const EVENTS: &str = "/api/v1/namespaces/default/events";

#[tokio::test]
async fn an_event_is_written_and_counted() {
    let server = TestServer::start().await;
    let (client, failures) = api::client(&server);
    let pod = api::pod(&server, "p").await;
    let (recorder, writer) = Recorder::new(client, "n1");
    let task = tokio::spawn(writer.run());
    for _ in 0..3 {
        recorder.event(&pod, Some("main"), Kind::Warning, "Unhealthy", "Liveness probe failed: no");
    }
    recorder.event(&pod, None, Kind::Normal, "Other", "m");
    let events = eventually("the events are written", async || {
        let list: Value = serde_json::from_slice(&server.get(EVENTS).await.body).expect("a list");
        let events = list["items"].as_array().expect("items").clone();
        (events.len() == 2).then_some(events)
    });
    let events = events.await;
    let event = events.iter().find(|e| e["reason"] == "Unhealthy").expect("the event");
    assert_eq!(event["count"], 3);
    assert_eq!(event["type"], "Warning");
    assert_eq!(event["source"], json!({"component": "kubelet", "host": "n1"}));
    assert_eq!(event["reportingComponent"], "kubelet");
    assert_eq!(event["involvedObject"]["fieldPath"], "spec.containers{main}");
    assert_eq!(event["involvedObject"]["uid"].as_str(), pod.metadata.uid.as_deref());
    assert!(event["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("p.")));
    assert_eq!(failures.load(std::sync::atomic::Ordering::SeqCst), 0);
    drop(recorder);
    task.await.expect("it ends with its last recorder");
}

#[tokio::test]
async fn an_event_that_is_not_there_any_more_begins_anew() {
    let server = TestServer::start().await;
    let (client, _) = api::client(&server);
    let pod = api::pod(&server, "p").await;
    let event = |count| Event {
        count: Some(count),
        ..event("n1", &pod, None, Kind::Normal, "R", "m", SystemTime::now())
    };
    let (_recorder, writer) = Recorder::new(client, "n1");
    writer.write(Sighting { event: event(7), is_known: true }).await;
    let list: Value = serde_json::from_slice(&server.get(EVENTS).await.body).expect("a list");
    assert_eq!(list["items"][0]["count"], 7);
}

#[tokio::test]
async fn what_comes_while_too_many_wait_is_dropped_and_counted() {
    let server = TestServer::start().await;
    let (recorder, _writer) = Recorder::new(api::client(&server).0, "n1");
    for _ in 0..=QUEUE {
        recorder.event(&Pod::default(), None, Kind::Normal, "R", "m");
    }
    assert_eq!(recorder.dropped.get(), 1);
}
