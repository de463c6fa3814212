//! TaintNodesByCondition: a new node takes no pods before it is known to be ready.

use sampan_apiserver::{Context, Verb};
use sampan_model::{Map, Status, Value};

use super::is;
use super::rule::{Rule, Write};

#[derive(Debug)]
pub(super) struct TaintNodesByCondition;

const NOT_READY: &str = "node.kubernetes.io/not-ready";

impl Rule for TaintNodesByCondition {
    const NAME: &'static str = "TaintNodesByCondition";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Create && is(cx, "", "nodes")
    }

    fn admit(&self, _w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        let Value::Object(node) = object else { return Ok(()) };
        let taints = node.object_mut("spec").get_or_insert_with("taints", || Value::Array(Vec::new()));
        if let Value::Array(taints) = taints
            && !taints
                .iter()
                .any(|t| t.str_at(&["key"]) == NOT_READY && t.str_at(&["effect"]) == "NoSchedule")
        {
            let taint: Map = [("key", NOT_READY), ("effect", "NoSchedule")].into_iter().collect();
            taints.push(taint.into());
        }
        Ok(())
    }
}
