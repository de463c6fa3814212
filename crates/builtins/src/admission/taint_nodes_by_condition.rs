//! TaintNodesByCondition: a new node takes no pods before it is known to be ready.

use async_trait::async_trait;
use sampan_apiserver::admission::Admission;
use sampan_apiserver::{Context, Verb};
use sampan_model::{Map, Status, Value};

use super::is;

#[derive(Debug)]
pub(super) struct TaintNodesByCondition;

const NOT_READY: &str = "node.kubernetes.io/not-ready";

#[async_trait]
impl Admission for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Create && is(cx, "", "nodes")
    }

    async fn admit(
        &self,
        _cx: &Context<'_>,
        _verb: Verb,
        object: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
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
