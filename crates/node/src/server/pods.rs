//! What the server asks of whoever keeps the pods of this node.

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use crate::container::PodUid;

/// Knows the pods of this node.
pub trait Pods: Send + Sync + 'static {
    /// All of them, with the newest status.
    fn list(&self) -> Vec<Arc<Pod>>;

    /// The pod of that name.
    fn find(&self, namespace: &str, name: &str) -> Option<Found>;
}

/// A pod of this node.
#[derive(Clone)]
pub struct Found {
    /// The pod, with the newest status.
    pub pod: Arc<Pod>,
    /// Its sandbox. That of a static pod is not the UID that the API knows.
    pub uid: PodUid,
    /// Where its containers' logs are: `CONTAINER/ATTEMPT.log`.
    pub log_directory: PathBuf,
}

impl Found {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    /// `NAME_NAMESPACE`, as the kubelet calls it in some of its texts.
    pub(super) fn full_name(&self) -> String {
        format!("{}_{}", self.name(), self.pod.metadata.namespace.as_deref().unwrap_or_default())
    }

    /// Whether its specification has a container of that name, and if so whether it has a terminal.
    pub(super) fn terminal_of(&self, container: &str) -> Option<bool> {
        let spec = self.pod.spec.as_ref()?;
        let usual = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        let usual = usual.map(|c| (c.name.as_str(), c.tty));
        let ephemeral = spec.ephemeral_containers.iter().flatten().map(|c| (c.name.as_str(), c.tty));
        let (_, tty) = usual.chain(ephemeral).find(|(name, _)| *name == container)?;
        Some(tty.unwrap_or(false))
    }
}
