//! Webhook configurations.

use sampan_model::name::{
    is_dns1035_label, is_dns1123_subdomain, is_fully_qualified_name, is_valid_port_num,
};
use sampan_model::{FieldError, FieldPath, Map, Value};

use super::matching::{default_rules, match_conditions, rule};
use crate::KindRules;
use crate::look::{Errors, Look, Put, items_mut, one_of, strings, top};
use crate::seen::Seen;
use crate::selector::label_selector;
use crate::strategy::{content_generation, first_generation};

/// The rules of configurations of validating webhooks.
pub(crate) const VALIDATING: KindRules = KindRules {
    default: Some(|configuration| default_webhooks(configuration, false)),
    prepare_create: Some(first_generation),
    prepare_update: Some(content_generation),
    validate: Some(|configuration| validate_webhooks(configuration, None, false)),
    validate_update: Some(|new, old| validate_webhooks(new, Some(old), false)),
    unconditional_update: false,
    ..KindRules::PLAIN
};

/// The rules of configurations of mutating webhooks.
pub(crate) const MUTATING: KindRules = KindRules {
    default: Some(|configuration| default_webhooks(configuration, true)),
    validate: Some(|configuration| validate_webhooks(configuration, None, true)),
    validate_update: Some(|new, old| validate_webhooks(new, Some(old), true)),
    ..VALIDATING
};

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const HTTPS_PORT: i64 = 443;
const PATIENCE: i64 = 10;

/// Sets the defaults of webhooks.
pub fn default_webhooks(configuration: &mut Value, mutating: bool) {
    for hook in items_mut(top(configuration), "webhooks") {
        hook.default_ptr("failurePolicy", "Fail");
        hook.default_ptr("matchPolicy", "Equivalent");
        hook.default_ptr("namespaceSelector", Map::new());
        hook.default_ptr("objectSelector", Map::new());
        hook.default_ptr("timeoutSeconds", PATIENCE);
        if mutating {
            hook.default_ptr("reinvocationPolicy", "Never");
        }
        default_rules(hook, "rules");
        let client = hook.get_mut("clientConfig").and_then(Value::as_object_mut);
        if let Some(service) = client.and_then(|c| c.get_mut("service")?.as_object_mut()) {
            service.default_ptr("port", HTTPS_PORT);
        }
    }
}

/// What is wrong with a configuration; what was stored already is judged mildly.
pub fn validate_webhooks(configuration: &Value, old: Option<&Value>, mutating: bool) -> Vec<FieldError> {
    let mut e = Errors::new();
    let p = FieldPath::field("webhooks");
    let hooks = configuration.list("webhooks");
    let before = old.map_or(&[][..], |old| old.list("webhooks"));
    let repeats = |hooks: &[Value]| {
        let mut seen = Seen::default();
        hooks.iter().any(|hook| seen.again(hook.s("name")))
    };
    let known =
        |hook: &Value| strings(hook.list("admissionReviewVersions")).any(|v| REVIEW_VERSIONS.contains(&v));
    let unique = old.is_none() || !repeats(before);
    let recognized = old.is_none() || before.is_empty() || before.iter().all(known);
    let mut seen = Seen::default();
    for (i, hook) in hooks.iter().enumerate() {
        let p = p.index(i);
        webhook(&mut e, p, hook, mutating);
        let versions = hook.list("admissionReviewVersions");
        review_versions(&mut e, p.child("admissionReviewVersions"), versions, recognized);
        let name = hook.s("name");
        if unique && !name.is_empty() && seen.again(name) {
            e.push(FieldError::duplicate(p.child("name"), name));
        }
    }
    e
}

fn webhook(e: &mut Errors, p: FieldPath<'_>, hook: &Value, mutating: bool) {
    e.append(&mut is_fully_qualified_name(&p.child("name"), hook.s("name")));
    for (i, value) in hook.list("rules").iter().enumerate() {
        rule(e, p.child("rules").index(i), value);
    }
    one_of(e, p.child("failurePolicy"), hook.opt_s("failurePolicy"), &["Fail", "Ignore"]);
    one_of(e, p.child("matchPolicy"), hook.opt_s("matchPolicy"), &["Equivalent", "Exact"]);
    match hook.opt_s("sideEffects") {
        None => {
            let detail = "must specify one of None, NoneOnDryRun";
            e.push(FieldError::required(p.child("sideEffects"), detail));
        }
        effects => one_of(e, p.child("sideEffects"), effects, &["None", "NoneOnDryRun"]),
    }
    if let Some(seconds) = hook.opt_num("timeoutSeconds")
        && !(1..=30).contains(&seconds)
    {
        let detail = "the timeout value must be between 1 and 30 seconds";
        e.push(FieldError::invalid(p.child("timeoutSeconds"), seconds, detail));
    }
    label_selector(e, p.child("namespaceSelector"), hook.sub("namespaceSelector"));
    label_selector(e, p.child("objectSelector"), hook.sub("objectSelector"));
    if mutating {
        let policy = hook.opt_s("reinvocationPolicy");
        one_of(e, p.child("reinvocationPolicy"), policy, &["IfNeeded", "Never"]);
    }
    let (client, at) = (hook.sub("clientConfig"), p.child("clientConfig"));
    match (client.opt_s("url"), client.opt("service")) {
        (Some(url), None) => webhook_url(e, at.child("url"), url),
        (None, Some(service)) => webhook_service(e, at.child("service"), service),
        _ => e.push(FieldError::required(at, "exactly one of url or service is required")),
    }
    match_conditions(e, p.child("matchConditions"), hook.list("matchConditions"));
}

fn review_versions(e: &mut Errors, p: FieldPath<'_>, versions: &[Value], recognized: bool) {
    let known = REVIEW_VERSIONS.join(", ");
    if versions.is_empty() {
        e.push(FieldError::required(p, format!("must specify one of {known}")));
        return;
    }
    let mut seen = Seen::default();
    for (i, version) in strings(versions).enumerate() {
        if seen.again(version) {
            e.push(FieldError::invalid(p.index(i), version, "duplicate version"));
        } else {
            for text in is_dns1035_label(version) {
                e.push(FieldError::invalid(p.index(i), version, text));
            }
        }
    }
    if recognized && !strings(versions).any(|v| REVIEW_VERSIONS.contains(&v)) {
        let detail = format!("must include at least one of {known}");
        e.push(FieldError::invalid(p, versions.to_vec(), detail));
    }
}

/// The address of a webhook outside: of HTTPS, without user, query or fragment.
fn webhook_url(e: &mut Errors, p: FieldPath<'_>, url: &str) {
    const FORM: &str = "; desired format: https://host[/path]";
    let mut wrong = |part: &str, what: &str, form: &str| {
        e.push(FieldError::invalid(p, part, format!("{what}{form}")));
    };
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    if scheme != "https" {
        wrong(scheme, "'https' is the only allowed URL scheme", FORM);
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.strip_prefix("//").map_or("", |r| r.split('/').next().unwrap_or(""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() {
        wrong("", "host must be specified", FORM);
    }
    if !user.is_empty() {
        wrong(user, "user information is not permitted in the URL", "");
    }
    if !fragment.is_empty() {
        wrong(fragment, "fragments are not permitted in the URL", "");
    }
    if !query.is_empty() {
        wrong(query, "query parameters are not permitted in the URL", "");
    }
}

/// A webhook behind a service.
fn webhook_service(e: &mut Errors, p: FieldPath<'_>, service: &Value) {
    for (field, detail) in
        [("name", "service name is required"), ("namespace", "service namespace is required")]
    {
        if service.s(field).is_empty() {
            e.push(FieldError::required(p.child(field), detail));
        }
    }
    let port = service.num("port");
    let complaints = is_valid_port_num(port);
    if !complaints.is_empty() {
        let detail = format!("port is not valid: {}", complaints.join(", "));
        e.push(FieldError::invalid(p.child("port"), port, detail));
    }
    let (Some(path), p) = (service.opt_s("path"), p.child("path")) else { return };
    if path == "/" || path.is_empty() {
        return;
    }
    let Some(steps) = path.strip_prefix('/') else {
        e.push(FieldError::invalid(p, path, "must start with a '/'"));
        return;
    };
    for (i, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
        if step.is_empty() {
            e.push(FieldError::invalid(p, path, format!("segment[{i}] may not be empty")));
            continue;
        }
        for text in is_dns1123_subdomain(step) {
            e.push(FieldError::invalid(p, path, format!("segment[{i}]: {text}")));
        }
    }
}
