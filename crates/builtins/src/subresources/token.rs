//! `serviceaccounts/token`: makes a token for a service account, bound to nothing, a pod, a secret or a node.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::SignedDuration;
use sampan_apiserver::subresource::{Action, Parent};
use sampan_auth::authentication::service_account::{Bound, Issuer, Reference, TokenSpec};
use sampan_model::meta::ObjectMeta;
use sampan_model::{
    FieldError, GroupKind, GroupResource, GroupVersion, GroupVersionKind, Map, Status, Value,
};
use sampan_validation::authentication::{default_token_request, validate_token_request};

/// Makes tokens, if there is an issuer.
#[derive(Debug)]
pub(super) struct Token(pub(super) Option<Arc<Issuer>>);

#[async_trait]
impl Action for Token {
    fn default(&self, body: &mut Value) {
        default_token_request(body);
    }

    async fn create(&self, parent: &dyn Parent, mut body: Value) -> Result<Value, Status> {
        let account = parent.get().await?;
        name_body(&mut body, &account)?;
        invalid("", &validate_token_request(&body))?;
        let bound = bound(parent, &account, &body)?;
        let issuer = self
            .0
            .as_ref()
            .ok_or_else(|| Status::not_implemented("no signer of service account tokens is installed"))?;
        let asked = seconds(&body);
        let seconds = match issuer.max_seconds {
            Some(most) if asked > most => {
                parent.warn(format!("requested expiration of {asked} seconds shortened to {most} seconds"));
                most
            }
            _ => asked,
        };
        let sent = body.array_at(&["spec", "audiences"]);
        let audiences: Vec<String> = sent.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let audiences = if audiences.is_empty() { issuer.audiences.clone() } else { audiences };
        let spec = TokenSpec {
            namespace: account.namespace().into(),
            account: reference(&account),
            bound,
            audiences: audiences.clone(),
            seconds,
        };
        let made = issuer.issue(spec).await;
        let made = made.ok_or_else(|| Status::internal("failed to generate token: there is no key"))?;
        // The requests that will be made with the token carry the same id.
        let id = format!("JTI={}", made.id);
        parent.annotate("authentication.kubernetes.io/issued-credential-id", id);
        let time = sampan_model::time::format_time;
        body.set_meta("creationTimestamp", time(made.at));
        if let Value::Object(map) = &mut body {
            let spec = map.object_mut("spec");
            spec.insert("audiences", audiences);
            spec.insert("expirationSeconds", seconds);
            spec.get_or_insert_with("boundObjectRef", || Value::Null);
            let mut status = Map::new();
            let end = made.at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(made.at);
            status.insert("token", made.token);
            status.insert("expirationTimestamp", time(end));
            map.insert("status", status);
        }
        Ok(body)
    }
}

fn seconds(body: &Value) -> i64 {
    body.at(&["spec", "expirationSeconds"]).and_then(Value::as_i64).unwrap_or_default()
}

fn invalid(name: &str, errors: &[FieldError]) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&GroupKind::new("authentication.k8s.io", "TokenRequest"), name, errors))
}

/// The request has the name and namespace of its account; others in the body are an error.
fn name_body(body: &mut Value, account: &Value) -> Result<(), Status> {
    for (field, want, what) in
        [("name", account.name(), "name"), ("namespace", account.namespace(), "namespace")]
    {
        let sent = body.meta_str(field);
        if !sent.is_empty() && sent != want {
            let detail = format!("must match the service account {what} if specified");
            let error = FieldError::invalid(format!("metadata.{field}").as_str(), sent, detail);
            return invalid(account.name(), &[error]);
        }
        body.set_meta(field, want.to_owned());
    }
    Ok(())
}

fn reference(object: &Value) -> Reference {
    Reference::new(object.name(), object.uid())
}

/// What the token is to be bound to, as it is now.
fn bound(parent: &dyn Parent, account: &Value, body: &Value) -> Result<Bound, Status> {
    let Some(wanted) = body.at(&["spec", "boundObjectRef"]).filter(|r| !r.is_null()) else {
        return Ok(Bound::Nothing);
    };
    let gvk = bound_kind(wanted);
    let (resource, namespace) = match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => ("pods", account.namespace()),
        ("", "Secret") => ("secrets", account.namespace()),
        ("", "Node") => ("nodes", ""),
        _ => return Err(Status::bad_request(format!("cannot bind token to object of type {gvk}"))),
    };
    let resource = GroupResource::new("", resource);
    let name = wanted.str_at(&["name"]);
    let object = parent.find(&resource, namespace, name).ok_or_else(|| Status::not_found(&resource, name))?;
    let bound = match gvk.kind.as_str() {
        "Pod" => {
            if object.str_at(&["spec", "serviceAccountName"]) != account.name() {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                    account.name()
                )));
            }
            Bound::Pod(reference(&object), node_of(parent, &object))
        }
        "Secret" => Bound::Secret(reference(&object)),
        _ => Bound::Node(reference(&object)),
    };
    let uid = wanted.str_at(&["uid"]);
    if !uid.is_empty() && uid != object.uid() {
        let kind = GroupResource::new(gvk.group, gvk.kind);
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(&kind, name, why));
    }
    Ok(bound)
}

/// The node of a pod; one that is not there any more is named without a uid.
fn node_of(parent: &dyn Parent, pod: &Value) -> Option<Reference> {
    let name = pod.str_at(&["spec", "nodeName"]);
    if name.is_empty() {
        return None;
    }
    let node = parent.find(&GroupResource::new("", "nodes"), "", name);
    Some(node.as_ref().map_or_else(|| Reference::new(name, ""), reference))
}

fn bound_kind(reference: &Value) -> GroupVersionKind {
    let (api_version, kind) = (reference.str_at(&["apiVersion"]), reference.str_at(&["kind"]));
    let GroupVersion { group, version } = GroupVersion::parse(api_version).unwrap_or_default();
    GroupVersionKind::new(group, version, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_a_lifetime_within_bounds() {
        let most = 1_i64 << 32;
        for (seconds, allowed) in [(5, false), (600, true), (most, true), (most + 1, false)] {
            let request = format!(r#"{{"spec":{{"expirationSeconds":{seconds}}}}}"#);
            let mut request: Value = serde_json::from_str(&request).unwrap();
            Token(None).default(&mut request);
            assert_eq!(validate_token_request(&request).is_empty(), allowed, "{seconds}");
        }
    }

    #[test]
    fn a_body_may_not_name_another_account() {
        let account = serde_json::from_str(r#"{"metadata":{"name":"sa","namespace":"ns"}}"#).unwrap();
        let rows = [
            ("{}", None),
            (r#"{"metadata":{"name":"sa","namespace":"ns"}}"#, None),
            (
                r#"{"metadata":{"name":"other"}}"#,
                Some(
                    "TokenRequest.authentication.k8s.io \"sa\" is invalid: metadata.name: Invalid value: \"other\": must match the service account name if specified",
                ),
            ),
        ];
        for (body, want) in rows {
            let mut body: Value = serde_json::from_str(body).unwrap();
            let error = name_body(&mut body, &account).err();
            assert_eq!(error.as_ref().map(Status::message), want);
        }
    }
}
