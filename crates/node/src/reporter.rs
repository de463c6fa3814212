//! Tells the API of pods: events by the recorder, statuses by their writer.

use k8s_openapi::api::core::v1::{Pod, PodStatus};

use crate::events::Recorder;
use crate::pods::parts::{Kind, Reporter};
use crate::status_writer::StatusWriter;

/// The reporter of a node.
#[derive(Clone)]
pub struct ApiReporter {
    /// Takes events.
    pub events: Recorder,
    /// Takes statuses and ends.
    pub statuses: StatusWriter,
}

impl Reporter for ApiReporter {
    fn event(&self, pod: &Pod, container: Option<&str>, kind: Kind, reason: &str, message: &str) {
        self.events.event(pod, container, kind, reason, message);
    }

    fn status(&self, pod: &Pod, status: PodStatus) {
        self.statuses.status(pod, status);
    }

    fn gone(&self, pod: &Pod) {
        self.statuses.gone(pod);
    }
}
