//! The audit log as a file.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use sampan_apiserver::audit::{
    Audit, Log, LogFormat, Metrics, Mode, Policy, Rotating, RotationOptions, Sink,
};
use sampan_store::embedded::Embedded;
use sampan_testkit::TestServer;
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
    TestServer::configured(Arc::new(Embedded::in_memory()), |config| config.audit = Some(audit)).await
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

#[tokio::test]
async fn a_full_disk_refuses_requests_only_where_the_mode_says_so() {
    // A device that is always full.
    for (mode, code) in [(Mode::BlockingStrict, 500), (Mode::Blocking, 200)] {
        let full = Rotating::open("/dev/full".as_ref(), RotationOptions::default(), Timestamp::now).unwrap();
        let server = server(LogFormat::Json, mode, full).await;
        assert_eq!(server.get("/healthz").await.code, code);
    }
}
