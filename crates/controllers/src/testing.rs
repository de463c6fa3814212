//! For the tests of this crate: controllers over an API server in the test's own process, each as the user that it is in a cluster.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use kube::client::Body;
use sampan_testkit::{TestServer, user};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower_service::Service;

use crate::{Identity, Metrics, Settings};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<UnsyncBoxBody<Bytes, Failure>>;

#[derive(Clone)]
struct Line(TestServer);

impl Service<Request<Body>> for Line {
    type Response = Answer;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let server = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let answer = server.send(Request::from_parts(head, body)).await;
            Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
        })
    }
}

/// Controllers that run until this is dropped.
pub(crate) struct Running {
    pub(crate) metrics: Metrics,
    _stop: DropGuard,
}

/// Runs these controllers (as `--controllers` names them) with upstream's settings but for `change`.
pub(crate) fn run(server: &TestServer, controllers: &str, change: impl FnOnce(&mut Settings)) -> Running {
    let mut settings =
        Settings { controllers: controllers.parse().expect("controllers"), ..Settings::default() };
    change(&mut settings);
    let server = server.clone();
    let clients = move |who: Identity| {
        let groups: Vec<_> = who.groups().iter().copied().chain(["system:authenticated"]).collect();
        kube::Client::new(Line(server.asked_by(user(&who.user(), &groups))), "default")
    };
    let stop = CancellationToken::new();
    let metrics = settings.metrics.clone();
    tokio::spawn(crate::run(Arc::new(clients), settings, stop.clone()));
    Running { metrics, _stop: stop.drop_guard() }
}
