//! The reviews of `authorization.k8s.io`: whether somebody may do something, and what the asker may do.

use std::sync::Arc;

use async_trait::async_trait;
use sampan_apiserver::User;
use sampan_apiserver::chain::authorization::{
    Attributes, Authorizer, Decision, NonResourceRule, ResourceRule, Selectors, aggregate,
};
use sampan_apiserver::request_info::RequestInfo;
use sampan_apiserver::subresource::{Virtual, VirtualRequest};
use sampan_model::meta::ObjectMeta;
use sampan_model::{FieldError, GroupKind, Map, Status, Str, Value, field_selector, label_selector};
use sampan_validation::authorization as validation;

const GROUP: &str = "authorization.k8s.io";

/// One of the four reviews.
#[derive(Debug)]
pub(super) struct Review {
    of: Of,
    authorizer: Arc<dyn Authorizer>,
}

#[derive(Debug, Clone, Copy)]
enum Of {
    Subject,
    LocalSubject,
    SelfSubject,
    SelfRules,
}

impl Review {
    /// The review that a kind is, if it is one.
    pub(super) fn of_kind(kind: &str, authorizer: &Arc<dyn Authorizer>) -> Option<Self> {
        let of = match kind {
            "SubjectAccessReview" => Of::Subject,
            "LocalSubjectAccessReview" => Of::LocalSubject,
            "SelfSubjectAccessReview" => Of::SelfSubject,
            "SelfSubjectRulesReview" => Of::SelfRules,
            _ => return None,
        };
        Some(Self { of, authorizer: Arc::clone(authorizer) })
    }
}

#[async_trait]
impl Virtual for Review {
    async fn create(&self, request: VirtualRequest<'_>) -> Result<Value, Status> {
        let mut review = request.body;
        let user = match self.of {
            Of::SelfRules => return rules(&*self.authorizer, request.user, &review),
            Of::SelfSubject => {
                refuse(&validation::validate_self_subject_access_review(&review))?;
                request.user.clone()
            }
            Of::Subject => {
                refuse(&validation::validate_subject_access_review(&review))?;
                user(&review)
            }
            Of::LocalSubject => {
                refuse(&validation::validate_local_subject_access_review(&review))?;
                if request.namespace != review.namespace() {
                    return Err(Status::bad_request(format!(
                        "spec.resourceAttributes.namespace must match namespace: {}",
                        request.namespace
                    )));
                }
                user(&review)
            }
        };
        let asked = Asked::read(&review);
        let a = Attributes { user: &user, info: &asked.info, selectors: asked.selectors.as_ref() };
        let verdict = self.authorizer.authorize(&a).await;
        let mut status = Map::new();
        status.insert("allowed", verdict.decision == Decision::Allow);
        if verdict.decision == Decision::Deny {
            status.insert("denied", true);
        }
        if !verdict.reason.is_empty() {
            status.insert("reason", verdict.reason);
        }
        let errors: Vec<String> = verdict.error.into_iter().chain(asked.errors).collect();
        if !errors.is_empty() {
            status.insert("evaluationError", aggregate(&errors));
        }
        if let Value::Object(map) = &mut review {
            map.insert("status", status);
        }
        Ok(review)
    }
}

/// 422 as the reviews have it: upstream knows neither their kind nor a name here.
fn refuse(errors: &[FieldError]) -> Result<(), Status> {
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&GroupKind::new(GROUP, ""), "", errors)) }
}

/// What the asker may do in a namespace.
fn rules(authorizer: &dyn Authorizer, user: &User, review: &Value) -> Result<Value, Status> {
    let namespace = review.str_at(&["spec", "namespace"]);
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let rules = authorizer.rules(user, namespace);
    let mut status = Map::new();
    status.insert("incomplete", rules.incomplete);
    status.insert("resourceRules", rules.resources.into_iter().map(resource_rule).collect::<Vec<_>>());
    status.insert("nonResourceRules", rules.paths.into_iter().map(path_rule).collect::<Vec<_>>());
    if !rules.errors.is_empty() {
        status.insert("evaluationError", aggregate(&rules.errors));
    }
    let answer: Map = [
        ("apiVersion", Value::from(format!("{GROUP}/v1"))),
        ("kind", "SelfSubjectRulesReview".into()),
        ("metadata", Map::new().into()),
        ("spec", Map::new().into()),
        ("status", status.into()),
    ]
    .into_iter()
    .collect();
    Ok(answer.into())
}

fn resource_rule(rule: ResourceRule) -> Value {
    let mut map = Map::new();
    map.insert("verbs", rule.verbs);
    let rest = [
        ("apiGroups", rule.api_groups),
        ("resources", rule.resources),
        ("resourceNames", rule.resource_names),
    ];
    for (field, list) in rest.into_iter().filter(|(_, list)| !list.is_empty()) {
        map.insert(field, list);
    }
    map.into()
}

fn path_rule(rule: NonResourceRule) -> Value {
    let mut map = Map::new();
    map.insert("verbs", rule.verbs);
    if !rule.paths.is_empty() {
        map.insert("nonResourceURLs", rule.paths);
    }
    map.into()
}

fn strings(list: &[Value]) -> Vec<String> {
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The user whom a review is about.
fn user(review: &Value) -> User {
    let extra = review.at(&["spec", "extra"]).and_then(Value::as_object);
    let extra = extra.into_iter().flat_map(Map::iter);
    User {
        name: review.str_at(&["spec", "user"]).into(),
        uid: review.str_at(&["spec", "uid"]).into(),
        groups: strings(review.array_at(&["spec", "groups"])),
        extra: extra.map(|(k, v)| (k.to_string(), strings(v.as_array().unwrap_or(&[])))).collect(),
    }
}

/// What a review asks for, as a request that would do it.
struct Asked {
    info: RequestInfo,
    selectors: Option<Selectors>,
    errors: Vec<String>,
}

impl Asked {
    fn read(review: &Value) -> Self {
        let mut asked = Self { info: RequestInfo::default(), selectors: None, errors: Vec::new() };
        if let Some(paths) = review.at(&["spec", "nonResourceAttributes"]).filter(|a| !a.is_null()) {
            asked.info.path = paths.str_at(&["path"]).into();
            asked.info.verb = paths.str_at(&["verb"]).into();
            return asked;
        }
        let Some(resource) = review.at(&["spec", "resourceAttributes"]) else { return asked };
        let field = |name: &str| resource.str_at(&[name]).to_owned();
        asked.info = RequestInfo {
            is_resource: true,
            verb: field("verb"),
            group: field("group"),
            version: Some(field("version")).filter(|v| !v.is_empty()).unwrap_or_else(|| "*".into()),
            namespace: field("namespace"),
            resource: field("resource"),
            subresource: field("subresource"),
            name: field("name"),
            ..RequestInfo::default()
        };
        let (fields, field_error) = part(resource, "fieldSelector", field_selector::Selector::parse, fields);
        let (labels, label_error) = part(resource, "labelSelector", label_selector::Selector::parse, labels);
        if fields.is_some() || labels.is_some() {
            asked.selectors =
                Some(Selectors { fields: fields.unwrap_or_default(), labels: labels.unwrap_or_default() });
        }
        asked.errors.extend(field_error.into_iter().chain(label_error));
        asked
    }
}

/// A selector of a review: from its text or its requirements, and what was left out because it cannot be read.
fn part<S, E>(
    resource: &Value,
    name: &str,
    parse: impl Fn(&str) -> Result<S, E>,
    read: impl Fn(&[Value]) -> (Option<S>, bool),
) -> (Option<S>, Option<String>) {
    let Some(selector) = resource.get(name).filter(|s| !s.is_null()) else { return (None, None) };
    let raw = selector.str_at(&["rawSelector"]);
    let (selector, complete) = match selector.array_at(&["requirements"]) {
        [] if raw.is_empty() => (None, true),
        [] => match parse(raw) {
            Ok(selector) => (Some(selector), true),
            Err(_) => (None, false),
        },
        requirements => read(requirements),
    };
    let how = if selector.is_some() { "partially ignored" } else { "ignored" };
    let error = (!complete).then(|| format!("spec.resourceAttributes.{name} {how} due to parse error"));
    (selector, error)
}

/// Field selectors know one value, equal or not.
fn fields(requirements: &[Value]) -> (Option<field_selector::Selector>, bool) {
    let read = |r: &Value| {
        let negated = match r.str_at(&["operator"]) {
            "In" => false,
            "NotIn" => true,
            _ => return None,
        };
        let [value] = r.array_at(&["values"]) else { return None };
        let value: Str = value.as_str()?.into();
        Some(field_selector::Requirement { field: r.str_at(&["key"]).into(), negated, value })
    };
    let known: Vec<_> = requirements.iter().filter_map(read).collect();
    let complete = known.len() == requirements.len();
    ((!known.is_empty()).then(|| field_selector::Selector::new(known)), complete)
}

fn labels(requirements: &[Value]) -> (Option<label_selector::Selector>, bool) {
    use label_selector::{Operator, Requirement};
    let read = |r: &Value| {
        let operator = match r.str_at(&["operator"]) {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        };
        let values = r.array_at(&["values"]).iter().filter_map(Value::as_str).map(Str::from).collect();
        Requirement::new(r.str_at(&["key"]), operator, values).ok()
    };
    let known: Vec<_> = requirements.iter().filter_map(read).collect();
    let complete = known.len() == requirements.len();
    ((!known.is_empty()).then(|| label_selector::Selector::new(known)), complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_of_a_review_are_read_as_far_as_they_can_be() {
        let rows = [
            (r#"{"fieldSelector":{"rawSelector":"a=b"}}"#, "a=b", None),
            (
                r#"{"fieldSelector":{"requirements":[{"key":"a","operator":"In","values":["b"]}]}}"#,
                "a=b",
                None,
            ),
            (
                r#"{"fieldSelector":{"requirements":[{"key":"a","operator":"NotIn","values":["b"]},{"key":"c","operator":"Exists"}]}}"#,
                "a!=b",
                Some("spec.resourceAttributes.fieldSelector partially ignored due to parse error"),
            ),
            (
                r#"{"fieldSelector":{"rawSelector":"a"}}"#,
                "",
                Some("spec.resourceAttributes.fieldSelector ignored due to parse error"),
            ),
        ];
        for (resource, want, error) in rows {
            let review = format!(r#"{{"spec":{{"resourceAttributes":{resource}}}}}"#);
            let asked = Asked::read(&serde_json::from_str(&review).unwrap());
            let fields = asked.selectors.map(|s| s.fields.to_string()).unwrap_or_default();
            assert_eq!(
                (fields.as_str(), asked.errors.first().map(String::as_str)),
                (want, error),
                "{resource}"
            );
        }
    }
}
