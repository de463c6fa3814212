//! Cron jobs.

use sampan_model::{FieldError, FieldPath, Value};

use super::job::{default_job_spec, job_spec};
use super::schedule::{schedule_complaint, time_zone_complaint};
use crate::apps::{prepare_create, prepare_status, prepare_update};
use crate::core::pod::warnings::template_warnings;
use crate::look::{Errors, Look, Put, non_negative, not_supported, required_one_of, same, spec_mut};
use crate::{KindRules, PartRules};

/// The rules of cron jobs.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_cron_job),
    prepare_create: Some(prepare_create),
    prepare_update: Some(prepare_update),
    validate: Some(validate_cron_job),
    validate_update: Some(validate_cron_job_update),
    warnings: Some(cron_job_warnings),
    status: Some(PartRules {
        prepare_update: prepare_status,
        validate_update: None,
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    ..KindRules::PLAIN
};

/// Sets a cron job's defaults.
pub fn default_cron_job(cron_job: &mut Value) {
    let spec = spec_mut(cron_job);
    spec.default_to("concurrencyPolicy", "Allow");
    spec.default_ptr("suspend", false);
    spec.default_ptr("successfulJobsHistoryLimit", 3);
    spec.default_ptr("failedJobsHistoryLimit", 1);
    default_job_spec(spec.object_mut("jobTemplate").object_mut("spec"));
}

/// What is wrong with a new cron job.
pub fn validate_cron_job(cron_job: &Value) -> Vec<FieldError> {
    // The controller adds 11 characters to the names of jobs.
    const LONGEST_NAME: usize = 52;
    let mut e = cron_job_spec(cron_job, None);
    let name = cron_job.sub("metadata").s("name");
    if name.len() > LONGEST_NAME {
        let detail = format!("must be no more than {LONGEST_NAME} characters");
        e.push(FieldError::invalid("metadata.name", name, detail));
    }
    e
}

/// What is wrong with a change of a cron job.
pub fn validate_cron_job_update(cron_job: &Value, old: &Value) -> Vec<FieldError> {
    cron_job_spec(cron_job, Some(old))
}

fn cron_job_spec(cron_job: &Value, old: Option<&Value>) -> Errors {
    let mut e = Errors::new();
    let (spec, p) = (cron_job.sub("spec"), FieldPath::field("spec"));
    let schedule = spec.s("schedule");
    let at = p.child("schedule");
    let zone = spec.opt_s("timeZone");
    if schedule.is_empty() {
        e.push(FieldError::required(at, ""));
    } else {
        if let Some(complaint) = schedule_complaint(schedule) {
            e.push(FieldError::invalid(at, schedule, complaint));
        }
        let had_zone = old.is_some_and(|old| old.sub("spec").s("schedule").contains("TZ"));
        if schedule.contains("TZ") {
            if !had_zone {
                let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
                e.push(FieldError::invalid(at, schedule, detail));
            } else if zone.is_some() {
                let detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
                e.push(FieldError::invalid(at, schedule, detail));
            }
        }
    }
    non_negative(&mut e, p.child("startingDeadlineSeconds"), spec.num("startingDeadlineSeconds"));
    let zone_kept = old.is_some_and(|old| old.sub("spec").opt_s("timeZone") == zone);
    if let Some(zone) = zone
        && !zone_kept
        && let Some(complaint) = time_zone_complaint(zone)
    {
        e.push(FieldError::invalid(p.child("timeZone"), zone, complaint));
    }
    let policies = ["Allow", "Forbid", "Replace"];
    required_one_of(&mut e, p.child("concurrencyPolicy"), spec.s("concurrencyPolicy"), &policies);
    let p_template = p.child("jobTemplate");
    let at = p_template.child("spec");
    let job = spec.sub("jobTemplate").sub("spec");
    job_spec(&mut e, at, job);
    if let Some(selector) = job.opt("selector") {
        e.push(FieldError::invalid(
            at.child("selector"),
            selector.clone(),
            "`selector` will be auto-generated",
        ));
    }
    if job.flag("manualSelector") {
        e.push(not_supported(at.child("manualSelector"), true, &["nil", "false"]));
    }
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        non_negative(&mut e, p.child(field), spec.num(field));
    }
    e
}

/// Warnings about a cron job.
pub fn cron_job_warnings(cron_job: &Value, old: Option<&Value>) -> Vec<String> {
    let mut w = Vec::new();
    let (spec, p) = (cron_job.sub("spec"), FieldPath::field("spec"));
    if old.is_none() {
        let complaints = sampan_model::name::is_dns1123_label(cron_job.sub("metadata").s("name"));
        if !complaints.is_empty() {
            w.push(format!("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]", complaints.join(" ")));
        }
    }
    if old.is_none_or(|old| !same(old.sub("spec"), spec)) {
        let at = p.child("jobTemplate");
        let at = at.child("spec");
        let template = spec.sub("jobTemplate").sub("spec").sub("template");
        template_warnings(&mut w, at.child("template"), template);
        if spec.s("schedule").contains("TZ") {
            w.push(format!(
                "{} should not include TZ or CRON_TZ: use timeZone field instead",
                p.child("schedule")
            ));
        }
    }
    w
}
