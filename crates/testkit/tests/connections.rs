//! Connections by way of an object (exec, attach, port-forward, proxy), up to where a node would be needed.

use std::sync::Arc;

use async_trait::async_trait;
use http::Method;
use parking_lot::Mutex;
use sampan_apiserver::admission::{Admission, Plugins};
use sampan_apiserver::{Context, Verb};
use sampan_model::{Status, Value};
use sampan_store::embedded::Embedded;
use sampan_testkit::{Admitting, Reply, TestServer, fixtures, user};
use serde_json::json;

const PODS: &str = "/api/v1/namespaces/default/pods";

/// Writes down the options of connections, and refuses those of one pod.
#[derive(Debug, Clone, Default)]
struct Watching(Arc<Mutex<Vec<serde_json::Value>>>);

#[async_trait]
impl Admission for Watching {
    fn name(&self) -> &'static str {
        "Watching"
    }
    fn handles(&self, _: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Connect
    }
    async fn validate(
        &self,
        cx: &Context<'_>,
        _: Verb,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        assert!(old.is_none());
        let options: serde_json::Value = serde_json::from_str(&object.to_json()).unwrap();
        self.0.lock().push(json!({"of": cx.name, "subresource": cx.subresource, "options": options}));
        if cx.name == "guarded" {
            return Err(Status::forbidden(&cx.resource.group_resource(), cx.name, "it is guarded"));
        }
        Ok(())
    }
}

async fn ask(server: &TestServer, method: Method, path: &str) -> Reply {
    server.request(method, path, &[], "").await
}

async fn pods(server: &TestServer) {
    for name in ["waits", "guarded", "runs"] {
        let mut pod = fixtures::pod(name);
        if name == "runs" {
            pod["spec"]["nodeName"] = "n".into();
        }
        server.create(PODS, &pod).await.ok();
    }
}

#[tokio::test]
async fn admission_sees_the_options_of_a_connection_and_may_refuse_it() {
    let seen = Watching::default();
    let plugin = seen.clone();
    let server = TestServer::configured(Arc::new(Embedded::in_memory()), |config| {
        config.admission = Plugins::new(vec![Arc::new(plugin)]);
    })
    .await;
    pods(&server).await;
    server.create("/api/v1/namespaces/default/services", &fixtures::service("web")).await.ok();
    let api = "/api/v1";
    let rows = [
        (
            "runs/exec?command=ls&command=-l&stdout=true",
            json!({"of": "runs", "subresource": "exec", "options": {"kind": "PodExecOptions", "apiVersion": "v1", "command": ["ls", "-l"], "stdout": true}}),
        ),
        (
            "runs/attach?stdin=1",
            json!({"of": "runs", "subresource": "attach", "options": {"kind": "PodAttachOptions", "apiVersion": "v1", "stdin": true}}),
        ),
        (
            "runs/portforward?ports=80",
            json!({"of": "runs", "subresource": "portforward", "options": {"kind": "PodPortForwardOptions", "apiVersion": "v1", "ports": [80]}}),
        ),
        (
            "runs:8080/proxy/a/b/",
            json!({"of": "runs:8080", "subresource": "proxy", "options": {"kind": "PodProxyOptions", "apiVersion": "v1", "path": "/a/b/"}}),
        ),
    ];
    for (path, want) in rows {
        let reply = ask(&server, Method::POST, &format!("{PODS}/{path}")).await;
        assert_eq!(reply.code, 501, "{path}: {}", reply.text());
        assert_eq!(seen.0.lock().pop(), Some(want), "{path}");
    }
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
        let path = format!("{api}/namespaces/default/services/https:web:443/proxy");
        assert_eq!(ask(&server, method.clone(), &path).await.code, 501, "{method}");
        let want = json!({"of": "https:web:443", "subresource": "proxy", "options": {"kind": "ServiceProxyOptions", "apiVersion": "v1"}});
        assert_eq!(seen.0.lock().pop(), Some(want), "{method}");
    }
    let refused = ask(&server, Method::POST, &format!("{PODS}/guarded/exec")).await;
    let status = refused.refused(403);
    assert_eq!(status["message"], "pods \"guarded\" is forbidden: it is guarded");
    // A log is read, not connected to.
    seen.0.lock().clear();
    assert_eq!(ask(&server, Method::GET, &format!("{PODS}/waits/log")).await.code, 204);
    assert!(seen.0.lock().is_empty());
}

#[tokio::test]
async fn what_cannot_be_connected_to_is_told_in_upstreams_words() {
    let server = TestServer::start().await;
    pods(&server).await;
    let rows = [
        (Method::POST, "pods/waits/exec?command=ls", 400, "pod waits does not have a host assigned"),
        (Method::GET, "pods/waits/portforward", 400, "pod waits does not have a host assigned"),
        (Method::POST, "pods/runs/exec?container=x", 400, "container x is not valid for pod runs"),
        (Method::POST, "pods/none/attach", 404, "pods \"none\" not found"),
        (Method::POST, "pods/runs/exec?dryRun=All", 400, "dryRun is not supported"),
        (
            Method::POST,
            "pods/runs/portforward?ports=x",
            400,
            "cannot convert to []int32: strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
        (Method::POST, "pods/runs/exec/more", 404, "the server could not find the requested resource"),
        (
            Method::DELETE,
            "pods/runs/exec",
            405,
            "the server does not allow this method on the requested resource",
        ),
        (Method::GET, "services/none:80/proxy/x", 404, "services \"none\" not found"),
        (Method::GET, "services/a:b:c:d/proxy/", 400, "invalid service request \"a:b:c:d\""),
        (
            Method::POST,
            "pods/runs/exec?command=ls",
            501,
            "exec needs a connection to nodes, which this server does not have",
        ),
    ];
    for (method, path, code, message) in rows {
        let reply = ask(&server, method, &format!("/api/v1/namespaces/default/{path}")).await;
        assert_eq!((reply.code, &reply.json()["message"]), (code, &json!(message)), "{path}");
    }
}

#[tokio::test]
async fn who_may_only_get_may_not_exec_by_a_websocket() {
    let server = TestServer::start().await;
    pods(&server).await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    for (who, verbs) in [("reader", json!(["get"])), ("writer", json!(["get", "create"]))] {
        let rules = json!([{"apiGroups": [""], "resources": ["pods/exec", "pods/proxy"], "verbs": verbs}]);
        let role = json!({"metadata": {"name": who}, "rules": rules});
        server.create(&format!("{rbac}/roles"), &role).await.ok();
        let binding = json!({
            "metadata": {"name": who},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": who},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": who}],
        });
        server.create(&format!("{rbac}/rolebindings"), &binding).await.ok();
    }
    let reply = |who: &'static str, path: &'static str| {
        let server = server.asked_by(user(who, &["system:authenticated"]));
        async move { ask(&server, Method::GET, &format!("{PODS}/{path}")).await }
    };
    let refused = reply("reader", "runs/exec").await;
    assert_eq!(refused.refused(403)["message"], "pods \"runs\" is forbidden: ");
    assert_eq!(reply("writer", "runs/exec").await.code, 501);
    assert_eq!(reply("reader", "runs/proxy").await.code, 501, "a proxy's methods are its verbs");
    assert_eq!(reply("stranger", "runs/exec").await.code, 403);
    assert_eq!(reply("stranger", "none/exec").await.code, 403, "authorization comes first");
}

#[tokio::test]
async fn the_plugin_that_refuses_everything_refuses_connections() {
    let server = Admitting::default().with(&["AlwaysDeny"]).start().await;
    let reply = ask(&server, Method::POST, &format!("{PODS}/any/exec")).await;
    let message = &reply.refused(403)["message"];
    assert_eq!(message, "pods \"any\" is forbidden: admission control is denying all modifications");
    let metrics = server.get("/metrics").await.text();
    let line = "apiserver_admission_controller_admission_duration_seconds_count{name=\"AlwaysDeny\",operation=\"CONNECT\",rejected=\"true\",type=\"admit\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}
