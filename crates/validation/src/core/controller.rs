//! Replication controllers, and pod templates that stand alone.

use sampan_model::{FieldError, FieldPath, Map, Value};

use super::pod::defaults::default_template;
use super::pod::spec::pod_template;
use super::pod::warnings::template_warnings;
use crate::apps::scaled_status;
use crate::look::{
    Errors, Look, Put, bump_generation, non_negative, not_supported, restore, same, set_generation, spec_mut,
    top,
};
use crate::strategy::zero_counts;
use crate::{KindRules, Params, PartRules};

/// The rules of replication controllers.
pub(crate) const CONTROLLER: KindRules = KindRules {
    default: Some(default_controller),
    prepare_create: Some(prepare_controller_for_create),
    prepare_update: Some(prepare_controller_for_update),
    validate: Some(validate_controller),
    validate_update: Some(|new, _| validate_controller(new)),
    warnings: Some(controller_warnings),
    status: Some(PartRules {
        prepare_update: |new, old, _: &Params<'_>| restore(new, old, "spec"),
        validate_update: Some(validate_controller_status_update),
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    orphan_dependents: true,
    ..KindRules::PLAIN
};

/// The rules of pod templates.
pub(crate) const TEMPLATE: KindRules = KindRules {
    default: Some(|template| default_template(top(template))),
    prepare_create: Some(|template, _| set_generation(template, 1)),
    prepare_update: Some(|template, old, _| {
        let changed = !same(template.sub("template"), old.sub("template"));
        bump_generation(template, old, changed);
    }),
    validate: Some(validate_pod_template),
    validate_update: Some(|new, _| validate_pod_template(new)),
    warnings: Some(|template, old| {
        let mut w = Vec::new();
        if old.is_none_or(|old| !same(old.sub("template"), template.sub("template"))) {
            template_warnings(&mut w, FieldPath::field("template"), template.sub("template"));
        }
        w
    }),
    delete_returns_object: true,
    ..KindRules::PLAIN
};

/// What is wrong with a pod template.
pub fn validate_pod_template(template: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    pod_template(&mut e, FieldPath::field("template"), template.sub("template"));
    e
}

/// Without a selector of its own a controller selects by its template's labels.
pub fn default_controller(controller: &mut Value) {
    let labels = controller.sub("spec").sub("template").sub("metadata").map("labels").cloned();
    if let Some(labels) = labels.filter(|l| !l.is_empty()) {
        spec_mut(controller).default_to("selector", labels.clone());
        top(controller).object_mut("metadata").default_to("labels", labels);
    }
    if controller.has("status") {
        zero_counts(controller, &["replicas"]);
    }
    let spec = spec_mut(controller);
    spec.default_ptr("replicas", 1);
    if spec.has("template") {
        default_template(spec);
    }
}

/// A new controller has no status yet.
pub fn prepare_controller_for_create(controller: &mut Value, _: &Params<'_>) {
    top(controller).insert("status", Map::new());
    zero_counts(controller, &["replicas"]);
    set_generation(controller, 1);
}

/// A client that writes a controller does not touch its status.
pub fn prepare_controller_for_update(controller: &mut Value, old: &Value, _: &Params<'_>) {
    restore(controller, old, "status");
    let changed = !same(controller.sub("spec"), old.sub("spec"));
    bump_generation(controller, old, changed);
}

/// What is wrong with a controller.
pub fn validate_controller(controller: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (spec, p) = (controller.sub("spec"), FieldPath::field("spec"));
    non_negative(&mut e, p.child("minReadySeconds"), spec.num("minReadySeconds"));
    let selector = spec.sub("selector");
    if selector.is_empty() {
        e.push(FieldError::required(p.child("selector"), ""));
    }
    non_negative(&mut e, p.child("replicas"), spec.num("replicas"));
    let p = p.child("template");
    let Some(template) = spec.opt("template") else {
        e.push(FieldError::required(p, ""));
        return e;
    };
    let labels = template.sub("metadata").sub("labels");
    if !spec.entries("selector").all(|(key, value)| labels.get(key) == Some(value)) {
        let at = p.child("metadata");
        let detail = "`selector` does not match template `labels`";
        e.push(FieldError::invalid(at.child("labels"), labels.clone(), detail));
    }
    pod_template(&mut e, p, template);
    let at = p.child("spec");
    let policy = template.sub("spec").s("restartPolicy");
    if policy != "Always" {
        e.push(not_supported(at.child("restartPolicy"), policy, &["Always"]));
    }
    if template.sub("spec").has("activeDeadlineSeconds") {
        let detail = "activeDeadlineSeconds in ReplicationController is not Supported";
        e.push(FieldError::forbidden(at.child("activeDeadlineSeconds"), detail));
    }
    e
}

/// What is wrong with a change of a controller's status.
pub fn validate_controller_status_update(controller: &Value, _: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    scaled_status(&mut e, controller.sub("status"));
    e
}

/// Warnings about a controller: its template's, and a name that its pods cannot carry on as a host name.
pub fn controller_warnings(controller: &Value, old: Option<&Value>) -> Vec<String> {
    crate::apps::workload_warnings(controller, old)
}
