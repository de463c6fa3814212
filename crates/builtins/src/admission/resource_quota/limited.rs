//! What may be used only where a quota covers it (`limitedResources` of the plug-in's configuration).

use std::collections::BTreeSet;

use sampan_model::{GroupResource, Value};

use super::super::amounts::Amounts;
use super::super::configuration::{is_of_kind, only_fields};
use super::charge::Refusal;
use super::evaluator::Evaluator;
use super::scopes::Requirement;

/// What the configuration may be, the newest first.
const KINDS: [(&str, &str); 3] = [
    ("apiserver.config.k8s.io/v1", "ResourceQuotaConfiguration"),
    ("resourcequota.admission.k8s.io/v1beta1", "Configuration"),
    ("resourcequota.admission.k8s.io/v1alpha1", "Configuration"),
];

/// One entry of the list.
#[derive(Debug)]
pub(in crate::admission) struct Limited {
    resource: GroupResource,
    contains: Vec<String>,
    scopes: Vec<Requirement>,
}

impl Limited {
    /// The entries of a configuration; or what is wrong with it.
    pub(in crate::admission) fn read_all(configuration: &Value) -> Result<Vec<Self>, String> {
        is_of_kind(configuration, &KINDS)?;
        only_fields(configuration, "", &["apiVersion", "kind", "limitedResources"])?;
        for (i, entry) in configuration.array_at(&["limitedResources"]).iter().enumerate() {
            let at = format!("limitedResources[{i}]");
            only_fields(entry, &at, &["apiGroup", "resource", "matchContains", "matchScopes"])?;
            if entry.str_at(&["resource"]).is_empty() {
                return Err(format!("{at}.resource: Required value"));
            }
            for (j, scope) in entry.array_at(&["matchScopes"]).iter().enumerate() {
                only_fields(scope, &format!("{at}.matchScopes[{j}]"), &["scopeName", "operator", "values"])?;
            }
        }
        let strings = |value: &Value, field: &str| {
            let list = value.array_at(&[field]).iter().filter_map(Value::as_str);
            list.map(str::to_owned).collect::<Vec<_>>()
        };
        let read = |entry: &Value| Self {
            resource: GroupResource::new(
                entry.str_at(&["apiGroup"]).to_owned(),
                entry.str_at(&["resource"]).to_owned(),
            ),
            contains: strings(entry, "matchContains"),
            scopes: entry.array_at(&["matchScopes"]).iter().map(Requirement::read).collect(),
        };
        Ok(configuration.array_at(&["limitedResources"]).iter().map(read).collect())
    }
}

/// Whether all that is limited is covered: by the names that matching quotas limit, and by scopes that quotas have.
pub(super) fn check(
    limited: &[Limited],
    evaluator: &Evaluator,
    object: &Value,
    usage: &Amounts,
    covered: &BTreeSet<&str>,
    matched: &[&Requirement],
) -> Result<(), Refusal> {
    let mine: Vec<_> = limited.iter().filter(|l| Evaluator::of_resource(&l.resource) == *evaluator).collect();
    let used = usage.iter().filter(|(_, q)| q.sign() > 0).map(|(name, _)| name.as_str());
    let is_limited = |name: &str| mine.iter().any(|l| l.contains.iter().any(|c| name.contains(c.as_str())));
    let uncovered: Vec<&str> = used.filter(|name| is_limited(name) && !covered.contains(name)).collect();
    if !uncovered.is_empty() {
        let names = uncovered.join(",");
        return Err(Refusal::Forbidden(format!("insufficient quota to consume: {names}")));
    }
    let scopes = limited.iter().flat_map(|l| &l.scopes).filter(|s| evaluator.fulfils(s, object));
    let uncovered: Vec<_> = scopes
        .filter(|scope| !matched.iter().any(|m| m.scope == scope.scope))
        .map(ToString::to_string)
        .collect();
    if uncovered.is_empty() {
        return Ok(());
    }
    let list = uncovered.join(" ");
    Err(Refusal::Error(format!("insufficient quota to match these scopes: [{list}]")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_that_would_not_be_in_force_is_refused() {
        let (version, kind) = KINDS[0];
        let of =
            |list: serde_json::Value| json!({"apiVersion": version, "kind": kind, "limitedResources": list});
        let rows = [
            ("good", of(json!([{"resource": "pods", "matchContains": ["cpu"]}])), None),
            ("older", json!({"apiVersion": KINDS[2].0, "kind": KINDS[2].1}), None),
            (
                "of another kind",
                json!({"apiVersion": "v1", "kind": "Pod"}),
                Some(
                    "it must be a ResourceQuotaConfiguration of apiserver.config.k8s.io/v1, not a \"Pod\" of \"v1\"",
                ),
            ),
            (
                "misspelt",
                json!({"apiVersion": version, "kind": kind, "limited": []}),
                Some("unknown field \"limited\""),
            ),
            (
                "misspelt below",
                of(json!([{"resource": "pods", "matchContain": ["cpu"]}])),
                Some("unknown field \"limitedResources[0].matchContain\""),
            ),
            ("of nothing", of(json!([{}])), Some("limitedResources[0].resource: Required value")),
        ];
        for (name, configuration, want) in rows {
            let got = Limited::read_all(&configuration.into()).err();
            assert_eq!(got.as_deref(), want, "{name}");
        }
    }
}
