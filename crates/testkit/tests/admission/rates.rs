//! EventRateLimit.

use sampan_testkit::{Admitting, Reply, TestServer, user};
use serde_json::{Value, json};

async fn limited(limit: Value) -> TestServer {
    let configuration = json!({
        "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration", "limits": [limit],
    });
    Admitting::default().with(&["EventRateLimit"]).configured("EventRateLimit", configuration).start().await
}

async fn tell(server: &TestServer, namespace: &str, name: &str, about: &str) -> Reply {
    let event = json!({
        "metadata": {"name": name}, "reason": "r", "source": {"component": "c", "host": "h"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": about, "namespace": namespace, "uid": "u"},
    });
    server.create(&format!("/api/v1/namespaces/{namespace}/events"), &event).await
}

#[tokio::test]
async fn too_many_events_are_refused_with_429_by_what_they_share() {
    // type, key of the refusal, and what may still be told: by another user, in another namespace, of another object
    let rows = [
        ("Server", "", [false, false, false]),
        ("Namespace", "default", [false, true, false]),
        ("User", "kubernetes-admin", [true, false, false]),
        ("SourceAndObject", "chPoddefaultauv1", [false, true, true]),
    ];
    for (kind, key, others) in rows {
        let server = limited(json!({"type": kind, "qps": 1, "burst": 2})).await;
        for name in ["a", "b"] {
            tell(&server, "default", name, "a").await.ok();
        }
        let status = tell(&server, "default", "c", "a").await.refused(429);
        assert_eq!(status["message"], format!("limit reached on type {kind} for key {key}"));
        assert_eq!(status["reason"], "TooManyRequests");
        let another = server.asked_by(user("other", &["system:masters"]));
        let replies = [
            tell(&another, "default", "d", "a").await.code == 201,
            tell(&server, "kube-system", "e", "a").await.code == 201,
            tell(&server, "default", "f", "b").await.code == 201,
        ];
        assert_eq!(replies, others, "{kind}");
    }
}

#[tokio::test]
async fn other_kinds_are_not_limited() {
    let server = limited(json!({"type": "Server", "qps": 1, "burst": 1})).await;
    for i in 0..5 {
        let map = json!({"metadata": {"name": format!("m{i}")}});
        server.create("/api/v1/namespaces/default/configmaps", &map).await.ok();
    }
}
