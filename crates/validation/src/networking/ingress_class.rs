//! Ingress classes.

use sampan_model::name::{is_domain_prefixed_path, name_is_dns_label};
use sampan_model::{FieldError, FieldPath, Value};

use super::ingress::typed_reference;
use crate::KindRules;
use crate::look::{Errors, Look, Put, complain, immutable, not_supported};
use crate::strategy::{first_generation, spec_generation};

/// The rules of ingress classes.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_ingress_class),
    prepare_create: Some(first_generation),
    prepare_update: Some(spec_generation),
    validate: Some(validate_ingress_class),
    validate_update: Some(validate_ingress_class_update),
    ..KindRules::PLAIN
};

/// Parameters are cluster-wide unless they say otherwise.
pub fn default_ingress_class(class: &mut Value) {
    let spec = crate::look::spec_mut(class);
    if let Some(parameters) = spec.get_mut("parameters").and_then(Value::as_object_mut) {
        parameters.default_ptr("scope", "Cluster");
    }
}

/// What is wrong with a new class.
pub fn validate_ingress_class(class: &Value) -> Vec<FieldError> {
    const LONGEST_CONTROLLER: usize = 250;
    let mut e = Errors::new();
    let (spec, p) = (class.sub("spec"), FieldPath::field("spec"));
    let (controller, at) = (spec.s("controller"), p.child("controller"));
    if controller.len() > LONGEST_CONTROLLER {
        e.push(FieldError::too_long(at, LONGEST_CONTROLLER));
    }
    e.append(&mut is_domain_prefixed_path(&at, controller));
    let Some(parameters) = spec.opt("parameters") else { return e };
    let p = p.child("parameters");
    typed_reference(&mut e, p, parameters);
    let namespace = parameters.opt_s("namespace");
    let at = p.child("namespace");
    match (parameters.opt_s("scope"), namespace) {
        (None, _) => e.push(FieldError::required(p.child("scope"), "")),
        (Some("Cluster"), None) => {}
        (Some("Cluster"), Some(_)) => {
            e.push(FieldError::forbidden(at, "`parameters.scope` is set to 'Cluster'"));
        }
        (Some("Namespace"), None) => {
            e.push(FieldError::required(at, "`parameters.scope` is set to 'Namespace'"));
        }
        (Some("Namespace"), Some(name)) => complain(&mut e, at, name, name_is_dns_label(name, false)),
        (Some(scope), _) => e.push(not_supported(p.child("scope"), scope, &["Cluster", "Namespace"])),
    }
    e
}

/// What is wrong with a change of a class.
pub fn validate_ingress_class_update(class: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let controller = |c: &Value| c.sub("spec").sub("controller").clone();
    immutable(&mut e, FieldPath::field("spec").child("controller"), &controller(class), &controller(old));
    e.append(&mut validate_ingress_class(class));
    e
}
