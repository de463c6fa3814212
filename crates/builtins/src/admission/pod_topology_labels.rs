//! PodTopologyLabels: a pod has the zone and the region of its node, so that it can learn them by the downward API (KEP-4742).

use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Status, Value};

use super::core;
use super::rule::{Rule, Write};

#[derive(Debug)]
pub(super) struct PodTopologyLabels;

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

impl Rule for PodTopologyLabels {
    const NAME: &'static str = "PodTopologyLabels";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Create
            && matches!(cx.subresource, "" | "binding")
            && cx.resource.gvr.group.is_empty()
            && matches!(cx.resource.gvr.resource.as_str(), "pods" | "bindings")
    }

    /// The object is a pod, which may name its node already, or a binding; what binds copies the binding's labels.
    fn admit(&self, w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        let node = match object.str_at(&["target", "kind"]) {
            "Node" => object.str_at(&["target", "name"]),
            _ => object.str_at(&["spec", "nodeName"]),
        };
        if node.is_empty() {
            return Ok(());
        }
        let Some(node) = w.cx.lookup.get(&core("nodes"), "", node) else { return Ok(()) };
        for label in LABELS {
            if let Some(value) = node.labels().and_then(|l| l.get(label)) {
                object.meta_mut().object_mut("labels").insert(label, value.clone());
            }
        }
        Ok(())
    }
}
