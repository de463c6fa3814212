//! Keeps a certificate good that the cluster signs: asks for the next one before it ends, writes it down, and hands it to who uses it.

use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow};
use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use jiff::Timestamp;
use kube::client::Body;
use tower_service::Service;

use super::credentials::Credentials;
use super::request::{self, Purpose, Wanted};
use crate::pki;

/// The pauses after a request that came to nothing, as the kubelet's.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(32);
/// The least between two certificates.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// The longest sleep: the clock may be set, and the machine may sleep itself.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);

/// Uses credentials from now on.
type Take = Box<dyn Fn(&Credentials) -> Result<()> + Send + Sync>;

/// A certificate that is kept good.
pub(super) struct Rotation {
    /// Asks.
    pub(super) client: kube::Client,
    pub(super) wanted: Wanted,
    /// Where it is kept.
    pub(super) file: PathBuf,
    /// The present one, if there is one.
    pub(super) current: Option<Credentials>,
    /// Uses the next one.
    pub(super) take: Take,
}

impl Rotation {
    /// Runs for good. It ends when the node has nothing any more by which the API server knows it.
    pub(super) async fn keep(mut self) -> Error {
        loop {
            if let Some(current) = &self.current {
                sleep_until(current.renewed_at(rand::random())).await;
            }
            let end = self.current.as_ref().map(|current| current.not_after);
            let next = match (end, &self.wanted.purpose) {
                (Some(end), Purpose::Client) => tokio::select! {
                    next = self.next() => next,
                    () = sleep_until(end) => {
                        return anyhow!("the node's client certificate has ended, and there is no other: start again with --bootstrap-kubeconfig");
                    }
                },
                _ => self.next().await,
            };
            self.current = Some(next);
            // One that lives for seconds only is to be renewed at once: not without end.
            tokio::time::sleep(LEAST_PAUSE).await;
        }
    }

    /// The next one, however often it takes.
    async fn next(&self) -> Credentials {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.obtain().await {
                Ok(credentials) => return credentials,
                Err(error) => {
                    let (what, error) = (self.what(), format!("{error:#}"));
                    tracing::warn!(error, "the node has no new {what} certificate yet");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn obtain(&self) -> Result<Credentials> {
        let key = pki::new_key()?;
        let name = request::ask(&self.client, &self.wanted, &key, None).await?;
        let what = self.what();
        tracing::info!(request = name, "the node asks for a {what} certificate");
        let credentials = request::wait(&self.client, &name, &key).await?;
        credentials.write(&self.file)?;
        (self.take)(&credentials)?;
        tracing::info!(request = name, until = %credentials.not_after, "the node has a new {what} certificate");
        Ok(credentials)
    }

    fn what(&self) -> &'static str {
        match self.wanted.purpose {
            Purpose::Client => "client",
            Purpose::Serving(_) => "serving",
        }
    }
}

async fn sleep_until(time: Timestamp) {
    while let Ok(left) = Duration::try_from(time.duration_since(Timestamp::now()))
        && !left.is_zero()
    {
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
    }
}

/// A client that becomes another one while it is used. What is under way (a watch) ends with the one that it began with, within minutes; the rest of that one's life is longer.
#[derive(Clone)]
pub(super) struct Exchangeable(Arc<ArcSwap<kube::Client>>);

impl Exchangeable {
    pub(super) fn new(client: kube::Client) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(client)))
    }

    /// The client that is whichever was set last.
    pub(super) fn client(&self) -> kube::Client {
        kube::Client::new(self.clone(), "default")
    }

    pub(super) fn set(&self, client: kube::Client) {
        self.0.store(Arc::new(client));
    }
}

impl Service<Request<Body>> for Exchangeable {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, kube::Error>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.0.load_full();
        async move { client.send(request).await }.boxed()
    }
}

/// A client that shows these.
pub(super) fn client_with(config: &kube::Config, credentials: &Credentials) -> Result<kube::Client> {
    let mut config = config.clone();
    let info = &mut config.auth_info;
    (info.client_certificate, info.client_key) = (None, None);
    info.client_certificate_data = Some(BASE64_STANDARD.encode(&credentials.certificate));
    info.client_key_data = Some(BASE64_STANDARD.encode(&credentials.key).into());
    kube::Client::try_from(config).context("the node's client certificate cannot be used")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Answers every request with a word.
    struct Says(&'static str);

    impl Service<Request<Body>> for Says {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            std::future::ready(Ok(Response::new(Body::from(self.0.as_bytes().to_vec()))))
        }
    }

    fn says(word: &'static str) -> kube::Client {
        kube::Client::new(Says(word), "default")
    }

    #[tokio::test]
    async fn a_client_becomes_another_one_while_it_is_used() {
        let exchangeable = Exchangeable::new(says("old"));
        let client = exchangeable.client();
        let ask = async || {
            let request = Request::get("/version").body(Vec::new()).unwrap();
            client.request_text(request).await.unwrap()
        };
        assert_eq!(ask().await, "old");
        exchangeable.set(says("new"));
        assert_eq!(ask().await, "new");
    }
}
