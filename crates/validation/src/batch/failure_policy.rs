//! When a failed pod fails its job (KEP-3329), and when some indexes are success enough (KEP-3998).

use sampan_model::name::is_qualified_name;
use sampan_model::{FieldError, FieldPath, Value};

use crate::look::{Errors, Look, complain, not_supported, required_one_of};
use crate::seen::Seen;

const MOST_RULES: usize = 20;
const MOST_VALUES: usize = 255;
const MOST_PATTERNS: usize = 20;

/// `podFailurePolicy`
pub(crate) fn pod_failure_policy(e: &mut Errors, p: FieldPath<'_>, policy: &Value, spec: &Value) {
    let rules = policy.list("rules");
    let p = p.child("rules");
    if rules.len() > MOST_RULES {
        e.push(FieldError::too_many(p, rules.len(), MOST_RULES));
    }
    for (i, rule) in rules.iter().enumerate() {
        failure_rule(e, p.index(i), rule, spec);
    }
}

fn failure_rule(e: &mut Errors, p: FieldPath<'_>, rule: &Value, spec: &Value) {
    const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
    let action = rule.s("action");
    if action.is_empty() {
        let detail = "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]";
        e.push(FieldError::required(p.child("action"), detail));
    } else if action == "FailIndex" && !spec.has("backoffLimitPerIndex") {
        e.push(FieldError::invalid(p.child("action"), action, "requires the backoffLimitPerIndex to be set"));
    } else if !ACTIONS.contains(&action) {
        e.push(not_supported(p.child("action"), action, &ACTIONS));
    }
    if let Some(codes) = rule.opt("onExitCodes") {
        exit_codes(e, p.child("onExitCodes"), codes, spec);
    }
    let patterns = rule.list("onPodConditions");
    if !patterns.is_empty() {
        let p = p.child("onPodConditions");
        if patterns.len() > MOST_PATTERNS {
            e.push(FieldError::too_many(p, patterns.len(), MOST_PATTERNS));
        }
        for (i, pattern) in patterns.iter().enumerate() {
            let p = p.index(i);
            let kind = pattern.s("type");
            complain(e, p.child("type"), kind, is_qualified_name(kind));
            required_one_of(e, p.child("status"), pattern.s("status"), &["False", "True", "Unknown"]);
        }
    }
    match (rule.has("onExitCodes"), !patterns.is_empty()) {
        (true, true) => {
            let detail = "specifying both OnExitCodes and OnPodConditions is not supported";
            e.push(FieldError::invalid(p, Value::Null, detail));
        }
        (false, false) => {
            let detail = "specifying one of OnExitCodes and OnPodConditions is required";
            e.push(FieldError::invalid(p, Value::Null, detail));
        }
        _ => {}
    }
}

fn exit_codes(e: &mut Errors, p: FieldPath<'_>, codes: &Value, spec: &Value) {
    let operator = codes.s("operator");
    if operator.is_empty() {
        e.push(FieldError::required(p.child("operator"), "valid values: [\"In\" \"NotIn\"]"));
    } else if !["In", "NotIn"].contains(&operator) {
        e.push(not_supported(p.child("operator"), operator, &["In", "NotIn"]));
    }
    if let Some(name) = codes.opt_s("containerName") {
        let pod = spec.sub("template").sub("spec");
        let all = || pod.list("containers").iter().chain(pod.list("initContainers"));
        if !all().any(|c| c.s("name") == name) {
            let detail = "must be one of the container or initContainer names in the pod template";
            e.push(FieldError::invalid(p.child("containerName"), name, detail));
        }
    }
    let values = codes.list("values");
    let p = p.child("values");
    if values.is_empty() {
        e.push(FieldError::invalid(p, values.to_vec(), "at least one value is required"));
    } else if values.len() > MOST_VALUES {
        e.push(FieldError::too_many(p, values.len(), MOST_VALUES));
    }
    let numbers: Vec<i64> = values.iter().filter_map(Value::as_i64).collect();
    let mut seen = Seen::default();
    for (i, number) in numbers.iter().enumerate() {
        if operator == "In" && *number == 0 {
            e.push(FieldError::invalid(p.index(i), *number, "must not be 0 for the In operator"));
        }
        if seen.again(*number) {
            e.push(FieldError::duplicate(p.index(i), *number));
        }
    }
    if !numbers.is_sorted() {
        e.push(FieldError::invalid(p, values.to_vec(), "must be ordered"));
    }
}

/// `successPolicy`
pub(crate) fn success_policy(e: &mut Errors, p: FieldPath<'_>, policy: &Value, spec: &Value) {
    const MOST_INDEXES: usize = 65_536;
    let rules = policy.list("rules");
    let p = p.child("rules");
    if rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        e.push(FieldError::required(p, detail));
    }
    if rules.len() > MOST_RULES {
        e.push(FieldError::too_many(p, rules.len(), MOST_RULES));
    }
    let completions = spec.num("completions");
    for (i, rule) in rules.iter().enumerate() {
        let p = p.index(i);
        let (count, indexes) = (rule.opt_num("succeededCount"), rule.opt_s("succeededIndexes"));
        if count.is_none() && indexes.is_none() {
            let detail = "at least one of succeededCount or succeededIndexes must be specified";
            e.push(FieldError::required(p, detail));
        }
        let mut total = completions;
        if let Some(indexes) = indexes {
            let p = p.child("succeededIndexes");
            if indexes.len() > MOST_INDEXES {
                e.push(FieldError::too_long(p, MOST_INDEXES));
            }
            match intervals(indexes, completions) {
                Ok(sum) => total = sum,
                Err(text) => {
                    e.push(FieldError::invalid(
                        p,
                        indexes,
                        format!("error parsing succeededIndexes: {text}"),
                    ));
                }
            }
        }
        if let Some(count) = count {
            let p = p.child("succeededCount");
            crate::look::non_negative(e, p, count);
            if count > completions {
                let detail = format!(
                    "must be less than or equal to {completions} (the number of specified completions)"
                );
                e.push(FieldError::invalid(p, count, detail));
            } else if indexes.is_some() && count > total {
                let detail = format!(
                    "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
                );
                e.push(FieldError::invalid(p, count, detail));
            }
        }
    }
}

/// How many indexes `0,2-4` names.
fn intervals(text: &str, completions: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let mut total = 0;
    let mut last: Option<i64> = None;
    for interval in text.split(',') {
        let limits: Vec<&str> = interval.split('-').collect();
        if limits.len() > 2 {
            return Err(format!(
                "the fragment {interval:?} violates the requirement that an index interval can have at most two parts separated by '-'"
            ));
        }
        let number = |text: &str| {
            text.parse::<i64>().map_err(|_| format!("cannot convert string to integer for index: {text:?}"))
        };
        let first = number(limits[0])?;
        let end = if let Some(end) = limits.get(1) { number(end)? } else { first };
        for limit in [first, end] {
            if limit >= completions {
                return Err(format!("too large index: {:?}", limit.to_string()));
            }
        }
        if last.is_some_and(|last| last >= first) {
            let last = last.unwrap_or(0);
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        if limits.len() == 2 && first >= end {
            return Err(format!("non-increasing order, previous: {first}, current: {end}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}
