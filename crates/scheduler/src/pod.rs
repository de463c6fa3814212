//! What the scheduler knows of a pod: read once from the object, so that decisions parse nothing. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec, Toleration};
use sampan_placement::resources::requests;
use sampan_placement::{HostPort, NonZero, Required, Resources, Term};

/// The UID of a pod.
pub(crate) type Uid = Arc<str>;

/// What a pod asks of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Demands {
    pub(crate) requests: Resources,
    pub(crate) non_zero: NonZero,
    pub(crate) ports: Vec<HostPort>,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) required: Required,
    /// Terms of node affinity that would be nice, with their weights.
    pub(crate) preferred: Vec<(i64, Term)>,
    /// Images of all its containers, as nodes name them.
    pub(crate) images: Vec<String>,
}

/// The condition `PodScheduled` as it stands in the status.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) observed_generation: Option<i64>,
}

/// A pod, as the scheduler sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodInfo {
    pub(crate) uid: Uid,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) resource_version: Option<String>,
    pub(crate) generation: Option<i64>,
    pub(crate) created: Option<Timestamp>,
    pub(crate) scheduler_name: String,
    pub(crate) node: Option<Arc<str>>,
    pub(crate) priority: i32,
    pub(crate) gated: bool,
    /// Its deletion has begun.
    pub(crate) terminating: bool,
    /// It has succeeded or failed: it takes nothing of its node any more.
    pub(crate) ended: bool,
    pub(crate) told: Option<Told>,
    pub(crate) demands: Demands,
}

impl PodInfo {
    /// Reads a pod; `None` for one without an identity, which a server never sends.
    pub(crate) fn new(pod: &Pod) -> Option<Self> {
        let meta = &pod.metadata;
        let spec = pod.spec.as_ref()?;
        let status = pod.status.as_ref();
        let is = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
        let condition =
            status.and_then(|s| s.conditions.iter().flatten().find(|c| c.type_ == "PodScheduled"));
        Some(Self {
            uid: meta.uid.as_deref()?.into(),
            namespace: meta.namespace.clone()?,
            name: meta.name.clone()?,
            resource_version: meta.resource_version.clone(),
            generation: meta.generation,
            created: meta.creation_timestamp.as_ref().map(|t| t.0),
            scheduler_name: is(&spec.scheduler_name).unwrap_or_else(|| crate::DEFAULT_SCHEDULER.into()),
            node: is(&spec.node_name).map(Into::into),
            priority: spec.priority.unwrap_or_default(),
            gated: spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()),
            terminating: meta.deletion_timestamp.is_some(),
            ended: matches!(status.and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed")),
            told: condition.map(|c| Told {
                status: c.status.clone(),
                reason: c.reason.clone().unwrap_or_default(),
                message: c.message.clone().unwrap_or_default(),
                observed_generation: c.observed_generation,
            }),
            demands: demands(pod, spec),
        })
    }

    /// Whether another version of the same pod may be scheduled otherwise.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        self.gated != other.gated || self.priority != other.priority || self.demands != other.demands
    }

    /// Without what only matters until it has a node: of most pods nothing else is asked any more.
    pub(crate) fn placed(mut self) -> Self {
        let Demands { requests, non_zero, ports, .. } = self.demands;
        self.demands = Demands { requests, non_zero, ports, ..Demands::default() };
        self.told = None;
        self
    }
}

fn demands(pod: &Pod, spec: &PodSpec) -> Demands {
    let (requests, non_zero) = requests(pod);
    let affinity = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let preferred = affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
    let init = spec.init_containers.iter().flatten();
    let volumes = spec.volumes.iter().flatten();
    let mounted = volumes.filter_map(|v| v.image.as_ref()?.reference.as_deref());
    let images = spec.containers.iter().chain(init).filter_map(|c| c.image.as_deref()).chain(mounted);
    Demands {
        requests,
        non_zero,
        ports: HostPort::of(spec),
        tolerations: spec.tolerations.clone().unwrap_or_default(),
        required: Required::of(spec),
        preferred: preferred
            .into_iter()
            .flatten()
            .filter(|p| p.weight != 0 && !Term::is_empty(&p.preference))
            .map(|p| (p.weight.into(), Term::new(&p.preference)))
            .collect(),
        images: images.map(normal_image).collect(),
    }
}

/// A name of an image as nodes tell it: with a tag.
fn normal_image(image: &str) -> String {
    let has_tag = image.rfind(':') > image.rfind('/');
    if has_tag { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_with_a_tag() {
        let rows = [
            ("nginx", "nginx:latest"),
            ("nginx:1", "nginx:1"),
            ("localhost:5000/nginx", "localhost:5000/nginx:latest"),
            ("nginx@sha256:0", "nginx@sha256:0"),
        ];
        for (image, normal) in rows {
            assert_eq!(normal_image(image), normal);
        }
    }
}
