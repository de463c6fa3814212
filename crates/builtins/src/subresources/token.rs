//! `serviceaccounts/token`: checks a TokenRequest. Nobody signs tokens yet.

use async_trait::async_trait;
use sampan_apiserver::subresource::{Action, Parent};
use sampan_model::meta::ObjectMeta;
use sampan_model::{FieldError, GroupKind, GroupResource, GroupVersion, GroupVersionKind, Status, Value};

const MIN_SECONDS: i64 = 600;
const MAX_SECONDS: i64 = 1 << 32;

/// Refuses what upstream refuses, and the rest because no signer is installed.
#[derive(Debug)]
pub(super) struct Token;

#[async_trait]
impl Action for Token {
    async fn create(&self, parent: &dyn Parent, body: Value) -> Result<Value, Status> {
        let account = parent.get().await?;
        validate(&body)?;
        if let Some(reference) = body.at(&["spec", "boundObjectRef"]).filter(|r| !r.is_null()) {
            let resource = bound_resource(reference)?;
            let namespace = if resource.resource == "nodes" { "" } else { account.namespace() };
            let name = reference.str_at(&["name"]);
            if !parent.list(&resource, namespace).iter().any(|o| o.name() == name) {
                return Err(Status::not_found(&resource, name));
            }
        }
        Err(Status::not_implemented("no signer of service account tokens is installed"))
    }
}

fn validate(request: &Value) -> Result<(), Status> {
    let seconds = request.at(&["spec", "expirationSeconds"]).and_then(Value::as_i64).unwrap_or(3600);
    let detail = if seconds < MIN_SECONDS {
        "may not specify a duration less than 10 minutes"
    } else if seconds > MAX_SECONDS {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(());
    };
    let error = FieldError::invalid("spec.expirationSeconds", seconds, detail);
    Err(Status::invalid(&GroupKind::new("authentication.k8s.io", "TokenRequest"), "", &[error]))
}

/// The resource of the object that a token is bound to.
fn bound_resource(reference: &Value) -> Result<GroupResource, Status> {
    let (api_version, kind) = (reference.str_at(&["apiVersion"]), reference.str_at(&["kind"]));
    let resource = match (api_version, kind) {
        ("v1", "Pod") => "pods",
        ("v1", "Secret") => "secrets",
        ("v1", "Node") => "nodes",
        _ => {
            let GroupVersion { group, version } = GroupVersion::parse(api_version).unwrap_or_default();
            let gvk = GroupVersionKind::new(group, version, kind);
            return Err(Status::bad_request(format!("cannot bind token to object of type {gvk}")));
        }
    };
    Ok(GroupResource::new("", resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_a_lifetime_within_bounds() {
        for (seconds, allowed) in [(5, false), (600, true), (MAX_SECONDS, true), (MAX_SECONDS + 1, false)] {
            let request = format!(r#"{{"spec":{{"expirationSeconds":{seconds}}}}}"#);
            assert_eq!(validate(&serde_json::from_str(&request).unwrap()).is_ok(), allowed, "{seconds}");
        }
    }

    #[test]
    fn a_token_is_bound_to_pods_secrets_and_nodes_alone() {
        let reference = serde_json::from_str(r#"{"kind":"ConfigMap","apiVersion":"v1"}"#).unwrap();
        let error = bound_resource(&reference).unwrap_err();
        assert_eq!(error.message(), "cannot bind token to object of type /v1, Kind=ConfigMap");
    }
}
