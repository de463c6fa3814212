//! Against the API server of the testkit, in this process.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use k8s_openapi::api::core::v1::Pod;
use kube::client::Body;
use sampan_testkit::{TestServer, eventually, user};
use serde_json::{Value, json};
use tower_service::Service;

use super::*;
use crate::container::{ContainerId, PodUid};
use crate::pods::parts::{NodeFacts, Sources as _, VolumeError, Volumes};

/// A client of a test's server, as whom it is asked by.
pub(crate) fn client(server: TestServer) -> Client {
    Client::new(As(server), "default")
}

struct As(TestServer);

impl Service<Request<Body>> for As {
    type Response = Response<UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let server = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.expect("kube's own body can be read").to_bytes();
            let answer = server.send(Request::from_parts(parts, body)).await;
            Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
        })
    }
}

/// A client that is the node `n1`.
pub(crate) fn client_of_node(server: &TestServer) -> Client {
    client(server.asked_by(user("system:node:n1", &["system:nodes", "system:authenticated"])))
}

/// Creates an object, which has to work.
pub(crate) async fn create(server: &TestServer, path: &str, object: &Value) -> Value {
    let reply = server.create(path, object).await;
    assert!(reply.code < 300, "{path}: {}", String::from_utf8_lossy(&reply.body));
    serde_json::from_slice(&reply.body).unwrap()
}

pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(crate) const SECRETS: &str = "/api/v1/namespaces/default/secrets";

pub(crate) fn config_map(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

#[tokio::test]
async fn an_object_is_watched_once_and_only_while_somebody_uses_it() {
    let server = TestServer::start().await;
    let objects = Objects::new(client(server.clone()));
    let (left, right) = (objects.config_map("default", "m"), objects.config_map("default", "m"));
    assert!(Arc::ptr_eq(&left, &right));
    assert_eq!(left.get().await, Ok(None));
    create(&server, CONFIG_MAPS, &config_map("m", &json!({"a": "1"}))).await;
    let mut changes = right.changes();
    changes.wait_for(|state| matches!(state, followed::State::Present(_))).await.unwrap();
    assert_eq!(left.get().await.unwrap().unwrap().data.as_ref().unwrap()["a"], "1");
    drop(left);
    assert!(changes.has_changed().is_ok(), "the other user still has it");
    drop(right);
    assert!(changes.changed().await.is_err(), "the watch has ended");
}

#[tokio::test]
async fn what_is_immutable_is_not_watched_on() {
    let server = TestServer::start().await;
    let objects = Objects::new(client(server.clone()));
    let mut map = config_map("m", &json!({"a": "1"}));
    map["immutable"] = true.into();
    create(&server, CONFIG_MAPS, &map).await;
    let followed = objects.config_map("default", "m");
    assert!(followed.get().await.unwrap().is_some());
    assert!(followed.changes().changed().await.is_err(), "the watch has ended");
    assert!(followed.get().await.unwrap().is_some(), "what it told is still known");
}

#[tokio::test]
async fn a_node_that_may_not_see_an_object_says_so_as_the_kubelet_does() {
    let server = TestServer::start().await;
    let objects = Objects::new(client_of_node(&server));
    let told = objects.secret("default", "s").get().await.unwrap_err();
    assert_eq!(told, "failed to sync secret cache: timed out waiting for the condition");
}

/// Volumes that are there already.
struct At(PathBuf);

#[async_trait]
impl Volumes for At {
    async fn mount(&self, _: &Pod) -> Result<(), VolumeError> {
        Ok(())
    }
    async fn update(&self, _: &Pod) {}
    fn path(&self, _: &PodUid, volume: &str) -> Option<PathBuf> {
        (volume == "files").then(|| self.0.clone())
    }
    async fn sub_path(&self, _: &ContainerId, _: usize, _: &str, _: &str) -> Result<PathBuf, String> {
        Err("none".into())
    }
    async fn unmount(&self, _: &PodUid) -> Result<(), VolumeError> {
        Ok(())
    }
}

fn pod(changes: &Value) -> Pod {
    let mut pod = json!({"metadata": {"name": "p", "namespace": "default", "uid": "u1"},
        "spec": {"enableServiceLinks": true, "containers": [{"name": "c"}]}});
    for (key, value) in changes.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    serde_json::from_value(pod).unwrap()
}

#[tokio::test]
async fn an_environment_is_fetched_from_objects_services_and_files() {
    let server = TestServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("env"), "F='file'\n").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", directory.path().join("out")).unwrap();
    let objects = Objects::new(client(server.clone()));
    let volumes = Arc::new(At(directory.path().to_owned()));
    let fetcher = Fetcher::new(&objects, volumes, Arc::new(NodeFacts::default()));
    create(&server, CONFIG_MAPS, &config_map("m", &json!({"a": "1"}))).await;
    let service = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}})
    };
    create(&server, "/api/v1/namespaces/default/services", &service("web")).await;
    let file = |path: &str| {
        json!({"containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "m"}}], "env": [
            {"name": "F", "valueFrom": {"fileKeyRef": {"volumeName": "files", "path": path, "key": "F"}}},
            {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": true}}}]}]})
    };
    let ask = async |path: &str| {
        let pod = pod(&file(path));
        fetcher.environment(&pod, &pod.spec.as_ref().unwrap().containers[0], &[]).await
    };
    let told = ask("env").await.unwrap().variables;
    let has = |name: &str, value: &str| told.contains(&(name.to_owned(), value.to_owned()));
    assert!(has("a", "1") && has("F", "file") && has("WEB_SERVICE_PORT", "80"), "{told:?}");
    assert!(!told.iter().any(|(name, _)| name == "S"));
    let told = ask("none").await.unwrap_err();
    assert_eq!(told, "environment variable key \"F\" not found in file \"none\" of volume \"files\"");
    let told = ask("out").await.unwrap_err();
    assert!(told.starts_with("failed to read file \"out\" of volume \"files\""), "{told}");

    // Services are watched, so a new one is told of without a new list.
    create(&server, "/api/v1/namespaces/default/services", &service("late")).await;
    eventually("the new service is told of", || async {
        ask("env").await.unwrap().variables.iter().any(|(name, _)| name == "LATE_SERVICE_HOST").then_some(())
    })
    .await;
}

#[tokio::test]
async fn credentials_come_from_the_pull_secrets_that_are_there() {
    let server = TestServer::start().await;
    let objects = Objects::new(client(server.clone()));
    let fetcher = Fetcher::new(&objects, Arc::new(At(PathBuf::new())), Arc::new(NodeFacts::default()));
    let config =
        json!({"auths": {"quay.io": {"username": "u", "password": "p", "auth": "dTpw"}}}).to_string();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": config}});
    create(&server, SECRETS, &secret).await;
    let pod = pod(&json!({"imagePullSecrets": [{"name": "none"}, {"name": "s"}]}));
    let found = fetcher.pull_credentials(&pod, "quay.io/a/b:1").await;
    assert_eq!((found.len(), found[0].user.as_str(), found[0].password.as_str()), (1, "u", "p"));
    assert!(fetcher.pull_credentials(&pod, "ghcr.io/a/b:1").await.is_empty());
}
