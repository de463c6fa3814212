use std::sync::atomic::Ordering;

use sampan_testkit::{TestServer, eventually};
use serde_json::{Value, json};

use super::*;
use crate::source::{CONFIG_HASH, CONFIG_MIRROR, CONFIG_SOURCE};
use crate::testing::api;

fn status(message: &str) -> PodStatus {
    serde_json::from_value(
        json!({"phase": "Running", "message": message, "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "True"}]}),
    )
    .expect("a status")
}

async fn read(server: &TestServer, name: &str) -> Option<Value> {
    let reply = server.get(&format!("{}/{name}", api::PODS)).await;
    (reply.code == 200).then(|| serde_json::from_slice(&reply.body).expect("a pod"))
}

async fn shows(server: &TestServer, name: &str, message: &str) -> Value {
    eventually("the status is written", async || {
        read(server, name).await.filter(|pod| pod["status"]["message"] == message)
    })
    .await
}

#[tokio::test]
async fn the_newest_status_is_written_even_if_requests_fail_and_the_object_goes_at_the_end() {
    let server = TestServer::start().await;
    let (client, failures) = api::client(&server);
    let pod = api::pod(&server, "p").await;
    let others = json!({"status": {"conditions": [{"type": "example.org/theirs", "status": "True"}]}});
    server.patch(&format!("{}/p/status", api::PODS), "strategic-merge-patch", &others).await;
    let writer = StatusWriter::new(client, Arc::default());
    failures.store(2, Ordering::SeqCst);
    for message in ["one", "two", "three"] {
        writer.status(&pod, status(message));
    }
    let shown = shows(&server, "p", "three").await;
    assert_eq!(shown["status"]["podIP"], "10.0.0.1");
    let conditions: Vec<_> = shown["status"]["conditions"].as_array().expect("conditions").iter().collect();
    assert!(
        conditions.iter().any(|c| c["type"] == "example.org/theirs"),
        "those of others stay: {conditions:?}"
    );
    let moved = PodStatus { pod_ip: None, pod_ips: None, ..status("moved") };
    writer.status(&pod, moved);
    let shown = shows(&server, "p", "moved").await;
    assert_eq!(shown["status"].get("podIPs"), None);
    failures.store(1, Ordering::SeqCst);
    writer.gone(&pod);
    eventually("the object goes", async || read(&server, "p").await.is_none().then_some(())).await;
    eventually("nothing is kept", async || writer.0.pods.lock().is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_condition_that_has_passed_goes() {
    let server = TestServer::start().await;
    let (client, _) = api::client(&server);
    let pod = api::pod(&server, "p").await;
    let writer = StatusWriter::new(client, Arc::default());
    let mut resizing = status("resizing");
    let pending =
        json!({"type": "PodResizePending", "status": "True", "reason": "Deferred", "observedGeneration": 1});
    resizing.conditions.get_or_insert_default().push(serde_json::from_value(pending).expect("a condition"));
    writer.status(&pod, resizing);
    let kinds = |pod: &Value| -> Vec<String> {
        let conditions = pod["status"]["conditions"].as_array().expect("conditions").iter();
        conditions.map(|c| c["type"].as_str().expect("a type").to_owned()).collect()
    };
    let shown = shows(&server, "p", "resizing").await;
    assert!(kinds(&shown).contains(&"PodResizePending".to_owned()), "{shown}");
    writer.status(&pod, status("resized"));
    let shown = shows(&server, "p", "resized").await;
    assert!(!kinds(&shown).contains(&"PodResizePending".to_owned()), "{shown}");
}

#[tokio::test]
async fn another_pod_of_the_name_is_left_alone() {
    let server = TestServer::start().await;
    let (client, _) = api::client(&server);
    let mut earlier = api::pod(&server, "p").await;
    earlier.metadata.uid = Some("earlier".into());
    let writer = StatusWriter::new(client, Arc::default());
    writer.status(&earlier, status("wrong"));
    writer.gone(&earlier);
    eventually("it gives up", async || writer.0.pods.lock().is_empty().then_some(())).await;
    let pod = read(&server, "p").await.expect("it is still there");
    assert_ne!(pod["status"]["message"], "wrong");
}

#[tokio::test]
async fn a_static_pod_has_a_mirror_with_its_status_for_as_long_as_it_is_there() {
    let server = TestServer::start().await;
    let (client, failures) = api::client(&server);
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
    assert_eq!(server.create("/api/v1/nodes", &node).await.code, 201);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "s-n1", "namespace": "default", "uid": "h1", "annotations": {CONFIG_SOURCE: "file", CONFIG_HASH: "h1"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "x"}]},
    }))
    .expect("a pod");
    let mirrors = Arc::new(Mirrors::default());
    let writer = StatusWriter::new(client.clone(), Arc::clone(&mirrors));
    let (task, watched) = {
        let (mirrors, client) = (Arc::clone(&mirrors), client.clone());
        let (updates, received) = crate::source::channel();
        let watched = {
            let (mirrors, client) = (Arc::clone(&mirrors), client.clone());
            tokio::spawn(async move { crate::source::api::run(client, "n1", &mirrors, updates).await })
        };
        (tokio::spawn(async move { mirrors.run(client, "n1").await }), (watched, received))
    };
    failures.store(1, Ordering::SeqCst);
    mirrors.want(&Arc::new(pod.clone()));
    mirrors.complete();
    writer.status(&pod, status("mine"));
    let shown = shows(&server, "s-n1", "mine").await;
    assert_eq!(shown["metadata"]["annotations"][CONFIG_MIRROR], "h1");
    assert_eq!(shown["metadata"]["ownerReferences"][0]["kind"], "Node");
    // Somebody deletes it: it comes back, with its status.
    server.request(http::Method::DELETE, &format!("{}/s-n1?gracePeriodSeconds=0", api::PODS), &[], "").await;
    let again = shows(&server, "s-n1", "mine").await;
    assert_ne!(again["metadata"]["uid"], shown["metadata"]["uid"]);
    writer.gone(&pod);
    eventually("it goes with the static pod", async || read(&server, "s-n1").await.is_none().then_some(()))
        .await;
    task.abort();
    watched.0.abort();
}
