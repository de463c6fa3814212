//! Requests and limits for containers that declare none, and the annotation that tells of them.

use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Value};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Gives the containers of a pod what a limit range has for those that say nothing.
pub(super) fn fill(pod: &mut Value, range: &Value) {
    let (mut requests, mut limits) = (Map::new(), Map::new());
    for item in range.array_at(&["spec", "limits"]) {
        if item.str_at(&["type"]) == "Container" {
            extend(&mut requests, item.get("defaultRequest"));
            extend(&mut limits, item.get("default"));
        }
    }
    let mut told = Vec::new();
    if let Value::Object(pod) = &mut *pod {
        let spec = pod.object_mut("spec");
        for (list, word) in [("containers", "container"), ("initContainers", "init container")] {
            let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            for container in containers.filter_map(Value::as_object_mut) {
                let name = container.str("name").to_owned();
                let resources = container.object_mut("resources");
                for (field, defaults, what) in
                    [("requests", &requests, "request"), ("limits", &limits, "limit")]
                {
                    let set = fill_in(resources, field, defaults);
                    if !set.is_empty() {
                        told.push(format!("{} {what} for {word} {name}", set.join(", ")));
                    }
                }
            }
        }
    }
    if !told.is_empty() {
        let text = format!("LimitRanger plugin set: {}", told.join("; "));
        pod.meta_mut().object_mut("annotations").insert(ANNOTATION, text);
    }
}

fn extend(map: &mut Map, more: Option<&Value>) {
    for (name, amount) in more.and_then(Value::as_object).into_iter().flat_map(Map::iter) {
        map.insert(name.clone(), amount.clone());
    }
}

/// Sets what is missing below `field`; answers the names.
fn fill_in(resources: &mut Map, field: &str, defaults: &Map) -> Vec<String> {
    let given = resources.get(field).and_then(Value::as_object);
    let missing: Vec<_> =
        defaults.iter().filter(|(name, _)| given.is_none_or(|g| !g.contains_key(name))).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let to = resources.object_mut(field);
    for (name, amount) in &missing {
        to.insert((*name).clone(), (*amount).clone());
    }
    missing.into_iter().map(|(name, _)| name.to_string()).collect()
}
