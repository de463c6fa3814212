//! `pods/binding`: the scheduler's word on which node a pod runs.

use async_trait::async_trait;
use sampan_apiserver::subresource::{Action, Parent};
use sampan_model::meta::ObjectMeta;
use sampan_model::{FieldError, GroupResource, Map, Status, Value};

use super::{done, set_pod_condition};

/// Writes the node into the pod.
#[derive(Debug)]
pub(crate) struct Binding;

#[async_trait]
impl Action for Binding {
    async fn create(&self, parent: &dyn Parent, body: Value) -> Result<Value, Status> {
        if body.name() != parent.get().await?.name() {
            return Err(Status::bad_request("name in URL does not match name in Binding object"));
        }
        validate(&body)?;
        parent.update(&|cx, pod| bind(pod, &body, cx.now)).await?;
        Ok(done())
    }
}

/// Upstream forgets to make these a 422.
fn validate(binding: &Value) -> Result<(), Status> {
    let mut errors = Vec::new();
    let kind = binding.str_at(&["target", "kind"]);
    if !matches!(kind, "" | "Node") {
        errors.push(FieldError::not_supported("target.kind", kind, &["Node", "<empty>"]));
    }
    if binding.str_at(&["target", "name"]).is_empty() {
        errors.push(FieldError::required("target.name", ""));
    }
    let sentences: Vec<String> = errors.iter().map(ToString::to_string).collect();
    match sentences.as_slice() {
        [] => Ok(()),
        [one] => Err(Status::unknown(one.as_str())),
        many => Err(Status::unknown(format!("[{}]", many.join(", ")))),
    }
}

fn bind(pod: &mut Value, binding: &Value, now: jiff::Timestamp) -> Result<(), Status> {
    let name = pod.name().to_owned();
    let conflict = |why: String| Err(Status::conflict(&GroupResource::new("", "pods/binding"), &name, why));
    let uid = binding.uid();
    if !uid.is_empty() && uid != pod.uid() {
        let found = pod.uid();
        return conflict(format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
        ));
    }
    if pod.is_deleting() {
        return conflict(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    match pod.str_at(&["spec", "nodeName"]) {
        "" => {}
        node => return conflict(format!("pod {name} is already assigned to node {node:?}")),
    }
    if !pod.array_at(&["spec", "schedulingGates"]).is_empty() {
        return conflict(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    if let Some(pod) = pod.as_object_mut() {
        pod.object_mut("spec").insert("nodeName", binding.str_at(&["target", "name"]));
    }
    let fields = [("annotations", binding.annotations()), ("labels", binding.labels())];
    for (field, given) in fields {
        for (key, value) in given.into_iter().flat_map(Map::iter) {
            pod.meta_mut().object_mut(field).insert(key.clone(), value.clone());
        }
    }
    set_pod_condition(pod, "PodScheduled", "", "", now);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_pod_is_bound_once_and_only_when_it_may_be() {
        let binding = tree(r#"{"metadata":{"name":"p","annotations":{"a":"b"}},"target":{"name":"n"}}"#);
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut pod = tree(r#"{"metadata":{"name":"p"},"spec":{},"status":{}}"#);
        bind(&mut pod, &binding, now).unwrap();
        assert_eq!(pod.str_at(&["spec", "nodeName"]), "n");
        assert_eq!(pod.annotations().unwrap().str("a"), "b");
        assert_eq!(pod.array_at(&["status", "conditions"])[0].str_at(&["type"]), "PodScheduled");
        let again = bind(&mut pod, &binding, now).unwrap_err();
        assert_eq!(
            (again.code(), again.message()),
            (
                409,
                "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n\""
            )
        );
        let mut gated = tree(r#"{"metadata":{"name":"p"},"spec":{"schedulingGates":[{"name":"g"}]}}"#);
        assert_eq!(bind(&mut gated, &binding, now).unwrap_err().code(), 409);
    }
}
