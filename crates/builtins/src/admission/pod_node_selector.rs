//! PodNodeSelector: the pods of a namespace run on the namespace's nodes.

use std::collections::BTreeMap;

use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Status, Value, label_selector};

use super::configuration::only_fields;
use super::rule::{Rule, Write};
use super::{core, is};

const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";
const CLUSTER_DEFAULT: &str = "clusterDefaultNodeSelector";

/// With what the administrator has set for namespaces: the labels that their pods may ask for.
#[derive(Debug, Default)]
pub(super) struct PodNodeSelector {
    selectors: BTreeMap<String, String>,
}

impl PodNodeSelector {
    /// From the plug-in's configuration; or what is wrong with it.
    pub(super) fn new(configuration: Option<&Value>) -> Result<Self, String> {
        const FIELD: &str = "podNodeSelectorPluginConfig";
        let Some(configuration) = configuration else { return Ok(Self::default()) };
        only_fields(configuration, "", &[FIELD])?;
        let Some(map) = configuration.get(FIELD).filter(|map| !map.is_null()) else {
            return Ok(Self::default());
        };
        let map = map.as_object().ok_or_else(|| format!("{FIELD}: it must be an object"))?;
        let read = |(name, text): (&sampan_model::Str, &Value)| {
            let text = text.as_str().ok_or_else(|| format!("{FIELD}.{name}: it must be a string"))?;
            labels(text).map_err(|status| format!("{FIELD}.{name}: {}", status.message()))?;
            Ok::<_, String>((name.to_string(), text.to_owned()))
        };
        Ok(Self { selectors: map.iter().map(read).collect::<Result<_, _>>()? })
    }

    /// The labels that the namespace's pods get.
    fn of_namespace(&self, w: Write<'_>) -> Result<Map, Status> {
        let namespace = w.cx.lookup.get(&core("namespaces"), "", w.cx.namespace);
        let namespace = namespace.ok_or_else(|| Status::not_found(&core("namespaces"), w.cx.namespace))?;
        let own = namespace.annotations().and_then(|a| a.get(ANNOTATION)).and_then(Value::as_str);
        labels(own.or(self.selectors.get(CLUSTER_DEFAULT).map(String::as_str)).unwrap_or(""))
    }
}

/// `a=b,c=d` as labels.
fn labels(text: &str) -> Result<Map, Status> {
    let mut labels = Map::new();
    for pair in text.split(',').filter(|p| !p.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Status::unknown(format!("invalid selector: {}", text_list(text))));
        };
        let (key, value) = (key.trim(), value.trim_start_matches('=').trim());
        if let Some(error) = sampan_model::name::is_qualified_name(key).first() {
            return Err(Status::unknown(format!("invalid label key {key:?}: {error}")));
        }
        labels.insert(key, value);
    }
    let path = sampan_model::FieldPath::field("nodeSelector");
    match label_selector::validate_labels(&labels, &path).first() {
        Some(error) => Err(Status::unknown(error.to_string())),
        None => Ok(labels),
    }
}

fn text_list(text: &str) -> String {
    let parts: Vec<&str> = text.split(',').collect();
    format!("[{}]", parts.join(" "))
}

fn conflict(w: Write<'_>, pod: &Value, ours: &Map) -> Result<(), Status> {
    let theirs = pod.at(&["spec", "nodeSelector"]).and_then(Value::as_object);
    let differs = |(key, value): (&sampan_model::Str, &Value)| {
        theirs.and_then(|t| t.get(key)).is_some_and(|other| other != value)
    };
    if ours.iter().any(differs) {
        let why = "pod node label selector conflicts with its namespace node label selector";
        return Err(w.forbidden(pod, why));
    }
    Ok(())
}

impl Rule for PodNodeSelector {
    const NAME: &'static str = "PodNodeSelector";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Create && is(cx, "", "pods")
    }

    fn admit(&self, w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        let ours = self.of_namespace(w)?;
        conflict(w, object, &ours)?;
        if let Value::Object(pod) = &mut *object
            && !ours.is_empty()
        {
            let selector = pod.object_mut("spec").object_mut("nodeSelector");
            for (key, value) in ours.iter() {
                selector.insert(key.clone(), value.clone());
            }
        }
        self.validate(w, object)
    }

    fn validate(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        conflict(w, object, &self.of_namespace(w)?)?;
        let allowed = labels(self.selectors.get(w.cx.namespace).map_or("", String::as_str))?;
        let asked = object.at(&["spec", "nodeSelector"]).and_then(Value::as_object);
        let beyond = |(key, value): (&sampan_model::Str, &Value)| allowed.get(key) != Some(value);
        if !allowed.is_empty() && asked.is_some_and(|a| a.iter().any(beyond)) {
            let why = "pod node label selector labels conflict with its namespace whitelist";
            return Err(w.forbidden(object, why));
        }
        Ok(())
    }
}
