//! Controllers: each makes the objects of the cluster what others say they should be. Ordinary clients of the API; they know nothing of the server, nor of each other.
//!
//! One file a controller: what is to be done is planned by a pure function, and carried out with the rights of the controller's own service account. What they look at comes
//! from watches that they share (`informer`); whose turn it is, and when what failed is tried again, from a queue of their own (`work_queue`).

mod certificates;
mod events;
mod informer;
mod manager;
mod metrics;
mod node_lifecycle;
mod pod_garbage_collector;
mod root_ca_publisher;
mod selection;
mod service_account;
mod taint_eviction;
mod taints;
#[cfg(test)]
mod testing;
mod work_queue;

use std::sync::Arc;
use std::time::Duration;

pub use certificates::{Authority, Order};
pub use manager::{Clients, Identity, run};
pub use metrics::Metrics;
pub use node_lifecycle::Settings as NodeLifecycleSettings;
pub use selection::{Selection, UnknownController};

/// How the controllers work.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which of them run: `--controllers`.
    pub controllers: Selection,
    /// The certificates by which pods know the API server, as PEM: `--root-ca-file`. Without them nothing is published.
    pub root_ca: Option<String>,
    /// Signs certificates for those who ask. Without it none is signed.
    pub authority: Option<Arc<dyn Authority>>,
    /// How long certificates live at most: `--cluster-signing-duration`.
    pub signing_duration: Duration,
    /// So many pods that have ended may stay: `--terminated-pod-gc-threshold`; 0: all.
    pub terminated_pod_threshold: usize,
    /// How long a pod's node may be missing before the pod is collected: upstream's `quarantineTime`.
    pub missing_node_quarantine: Duration,
    /// When a node counts as gone, and how fast its pods may be evicted.
    pub node_lifecycle: NodeLifecycleSettings,
    /// What is counted.
    pub metrics: Metrics,
}

impl Default for Settings {
    /// Upstream's.
    fn default() -> Self {
        Self {
            controllers: Selection::default(),
            root_ca: None,
            authority: None,
            signing_duration: Duration::from_hours(365 * 24),
            terminated_pod_threshold: 12_500,
            missing_node_quarantine: Duration::from_secs(40),
            node_lifecycle: NodeLifecycleSettings::default(),
            metrics: Metrics::default(),
        }
    }
}
