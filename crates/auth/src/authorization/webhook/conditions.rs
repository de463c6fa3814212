//! Match conditions: CEL expressions about a question, all of which must be true for the webhook to be asked it.

use sampan_schema::cel::{self, Bindings, Error, Expression, Type, Value, Variable};
use serde_json::{Map, Value as Json, json};

/// How many there may be.
pub const MAX: usize = 64;

/// The conditions of a webhook.
#[derive(Debug, Default)]
pub struct Conditions(Vec<Expression>);

fn variable() -> Variable {
    let words = || Type::list(Type::String);
    let requirement = || {
        Type::object(
            "kubernetes.SelectorRequirement",
            [("key", Type::String), ("operator", Type::String), ("values", words())],
        )
    };
    let selector = |name| {
        Type::object(name, [("rawSelector", Type::String), ("requirements", Type::list(requirement()))])
    };
    let of_resource = RESOURCE_FIELDS.map(|field| (field, Type::String)).into_iter().chain([
        ("fieldSelector", selector("kubernetes.FieldSelectorAttributes")),
        ("labelSelector", selector("kubernetes.LabelSelectorAttributes")),
    ]);
    let of_path = [("path", Type::String), ("verb", Type::String)];
    let request = [
        ("resourceAttributes", Type::object("kubernetes.ResourceAttributes", of_resource)),
        ("nonResourceAttributes", Type::object("kubernetes.NonResourceAttributes", of_path)),
        ("user", Type::String),
        ("groups", words()),
        ("extra", Type::map(Type::String, words())),
        ("uid", Type::String),
    ];
    ("request", Type::object("kubernetes.SubjectAccessReviewSpec", request))
}

const RESOURCE_FIELDS: [&str; 7] =
    ["namespace", "verb", "group", "version", "resource", "subresource", "name"];

impl Conditions {
    /// Adds one.
    pub fn add(&mut self, text: &str) -> Result<(), Error> {
        self.0.push(Expression::compile_as(text, &[variable()], &Type::Bool)?);
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all are true of the `spec` of a question. One that is false counts more than others that fail.
    pub(super) fn hold(&self, spec: &Json) -> Result<bool, String> {
        let bound = Bindings::new(variable().0, cel::value(&in_full(spec)));
        let mut errors = Vec::new();
        for expression in &self.0 {
            let text = expression.text();
            match expression.evaluate(&bound) {
                Ok(Value::Bool(true)) => {}
                Ok(Value::Bool(false)) => return Ok(false),
                Ok(_) => errors.push(format!(
                    "cel evaluation error: expression '{text}' eval result type should be bool"
                )),
                Err(error) => errors
                    .push(format!("cel evaluation error: expression '{text}' resulted in error: {error}")),
            }
        }
        if errors.is_empty() {
            return Ok(true);
        }
        Err(sampan_apiserver::chain::authorization::aggregate(&errors))
    }
}

/// A `spec` with the fields that it leaves out because they are empty.
fn in_full(spec: &Json) -> Json {
    let mut full = json!({"user": "", "uid": "", "groups": [], "extra": {}});
    let Some(given) = spec.as_object() else { return full };
    for (field, value) in given {
        full[field] = value.clone();
    }
    if let Some(attributes) = full.get_mut("resourceAttributes").and_then(Json::as_object_mut) {
        fill(attributes, &RESOURCE_FIELDS);
        for selector in ["fieldSelector", "labelSelector"] {
            let requirements = attributes.get_mut(selector).and_then(|s| s["requirements"].as_array_mut());
            for requirement in requirements.into_iter().flatten().filter_map(Json::as_object_mut) {
                requirement.entry("values").or_insert_with(|| json!([]));
            }
        }
    }
    if let Some(attributes) = full.get_mut("nonResourceAttributes").and_then(Json::as_object_mut) {
        fill(attributes, &["path", "verb"]);
    }
    full
}

fn fill(map: &mut Map<String, Json>, fields: &[&str]) {
    for field in fields {
        map.entry(*field).or_insert_with(|| json!(""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(texts: &[&str]) -> Conditions {
        let mut conditions = Conditions::default();
        for text in texts {
            conditions.add(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        }
        conditions
    }

    #[test]
    fn all_must_be_true_and_one_that_is_false_decides() {
        let spec = json!({"user": "jane", "groups": ["devs"], "resourceAttributes": {
            "namespace": "kube-system", "verb": "list", "resource": "pods",
            "labelSelector": {"requirements": [{"key": "a", "operator": "Exists"}]},
        }});
        let missing = "cel evaluation error: expression 'request.nonResourceAttributes.path == \"/\"' resulted in error: no such key: nonResourceAttributes";
        let rows: [(&[&str], Result<bool, String>); 9] = [
            (&["request.user == 'jane'"], Ok(true)),
            (
                &["has(request.resourceAttributes)", "request.resourceAttributes.namespace == 'kube-system'"],
                Ok(true),
            ),
            (&["request.user == 'jane'", "request.user == 'joe'"], Ok(false)),
            (
                &["!('system:nodes' in request.groups)", "request.uid == '' && request.extra.size() == 0"],
                Ok(true),
            ),
            (&["request.resourceAttributes.subresource == ''"], Ok(true)),
            (
                &["request.resourceAttributes.labelSelector.requirements.all(r, r.values.size() == 0)"],
                Ok(true),
            ),
            (&["!has(request.resourceAttributes.fieldSelector)"], Ok(true)),
            (&["request.nonResourceAttributes.path == \"/\""], Err(missing.into())),
            (&["request.nonResourceAttributes.path == \"/\"", "request.user == 'joe'"], Ok(false)),
        ];
        for (texts, want) in rows {
            assert_eq!(conditions(texts).hold(&spec), want, "{texts:?}");
        }
    }

    #[test]
    fn a_condition_about_what_is_not_there_is_refused_at_once() {
        let rows = [
            ("request.nobody == 1", "undefined field 'nobody'"),
            ("request.resourceAttributes.verbs == ''", "undefined field 'verbs'"),
            ("request.user", "must evaluate to bool but got string"),
            ("object.user == ''", "undeclared reference to 'object'"),
        ];
        for (text, want) in rows {
            let error = Conditions::default().add(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
