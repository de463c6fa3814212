//! Probes and lifecycle hooks.

use sampan_model::name::{is_http_header_name, is_valid_port_name, is_valid_port_num};
use sampan_model::{FieldError, FieldPath, Value};

use crate::look::{Errors, Look, complain, non_negative, not_supported};

/// The probes of a container, in the order in which they are checked.
pub(crate) fn probes(e: &mut Errors, p: FieldPath<'_>, container: &Value, grace: Option<i64>) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.opt(name) else { continue };
        let p = p.child(name);
        handler(e, p, probe, &["exec", "httpGet", "tcpSocket", "grpc"], grace);
        for field in
            ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
        {
            non_negative(e, p.child(field), probe.num(field));
        }
        let own_grace = probe.opt_num("terminationGracePeriodSeconds");
        if let Some(seconds) = own_grace
            && seconds <= 0
        {
            let p = p.child("terminationGracePeriodSeconds");
            e.push(FieldError::invalid(p, seconds, "must be greater than 0"));
        }
        if name == "readinessProbe" {
            if let Some(seconds) = own_grace {
                let p = p.child("terminationGracePeriodSeconds");
                e.push(FieldError::invalid(p, seconds, "must not be set for readinessProbes"));
            }
        } else if probe.num("successThreshold") != 1 {
            let p = p.child("successThreshold");
            e.push(FieldError::invalid(p, probe.num("successThreshold"), "must be 1"));
        }
    }
}

const SIGNALS_WINDOWS: [&str; 2] = ["SIGKILL", "SIGTERM"];

/// `lifecycle` of a container.
pub(crate) fn lifecycle(
    e: &mut Errors,
    p: FieldPath<'_>,
    lifecycle: &Value,
    grace: Option<i64>,
    os: Option<&str>,
) {
    for name in ["postStart", "preStop"] {
        if let Some(hook) = lifecycle.opt(name) {
            handler(e, p.child(name), hook, &["exec", "httpGet", "tcpSocket", "sleep"], grace);
        }
    }
    if let Some(signal) = lifecycle.opt_s("stopSignal") {
        let p = p.child("stopSignal");
        match os {
            None => {
                e.push(FieldError::forbidden(p, "may not be set for containers with empty `spec.os.name`"));
            }
            Some("windows") if !SIGNALS_WINDOWS.contains(&signal) => {
                e.push(not_supported(p, signal, &SIGNALS_WINDOWS));
            }
            Some(_) if !signal.starts_with("SIG") => {
                e.push(FieldError::invalid(p, signal, "must be a signal name"));
            }
            Some(_) => {}
        }
    }
}

fn handler(e: &mut Errors, p: FieldPath<'_>, handler: &Value, kinds: &[&str], grace: Option<i64>) {
    let mut found = 0;
    for &kind in kinds {
        let Some(action) = handler.opt(kind) else { continue };
        let p = p.child(kind);
        if found > 0 {
            e.push(FieldError::forbidden(p, "may not specify more than 1 handler type"));
            continue;
        }
        found += 1;
        match kind {
            "exec" if action.list("command").is_empty() => {
                e.push(FieldError::required(p.child("command"), ""));
            }
            "httpGet" => http_get(e, p, action),
            "tcpSocket" | "grpc" => port_num_or_name(e, p.child("port"), action.sub("port")),
            "sleep" => {
                let seconds = action.num("seconds");
                if let Some(grace) = grace
                    && (seconds < 0 || seconds > grace)
                {
                    let detail =
                        format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                    e.push(FieldError::invalid(p, seconds, detail));
                }
            }
            _ => {}
        }
    }
    if found == 0 {
        e.push(FieldError::required(p, "must specify a handler type"));
    }
}

fn http_get(e: &mut Errors, p: FieldPath<'_>, http: &Value) {
    if http.s("path").is_empty() {
        e.push(FieldError::required(p.child("path"), ""));
    }
    port_num_or_name(e, p.child("port"), http.sub("port"));
    let scheme = http.s("scheme");
    if !["HTTP", "HTTPS"].contains(&scheme) {
        e.push(not_supported(p.child("scheme"), scheme, &["HTTP", "HTTPS"]));
    }
    for header in http.list("httpHeaders") {
        let name = header.s("name");
        complain(e, p.child("httpHeaders"), name, is_http_header_name(name));
    }
}

/// A port: its number, or the name of one.
pub(crate) fn port_num_or_name(e: &mut Errors, p: FieldPath<'_>, port: &Value) {
    match port {
        Value::String(name) => complain(e, p, name, is_valid_port_name(name)),
        port => port_num(e, p, port.as_i64().unwrap_or(0)),
    }
}

/// The number of a port.
pub(crate) fn port_num(e: &mut Errors, p: FieldPath<'_>, port: i64) {
    for text in is_valid_port_num(port) {
        e.push(FieldError::invalid(p, port, text));
    }
}
