//! Priority: a pod's class becomes its number, and there is one default class at most.

use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupResource, Status, Value};

use super::is;
use super::rule::{Rule, Write};

#[derive(Debug)]
pub(super) struct Priority;

const GROUP: &str = "scheduling.k8s.io";
/// The classes that the system's own pods rely on.
const SYSTEM: [&str; 2] = ["system-node-critical", "system-cluster-critical"];

fn classes() -> GroupResource {
    GroupResource::new(GROUP, "priorityclasses")
}

impl Rule for Priority {
    const NAME: &'static str = "Priority";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        match verb {
            Verb::Create => is(cx, "", "pods") || is(cx, GROUP, "priorityclasses"),
            Verb::Update | Verb::Delete => is(cx, GROUP, "priorityclasses"),
            _ => false,
        }
    }

    fn admit(&self, w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        if w.verb != Verb::Create || !w.is("", "pods") {
            return Ok(());
        }
        let Value::Object(pod) = &mut *object else { return Ok(()) };
        let spec = pod.object_mut("spec");
        let class = match spec.str("priorityClassName") {
            "" => default_class(w.cx),
            name => {
                let found = w.cx.lookup.get(&classes(), "", name);
                let why = format!("no PriorityClass with name {name} was found");
                match found {
                    None => return Err(w.forbidden(object, why)),
                    found => found,
                }
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
            return Err(w.forbidden(object, why));
        }
        if let Some(given) = spec.get("preemptionPolicy").and_then(Value::as_str)
            && given != policy
        {
            let why = format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            );
            return Err(w.forbidden(object, why));
        }
        if let Some(class) = &class {
            spec.insert("priorityClassName", class.name());
        }
        spec.insert("priority", value);
        spec.insert("preemptionPolicy", policy);
        Ok(())
    }

    fn validate(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        if w.verb == Verb::Delete && w.is(GROUP, "priorityclasses") && SYSTEM.contains(&object.name()) {
            return Err(w.forbidden(object, "this is a system priority class and cannot be deleted"));
        }
        let is_default = |class: &Value| class.get("globalDefault").and_then(Value::as_bool) == Some(true);
        if !matches!(w.verb, Verb::Create | Verb::Update)
            || !w.is(GROUP, "priorityclasses")
            || !is_default(object)
        {
            return Ok(());
        }
        match default_class(w.cx).filter(|class| class.name() != object.name()) {
            Some(other) => {
                let why = format!(
                    "PriorityClass {} is already marked as default. Only one default can exist",
                    other.name()
                );
                Err(w.forbidden(object, why))
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
