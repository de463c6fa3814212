//! A node's own object: it may not have labels or taints that steer workloads to it.

use sampan_apiserver::Verb;
use sampan_model::field_error::go_quote;
use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Value};

use super::super::rule::Write;
use super::{labels, name_of};

pub(super) fn judge(w: Write<'_>, node: &str, object: &Value) -> Option<String> {
    let (quoted, name) = (go_quote(node), name_of(w, object));
    if name != node {
        return Some(format!("node {quoted} is not allowed to modify node {}", go_quote(name)));
    }
    let source = |node: &Value| node.at(&["spec", "configSource"]).filter(|s| !s.is_null()).cloned();
    if w.verb == Verb::Create {
        if source(object).is_some() {
            return Some(format!("node {quoted} is not allowed to create pods with a non-nil configSource"));
        }
        let forbidden = labels::forbidden(object.labels(), None);
        return (!forbidden.is_empty()).then(|| {
            format!("node {quoted} is not allowed to set the following labels: {}", forbidden.join(", "))
        });
    }
    let old = w.old.filter(|_| w.verb == Verb::Update)?;
    if source(object).is_some() && source(object) != source(old) {
        return Some(format!(
            "node {quoted} is not allowed to update configSource to a new non-nil configSource"
        ));
    }
    if object.array_at(&["spec", "taints"]) != old.array_at(&["spec", "taints"]) {
        return Some(format!("node {quoted} is not allowed to modify taints"));
    }
    let forbidden = labels::forbidden(object.labels(), old.labels());
    if !forbidden.is_empty() {
        return Some(format!("is not allowed to modify labels: {}", forbidden.join(", ")));
    }
    let owners = |node: &Value| node.meta().and_then(|m: &Map| m.get("ownerReferences")).cloned();
    let owned = |o: Option<Value>| o.filter(|o| !o.is_empty());
    // CVE-2025-5187: an owner that is gone lets the node be deleted and come back with other labels.
    (owned(owners(object)) != owned(owners(old)))
        .then(|| format!("node {quoted} is not allowed to modify ownerReferences"))
}
