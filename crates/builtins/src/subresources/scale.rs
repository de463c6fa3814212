//! `scale`: the number of replicas of a workload, shown and written as `autoscaling/v1` Scale.

use sampan_apiserver::subresource::Projection;
use sampan_model::meta::ObjectMeta;
use sampan_model::{FieldError, Map, Status, Value};

/// How a workload writes down what its scale shows.
#[derive(Debug)]
pub(super) struct Scale {
    /// Whether the selector is a plain map (replication controllers) rather than a label selector.
    plain_selector: bool,
}

impl Scale {
    /// The scale of a resource.
    pub(super) fn of(resource: &str) -> Self {
        Self { plain_selector: resource == "replicationcontrollers" }
    }

    fn selector(&self, object: &Value) -> String {
        let Some(selector) = object.at(&["spec", "selector"]) else { return String::new() };
        if self.plain_selector { labels(selector.as_object()).join(",") } else { label_selector(selector) }
    }
}

fn labels(map: Option<&Map>) -> Vec<String> {
    map.map_or_else(Vec::new, |m| {
        m.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or(""))).collect()
    })
}

/// A label selector as text: its requirements sorted by key, values sorted.
pub(crate) fn label_selector(selector: &Value) -> String {
    let mut requirements: Vec<(String, String)> = Vec::new();
    for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flat_map(Map::iter)
    {
        requirements.push((key.to_string(), format!("{key}={}", value.as_str().unwrap_or(""))));
    }
    for expression in selector.array_at(&["matchExpressions"]) {
        let key = expression.str_at(&["key"]);
        let mut values: Vec<&str> =
            expression.array_at(&["values"]).iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let text = match expression.str_at(&["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        };
        requirements.push((key.to_owned(), text));
    }
    requirements.sort_by(|a, b| a.0.cmp(&b.0));
    requirements.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
}

fn count(object: &Value, path: &[&str]) -> i64 {
    object.at(path).and_then(Value::as_i64).unwrap_or(0)
}

impl Projection for Scale {
    fn read(&self, object: &Value) -> Result<Value, Status> {
        let mut metadata = Map::new();
        for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            if let Some(value) = object.meta().and_then(|m| m.get(field)) {
                metadata.insert(field, value.clone());
            }
        }
        let mut spec = Map::new();
        let replicas = count(object, &["spec", "replicas"]);
        if replicas != 0 {
            spec.insert("replicas", replicas);
        }
        let mut status = Map::new();
        status.insert("replicas", count(object, &["status", "replicas"]));
        let selector = self.selector(object);
        if !selector.is_empty() {
            status.insert("selector", selector);
        }
        let mut scale = Map::new();
        scale.insert("kind", "Scale");
        scale.insert("apiVersion", "autoscaling/v1");
        scale.insert("metadata", metadata);
        scale.insert("spec", spec);
        scale.insert("status", status);
        Ok(scale.into())
    }

    fn write(&self, object: &mut Value, projected: &Value) -> Result<(), Status> {
        if let Value::Object(map) = object {
            map.object_mut("spec").insert("replicas", count(projected, &["spec", "replicas"]));
        }
        Ok(())
    }

    fn validate(&self, projected: &Value) -> Vec<FieldError> {
        let replicas = count(projected, &["spec", "replicas"]);
        if replicas < 0 {
            let detail = "must be greater than or equal to 0";
            return vec![FieldError::invalid("spec.replicas", replicas, detail)];
        }
        Vec::new()
    }

    fn field_paths(&self) -> &'static [(&'static [&'static str], &'static [&'static str])] {
        &[(&["spec", "replicas"], &["spec", "replicas"])]
    }
}
