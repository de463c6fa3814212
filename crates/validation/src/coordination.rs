//! Leases, and candidates for them.

use sampan_model::name::{is_domain_prefixed_key, is_qualified_name};
use sampan_model::{FieldError, FieldPath, Value};

use crate::KindRules;
use crate::look::{Errors, Look, complain, immutable};

/// The rules of leases.
pub(crate) const LEASE: KindRules = KindRules {
    validate: Some(validate_lease),
    validate_update: Some(|new, _| validate_lease(new)),
    create_on_update: true,
    unconditional_update: false,
    ..KindRules::PLAIN
};

/// The rules of lease candidates.
pub(crate) const CANDIDATE: KindRules = KindRules {
    validate: Some(validate_candidate),
    validate_update: Some(|new, old| {
        let mut e = validate_candidate(new);
        let name = |c: &Value| c.sub("spec").sub("leaseName").clone();
        immutable(&mut e, FieldPath::field("spec").child("leaseName"), &name(new), &name(old));
        e
    }),
    create_on_update: true,
    unconditional_update: false,
    ..KindRules::PLAIN
};

const OLDEST: &str = "OldestEmulationVersion";

/// What is wrong with a lease.
pub fn validate_lease(lease: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (spec, p) = (lease.sub("spec"), FieldPath::field("spec"));
    if let Some(seconds) = spec.opt_num("leaseDurationSeconds")
        && seconds <= 0
    {
        e.push(FieldError::invalid(p.child("leaseDurationSeconds"), seconds, "must be greater than 0"));
    }
    if let Some(transitions) = spec.opt_num("leaseTransitions")
        && transitions < 0
    {
        let detail = "must be greater than or equal to 0";
        e.push(FieldError::invalid(p.child("leaseTransitions"), transitions, detail));
    }
    if let Some(strategy) = spec.opt_s("strategy") {
        strategy_complaints(&mut e, p.child("strategy"), strategy);
    }
    let preferred = spec.s("preferredHolder");
    if !preferred.is_empty() && spec.s("strategy").is_empty() {
        let detail = "may only be specified if `strategy` is defined";
        e.push(FieldError::forbidden(p.child("preferredHolder"), detail));
    }
    e
}

fn strategy_complaints(e: &mut Errors, p: FieldPath<'_>, strategy: &str) {
    if strategy == OLDEST {
        return;
    }
    if strategy.contains('/') {
        e.append(&mut is_domain_prefixed_key(&p, strategy));
    } else {
        e.push(FieldError::invalid(p, strategy, "must be a domain-prefixed key (such as \"acme.io/foo\")"));
    }
}

/// What is wrong with a candidate.
pub fn validate_candidate(candidate: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (spec, p) = (candidate.sub("spec"), FieldPath::field("spec"));
    let lease = spec.s("leaseName");
    if lease.is_empty() {
        e.push(FieldError::required(p.child("leaseName"), ""));
    } else {
        complain(&mut e, p.child("leaseName"), lease, is_qualified_name(lease));
    }
    let (binary, emulation) = (spec.s("binaryVersion"), spec.s("emulationVersion"));
    if binary.is_empty() {
        e.push(FieldError::required(p.child("binaryVersion"), ""));
    }
    let oldest = spec.s("strategy") == OLDEST;
    if emulation.is_empty() {
        if oldest {
            let detail = "must be specified when `strategy` is 'OldestEmulationVersion'";
            e.push(FieldError::required(p.child("emulationVersion"), detail));
        }
    } else if let (Some(emulated), Some(of)) = (version(emulation), version(binary))
        && emulated > of
    {
        let detail = "must be less than or equal to `binaryVersion`";
        e.push(FieldError::invalid(p.child("emulationVersion"), emulation, detail));
    }
    for (field, text) in [("binaryVersion", binary), ("emulationVersion", emulation)] {
        if !text.is_empty() && version(text).is_none() {
            e.push(FieldError::invalid(p.child(field), text, "must be a valid semantic version"));
        }
    }
    match spec.s("strategy") {
        "" => e.push(FieldError::required(p.child("strategy"), "")),
        strategy => strategy_complaints(&mut e, p.child("strategy"), strategy),
    }
    e
}

fn version(text: &str) -> Option<(u64, u64, u64)> {
    let mut numbers = text.trim_start_matches('v').split(['-', '+']).next()?.split('.').map(str::parse);
    let version = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
    numbers.next().is_none().then_some(version)
}
