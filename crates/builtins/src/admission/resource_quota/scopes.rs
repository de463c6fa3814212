//! The scopes of a quota: what an object must be for the quota to count it.

use sampan_model::Value;

/// `v1.ScopedResourceSelectorRequirement`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requirement {
    pub(super) scope: String,
    pub(super) operator: String,
    pub(super) values: Vec<String>,
}

impl Requirement {
    fn exists(scope: &str) -> Self {
        Self { scope: scope.into(), operator: "Exists".into(), values: Vec::new() }
    }

    /// From an object's own form.
    pub(super) fn read(value: &Value) -> Self {
        Self {
            scope: value.str_at(&["scopeName"]).into(),
            operator: value.str_at(&["operator"]).into(),
            values: value.array_at(&["values"]).iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }

    /// All that a quota demands: the old list, whose scopes are simply there, and the selector.
    pub(super) fn of_quota(quota: &Value) -> Vec<Self> {
        let old = quota.array_at(&["spec", "scopes"]).iter().filter_map(Value::as_str).map(Self::exists);
        let selector = quota.array_at(&["spec", "scopeSelector", "matchExpressions"]);
        old.chain(selector.iter().map(Self::read)).collect()
    }

    /// Whether a value (of which there may be none) is as demanded.
    pub(super) fn accepts(&self, value: Option<&str>) -> bool {
        let listed = || value.is_some_and(|v| self.values.iter().any(|l| l == v));
        match self.operator.as_str() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    }
}

impl std::fmt::Display for Requirement {
    /// As Go prints the struct.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{{{} {} [{}]}}", self.scope, self.operator, self.values.join(" "))
    }
}
