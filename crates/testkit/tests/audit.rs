//! The audit log as the server fills it: levels, stages, bodies, and what becomes of events that cannot be stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use parking_lot::Mutex;
use sampan_apiserver::admission::{Admission, Plugins};
use sampan_apiserver::audit::{
    Audit, Backend, BatchOptions, Event, Failure, Metrics, Mode, Policy, Sink, TruncateOptions,
};
use sampan_apiserver::{Context, Verb};
use sampan_model::Status;
use sampan_store::embedded::Embedded;
use sampan_testkit::{TestServer, eventually, fixtures, user};
use serde_json::{Value, json};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Keeps events, and fails or hangs when it is told to.
#[derive(Debug, Default)]
struct Memory {
    batches: Mutex<Vec<Vec<Value>>>,
    fails: AtomicBool,
    hangs: AtomicBool,
}

#[async_trait]
impl Backend for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn process(&self, events: &[Arc<Event>]) -> Result<(), Failure> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(Failure("the disk is full".into()));
        }
        let lines = events.iter().map(|e| serde_json::from_slice(&e.json_line()).unwrap());
        self.batches.lock().push(lines.collect());
        Ok(())
    }
}

impl Memory {
    fn events(&self) -> Vec<Value> {
        self.batches.lock().iter().flatten().cloned().collect()
    }

    /// The stages of all events, in order.
    fn stages(&self) -> Vec<String> {
        self.events().iter().map(|e| e["stage"].as_str().unwrap().to_owned()).collect()
    }

    /// The last event.
    fn last(&self) -> Value {
        self.events().pop().expect("there are events")
    }
}

/// A server that is audited by these rules.
async fn audited(rules: &str, mode: Mode, truncate: Option<TruncateOptions>) -> (TestServer, Arc<Memory>) {
    let policy = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}");
    let (memory, metrics) = (Arc::new(Memory::default()), Metrics::default());
    let policy = Policy::from_yaml(policy.as_bytes()).unwrap();
    let sink = Sink::new(memory.clone(), mode, truncate, metrics.clone());
    let audit = Arc::new(Audit::new(policy, vec![sink], metrics));
    let server = TestServer::configured(Arc::new(Embedded::in_memory()), |config| {
        config.audit = Some(audit);
        config.admission = Plugins::new(vec![Arc::new(Panics), Arc::new(Waits)]);
    })
    .await;
    (server, memory)
}

async fn at(level: &str) -> (TestServer, Arc<Memory>) {
    audited(&format!("rules: [{{level: {level}}}]"), Mode::Blocking, None).await
}

/// Fails on objects of one name.
#[derive(Debug)]
struct Panics;

#[async_trait]
impl Admission for Panics {
    fn name(&self) -> &'static str {
        "Panics"
    }
    fn handles(&self, _: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Create
    }
    async fn validate(
        &self,
        _: &Context<'_>,
        _: Verb,
        object: &sampan_model::Value,
        _: Option<&sampan_model::Value>,
    ) -> Result<(), Status> {
        assert_ne!(object.str_at(&["metadata", "name"]), "panic", "the name is panic");
        Ok(())
    }
}

#[tokio::test]
async fn each_level_tells_what_the_one_before_does_and_more() {
    for (level, events, request, response) in [
        ("None", 0, false, false),
        ("Metadata", 2, false, false),
        ("Request", 2, true, false),
        ("RequestResponse", 2, true, true),
    ] {
        let (server, memory) = at(level).await;
        server.create(CONFIG_MAPS, &fixtures::config_map("a", "k", "secret")).await.ok();
        assert_eq!(memory.events().len(), events, "{level}");
        let Some(last) = memory.events().pop() else { continue };
        assert_eq!(last["requestObject"]["data"]["k"] == "secret", request, "{level}");
        assert_eq!(last["responseObject"]["data"]["k"] == "secret", response, "{level}");
        assert_eq!(last.to_string().contains("secret"), request, "{level}");
        assert_eq!(last["level"], level);
        let metrics = server.get("/metrics").await.text();
        assert!(metrics.contains(&format!("apiserver_audit_level_total{{level=\"{level}\"}}")), "{metrics}");
        assert!(metrics.contains("apiserver_audit_event_total"));
    }
}

#[tokio::test]
async fn an_event_tells_who_did_what_from_where_and_what_was_answered() {
    let (server, memory) = at("Metadata").await;
    let headers = [
        ("content-type", "application/json"),
        ("audit-id", "my-id"),
        ("x-forwarded-for", "10.0.0.1, nonsense, 10.0.0.2"),
        ("x-real-ip", "10.0.0.1"),
    ];
    let body = fixtures::config_map("a", "k", "v").to_string();
    let path = format!("{CONFIG_MAPS}?fieldManager=m&access_token=hidden");
    let reply = server.request(Method::POST, &path, &headers, body).await;
    reply.ok();
    assert_eq!(reply.headers["audit-id"], "my-id");
    let mut event = memory.last();
    for time in ["requestReceivedTimestamp", "stageTimestamp"] {
        let time = event.as_object_mut().unwrap().remove(time).unwrap();
        assert!(sampan_model::time::parse_micro_time(time.as_str().unwrap()).is_ok(), "{time}");
    }
    let want = json!({
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": "my-id",
        "stage": "ResponseComplete",
        "requestURI": format!("{CONFIG_MAPS}?fieldManager=m&access_token=REDACTED"),
        "verb": "create",
        "user": {"username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"]},
        "sourceIPs": ["10.0.0.1", "10.0.0.2"],
        "userAgent": "testkit/1",
        "objectRef": {"resource": "configmaps", "namespace": "default", "name": "a", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201},
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
    });
    assert_eq!(event, want);
    let first = &memory.events()[0];
    assert_eq!(first["stage"], "RequestReceived");
    assert_eq!(first["requestReceivedTimestamp"], first["stageTimestamp"]);
    assert!(first.get("responseStatus").is_none() && first.get("annotations").is_none());
}

#[tokio::test]
async fn every_answer_has_an_audit_id_with_a_policy_and_without() {
    let (server, memory) = at("Metadata").await;
    let id = server.get("/healthz").await.headers["audit-id"].clone();
    assert_eq!(memory.last()["auditID"], id.to_str().unwrap());
    assert_eq!(memory.last()["requestURI"], "/healthz");
    assert!(memory.last().get("objectRef").is_none());
    let plain = TestServer::start().await;
    assert_eq!(plain.get("/healthz").await.headers["audit-id"].len(), 36);
    let early = plain.get("/%zz").await;
    assert_eq!((early.code, early.headers["audit-id"].len()), (400, 36), "the path is not even read");
}

#[tokio::test]
async fn an_update_names_the_object_that_it_means() {
    let (server, memory) = at("Request").await;
    let created = server.create(CONFIG_MAPS, &fixtures::config_map("a", "k", "v")).await.ok();
    server.replace(&format!("{CONFIG_MAPS}/a"), &created).await.ok();
    let object = &memory.last()["objectRef"];
    assert_eq!(object["uid"], created["metadata"]["uid"]);
    assert_eq!(object["resourceVersion"], created["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn what_was_sent_is_told_with_its_defaults_and_patches_as_they_are() {
    let (server, memory) = at("Request").await;
    let pods = "/api/v1/namespaces/default/pods";
    server.create(pods, &fixtures::pod("p")).await.ok();
    assert_eq!(memory.last()["requestObject"]["spec"]["restartPolicy"], "Always");
    assert_eq!(memory.last()["requestObject"]["kind"], "Pod");
    assert!(memory.last()["requestObject"]["metadata"].get("uid").is_none(), "it is not what was stored");
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    server.patch(&format!("{pods}/p"), "merge-patch", &patch).await.ok();
    assert_eq!(memory.last()["requestObject"], patch);
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}).to_string();
    let headers = [("content-type", "application/json")];
    server.request(Method::DELETE, &format!("{pods}/p"), &headers, options).await.ok();
    assert_eq!(memory.last()["requestObject"]["gracePeriodSeconds"], 0);
    assert_eq!(memory.last()["verb"], "delete");
}

/// A name, what the client accepts, and what is told.
type Answered = (&'static str, &'static str, fn(&Value) -> bool);

#[tokio::test]
async fn the_answer_is_told_whatever_its_form() {
    let (server, memory) = at("RequestResponse").await;
    server.create(CONFIG_MAPS, &fixtures::config_map("a", "k", "v")).await.ok();
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let protobuf = "application/vnd.kubernetes.protobuf";
    let rows: [Answered; 5] = [
        ("a list as protobuf", protobuf, |o| {
            o["kind"] == "ConfigMapList" && o["items"][0]["data"]["k"] == "v"
        }),
        ("a list", "application/json", |o| o["kind"] == "ConfigMapList" && o["items"][0]["data"]["k"] == "v"),
        ("a list as YAML", "application/yaml", |o| o["items"][0]["data"]["k"] == "v"),
        ("a table", table, |o| o["kind"] == "Table"),
        ("health", "*/*", Value::is_null),
    ];
    for (name, accept, is) in rows {
        let path = if name == "health" {
            "/healthz".to_owned()
        } else {
            format!("{CONFIG_MAPS}?labelSelector=x!%3Dy")
        };
        server.request(Method::GET, &path, &[("accept", accept)], "").await;
        assert!(is(&memory.last()["responseObject"]), "{name}: {}", memory.last());
        assert_eq!(memory.last()["responseStatus"], json!({"metadata": {}, "code": 200}), "{name}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason_at_every_level() {
    let (server, memory) = at("Metadata").await;
    let rows = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
    for accept in rows {
        let path = format!("{CONFIG_MAPS}/none");
        server.request(Method::GET, &path, &[("accept", accept)], "").await;
        assert_eq!(memory.last()["responseStatus"]["message"], "configmaps \"none\" not found", "{accept}");
    }
    assert_eq!(
        memory.last()["responseStatus"],
        json!({
            "metadata": {}, "status": "Failure", "reason": "NotFound", "code": 404,
            "message": "configmaps \"none\" not found",
            "details": {"name": "none", "kind": "configmaps"},
        })
    );
    let stranger = server.asked_by(user("eve", &["system:authenticated"]));
    stranger.get(CONFIG_MAPS).await.refused(403);
    assert_eq!(memory.last()["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(memory.last()["responseStatus"]["code"], 403);
}

#[tokio::test]
async fn credentials_that_are_not_known_are_told_of_but_not_told() {
    let (server, memory) = at("RequestResponse").await;
    let headers = [("authorization", "Bearer very-secret-token")];
    server.asked_anonymously().request(Method::GET, "/api", &headers, "").await.refused(401);
    let events = memory.events();
    assert_eq!(memory.stages(), ["ResponseStarted"], "as upstream: it never was a request of anybody");
    assert_eq!(events[0]["user"], json!({}));
    assert_eq!(events[0]["responseStatus"]["code"], 401);
    assert!(!Value::from(events).to_string().contains("very-secret"));
}

#[tokio::test]
async fn stages_that_are_omitted_are_not_told() {
    let rules = "omitStages: [RequestReceived]\nrules: [{level: Metadata}]";
    let (server, memory) = audited(rules, Mode::Blocking, None).await;
    server.get(CONFIG_MAPS).await.ok();
    assert_eq!(memory.stages(), ["ResponseComplete"]);
}

#[tokio::test]
async fn a_watch_is_told_when_it_starts_and_when_it_ends() {
    let (server, memory) = at("RequestResponse").await;
    let watch = server.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    assert_eq!(memory.stages(), ["RequestReceived", "ResponseStarted"]);
    assert_eq!(memory.last()["verb"], "watch");
    drop(watch);
    assert_eq!(memory.stages(), ["RequestReceived", "ResponseStarted", "ResponseComplete"]);
    assert!(memory.last().get("responseObject").is_none(), "what was watched is not told");
}

#[tokio::test]
async fn a_panic_is_the_last_that_is_told_of_a_request() {
    let (server, memory) = at("Metadata").await;
    let reply = server.create(CONFIG_MAPS, &fixtures::config_map("panic", "k", "v")).await;
    let sentence = "This request caused apiserver to panic. Look in the logs for details.\n";
    assert_eq!((reply.code, reply.text().as_str()), (500, sentence));
    assert_eq!(memory.stages(), ["RequestReceived", "Panic"]);
    let status = &memory.last()["responseStatus"];
    assert_eq!((&status["code"], &status["reason"]), (&json!(500), &json!("InternalError")));
    assert!(status["message"].as_str().unwrap().starts_with("APIServer panic'd: "), "{status}");
}

#[tokio::test]
async fn managed_fields_are_left_out_where_the_policy_says_so() {
    let rules = "rules: [{level: RequestResponse, omitManagedFields: true}]";
    let (server, memory) = audited(rules, Mode::Blocking, None).await;
    let created = server.create(CONFIG_MAPS, &fixtures::config_map("a", "k", "v")).await.ok();
    assert!(created["metadata"].get("managedFields").is_some(), "the client gets them");
    assert!(memory.last()["responseObject"]["metadata"].get("managedFields").is_none());
    server.get(CONFIG_MAPS).await.ok();
    assert!(!memory.last().to_string().contains("managedFields"));
}

#[tokio::test]
async fn strictness_refuses_what_cannot_be_written_down_and_blocking_only_counts_it() {
    for (mode, refused) in [(Mode::BlockingStrict, true), (Mode::Blocking, false)] {
        let (server, memory) = audited("rules: [{level: Metadata}]", mode, None).await;
        memory.fails.store(true, Ordering::SeqCst);
        let reply = server.create(CONFIG_MAPS, &fixtures::config_map("a", "k", "v")).await;
        memory.fails.store(false, Ordering::SeqCst);
        let there = server.get(&format!("{CONFIG_MAPS}/a")).await.code == 200;
        let metrics = server.get("/metrics").await.text();
        if refused {
            assert_eq!(reply.code, 500);
            assert_eq!(
                reply.text(),
                format!("Internal Server Error: \"{CONFIG_MAPS}\": failed to store audit event\n")
            );
            assert!(metrics.contains("apiserver_audit_requests_rejected_total 1"), "{metrics}");
        } else {
            reply.ok();
            assert!(metrics.contains("apiserver_audit_requests_rejected_total 0"), "{metrics}");
        }
        assert_eq!(there, !refused, "a refused request has done nothing");
        assert!(metrics.contains("apiserver_audit_error_total{plugin=\"memory\"}"), "{metrics}");
    }
}

fn batches(buffer_size: usize, max_size: usize, max_wait: Duration) -> Mode {
    Mode::Batch(BatchOptions { buffer_size, max_size, max_wait, throttle: None })
}

#[tokio::test(start_paused = true)]
async fn a_batch_leaves_when_it_is_full_or_has_waited() {
    let mode = batches(100, 3, Duration::from_secs(30));
    let (server, memory) =
        audited("rules: [{level: Metadata, omitStages: [RequestReceived]}]", mode, None).await;
    for _ in 0..4 {
        server.get("/healthz").await;
    }
    let sizes = || memory.batches.lock().iter().map(Vec::len).collect::<Vec<_>>();
    eventually("a full batch is sent", async || (sizes() == [3]).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(sizes(), [3, 1]);
}

#[tokio::test]
async fn a_backend_that_hangs_holds_up_nobody_and_what_it_cannot_take_is_counted() {
    let mode = batches(4, 1, Duration::ZERO);
    let (server, memory) = audited("rules: [{level: Metadata}]", mode, None).await;
    memory.hangs.store(true, Ordering::SeqCst);
    for _ in 0..50 {
        assert_eq!(server.get("/healthz").await.text(), "ok");
    }
    let metrics = server.get("/metrics").await.text();
    let dropped =
        metrics.lines().find_map(|l| l.strip_prefix("apiserver_audit_error_total{plugin=\"buffered\"} "));
    assert!(dropped.and_then(|n| n.parse::<u32>().ok()).is_some_and(|n| n >= 50), "{metrics}");
}

#[tokio::test]
async fn what_is_buffered_is_sent_before_the_end() {
    let (memory, metrics) = (Arc::new(Memory::default()), Metrics::default());
    let policy = b"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]";
    let mode = batches(100, 100, Duration::from_hours(1));
    let sink = Sink::new(memory.clone(), mode, None, metrics.clone());
    let audit = Arc::new(Audit::new(Policy::from_yaml(policy).unwrap(), vec![sink], metrics));
    let given = audit.clone();
    let server =
        TestServer::configured(Arc::new(Embedded::in_memory()), |config| config.audit = Some(given)).await;
    server.get("/healthz").await;
    assert!(memory.events().is_empty());
    audit.shut_down().await;
    assert_eq!(memory.stages(), ["RequestReceived", "ResponseComplete"]);
}

#[tokio::test]
async fn an_event_that_is_too_large_loses_its_bodies_and_then_itself() {
    let limit = |max_event_size| Some(TruncateOptions { max_event_size, max_batch_size: 1 << 20 });
    let big = fixtures::config_map("a", "k", &"v".repeat(5000));
    let (server, memory) = audited("rules: [{level: RequestResponse}]", Mode::Blocking, limit(2000)).await;
    server.create(CONFIG_MAPS, &big).await.ok();
    let last = memory.last();
    assert_eq!(last["annotations"]["audit.k8s.io/truncated"], "true");
    assert!(last.get("requestObject").is_none() && last.get("responseObject").is_none());
    server.get("/healthz").await;
    assert!(memory.last()["annotations"].get("audit.k8s.io/truncated").is_none());

    let (server, memory) = audited("rules: [{level: Metadata}]", Mode::BlockingStrict, limit(100)).await;
    server.create(CONFIG_MAPS, &big).await.ok();
    assert!(memory.events().is_empty());
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("apiserver_audit_error_total{plugin=\"truncate\"}"), "{metrics}");
}

/// Waits for ever before it lets an object in.
#[derive(Debug)]
struct Waits;

#[async_trait]
impl Admission for Waits {
    fn name(&self) -> &'static str {
        "Waits"
    }
    fn handles(&self, _: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Create
    }
    async fn validate(
        &self,
        _: &Context<'_>,
        _: Verb,
        object: &sampan_model::Value,
        _: Option<&sampan_model::Value>,
    ) -> Result<(), Status> {
        if object.str_at(&["metadata", "name"]) == "wait" {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_client_that_goes_away_takes_no_event_with_it() {
    let (server, memory) =
        audited("rules: [{level: Request, omitStages: [RequestReceived]}]", Mode::Blocking, None).await;
    let object = fixtures::config_map("wait", "k", "v");
    let mut request = Box::pin(server.create(CONFIG_MAPS, &object));
    assert!(futures::poll!(&mut request).is_pending());
    assert!(memory.events().is_empty());
    drop(request);
    let event = memory.last();
    assert_eq!(
        (event["stage"].as_str(), event["responseStatus"]["code"].as_i64()),
        (Some("ResponseComplete"), Some(499))
    );
    assert_eq!(event["objectRef"]["name"], "wait");
    assert_eq!(event["requestObject"]["data"]["k"], "v");
    assert_eq!(event["annotations"]["authorization.k8s.io/decision"], "allow");
    assert_eq!(memory.events().len(), 1);
}

#[tokio::test]
async fn a_request_that_fails_before_anybody_asks_who_makes_it_is_told_once() {
    let (server, memory) = at("Metadata").await;
    let reply = server.get(&format!("{CONFIG_MAPS}?timeout=5")).await;
    assert_eq!(reply.code, 400);
    let message = "invalid timeout specified in the request URL - time: missing unit in duration \"5\"";
    assert_eq!(reply.json()["message"], message);
    assert_eq!(memory.stages(), ["ResponseStarted"]);
    assert_eq!(memory.last()["responseStatus"]["message"], message);
    let wrong = [("authorization", "Bearer wrong")];
    let nobody = server.asked_anonymously();
    assert_eq!(nobody.request(Method::GET, CONFIG_MAPS, &wrong, "").await.code, 401);
    assert_eq!(memory.stages(), ["ResponseStarted", "ResponseStarted"]);
    assert_eq!(memory.last()["responseStatus"]["message"], "Unauthorized");
}

#[tokio::test]
async fn secrets_and_tokens_are_never_written_down() {
    let (server, memory) = at("RequestResponse").await;
    let secrets = "/api/v1/namespaces/default/secrets";
    server.create(secrets, &json!({"metadata": {"name": "s"}, "stringData": {"k": "hush"}})).await.ok();
    server.get(secrets).await.ok();
    server.get(&format!("{secrets}/s")).await.ok();
    let secret = format!("{secrets}/s");
    // Refusals that repeat what was sent.
    let json_type = [("content-type", "application/json")];
    let not_typed = r#"{"metadata": {"name": "t"}, "data": "hush"}"#;
    assert!(server.request(Method::POST, secrets, &json_type, not_typed).await.code >= 400);
    let no_json = r#"{"metadata": {"name": "t"}, "data": {"k": "hush""#;
    assert_eq!(server.request(Method::POST, secrets, &json_type, no_json).await.code, 400);
    let patch = server.patch(&secret, "merge-patch", &json!({"data": {"k": {"x": "hush"}}})).await;
    assert!(patch.code >= 400 && patch.text().contains("hush"), "{}", patch.text());
    server
        .create("/api/v1/namespaces/default/serviceaccounts", &json!({"metadata": {"name": "sa"}}))
        .await
        .ok();
    let review = json!({"spec": {"token": "hush"}});
    server.create("/apis/authentication.k8s.io/v1/tokenreviews", &review).await.ok();
    let request = "/api/v1/namespaces/default/serviceaccounts/sa/token";
    let made = server.create(request, &json!({"spec": {}})).await.ok();
    let token = made["status"]["token"].as_str().unwrap();
    for event in memory.events() {
        let text = event.to_string();
        assert!(!text.contains("hush") && !text.contains(token), "{text}");
    }
    let told = memory.last();
    assert_eq!(
        (told["level"].as_str(), told["responseStatus"]["code"].as_i64()),
        (Some("Metadata"), Some(201))
    );
    // The token's requests can be told from others.
    let issued = &told["annotations"]["authentication.kubernetes.io/issued-credential-id"];
    assert!(issued.as_str().is_some_and(|id| id.starts_with("JTI=")), "{told}");
    let shown = [("authorization", &*format!("Bearer {token}"))];
    server.asked_anonymously().request(Method::GET, "/api", &shown, "").await.ok();
    let extra = &memory.last()["user"]["extra"]["authentication.kubernetes.io/credential-id"];
    assert_eq!(extra, &json!([issued]));
}
