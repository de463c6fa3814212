//! Priority and fairness as clients see it: headers, refusals, metrics, dumps, and what the server keeps up itself.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body::Frame;
use http_body_util::StreamBody;
use sampan_apiserver::chain::authentication::PeerIdentity;
use sampan_apiserver::flow_control::Limits;
use sampan_store::embedded::Embedded;
use sampan_testkit::{Reply, TestServer, eventually, user};
use serde_json::{Value, json};
use tower_service::Service as _;

const GROUP: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SCHEMA_UID: &str = "x-kubernetes-pf-flowschema-uid";
const LEVEL_UID: &str = "x-kubernetes-pf-prioritylevel-uid";

fn level(name: &str, response: &Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 1, "lendablePercent": 0, "borrowingLimitPercent": 0, "limitResponse": response}}})
}

fn schema(name: &str, level: &str, user: &str) -> Value {
    let all = json!(["*"]);
    json!({"metadata": {"name": name}, "spec": {
        "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": 10,
        "rules": [{"subjects": [{"kind": "User", "user": {"name": user}}], "resourceRules": [
            {"verbs": all, "apiGroups": all, "resources": all, "namespaces": all, "clusterScope": true}]}]}})
}

/// A server whose level `tiny`, which refuses, has one seat, for eve, who may do everything.
async fn tiny() -> (TestServer, TestServer, [String; 2]) {
    let server = TestServer::start().await;
    let reject = json!({"type": "Reject"});
    let level =
        server.create(&format!("{GROUP}/prioritylevelconfigurations"), &level("tiny", &reject)).await.ok();
    let schema = server.create(&format!("{GROUP}/flowschemas"), &schema("eve", "tiny", "eve")).await.ok();
    let binding = json!({"metadata": {"name": "eve"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}]});
    server.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await.ok();
    let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap().to_owned();
    let eve = server.asked_by(user("eve", &["system:authenticated"]));
    (server, eve, [uid(&schema), uid(&level)])
}

/// The uids of the schema and the level that an answer carries.
fn classified(reply: &Reply) -> [&str; 2] {
    [SCHEMA_UID, LEVEL_UID].map(|name| reply.headers[name].to_str().unwrap())
}

#[tokio::test]
async fn every_answer_says_how_its_request_was_classified() {
    let (server, eve, [schema, level]) = tiny().await;
    for path in [CONFIG_MAPS, "/api/v1/namespaces/default/configmaps/none"] {
        let reply = eve.get(path).await;
        assert_eq!(classified(&reply), [&*schema, &*level], "{path}");
    }
    let exempt = server.get(&format!("{GROUP}/flowschemas/exempt")).await;
    assert_eq!(exempt.headers[SCHEMA_UID], exempt.json()["metadata"]["uid"].as_str().unwrap());
}

#[tokio::test]
async fn a_level_that_rejects_answers_429_while_its_seats_are_taken() {
    let (server, eve, [schema, level]) = tiny().await;
    // Whether three seats or one: a watch whose first state nobody has read holds one each.
    let mut watches = Vec::new();
    let refused = loop {
        let path = format!(
            "{CONFIG_MAPS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        );
        let reply = eve.get(CONFIG_MAPS).await;
        if reply.code == 429 {
            break reply;
        }
        assert!(watches.len() < 100, "the level has no limit");
        watches.push(eve.watch(&path).await);
    };
    assert!(!watches.is_empty());
    assert_eq!(refused.text(), "Too many requests, please try again later.\n");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(classified(&refused), [&*schema, &*level]);
    let metrics = server.get("/metrics").await.text();
    let line = "apiserver_flowcontrol_rejected_requests_total{priority_level=\"tiny\",flow_schema=\"eve\",reason=\"concurrency-limit\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    // Others have levels of their own.
    assert_eq!(server.get(CONFIG_MAPS).await.code, 200);
    // A watch that has told its first state needs no seat any more.
    watches[0].next().await;
    assert_eq!(eve.get(CONFIG_MAPS).await.code, 200);
    drop(watches);
    let table = server.get("/debug/api_priority_and_fairness/dump_priority_levels").await.text();
    let line = table.lines().find(|line| line.starts_with("tiny,")).unwrap();
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    assert_eq!((cells[2], cells[4], cells[5], cells[7]), ("true", "0", "0", "1"), "{table}");
}

#[tokio::test]
async fn a_body_that_never_comes_holds_no_seat() {
    let (server, eve, _) = tiny().await;
    let mallory = user("mallory", &["system:authenticated"]);
    let schema = schema("mallory", "tiny", "mallory");
    server.create(&format!("{GROUP}/flowschemas"), &schema).await.ok();
    let send = |method: Method, path: &'static str| {
        let body = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let mut request = http::Request::builder().method(method).uri(path).body(body).unwrap();
        request.extensions_mut().insert(PeerIdentity(Arc::new(mallory.clone())));
        server.server().clone().call(request)
    };
    // What reads has no body: the answer is there at once, although time stands still.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    for path in ["/api/v1/pods?watch=1", "/api/v1/namespaces/default/pods/p/log", CONFIG_MAPS] {
        assert_eq!(send(Method::GET, path).await.unwrap().status(), 403, "{path}");
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    // What writes is refused when the client has had its time, and nobody waits for that.
    let mut refused: Vec<_> = (0..100).map(|_| Box::pin(send(Method::POST, CONFIG_MAPS))).collect();
    for request in &mut refused {
        assert!(futures::poll!(request.as_mut()).is_pending());
    }
    assert_eq!(eve.get(CONFIG_MAPS).await.code, 200, "the seats are free");
    for request in refused {
        assert_eq!(request.await.unwrap().status(), 403);
    }
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn the_dump_shows_who_is_served() {
    let (server, eve, _) = tiny().await;
    let path = format!(
        "{CONFIG_MAPS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let watch = eve.watch(&path).await;
    let dump = || async {
        let path = "/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1";
        let text = server.get(path).await.text();
        text.lines().filter(|line| line.starts_with("tiny,")).map(str::to_owned).collect::<Vec<_>>()
    };
    let rows = dump().await;
    let cells: Vec<&str> = rows[0].split(',').map(str::trim).collect();
    assert_eq!((rows.len(), &cells[1..4]), (1, &["eve", "-1", "-1"][..]), "{rows:?}");
    assert!(!cells[9].starts_with("0001"), "it has begun: {rows:?}");
    assert_eq!(cells[10..12], ["eve", "watch"], "{rows:?}");
    drop(watch);
    assert!(dump().await.is_empty());
}

#[tokio::test]
async fn without_fairness_reads_and_writes_have_two_limits_and_answers_no_headers() {
    let limits = Limits::InFlight { reading: 1, mutating: 1 };
    let server =
        TestServer::configured(Arc::new(Embedded::in_memory()), |config| config.limits = limits).await;
    let reply = server.get(CONFIG_MAPS).await;
    assert_eq!((reply.code, reply.headers.get(SCHEMA_UID)), (200, None));
    assert_eq!(server.get("/debug/api_priority_and_fairness/dump_queues").await.code, 404);
}

#[tokio::test]
async fn dumps_have_the_columns_of_upstream() {
    let server = TestServer::start().await;
    let text = |table: &str| {
        let path = format!("/debug/api_priority_and_fairness/{table}");
        let server = server.clone();
        async move { server.get(&path).await.text() }
    };
    let queues = text("dump_queues").await;
    assert!(
        queues.starts_with("PriorityLevelName, Index,  PendingRequests, ExecutingRequests, SeatsInUse, "),
        "{queues}"
    );
    assert_eq!(queues.lines().filter(|line| line.starts_with("workload-low,")).count(), 128);
    let requests = text("dump_requests?includeRequestDetails=1").await;
    let mut rows = requests.lines();
    assert!(rows.next().is_some_and(|columns| columns.ends_with("SubResource")), "{requests}");
    // Who asks for it is served, without a queue.
    let own = rows.find(|row| row.starts_with("exempt,")).unwrap_or_default();
    assert!(own.contains("/debug/api_priority_and_fairness/dump_requests"), "{requests}");
    let denied = server.asked_by(user("bob", &["system:authenticated"]));
    let path = "/debug/api_priority_and_fairness/dump_queues";
    assert_eq!(denied.request(Method::GET, path, &[], "").await.code, 403);
}

#[tokio::test]
async fn schemas_say_whether_their_level_exists_and_the_mandatory_ones_come_back() {
    let server = TestServer::start().await;
    let upkeep = tokio::spawn(sampan_builtins::flow_control::follow(server.server().clone()));
    server.create(&format!("{GROUP}/flowschemas"), &schema("lost", "nowhere", "bob")).await.ok();
    let condition = |name: &str| {
        let (server, path) = (server.clone(), format!("{GROUP}/flowschemas/{name}"));
        async move {
            let object = server.get(&path).await.json();
            object["status"]["conditions"].as_array().and_then(|c| c.first()).cloned()
        }
    };
    let lost_is = |reason: &'static str| {
        let found = condition("lost");
        async move { found.await.filter(|c| c["reason"] == reason) }
    };
    let said = eventually("the schema is dangling", || lost_is("NotFound")).await;
    assert_eq!((said["type"].as_str(), said["status"].as_str()), (Some("Dangling"), Some("True")));
    assert_eq!(
        said["message"],
        "This FlowSchema references the PriorityLevelConfiguration object named \"nowhere\" but there is no such object"
    );
    server
        .create(
            &format!("{GROUP}/prioritylevelconfigurations"),
            &level("nowhere", &json!({"type": "Reject"})),
        )
        .await
        .ok();
    eventually("it is found", || lost_is("Found")).await;
    assert_eq!(server.get(&format!("{GROUP}/flowschemas/lost")).await.json()["metadata"]["generation"], 1);
    server.delete(&format!("{GROUP}/flowschemas/catch-all")).await.ok();
    let path = format!("{GROUP}/flowschemas/catch-all");
    let (server, path) = (&server, &path);
    eventually("it is there again", || async move { (server.get(path).await.code == 200).then_some(()) })
        .await;
    upkeep.abort();
}

#[tokio::test]
async fn suggested_objects_are_the_servers_until_somebody_claims_them() {
    let server = TestServer::start().await;
    let levels = format!("{GROUP}/prioritylevelconfigurations");
    let shares = |name: &str| {
        let (server, path) = (server.clone(), format!("{levels}/{name}"));
        async move { server.get(&path).await.json()["spec"]["limited"]["nominalConcurrencyShares"].clone() }
    };
    let edit = |name: &str, annotation: serde_json::Value| {
        let (server, url) = (server.clone(), format!("{levels}/{name}"));
        async move {
            let patch = json!({
                "metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": annotation}},
                "spec": {"limited": {"nominalConcurrencyShares": 77}},
            });
            let headers = [("content-type", "application/merge-patch+json")];
            server.request(Method::PATCH, &url, &headers, patch.to_string()).await.ok()
        }
    };
    let maintain = || sampan_builtins::flow_control::maintain(server.server());
    assert_eq!(maintain().await, Ok(0), "a new cluster is as it should be");
    edit("workload-low", json!("true")).await;
    edit("workload-high", json!("false")).await;
    edit("global-default", json!(null)).await;
    assert_eq!(maintain().await, Ok(2), "one gets its spec back, one is marked as somebody's");
    assert_eq!(shares("workload-low").await, 100);
    assert_eq!(shares("workload-high").await, 77);
    assert_eq!(shares("global-default").await, 77);
    let marked = server.get(&format!("{levels}/global-default")).await.json();
    assert_eq!(marked["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"], "false");
    server.delete(&format!("{GROUP}/flowschemas/probes")).await.ok();
    let mut abandoned = level("of-an-older-version", &json!({"type": "Reject"}));
    abandoned["metadata"]["annotations"] = json!({"apf.kubernetes.io/autoupdate-spec": "true"});
    server.create(&levels, &abandoned).await.ok();
    server.create(&levels, &level("mine", &json!({"type": "Reject"}))).await.ok();
    assert_eq!(maintain().await, Ok(2), "one comes back, one goes");
    assert_eq!(server.get(&format!("{GROUP}/flowschemas/probes")).await.code, 200);
    assert_eq!(server.get(&format!("{levels}/of-an-older-version")).await.code, 404);
    assert_eq!(server.get(&format!("{levels}/mine")).await.code, 200);
    assert_eq!(maintain().await, Ok(0), "that is all");
}
