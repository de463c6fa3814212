//! Pod disruption budgets.

use sampan_model::int_or_string::{validate_non_negative_int_or_percent, validate_not_more_than_100_percent};
use sampan_model::{FieldError, FieldPath, Value};

use crate::apps::{prepare_create, prepare_status, prepare_update};
use crate::look::{Errors, Look, go_struct_text, non_negative, one_of};
use crate::selector::label_selector;
use crate::strategy::zero_counts;
use crate::{KindRules, PartRules};

const COUNTS: [&str; 4] = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];

/// The rules of pod disruption budgets.
pub(crate) const BUDGET: KindRules = KindRules {
    default: Some(|budget| {
        if budget.has("status") {
            zero_counts(budget, &COUNTS);
        }
    }),
    prepare_create: Some(|budget, params| {
        prepare_create(budget, params);
        zero_counts(budget, &COUNTS);
    }),
    prepare_update: Some(prepare_update),
    validate: Some(validate_budget),
    validate_update: Some(|new, _| validate_budget(new)),
    status: Some(PartRules {
        prepare_update: prepare_status,
        validate_update: Some(validate_budget_status_update),
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    unconditional_update: false,
    ..KindRules::PLAIN
};

/// What is wrong with a budget.
pub fn validate_budget(budget: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (spec, p) = (budget.sub("spec"), FieldPath::field("spec"));
    if spec.has("minAvailable") && spec.has("maxUnavailable") {
        let shown = go_struct_text([
            ("MinAvailable", spec.sub("minAvailable").clone()),
            ("Selector", spec.sub("selector").clone()),
            ("MaxUnavailable", spec.sub("maxUnavailable").clone()),
            ("UnhealthyPodEvictionPolicy", spec.sub("unhealthyPodEvictionPolicy").clone()),
        ]);
        let why = "minAvailable and maxUnavailable cannot be both set";
        e.push(FieldError::invalid(p, Value::Null, why).showing(shown));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        if let Some(value) = spec.opt(field) {
            e.append(&mut validate_non_negative_int_or_percent(value, &p.child(field)));
            e.append(&mut validate_not_more_than_100_percent(value, &p.child(field)));
        }
    }
    label_selector(&mut e, p.child("selector"), spec.sub("selector"));
    let policy = spec.opt_s("unhealthyPodEvictionPolicy");
    let allowed = ["AlwaysAllow", "IfHealthyBudget"];
    one_of(&mut e, p.child("unhealthyPodEvictionPolicy"), policy, &allowed);
    e
}

/// What is wrong with a change of a budget's status.
pub fn validate_budget_status_update(budget: &Value, _: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (status, p) = (budget.sub("status"), FieldPath::field("status"));
    for field in COUNTS {
        non_negative(&mut e, p.child(field), status.num(field));
    }
    e
}
