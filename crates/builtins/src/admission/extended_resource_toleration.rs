//! ExtendedResourceToleration: a pod that asks for a device tolerates the taint that keeps others off its nodes.

use std::collections::BTreeSet;

use sampan_apiserver::{Context, Verb};
use sampan_model::{Map, Status, Value};

use super::is;
use super::resource_names::is_extended;
use super::rule::{Rule, Write};

#[derive(Debug)]
pub(super) struct ExtendedResourceToleration;

impl Rule for ExtendedResourceToleration {
    const NAME: &'static str = "ExtendedResourceToleration";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        matches!(verb, Verb::Create | Verb::Update) && is(cx, "", "pods")
    }

    fn admit(&self, _w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        let lists = ["containers", "initContainers"].into_iter();
        let asked: BTreeSet<String> = lists
            .flat_map(|list| object.array_at(&["spec", list]))
            .filter_map(|c| c.at(&["resources", "requests"]).and_then(Value::as_object))
            .flat_map(|requests| requests.keys().map(ToString::to_string))
            .filter(|name| is_extended(name))
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        let Value::Object(pod) = object else { return Ok(()) };
        let tolerations =
            pod.object_mut("spec").get_or_insert_with("tolerations", || Value::Array(Vec::new()));
        let Value::Array(tolerations) = tolerations else { return Ok(()) };
        for name in asked {
            let same = |t: &Value| {
                t.str_at(&["key"]) == name
                    && t.str_at(&["operator"]) == "Exists"
                    && t.str_at(&["effect"]).is_empty()
                    && t.str_at(&["value"]).is_empty()
            };
            let toleration: Map = [("key", name.as_str()), ("operator", "Exists")].into_iter().collect();
            match tolerations.iter_mut().find(|t| same(t)) {
                Some(found) => *found = toleration.into(),
                None => tolerations.push(toleration.into()),
            }
        }
        Ok(())
    }
}
