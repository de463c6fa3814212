//! What becomes of the roles and bindings of a new cluster when a newer server starts over them (upstream's
//! `rbac/reconciliation`): what is missing is added, what somebody added stays.

use sampan_apiserver::registry::Existing;
use sampan_model::Value;
use sampan_model::meta::ObjectMeta;

use super::covers::missing;
use super::rule::PolicyRule;

/// Objects with this annotation set to `false` are left alone.
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

fn protected(existing: &Value) -> bool {
    existing.annotations().is_some_and(|a| a.str(AUTO_UPDATE) == "false")
}

/// Labels and annotations that are missing are added; those that are there stay, whatever their value.
fn merge_meta(object: &mut Value, wanted: &Value) {
    for field in ["labels", "annotations"] {
        let Some(wanted) = wanted.meta().and_then(|m| m.get(field)).and_then(Value::as_object) else {
            continue;
        };
        let map = object.meta_mut().object_mut(field);
        for (key, value) in wanted.iter().filter(|(key, _)| !key.is_empty()) {
            map.get_or_insert_with(key, || value.clone());
        }
    }
}

fn outcome(existing: &Value, object: Value) -> Existing {
    if *existing == object { Existing::Keep } else { Existing::Update(object) }
}

fn append(object: &mut Value, field: &str, more: Vec<Value>) {
    let Value::Object(map) = object else { return };
    let list = map.get_or_insert_with(field, || Value::Array(Vec::new()));
    match list.as_array_mut() {
        Some(list) => list.extend(more),
        None => *list = more.into(),
    }
}

/// What becomes of a role or cluster role.
pub fn role(existing: &Value, wanted: &Value) -> Existing {
    if protected(existing) {
        return Existing::Keep;
    }
    let mut object = existing.clone();
    merge_meta(&mut object, wanted);
    let selectors = |role: &Value| role.array_at(&["aggregationRule", "clusterRoleSelectors"]).to_vec();
    let gathers = |role: &Value| role.get("aggregationRule").is_some_and(|rule| !rule.is_null());
    // The rules of a role that gathers others are somebody else's business.
    if !gathers(wanted) || !gathers(existing) {
        let lacking = missing(&PolicyRule::read_all(existing), &PolicyRule::read_all(wanted));
        if !lacking.is_empty() {
            append(&mut object, "rules", lacking.iter().map(PolicyRule::to_value).collect());
        }
    }
    let there = selectors(existing);
    let lacking: Vec<Value> = selectors(wanted).into_iter().filter(|s| !there.contains(s)).collect();
    if let Value::Object(map) = &mut object {
        if gathers(existing) && !gathers(wanted) {
            map.remove("aggregationRule");
        } else if !lacking.is_empty() {
            let mut rule = Value::Object(std::mem::take(map.object_mut("aggregationRule")));
            append(&mut rule, "clusterRoleSelectors", lacking);
            map.insert("aggregationRule", rule);
        }
    }
    outcome(existing, object)
}

/// What becomes of a role binding or cluster role binding.
pub fn binding(existing: &Value, wanted: &Value) -> Existing {
    if protected(existing) {
        return Existing::Keep;
    }
    let role = |b: &Value| ["apiGroup", "kind", "name"].map(|f| b.str_at(&["roleRef", f]).to_owned());
    if role(existing) != role(wanted) {
        return Existing::Recreate;
    }
    let mut object = existing.clone();
    merge_meta(&mut object, wanted);
    let words = |s: &Value| ["kind", "apiGroup", "namespace", "name"].map(|f| s.str_at(&[f]).to_owned());
    let there: Vec<_> = existing.array_at(&["subjects"]).iter().map(words).collect();
    let subjects = wanted.array_at(&["subjects"]).iter();
    let lacking: Vec<Value> = subjects.filter(|s| !there.contains(&words(s))).cloned().collect();
    if !lacking.is_empty() {
        append(&mut object, "subjects", lacking);
    }
    outcome(existing, object)
}

/// What becomes of an object of the first objects that is there already: kinds of other groups are left alone.
pub fn object(group: &str, kind: &str, existing: &Value, wanted: &Value) -> Existing {
    match (group, kind) {
        (super::GROUP, "Role" | "ClusterRole") => role(existing, wanted),
        (super::GROUP, "RoleBinding" | "ClusterRoleBinding") => binding(existing, wanted),
        _ => Existing::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_missing_is_added_and_what_is_there_stays() {
        type Reconcile = fn(&Value, &Value) -> Existing;
        let (role, binding): (Reconcile, Reconcile) = (role, binding);
        let get = r#"{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}"#;
        let list = r#"{"verbs":["list"],"apiGroups":[""],"resources":["pods"]}"#;
        let both = r#"{"verbs":["get","list"],"apiGroups":[""],"resources":["pods"]}"#;
        let rows: Vec<(&str, Reconcile, String, String, Option<String>)> = vec![
            ("the same stays", role, format!(r#"{{"rules":[{get}]}}"#), format!(r#"{{"rules":[{get}]}}"#), None),
            (
                "missing rules are added",
                role,
                format!(r#"{{"rules":[{get}]}}"#),
                format!(r#"{{"rules":[{both}]}}"#),
                Some(format!(r#"{{"rules":[{get},{list}]}}"#)),
            ),
            ("more rules stay", role, format!(r#"{{"rules":[{both}]}}"#), format!(r#"{{"rules":[{get}]}}"#), None),
            (
                "a protected role is left alone",
                role,
                r#"{"metadata":{"annotations":{"rbac.authorization.kubernetes.io/autoupdate":"false"}},"rules":[]}"#
                    .into(),
                format!(r#"{{"rules":[{get}]}}"#),
                None,
            ),
            (
                "labels are merged, and what somebody set stays",
                role,
                r#"{"metadata":{"labels":{"a":"mine","c":"x"}}}"#.into(),
                r#"{"metadata":{"labels":{"a":"theirs","b":"new"}}}"#.into(),
                Some(r#"{"metadata":{"labels":{"a":"mine","b":"new","c":"x"}}}"#.into()),
            ),
            (
                "the rules of a role that gathers are not compared",
                role,
                r#"{"aggregationRule":{"clusterRoleSelectors":[1]},"rules":[]}"#.into(),
                format!(r#"{{"aggregationRule":{{"clusterRoleSelectors":[1,2]}},"rules":[{get}]}}"#),
                Some(r#"{"aggregationRule":{"clusterRoleSelectors":[1,2]},"rules":[]}"#.into()),
            ),
            (
                "a role that should not gather ceases to",
                role,
                format!(r#"{{"aggregationRule":{{"clusterRoleSelectors":[1]}},"rules":[{get}]}}"#),
                format!(r#"{{"rules":[{get}]}}"#),
                Some(format!(r#"{{"rules":[{get}]}}"#)),
            ),
            (
                "missing subjects are added",
                binding,
                r#"{"roleRef":{"name":"r"},"subjects":[{"kind":"User","name":"a"}]}"#.into(),
                r#"{"roleRef":{"name":"r"},"subjects":[{"kind":"User","name":"b"}]}"#.into(),
                Some(
                    r#"{"roleRef":{"name":"r"},"subjects":[{"kind":"User","name":"a"},{"kind":"User","name":"b"}]}"#
                        .into(),
                ),
            ),
        ];
        for (name, reconcile, existing, wanted, want) in rows {
            let want = want.map_or(Existing::Keep, |w| Existing::Update(tree(&w)));
            assert_eq!(reconcile(&tree(&existing), &tree(&wanted)), want, "{name}");
        }
    }

    #[test]
    fn a_binding_to_another_role_is_made_anew() {
        let (a, b) = (tree(r#"{"roleRef":{"name":"a"}}"#), tree(r#"{"roleRef":{"name":"b"}}"#));
        assert_eq!(binding(&a, &b), Existing::Recreate);
    }
}
