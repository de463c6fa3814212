//! A client of an API server in the test's own process, which fails as often as a test wants.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use kube::client::Body;
use sampan_testkit::TestServer;
use tower_service::Service;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<UnsyncBoxBody<Bytes, Failure>>;

/// The server, asked by the administrator over a line that may be broken.
#[derive(Clone)]
struct Line {
    server: TestServer,
    failures: Arc<AtomicUsize>,
}

impl Service<Request<Body>> for Line {
    type Response = Answer;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let next = |left: usize| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok() {
            return Box::pin(async { Err("the line is broken".into()) });
        }
        let server = self.server.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let answer = server.send(Request::from_parts(head, body)).await;
            Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
        })
    }
}

/// A client, and how many of its next requests fail.
pub(crate) fn client(server: &TestServer) -> (kube::Client, Arc<AtomicUsize>) {
    let failures = Arc::new(AtomicUsize::new(0));
    let line = Line { server: server.clone(), failures: Arc::clone(&failures) };
    (kube::Client::new(line, "default"), failures)
}

/// Where the pods of the default namespace are.
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";

/// Creates a pod that is bound to node `n1`; as the server has it.
pub(crate) async fn pod(server: &TestServer, name: &str) -> k8s_openapi::api::core::v1::Pod {
    let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "x"}]}});
    let made = server.create(PODS, &pod).await;
    assert_eq!(made.code, 201, "{}", made.text());
    serde_json::from_slice(&made.body).expect("a pod")
}
