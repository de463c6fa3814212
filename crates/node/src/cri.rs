//! The container runtime interface (`runtime.v1`) as a protocol: messages, and calls over a Unix socket.
//!
//! It knows neither pods nor images of the node: `runtime::cri` and `image::cri` translate. There is no generated code: the published
//! crates need `protoc` and a gRPC framework at build time, and only a part of the interface is used.

mod grpc;
#[allow(clippy::struct_excessive_bools, clippy::struct_field_names, reason = "the protocol names its fields")]
pub(crate) mod messages;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use grpc::{Answers, Code, Status};

use grpc::Channel;

/// How long a call may take (the kubelet's `runtimeRequestTimeout`).
pub(crate) const TIMEOUT: Duration = Duration::from_mins(2);

/// A request, with the method that takes it.
pub(crate) trait Call: prost::Message {
    /// `/package.Service/Method`.
    const METHOD: &'static str;
    /// What it answers.
    type Answer: prost::Message + Default;
}

/// Where a runtime listens. Clones are the same connection, which is made when it is needed, and made anew when it broke.
#[derive(Clone)]
pub struct Client(Arc<Channel>);

/// An endpoint that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no endpoint of a container runtime: it has the form unix:///run/containerd/containerd.sock"
)]
pub struct BadEndpoint(pub String);

impl Client {
    /// `unix:///PATH`, or a path alone. Nothing is connected to yet.
    pub fn new(endpoint: &str) -> Result<Self, BadEndpoint> {
        let path = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
        let path = PathBuf::from(path);
        if !path.is_absolute() {
            return Err(BadEndpoint(endpoint.to_owned()));
        }
        Ok(Self(Arc::new(Channel::new(path))))
    }

    /// Calls, and gives up after the usual time.
    pub(crate) async fn ask<C: Call>(&self, request: C) -> Result<C::Answer, Status> {
        self.ask_within(request, TIMEOUT).await
    }

    /// Calls, and gives up after this time.
    pub(crate) async fn ask_within<C: Call>(
        &self,
        request: C,
        timeout: Duration,
    ) -> Result<C::Answer, Status> {
        match tokio::time::timeout(timeout, self.0.call(C::METHOD, &request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Status::new(Code::DeadlineExceeded, "context deadline exceeded")),
        }
    }

    /// Calls, however long it takes.
    pub(crate) async fn ask_patiently<C: Call>(&self, request: C) -> Result<C::Answer, Status> {
        self.0.call(C::METHOD, &request).await
    }

    /// Begins a call that is answered again and again.
    pub(crate) async fn follow<C: Call>(&self, request: C) -> Result<Answers<C::Answer>, Status> {
        self.0.stream(C::METHOD, &request).await
    }
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
