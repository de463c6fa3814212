//! The audit log as a file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sampan_apiserver::audit::{
    Audit, BatchOptions, Log, LogFormat, Metrics, Mode, Policy, Rotating, RotationOptions, Sink,
};
use sampan_store::embedded::Embedded;
use sampan_testkit::{TestServer, eventually};
use serde_json::Value;

fn path(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("sampan-audit-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    dir.join("audit.log")
}

async fn server(format: LogFormat, mode: Mode, file: Rotating) -> TestServer {
    let policy = b"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]";
    let metrics = Metrics::default();
    let sink = Sink::new(Arc::new(Log::file(format, file)), mode, None, metrics.clone());
    let audit = Arc::new(Audit::new(Policy::from_yaml(policy).unwrap(), vec![sink], metrics));
    let store = Arc::new(Embedded::in_memory());
    TestServer::configured(store, |config| config.audit = Some(audit)).await
}

#[tokio::test]
async fn each_event_is_one_line_of_json() {
    let path = path("json");
    let file = Rotating::open(&path, RotationOptions::default(), Timestamp::now).unwrap();
    let server = server(LogFormat::Json, Mode::Blocking, file).await;
    server.get("/api/v1/namespaces/default/configmaps").await.ok();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\","), "{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["auditID"], lines[1]["auditID"]);
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn the_older_form_has_the_most_important_fields() {
    let path = path("legacy");
    let file = Rotating::open(&path, RotationOptions::default(), Timestamp::now).unwrap();
    let server = server(LogFormat::Legacy, Mode::Blocking, file).await;
    let headers = [("audit-id", "my-id"), ("x-real-ip", "10.0.0.1")];
    let uri = "/api/v1/namespaces/default/configmaps?limit=1";
    server.request(http::Method::GET, uri, &headers, "").await.ok();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    let line = |stage: &str, response: &str| {
        format!(
            "AUDIT: id=\"my-id\" stage=\"{stage}\" ip=\"10.0.0.1\" method=\"list\" user=\"kubernetes-admin\" \
             groups=\"\\\"system:masters\\\",\\\"system:authenticated\\\"\" as=\"<self>\" asgroups=\"<lookup>\" \
             user-agent=\"testkit/1\" namespace=\"default\" uri=\"{uri}\" response=\"{response}\""
        )
    };
    assert_eq!(lines, [line("RequestReceived", "<deferred>"), line("ResponseComplete", "200")]);
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

/// The modes of `--audit-log-mode`.
#[tokio::test]
async fn a_full_disk_refuses_requests_only_where_the_mode_says_so() {
    let batch =
        BatchOptions { buffer_size: 100, max_size: 1, max_wait: Duration::from_secs(30), throttle: None };
    let refused =
        "Internal Server Error: \"/api/v1/namespaces/default/configmaps\": failed to store audit event\n";
    let rows = [
        ("blocking-strict", Mode::BlockingStrict, 500),
        ("blocking", Mode::Blocking, 201),
        ("batch", Mode::Batch(batch), 201),
    ];
    for (name, mode, code) in rows {
        // A device that is always full.
        let full = Rotating::open("/dev/full".as_ref(), RotationOptions::default(), Timestamp::now).unwrap();
        let server = server(LogFormat::Json, mode, full).await;
        let object = sampan_testkit::fixtures::config_map("a", "k", "v");
        let reply = server.create("/api/v1/namespaces/default/configmaps", &object).await;
        assert_eq!(reply.code, code, "{name}");
        assert!(reply.headers.contains_key("audit-id"), "{name}");
        let stored = server.server().registry().store().snapshot();
        let is_stored = stored.get("/registry/configmaps/default/a").is_some();
        assert_eq!(is_stored, code == 201, "{name}: what is refused is not done");
        if code == 500 {
            assert_eq!(reply.text(), refused, "{name}");
            assert_eq!(reply.headers["content-type"], "text/plain; charset=utf-8", "{name}");
            continue;
        }
        let server = &server;
        eventually("the lost events are counted", || async move {
            let text = server.get("/metrics").await.text();
            text.contains("apiserver_audit_error_total{plugin=\"log\"}").then_some(())
        })
        .await;
    }
}
