//! Priority: a pod's class becomes its number, and there is one default class at most.

use async_trait::async_trait;
use sampan_apiserver::admission::Admission;
use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupResource, Status, Value};

use super::{forbidden, is};

#[derive(Debug)]
pub(super) struct Priority;

const GROUP: &str = "scheduling.k8s.io";
/// The classes that the system's own pods rely on.
const SYSTEM: [&str; 2] = ["system-node-critical", "system-cluster-critical"];

fn classes() -> GroupResource {
    GroupResource::new(GROUP, "priorityclasses")
}

#[async_trait]
impl Admission for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        match verb {
            Verb::Create => is(cx, "", "pods") || is(cx, GROUP, "priorityclasses"),
            Verb::Update | Verb::Delete => is(cx, GROUP, "priorityclasses"),
            _ => false,
        }
    }

    async fn admit(
        &self,
        cx: &Context<'_>,
        verb: Verb,
        object: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        if verb != Verb::Create || !is(cx, "", "pods") {
            return Ok(());
        }
        let pod_name = object.name().to_owned();
        let Value::Object(pod) = object else { return Ok(()) };
        let spec = pod.object_mut("spec");
        let class = match spec.str("priorityClassName") {
            "" => default_class(cx),
            name => {
                let found = cx.lookup.get(&classes(), "", name);
                let why = format!("no PriorityClass with name {name} was found");
                Some(found.ok_or_else(|| forbidden(cx, &pod_name, why))?)
            }
        };
        let (value, policy) = class.as_ref().map_or((0, "PreemptLowerPriority"), |class| {
            let policy = match class.str_at(&["preemptionPolicy"]) {
                "" => "PreemptLowerPriority",
                policy => policy,
            };
            (class.get("value").and_then(Value::as_i64).unwrap_or(0), policy)
        });
        if let Some(given) = spec.get("priority").and_then(Value::as_i64)
            && given != value
        {
            let why = format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
            );
            return Err(forbidden(cx, &pod_name, why));
        }
        if let Some(given) = spec.get("preemptionPolicy").and_then(Value::as_str)
            && given != policy
        {
            let why = format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            );
            return Err(forbidden(cx, &pod_name, why));
        }
        if let Some(class) = &class {
            spec.insert("priorityClassName", class.name());
        }
        spec.insert("priority", value);
        spec.insert("preemptionPolicy", policy);
        Ok(())
    }

    async fn validate(
        &self,
        cx: &Context<'_>,
        verb: Verb,
        object: &Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        if verb == Verb::Delete && is(cx, GROUP, "priorityclasses") && SYSTEM.contains(&object.name()) {
            return Err(forbidden(
                cx,
                object.name(),
                "this is a system priority class and cannot be deleted",
            ));
        }
        let is_default = |class: &Value| class.get("globalDefault").and_then(Value::as_bool) == Some(true);
        if !matches!(verb, Verb::Create | Verb::Update)
            || !is(cx, GROUP, "priorityclasses")
            || !is_default(object)
        {
            return Ok(());
        }
        match default_class(cx).filter(|class| class.name() != object.name()) {
            Some(other) => {
                let why = format!(
                    "PriorityClass {} is already marked as default. Only one default can exist",
                    other.name()
                );
                Err(forbidden(cx, object.name(), why))
            }
            None => Ok(()),
        }
    }
}

/// The default class; of several (there may be some from elsewhere) the one with the lowest value.
fn default_class(cx: &Context<'_>) -> Option<Value> {
    let classes = cx.lookup.list(&classes(), "").into_iter();
    classes
        .filter(|class| class.get("globalDefault").and_then(Value::as_bool) == Some(true))
        .min_by_key(|class| class.get("value").and_then(Value::as_i64))
}
