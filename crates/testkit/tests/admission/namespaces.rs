//! NamespaceLifecycle, NamespaceAutoProvision, NamespaceExists; AlwaysDeny; DefaultIngressClass, DenyServiceExternalIPs.

use sampan_testkit::{Admitting, fixtures};
use serde_json::json;

use crate::expect;

fn maps(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

#[tokio::test]
async fn nothing_is_made_in_a_namespace_that_is_not_there() {
    let server = Admitting::default().start().await;
    let status = server.create(&maps("x"), &fixtures::config_map("a", "k", "v")).await.refused(404);
    assert_eq!(status["message"], "namespaces \"x\" not found");
}

#[tokio::test]
async fn nothing_new_comes_into_a_namespace_that_goes_and_what_is_there_may_change() {
    let server = Admitting::default().start().await;
    server.create("/api/v1/namespaces", &fixtures::namespace("x")).await.ok();
    server.create(&maps("x"), &fixtures::config_map("a", "k", "v")).await.ok();
    let accounts = "/api/v1/namespaces/x/serviceaccounts";
    server.create(accounts, &json!({"metadata": {"name": "sa"}})).await.ok();
    server
        .create("/api/v1/namespaces/x/pods", &{
            let mut pod = fixtures::pod("p");
            pod["spec"]["serviceAccountName"] = json!("sa");
            pod
        })
        .await
        .ok();
    server.delete("/api/v1/namespaces/x").await.ok();
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    let rows = [
        (maps("x"), fixtures::config_map("b", "k", "v")),
        (format!("{accounts}/sa/token"), json!({"spec": {}})),
        ("/api/v1/namespaces/x/pods/p/eviction".to_owned(), eviction),
        ("/api/v1/namespaces/x/pods/p/binding".to_owned(), binding),
    ];
    for (path, object) in rows {
        let status = server.create(&path, &object).await.refused(403);
        assert_eq!(status["details"]["causes"][0]["reason"], "NamespaceTerminating", "{path}: {status}");
    }
    let change = json!({"data": {"k": "w"}});
    server.patch(&format!("{}/a", maps("x")), "merge-patch", &change).await.ok();
}

#[tokio::test]
async fn a_namespace_is_made_with_the_first_object_in_it() {
    let server = Admitting::default().with(&["NamespaceAutoProvision", "NamespaceExists"]).start().await;
    let dry = format!("{}?dryRun=All", maps("x"));
    server.create(&dry, &fixtures::config_map("a", "k", "v")).await.ok();
    server.get("/api/v1/namespaces/x").await.refused(404);
    server.create(&maps("x"), &fixtures::config_map("a", "k", "v")).await.ok();
    let namespace = server.get("/api/v1/namespaces/x").await.ok();
    assert_eq!(namespace["status"]["phase"], "Active");
    assert_eq!(namespace["metadata"]["labels"]["kubernetes.io/metadata.name"], "x");
    assert_eq!(namespace["spec"]["finalizers"], json!(["kubernetes"]));
    server.create(&maps("x"), &fixtures::config_map("b", "k", "v")).await.ok();
}

#[tokio::test]
async fn namespace_exists_refuses_by_itself() {
    let server =
        Admitting::default().with(&["NamespaceExists"]).without(&["NamespaceLifecycle"]).start().await;
    let status = server.create(&maps("x"), &fixtures::config_map("a", "k", "v")).await.refused(404);
    assert_eq!(status["message"], "namespaces \"x\" not found");
}

#[tokio::test]
async fn always_deny_refuses_whatever_is_written() {
    let server = Admitting::default().with(&["AlwaysDeny"]).start().await;
    let reply = server.create(&maps("default"), &fixtures::config_map("a", "k", "v")).await;
    let message = "configmaps \"a\" is forbidden: admission control is denying all modifications";
    expect("create", &reply, Some(message));
    let reply = server.delete("/api/v1/namespaces/default/serviceaccounts/default").await;
    let message = "serviceaccounts \"default\" is forbidden: admission control is denying all modifications";
    expect("delete", &reply, Some(message));
}

#[tokio::test]
async fn an_ingress_without_a_class_gets_the_default_one() {
    let server = Admitting::default().start().await;
    let ingress = |name: &str, class: serde_json::Value| {
        let mut ingress = json!({
            "metadata": {"name": name},
            "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}},
        });
        if !class.is_null() {
            ingress["spec"]["ingressClassName"] = class;
        }
        ingress
    };
    let path = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    let made = server.create(path, &ingress("a", json!(null))).await.ok();
    assert_eq!(made["spec"].get("ingressClassName"), None, "there is no default");
    let class = json!({
        "metadata": {"name": "c", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
        "spec": {"controller": "example.com/c"},
    });
    server.create("/apis/networking.k8s.io/v1/ingressclasses", &class).await.ok();
    assert_eq!(server.create(path, &ingress("b", json!(null))).await.ok()["spec"]["ingressClassName"], "c");
    assert_eq!(
        server.create(path, &ingress("d", json!("own"))).await.ok()["spec"]["ingressClassName"],
        "own"
    );
}

#[tokio::test]
async fn a_service_keeps_its_external_addresses_and_gets_no_new_ones() {
    let path = "/api/v1/namespaces/default/services";
    let server = Admitting::default().with(&["DenyServiceExternalIPs"]).start().await;
    let mut service = fixtures::service("a");
    service["spec"]["externalIPs"] = json!(["192.0.2.1"]);
    let message = "services \"a\" is forbidden: Use of external IPs is denied by admission control";
    expect("new", &server.create(path, &service).await, Some(message));
    expect("none", &server.create(path, &fixtures::service("a")).await, None);
    let change = json!({"spec": {"externalIPs": ["192.0.2.1"]}});
    expect("later", &server.patch(&format!("{path}/a"), "merge-patch", &change).await, Some(message));
}
