//! Probes: whether a container has started, lives, is ready.
//!
//! `machine` counts results (pure); `target` says what a probe asks (pure); `exec`, `http`, `tcp` and `grpc` ask. The words are the kubelet's, since people search for them.

mod exec;
mod grpc;
mod http;
mod machine;
pub mod metrics;
mod target;
mod tcp;
mod tls;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};

pub(crate) use self::exec::run as run_command;
pub(crate) use self::http::{Failed as HttpFailed, get};
pub(crate) use self::machine::{Machine, Times};
pub(crate) use self::target::http_request;
use crate::container::ContainerId;
use crate::environment::expand;
use crate::runtime::Runtime;

/// The most that is kept of what a probe reads.
pub(crate) const MAX_OUTPUT_BYTES: usize = 10 << 10;

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Holds the others until it has succeeded.
    Startup,
    /// Has the container killed.
    Liveness,
    /// Takes the pod out of its services.
    Readiness,
}

impl Kind {
    /// As events and metrics write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }

    /// The probe of this kind that a container has.
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

/// What one look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All is well.
    Success,
    /// All is well, but for what is said.
    Warning(String),
    /// It is not.
    Failure(String),
    /// It could not be asked.
    Error(String),
}

/// The container that is asked.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) runtime: &'a Arc<dyn Runtime>,
    pub(crate) container: &'a Container,
    pub(crate) id: &'a ContainerId,
    /// The pod's first address, the node's on its network.
    pub(crate) address: Option<IpAddr>,
}

/// Asks once.
pub(crate) async fn ask(asked: Asked<'_>, probe: &Probe) -> Answer {
    let timeout = seconds(probe.timeout_seconds, 1);
    match ask_within(asked, probe, timeout).await {
        Ok(answer) => answer,
        Err(error) => Answer::Error(error),
    }
}

/// `Err`: it could not be asked.
async fn ask_within(asked: Asked<'_>, probe: &Probe, timeout: Duration) -> Result<Answer, String> {
    let host = || asked.address.map(|ip| ip.to_string()).unwrap_or_default();
    if let Some(action) = &probe.exec {
        let value_of = |name: &str| {
            let mut set = asked.container.env.iter().flatten().rev().filter(|e| e.name == name);
            set.find_map(|e| e.value.as_deref())
        };
        let command: Vec<_> = action.command.iter().flatten().map(|word| expand(word, value_of)).collect();
        return exec::probe(asked.runtime, asked.id, &command, timeout).await;
    }
    if let Some(action) = &probe.http_get {
        let request = http_request(action, asked.container, &host(), "kube-probe/1.36")?;
        return Ok(http::probe(&request, timeout).await);
    }
    if let Some(action) = &probe.tcp_socket {
        let port = target::port(&action.port, asked.container)?;
        let named = action.host.clone().filter(|h| !h.is_empty());
        return Ok(tcp::probe(&named.unwrap_or_else(host), port, timeout).await);
    }
    if let Some(action) = &probe.grpc {
        let port = target::number(i64::from(action.port))?;
        let service = action.service.as_deref().unwrap_or_default();
        return Ok(grpc::probe(&host(), port, service, timeout).await);
    }
    Err(format!("missing probe handler for {}:{}", asked.id.pod, asked.container.name))
}

/// A number of seconds, with the API's default for static pods.
pub(crate) fn seconds(field: Option<i32>, default: u64) -> Duration {
    let given = field.filter(|s| *s > 0).and_then(|s| u64::try_from(s).ok());
    Duration::from_secs(given.unwrap_or(default))
}

#[cfg(test)]
mod tests;
