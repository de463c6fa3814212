//! RuntimeClass: a pod of a class has the class's overhead and is scheduled where the class runs.

use sampan_apiserver::{Context, Verb};
use sampan_model::{GroupResource, Status, Value};

use super::is;
use super::rule::{Rule, Write};

#[derive(Debug)]
pub(super) struct RuntimeClass;

impl RuntimeClass {
    /// The class of a pod, `None` if it has none.
    fn class(w: Write<'_>, pod: &Value) -> Result<Option<Value>, Status> {
        let name = pod.str_at(&["spec", "runtimeClassName"]);
        if name.is_empty() {
            return Ok(None);
        }
        let found = w.cx.lookup.get(&GroupResource::new("node.k8s.io", "runtimeclasses"), "", name);
        let why = format!("pod rejected: RuntimeClass \"{name}\" not found");
        found.map(Some).ok_or_else(|| w.forbidden(pod, why))
    }
}

impl Rule for RuntimeClass {
    const NAME: &'static str = "RuntimeClass";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Create && is(cx, "", "pods")
    }

    fn admit(&self, w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        let Some(class) = Self::class(w, object)? else { return Ok(()) };
        let Value::Object(pod) = &mut *object else { return Ok(()) };
        let spec = pod.object_mut("spec");
        if let Some(overhead) = class.at(&["overhead", "podFixed"]) {
            match spec.get("overhead") {
                Some(given) if given != overhead && !given.is_empty() => {
                    let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
                    return Err(w.forbidden(object, why));
                }
                _ => spec.insert("overhead", overhead.clone()),
            };
        }
        if let Some(selector) = class.at(&["scheduling", "nodeSelector"]).and_then(Value::as_object) {
            let own = spec.object_mut("nodeSelector");
            for (key, value) in selector.iter() {
                if own.get(key).is_some_and(|given| given != value) {
                    let why = format!(
                        "pod rejected: conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                        value.as_str().unwrap_or(""),
                        own.str(key)
                    );
                    return Err(w.forbidden(object, why));
                }
                own.insert(key.clone(), value.clone());
            }
        }
        let tolerations = class.array_at(&["scheduling", "tolerations"]);
        if !tolerations.is_empty()
            && let Value::Array(own) = spec.get_or_insert_with("tolerations", || Value::Array(Vec::new()))
        {
            for toleration in tolerations {
                if !own.contains(toleration) {
                    own.push(toleration.clone());
                }
            }
        }
        Ok(())
    }

    fn validate(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        let class = Self::class(w, object)?;
        let overhead = object.at(&["spec", "overhead"]).filter(|o| !o.is_empty());
        let defined = class.as_ref().and_then(|c| c.at(&["overhead", "podFixed"]));
        if overhead.is_some() && overhead != defined {
            let why = if class.is_none() {
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            } else {
                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            };
            return Err(w.forbidden(object, why));
        }
        Ok(())
    }
}
