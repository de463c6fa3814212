//! The scheduler: finds a node for each pod that has none, and binds it. An ordinary client of the API; it knows nothing of the server, nor of what runs the pods.
//!
//! In the order in which a pod meets them: `source` (watches), `queue` (whose turn it is), `snapshot` (what nodes have and what is taken of it), `filter` (where it
//! fits), `score` (where it fits best), `binding` (tells the API). `state` holds queue and snapshot together and does no I/O; [`run`] carries out what it says.

mod binding;
mod decision;
mod events;
mod filter;
mod metrics;
mod node;
mod pod;
mod queue;
mod scheduler;
mod score;
mod snapshot;
mod source;
mod state;
#[cfg(test)]
mod testing;

use std::time::Duration;

pub use metrics::Metrics;
pub use scheduler::run;

/// The name by which pods ask for this scheduler, unless they say otherwise.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// How the scheduler works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `schedulerName` of the pods that are its own.
    pub scheduler_name: String,
    /// Who reports events besides the name: upstream's is `default-scheduler-HOSTNAME`.
    pub instance: String,
    /// How long a pod waits after its first failure, and at most: `podInitialBackoffSeconds`, `podMaxBackoffSeconds`.
    pub initial_backoff: Duration,
    /// See `initial_backoff`.
    pub max_backoff: Duration,
    /// After this time a pod that fits nowhere is tried again without any event: `pod-max-in-unschedulable-pods-duration`.
    pub max_unschedulable: Duration,
    /// How many of the nodes are looked at in a large cluster: `percentageOfNodesToScore`; 0 means as upstream chooses.
    pub percentage_of_nodes_to_score: u32,
    /// What is counted.
    pub metrics: Metrics,
}

impl Settings {
    /// Upstream's defaults, on this machine.
    pub fn new(hostname: &str) -> Self {
        Self {
            scheduler_name: DEFAULT_SCHEDULER.into(),
            instance: format!("{DEFAULT_SCHEDULER}-{hostname}"),
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(10),
            max_unschedulable: Duration::from_mins(5),
            percentage_of_nodes_to_score: 0,
            metrics: Metrics::default(),
        }
    }
}
