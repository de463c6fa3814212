//! The quality of service that a pod has, and what follows from it.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use sampan_model::quantity::Quantity;

/// The class of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl Class {
    /// The class that the API server has written down, or worked out anew (for static pods).
    pub(crate) fn of(pod: &Pod) -> Self {
        match pod.status.as_ref().and_then(|s| s.qos_class.as_deref()) {
            Some("Guaranteed") => Self::Guaranteed,
            Some("Burstable") => Self::Burstable,
            Some("BestEffort") => Self::BestEffort,
            _ => pod.spec.as_ref().map_or(Self::BestEffort, worked_out),
        }
    }

    /// The pod's cgroup below every hierarchy.
    pub(crate) fn cgroup(self, uid: &str) -> String {
        match self {
            Self::Guaranteed => format!("/kubepods/pod{uid}"),
            Self::Burstable => format!("/kubepods/burstable/pod{uid}"),
            Self::BestEffort => format!("/kubepods/besteffort/pod{uid}"),
        }
    }
}

fn worked_out(spec: &PodSpec) -> Class {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let all: Vec<Option<&ResourceRequirements>> = match &spec.resources {
        Some(resources) => vec![Some(resources)],
        None => containers.map(|c| c.resources.as_ref()).collect(),
    };
    let amount = |list: Option<&std::collections::BTreeMap<_, _>>, name: &str| {
        list.and_then(|l| l.get(name)).and_then(parse).filter(|q| !q.is_zero())
    };
    let (mut any, mut guaranteed) = (false, true);
    for resources in all {
        for name in ["cpu", "memory"] {
            let limit = amount(resources.and_then(|r| r.limits.as_ref()), name);
            let request = amount(resources.and_then(|r| r.requests.as_ref()), name).or(limit);
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && limit == request;
        }
    }
    match (any, guaranteed) {
        (true, true) => Class::Guaranteed,
        (true, false) => Class::Burstable,
        (false, _) => Class::BestEffort,
    }
}

fn parse(text: &k8s_openapi::apimachinery::pkg::api::resource::Quantity) -> Option<Quantity> {
    text.0.parse().ok()
}

/// Priority from which on a pod is critical for its node.
const NODE_CRITICAL: i32 = 2_000_001_000;
const GUARANTEED_ADJUSTMENT: i64 = -997;

/// How early the kernel kills a container for want of memory: the less of what it asked for it is, the later.
pub(crate) fn oom_score_adjustment(pod: &Pod, container: &Container, memory_bytes: u64) -> i32 {
    let critical = pod.spec.as_ref().and_then(|s| s.priority).is_some_and(|p| p >= NODE_CRITICAL);
    let adjustment = match Class::of(pod) {
        _ if critical => GUARANTEED_ADJUSTMENT,
        Class::Guaranteed => GUARANTEED_ADJUSTMENT,
        Class::BestEffort => 1000,
        Class::Burstable => {
            let requests = container.resources.as_ref().and_then(|r| r.requests.as_ref());
            let request = requests.and_then(|r| r.get("memory")).and_then(parse).map_or(0, Quantity::value);
            let capacity = i64::try_from(memory_bytes).unwrap_or(i64::MAX).max(1);
            let share = request.saturating_mul(1000) / capacity;
            (1000 - share).clamp(1000 + GUARANTEED_ADJUSTMENT, 999)
        }
    };
    i32::try_from(adjustment).unwrap_or(1000)
}
