//! Requests for certificates: who asks, what for, and who has answered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sampan_model::name::{is_dns1123_subdomain, name_is_dns_subdomain};
use sampan_model::{FieldError, FieldPath, Map, Value};

use crate::look::{
    Errors, Look, Put, items_mut, not_supported, one_of, restore, same, spec_mut, strings, top,
};
use crate::seen::Seen;
use crate::{KindRules, Params, PartRules};

/// The rules of certificate signing requests.
pub(crate) const REQUEST: KindRules = KindRules {
    default: Some(default_request),
    prepare_create: Some(prepare_request_for_create),
    prepare_update: Some(prepare_request_for_update),
    validate: Some(validate_request),
    validate_update: Some(validate_request_update),
    validate_name: Some(|_, _| Vec::new()),
    status: Some(PartRules {
        prepare_update: prepare_request_status,
        validate_update: Some(validate_request_status_update),
        reset_fields: &[&["spec"]],
    }),
    parts: &[(
        "approval",
        PartRules {
            prepare_update: prepare_request_approval,
            validate_update: Some(validate_request_approval_update),
            reset_fields: &[&["spec"]],
        },
    )],
    reset_fields: &[&["spec"], &["status"]],
    ..KindRules::PLAIN
};

/// The rules of trust bundles.
pub(crate) const TRUST_BUNDLE: KindRules = KindRules {
    validate: Some(validate_trust_bundle),
    validate_update: Some(|new, old| {
        let mut e = validate_trust_bundle(new);
        let p = FieldPath::field("spec");
        let signer = |b: &Value| b.sub("spec").sub("signerName").clone();
        crate::look::immutable(&mut e, p.child("signerName"), &signer(new), &signer(old));
        e
    }),
    validate_name: Some(trust_bundle_name),
    unconditional_update: false,
    ..KindRules::PLAIN
};

/// The condition of an approval stands for itself, unless it says otherwise.
pub fn default_request(request: &mut Value) {
    let Some(status) = crate::look::map_mut(request, "status") else { return };
    for condition in items_mut(status, "conditions") {
        condition.default_to("status", "True");
    }
}

/// Who asks is who sends the request, whatever it says.
pub fn prepare_request_for_create(request: &mut Value, params: &Params<'_>) {
    let spec = spec_mut(request);
    for (field, value) in [("username", params.user), ("uid", params.uid)] {
        if value.is_empty() {
            spec.remove(field);
        } else {
            spec.insert(field, value);
        }
    }
    if params.groups.is_empty() {
        spec.remove("groups");
    } else {
        spec.insert("groups", params.groups.to_vec());
    }
    if params.extra.is_empty() {
        spec.remove("extra");
    } else {
        let extra: Map = params.extra.iter().map(|(key, values)| (key.as_str(), values.clone())).collect();
        spec.insert("extra", extra);
    }
    top(request).insert("status", Map::new());
}

/// A request does not change; only its status does, through endpoints of its own.
pub fn prepare_request_for_update(request: &mut Value, old: &Value, _: &Params<'_>) {
    restore(request, old, "spec");
    restore(request, old, "status");
}

/// Through `status` neither the request nor its approval changes.
pub fn prepare_request_status(request: &mut Value, old: &Value, params: &Params<'_>) {
    restore(request, old, "spec");
    let decisions = |r: &Value| -> Vec<Value> {
        let list = r.sub("status").list("conditions").iter();
        list.filter(|c| matches!(c.s("type"), "Approved" | "Denied")).cloned().collect()
    };
    let kept = decisions(old);
    if !same(&Value::Array(decisions(request)), &Value::Array(kept.clone())) {
        let others = request.sub("status").list("conditions").iter();
        let mut conditions = kept;
        conditions.extend(others.filter(|c| !matches!(c.s("type"), "Approved" | "Denied")).cloned());
        top(request).object_mut("status").insert("conditions", conditions);
    }
    condition_times(request, old, params);
}

/// Through `approval` only conditions change.
pub fn prepare_request_approval(request: &mut Value, old: &Value, params: &Params<'_>) {
    restore(request, old, "spec");
    let status = top(request).object_mut("status");
    match old.sub("status").opt("certificate") {
        Some(certificate) => status.insert("certificate", certificate.clone()),
        None => status.remove("certificate"),
    };
    condition_times(request, old, params);
}

/// A condition without times is of now; one whose status stayed keeps the time of its transition.
fn condition_times(request: &mut Value, old: &Value, params: &Params<'_>) {
    let now = sampan_model::time::format_time(params.now);
    let before = old.sub("status").list("conditions");
    for condition in items_mut(top(request).object_mut("status"), "conditions") {
        condition.default_to("lastUpdateTime", now.as_str());
        if condition.s("lastTransitionTime").is_empty() {
            let kept = before
                .iter()
                .find(|c| c.s("type") == condition.s("type") && c.s("status") == condition.s("status"))
                .map_or("", |c| c.s("lastTransitionTime"));
            condition.insert("lastTransitionTime", if kept.is_empty() { now.as_str() } else { kept });
        }
    }
}

/// What is wrong with a request.
pub fn validate_request(request: &Value) -> Vec<FieldError> {
    const LEAST: i64 = 600;
    let mut e = Errors::new();
    let (spec, p) = (request.sub("spec"), FieldPath::field("spec"));
    if let Some(complaint) = request_complaint(spec.s("request")) {
        e.push(FieldError::invalid(p.child("request"), spec.s("request"), complaint));
    }
    let usages = spec.list("usages");
    if usages.is_empty() {
        e.push(FieldError::required(p.child("usages"), ""));
    }
    let mut seen = Seen::default();
    for (i, usage) in strings(usages).enumerate() {
        if !USAGES.contains(&usage) {
            e.push(not_supported(p.child("usages").index(i), usage, &USAGES));
        }
        if seen.again(usage) {
            e.push(FieldError::duplicate(p.child("usages").index(i), usage));
        }
    }
    let signer = spec.s("signerName");
    if signer == "kubernetes.io/legacy-unknown" {
        let detail = "the legacy signerName is not allowed via this API version";
        e.push(FieldError::invalid(p.child("signerName"), signer, detail));
    } else {
        signer_name(&mut e, p.child("signerName"), signer);
    }
    if let Some(seconds) = spec.opt_num("expirationSeconds")
        && seconds < LEAST
    {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        e.push(FieldError::invalid(p.child("expirationSeconds"), seconds, detail));
    }
    conditions(&mut e, request);
    e
}

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// Why a text is no certificate request. (Its signature is not looked at.)
fn request_complaint(encoded: &str) -> Option<String> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE REQUEST-----";
    const END: &[u8] = b"-----END CERTIFICATE REQUEST-----";
    let wrong = || Some("PEM block type must be CERTIFICATE REQUEST".to_owned());
    let text = STANDARD.decode(encoded).unwrap_or_default();
    let find = |needle: &[u8]| text.windows(needle.len()).position(|window| window == needle);
    let (Some(begin), Some(end)) = (find(BEGIN), find(END)) else { return wrong() };
    if text.windows(11).position(|w| w == b"-----BEGIN ").is_some_and(|first| first < begin) || end < begin {
        return wrong();
    }
    let body: Vec<u8> =
        text[begin + BEGIN.len()..end].iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    match STANDARD.decode(body) {
        Ok(der) if der.first() == Some(&0x30) => None,
        Ok(_) => Some("asn1: structure error: tags don't match".to_owned()),
        Err(_) => wrong(),
    }
}

fn conditions(e: &mut Errors, request: &Value) {
    let p = FieldPath::field("status");
    let p = p.child("conditions");
    let list = request.sub("status").list("conditions");
    let mut seen = Seen::default();
    for (i, condition) in list.iter().enumerate() {
        let p = p.index(i);
        let kind = condition.s("type");
        if kind.is_empty() {
            e.push(FieldError::required(p.child("type"), ""));
        }
        let status = condition.s("status");
        match kind {
            "Approved" | "Denied" | "Failed" => {
                if status.is_empty() {
                    e.push(FieldError::required(p.child("status"), ""));
                } else if status != "True" {
                    e.push(not_supported(p.child("status"), status, &["True"]));
                }
            }
            _ if status.is_empty() => e.push(FieldError::required(p.child("status"), "")),
            _ => one_of(e, p.child("status"), Some(status), &["False", "True", "Unknown"]),
        }
        if seen.again(kind) {
            e.push(FieldError::duplicate(p.child("type"), kind));
        }
    }
    let has = |kind: &str| list.iter().position(|c| c.s("type") == kind);
    if let (Some(approved), Some(denied)) = (has("Approved"), has("Denied")) {
        let later = if approved > denied { "Approved" } else { "Denied" };
        e.push(FieldError::invalid(p, later, "Approved and Denied conditions are mutually exclusive"));
    }
}

/// Decisions are final, and made through `approval` only.
fn conditions_kept(e: &mut Errors, new: &Value, old: &Value, approval: bool) {
    let at = "status.conditions";
    for kind in ["Approved", "Denied", "Failed"] {
        let of = |r: &Value| -> Vec<Value> {
            r.sub("status").list("conditions").iter().filter(|c| c.s("type") == kind).cloned().collect()
        };
        let (new, old) = (of(new), of(old));
        if new.len() < old.len() {
            let detail = format!("updates may not remove a condition of type {kind:?}");
            e.push(FieldError::forbidden(at, detail));
        } else if approval || kind == "Failed" {
        } else if new.len() > old.len() {
            let detail = format!("updates may not add a condition of type {kind:?}");
            e.push(FieldError::forbidden(at, detail));
        } else if new != old {
            let shown = crate::diff::diff(
                "[]certificates.CertificateSigningRequestCondition",
                &old.into(),
                &new.into(),
            );
            let detail = format!("updates may not modify a condition of type {kind:?}\n{shown}");
            e.push(FieldError::forbidden(at, detail));
        }
    }
}

fn certificate_of(request: &Value) -> &str {
    request.sub("status").s("certificate")
}

fn validate_request_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = validate_request(new);
    conditions_kept(&mut e, new, old, false);
    if certificate_of(new) != certificate_of(old) {
        e.push(FieldError::forbidden("status.certificate", "updates may not set certificate content"));
    }
    e
}

/// What is wrong with an approval.
pub fn validate_request_approval_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = validate_request(new);
    conditions_kept(&mut e, new, old, true);
    if certificate_of(new) != certificate_of(old) {
        e.push(FieldError::forbidden("status.certificate", "updates may not set certificate content"));
    }
    e
}

/// What is wrong with a certificate that a signer hands in.
pub fn validate_request_status_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = validate_request(new);
    let (certificate, before) = (certificate_of(new), certificate_of(old));
    if !certificate.is_empty() && certificate != before {
        let text = STANDARD.decode(certificate).unwrap_or_default();
        let begin = b"-----BEGIN CERTIFICATE-----";
        if !text.windows(begin.len()).any(|w| w == begin) {
            let detail = "must contain at least one CERTIFICATE PEM block";
            e.push(FieldError::invalid("status.certificate", "<certificate data>", detail));
        }
    }
    conditions_kept(&mut e, new, old, false);
    if !before.is_empty() && certificate != before {
        let detail = "updates may not modify existing certificate content";
        e.push(FieldError::forbidden("status.certificate", detail));
    }
    e
}

/// The name of a signer: a domain and a path.
pub(crate) fn signer_name(e: &mut Errors, p: FieldPath<'_>, name: &str) {
    const FORM: &str = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    const MOST_DOMAIN: usize = 253;
    const MOST_PATH: usize = 571 - 254;
    if name.is_empty() {
        e.push(FieldError::required(p, ""));
        return;
    }
    let segments: Vec<&str> = name.split('/').collect();
    let [domain, path] = segments[..] else {
        e.push(FieldError::invalid(p, name, FORM));
        return;
    };
    if domain.len() > MOST_DOMAIN {
        e.push(FieldError::too_long(p, MOST_DOMAIN));
    }
    for text in is_dns1123_subdomain(domain) {
        let detail = format!("validating label {domain:?}: {text}");
        e.push(FieldError::invalid(p, domain, detail));
    }
    if !domain.contains('.') {
        e.push(FieldError::invalid(
            p,
            domain,
            "should be a domain with at least two segments separated by dots",
        ));
    }
    if path.len() > MOST_PATH {
        e.push(FieldError::too_long(p, MOST_PATH));
    }
    for text in is_dns1123_subdomain(path) {
        let detail = format!("validating label {path:?}: {text}");
        e.push(FieldError::invalid(p, path, detail));
    }
}

/// The name of a trust bundle: that of its signer with colons for slashes, a colon, and a name; or a name alone.
pub(crate) fn trust_bundle_name(name: &str, prefix: bool) -> Vec<String> {
    name_is_dns_subdomain(name.rsplit(':').next().unwrap_or(name), prefix)
}

fn validate_trust_bundle(bundle: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (spec, p) = (bundle.sub("spec"), FieldPath::field("spec"));
    let name = bundle.sub("metadata").s("name");
    let signer = spec.s("signerName");
    if signer.is_empty() {
        if name.contains(':') {
            let detail = "ClusterTrustBundle without signer name must not have \":\" in its name";
            e.push(FieldError::invalid("metadata.name", name, detail));
        }
    } else {
        let start = format!("{}:", signer.replace('/', ":"));
        if !name.starts_with(&start) {
            let detail =
                format!("ClusterTrustBundle for signerName {signer} must be named with prefix {start}");
            e.push(FieldError::invalid("metadata.name", name, detail));
        }
        signer_name(&mut e, p.child("signerName"), signer);
    }
    let roots = spec.s("trustBundle");
    if roots.len() > 1024 * 1024 {
        e.push(FieldError::too_long(p.child("trustBundle"), 1024 * 1024));
    }
    if !roots.contains("-----BEGIN CERTIFICATE-----") {
        let detail = "at least one trust anchor must be provided";
        e.push(FieldError::invalid(p.child("trustBundle"), "<value omitted>", detail));
    }
    e
}
