//! Kinds whose versions have different fields.

pub mod autoscalers;
pub mod events;

use sampan_apiserver::Conversion;
use sampan_model::GroupVersionKind;

/// The way between a version and the one that is stored; `None` when only `apiVersion` differs.
pub(crate) fn of_kind(gvk: &GroupVersionKind) -> Option<Conversion> {
    match (gvk.group.as_str(), gvk.version.as_str(), gvk.kind.as_str()) {
        ("events.k8s.io", "v1", "Event") => {
            Some(Conversion { to_storage: events::to_core, from_storage: events::from_core })
        }
        ("autoscaling", "v1", "HorizontalPodAutoscaler") => {
            Some(Conversion { to_storage: autoscalers::v1_to_v2, from_storage: autoscalers::v2_to_v1 })
        }
        _ => None,
    }
}
