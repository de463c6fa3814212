//! What a write does to the quotas of its namespace: a pure decision.

use std::collections::BTreeSet;

use sampan_model::{Quantity, Value};

use super::super::amounts::Amounts;
use super::evaluator::Evaluator;
use super::limited::{self, Limited};
use super::quota::Quota;

/// A write, as quotas see it.
pub(super) struct Change<'a> {
    pub(super) evaluator: Evaluator,
    /// The object afterwards; `None` when it goes.
    pub(super) new: Option<&'a Value>,
    /// The object before; `None` when it is new.
    pub(super) old: Option<&'a Value>,
    /// Whether it is refused when it goes too far.
    pub(super) enforced: bool,
}

/// Why a write may not be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 403.
    Forbidden(String),
    /// What upstream answers with 500.
    Error(String),
}

/// Decides about a change. Answers which quotas it moves, and to what use.
pub(super) fn charge(
    quotas: &[Quota],
    change: &Change<'_>,
    limited: &[Limited],
) -> Result<Vec<(usize, Amounts)>, Refusal> {
    let evaluator = &change.evaluator;
    let new_usage = change.new.map(|o| evaluator.usage(o)).unwrap_or_default();
    let old_usage = change.old.map(|o| evaluator.usage(o)).unwrap_or_default();
    let none = Amounts::new();
    let mut covered = BTreeSet::new();
    let mut fulfilled = Vec::new();
    let mut concerned = Vec::new();
    for (i, quota) in quotas.iter().enumerate() {
        if let Some(object) = change.new {
            fulfilled.extend(quota.scopes.iter().filter(|s| evaluator.fulfils(s, object)));
        }
        let tracked: Vec<&str> =
            quota.hard.keys().map(String::as_str).filter(|name| evaluator.tracks(name)).collect();
        let matches = |object: &Value| {
            !tracked.is_empty() && quota.scopes.iter().all(|scope| evaluator.fulfils(scope, object))
        };
        let (now, before) = (change.new.is_some_and(&matches), change.old.is_some_and(&matches));
        if now && change.enforced {
            let missing = change.new.and_then(|o| evaluator.missing(tracked.iter().copied(), o));
            if let Some(missing) = missing {
                return Err(Refusal::Forbidden(format!("failed quota: {}: {missing}", quota.name)));
            }
            covered.extend(tracked.iter().copied());
        }
        let usage = |counts: bool, usage| if counts { usage } else { &none };
        let delta = difference(quota, usage(now, &new_usage), usage(before, &old_usage));
        if !delta.is_empty() {
            concerned.push((i, delta));
        }
    }
    if change.enforced {
        let negative: Vec<&str> =
            new_usage.iter().filter(|(_, q)| q.sign() < 0).map(|(name, _)| name.as_str()).collect();
        if !negative.is_empty() {
            let names = negative.join(",");
            return Err(Refusal::Forbidden(format!("quota usage is negative for resource(s): {names}")));
        }
        if let Some(object) = change.new
            && new_usage.iter().any(|(name, q)| *q > old_usage.get(name).copied().unwrap_or_default())
        {
            limited::check(limited, evaluator, object, &new_usage, &covered, &fulfilled)?;
        }
    }
    let mut moved = Vec::with_capacity(concerned.len());
    for (i, delta) in concerned {
        let quota = &quotas[i];
        if change.enforced {
            fits(quota, &delta)?;
        }
        let mut used = quota.used.clone();
        for (name, amount) in &delta {
            let entry = used.entry(name.clone()).or_default();
            *entry = entry.add(*amount).max(Quantity::ZERO.with_format(entry.format()));
        }
        moved.push((i, used));
    }
    Ok(moved)
}

/// What changes in the use of what a quota limits, without what does not.
fn difference(quota: &Quota, new: &Amounts, old: &Amounts) -> Amounts {
    let amount = |of: &Amounts, name: &str| of.get(name).copied().unwrap_or_default();
    let names: BTreeSet<&String> =
        new.keys().chain(old.keys()).filter(|name| quota.hard.contains_key(*name)).collect();
    let all = names.into_iter().map(|name| {
        let before = amount(old, name);
        let delta = if before.is_zero() { amount(new, name) } else { amount(new, name).sub(before) };
        (name.clone(), delta)
    });
    all.filter(|(_, delta)| !delta.is_zero()).collect()
}

fn fits(quota: &Quota, delta: &Amounts) -> Result<(), Refusal> {
    let amount = |of: &Amounts, name: &str| of.get(name).copied().unwrap_or_default();
    let exceeded: Vec<&String> = delta
        .iter()
        .filter(|(name, more)| {
            more.sign() > 0 && amount(&quota.used, name).add(**more) > amount(&quota.hard, name)
        })
        .map(|(name, _)| name)
        .collect();
    if exceeded.is_empty() {
        return Ok(());
    }
    let shown = |of: &Amounts| {
        let parts: Vec<_> = exceeded.iter().map(|name| format!("{name}={}", amount(of, name))).collect();
        parts.join(",")
    };
    Err(Refusal::Forbidden(format!(
        "exceeded quota: {}, requested: {}, used: {}, limited: {}",
        quota.name,
        shown(delta),
        shown(&quota.used),
        shown(&quota.hard)
    )))
}
