//! Tells of pods: the API, events by the recorder and statuses by their writer; and the roster, for who asks the node itself.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodStatus};

use crate::events::Recorder;
use crate::pods::parts::{Kind, Reporter};
use crate::pods::roster::Roster;
use crate::status_writer::StatusWriter;

/// The reporter of a node.
#[derive(Clone)]
pub struct ApiReporter {
    /// Takes events.
    pub events: Recorder,
    /// Takes statuses and ends.
    pub statuses: StatusWriter,
    /// Shows the newest status.
    pub roster: Arc<Roster>,
}

impl Reporter for ApiReporter {
    fn event(&self, pod: &Pod, container: Option<&str>, kind: Kind, reason: &str, message: &str) {
        self.events.event(pod, container, kind, reason, message);
    }

    fn status(&self, pod: &Pod, status: PodStatus) {
        self.roster.told(pod, &status);
        self.statuses.status(pod, status);
    }

    fn gone(&self, pod: &Pod) {
        self.statuses.gone(pod);
    }
}
