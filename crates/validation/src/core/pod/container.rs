//! Containers: regular ones, init containers, ephemeral ones.

use sampan_model::name::{is_dns1123_label, is_valid_port_name};
use sampan_model::{FieldError, FieldPath, Value};

use super::env::{env, env_from};
use super::mount::{volume_devices, volume_mounts};
use super::probe::{lifecycle, port_num, probes};
use super::resources::{container_resources, is_sidecar};
use super::security::security_context;
use super::volume::Volumes;
use crate::look::{Errors, Look, complain, not_supported, required_one_of};
use crate::seen::Seen;

/// What containers need to know of their pod.
pub(crate) struct ContainerContext<'a> {
    /// The pod's sound volumes.
    pub(crate) volumes: &'a Volumes<'a>,
    /// The pod's resource claims.
    pub(crate) claims: &'a [Value],
    /// The pod's termination grace period.
    pub(crate) grace: Option<i64>,
    /// The pod's restart policy.
    pub(crate) restart_policy: &'a str,
    /// The pod's operating system, if it says.
    pub(crate) os: Option<&'a str>,
    /// Whether the pod is in the host's user namespace.
    pub(crate) host_users: bool,
}

/// The protocols of ports.
pub(crate) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// `spec.containers`
pub(crate) fn containers(e: &mut Errors, p: FieldPath<'_>, list: &[Value], cx: &ContainerContext<'_>) {
    if list.is_empty() {
        e.push(FieldError::required(p, ""));
        return;
    }
    let mut seen = Seen::default();
    for (i, container) in list.iter().enumerate() {
        let p = p.index(i);
        common(e, p, container, cx);
        let name = container.s("name");
        if seen.again(name) {
            e.push(FieldError::duplicate(p.child("name"), name));
        }
        if let Some(hooks) = container.opt("lifecycle") {
            lifecycle(e, p.child("lifecycle"), hooks, cx.grace, cx.os);
        }
        probes(e, p, container, cx.grace);
        restart_policy(e, p, container);
    }
    host_port_conflicts(e, p, list.iter().enumerate());
}

/// `spec.initContainers`
pub(crate) fn init_containers(
    e: &mut Errors,
    p: FieldPath<'_>,
    list: &[Value],
    regular: &[Value],
    cx: &ContainerContext<'_>,
) {
    let mut seen: Seen<_> = regular.iter().map(|c| c.s("name")).collect();
    for (i, container) in list.iter().enumerate() {
        let at = p.index(i);
        common(e, at, container, cx);
        restart_policy(e, at, container);
        let name = container.s("name");
        if if name.is_empty() { seen.has(&name) } else { seen.again(name) } {
            e.push(FieldError::duplicate(at.child("name"), name));
        }
        host_port_conflicts(e, p, std::iter::once((0, container)));
        if is_sidecar(container) {
            if let Some(hooks) = container.opt("lifecycle") {
                lifecycle(e, at.child("lifecycle"), hooks, cx.grace, cx.os);
            }
            probes(e, at, container, cx.grace);
        } else {
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if container.has(field) {
                    e.push(FieldError::forbidden(
                        at.child(field),
                        "may not be set for init containers without restartPolicy=Always",
                    ));
                }
            }
        }
    }
}

/// What ephemeral containers may have (KEP-277), in the order of Go's struct the rest is refused.
const EPHEMERAL_REFUSED: [&str; 7] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
];

/// `spec.ephemeralContainers`
pub(crate) fn ephemeral_containers(
    e: &mut Errors,
    p: FieldPath<'_>,
    spec: &Value,
    cx: &ContainerContext<'_>,
) {
    const REFUSED: &str = "cannot be set for an Ephemeral Container";
    let list = spec.list("ephemeralContainers");
    let others = spec.list("containers").iter().chain(spec.list("initContainers")).map(|c| c.s("name"));
    let others: Seen<_> = others.collect();
    let mut seen = Seen::default();
    for (i, container) in list.iter().enumerate() {
        let p = p.index(i);
        common(e, p, container, cx);
        image_whitespace(e, p, container);
        let name = container.s("name");
        if seen.again(name) || others.has(&name) {
            e.push(FieldError::duplicate(p.child("name"), name));
        }
        let target = container.s("targetContainerName");
        if !target.is_empty() && !others.has(&target) {
            e.push(FieldError::not_found(p.child("targetContainerName"), target));
        }
        for field in EPHEMERAL_REFUSED.into_iter().chain(["lifecycle"]) {
            let value = container.sub(field);
            let set = match value {
                Value::Object(map) if field == "resources" => map.values().any(|v| !v.is_empty()),
                value => !value.is_null() && !matches!(value, Value::Array(a) if a.is_empty()),
            };
            if set {
                e.push(FieldError::forbidden(p.child(field), REFUSED));
            }
        }
        for (j, mount) in container.list("volumeMounts").iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !mount.s(field).is_empty() {
                    let p = p.child("volumeMounts");
                    let p = p.index(j);
                    let p = p.child(field);
                    e.push(FieldError::forbidden(p, REFUSED));
                }
            }
        }
    }
}

fn common(e: &mut Errors, p: FieldPath<'_>, container: &Value, cx: &ContainerContext<'_>) {
    let name = container.s("name");
    if name.is_empty() {
        e.push(FieldError::required(p.child("name"), ""));
    } else {
        complain(e, p.child("name"), name, is_dns1123_label(name));
    }
    if container.s("image").is_empty() {
        e.push(FieldError::required(p.child("image"), ""));
    }
    required_one_of(
        e,
        p.child("terminationMessagePolicy"),
        container.s("terminationMessagePolicy"),
        &["File", "FallbackToLogsOnError"],
    );
    let (mounts, devices) = (container.list("volumeMounts"), container.list("volumeDevices"));
    ports(e, p.child("ports"), container.list("ports"));
    env(e, p.child("env"), container.list("env"));
    env_from(e, p.child("envFrom"), container.list("envFrom"));
    volume_mounts(e, p.child("volumeMounts"), container, cx.volumes);
    volume_devices(e, p.child("volumeDevices"), devices, mounts, cx.volumes);
    pull_policy(e, p.child("imagePullPolicy"), container.s("imagePullPolicy"));
    container_resources(e, p.child("resources"), container.sub("resources"), cx.claims);
    resize_policy(e, p.child("resizePolicy"), container.list("resizePolicy"), cx.restart_policy);
    if let Some(context) = container.opt("securityContext") {
        security_context(e, p.child("securityContext"), context, cx.host_users);
    }
}

fn ports(e: &mut Errors, p: FieldPath<'_>, ports: &[Value]) {
    let mut seen = Seen::default();
    for (i, port) in ports.iter().enumerate() {
        let p = p.index(i);
        let name = port.s("name");
        if !name.is_empty() {
            let complaints = is_valid_port_name(name);
            if complaints.is_empty() && seen.again(name) {
                e.push(FieldError::duplicate(p.child("name"), name));
            }
            complain(e, p.child("name"), name, complaints);
        }
        match port.num("containerPort") {
            0 => e.push(FieldError::required(p.child("containerPort"), "")),
            number => port_num(e, p.child("containerPort"), number),
        }
        if port.num("hostPort") != 0 {
            port_num(e, p.child("hostPort"), port.num("hostPort"));
        }
        required_one_of(e, p.child("protocol"), port.s("protocol"), &PROTOCOLS);
    }
}

fn host_port_conflicts<'a>(
    e: &mut Errors,
    p: FieldPath<'_>,
    containers: impl Iterator<Item = (usize, &'a Value)>,
) {
    let mut taken = Seen::default();
    for (i, container) in containers {
        for (j, port) in container.list("ports").iter().enumerate() {
            let number = port.num("hostPort");
            if number == 0 {
                continue;
            }
            let key = (port.s("protocol"), port.s("hostIP"), number);
            if taken.again(key) {
                let p = p.index(i);
                let p = p.child("ports");
                let p = p.index(j);
                let p = p.child("hostPort");
                e.push(FieldError::duplicate(p, format!("{}/{}/{number}", key.0, key.1)));
            }
        }
    }
}

/// When an image is pulled.
pub(crate) fn pull_policy(e: &mut Errors, p: FieldPath<'_>, policy: &str) {
    required_one_of(e, p, policy, &["Always", "IfNotPresent", "Never"]);
}

fn resize_policy(e: &mut Errors, p: FieldPath<'_>, policies: &[Value], pod_restart_policy: &str) {
    let mut seen = Seen::default();
    for (i, policy) in policies.iter().enumerate() {
        let (resource, restart) = (policy.s("resourceName"), policy.s("restartPolicy"));
        if seen.again(resource) {
            e.push(FieldError::duplicate(p.index(i), resource));
        }
        required_one_of(e, p, resource, &["cpu", "memory"]);
        required_one_of(e, p, restart, &["NotRequired", "RestartContainer"]);
        if pod_restart_policy == "Never" && restart != "NotRequired" {
            let detail = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            e.push(FieldError::invalid(p, restart, detail));
        }
    }
}

/// The restart policy of one container, and its rules (KEP-5307).
fn restart_policy(e: &mut Errors, p: FieldPath<'_>, container: &Value) {
    const POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
    const MOST_RULES: usize = 20;
    const MOST_CODES: usize = 255;
    let rules = container.list("restartPolicyRules");
    let Some(policy) = container.opt_s("restartPolicy") else {
        if !rules.is_empty() {
            let detail = "must specify restartPolicy when restart rules are used";
            e.push(FieldError::required(p.child("restartPolicy"), detail));
        }
        return;
    };
    if !POLICIES.contains(&policy) {
        e.push(not_supported(p.child("restartPolicy"), policy, &POLICIES));
    }
    let p = p.child("restartPolicyRules");
    if rules.len() > MOST_RULES {
        e.push(FieldError::too_long(p, MOST_RULES));
    }
    for (i, rule) in rules.iter().enumerate() {
        let p = p.index(i);
        let action = rule.s("action");
        if !["Restart", "RestartAllContainers"].contains(&action) {
            e.push(not_supported(p.child("action"), action, &["Restart"]));
        }
        let Some(codes) = rule.opt("exitCodes") else {
            e.push(FieldError::required(p.child("exitCodes"), "must be specified"));
            continue;
        };
        let p = p.child("exitCodes");
        let operator = codes.s("operator");
        if !["In", "NotIn"].contains(&operator) {
            e.push(not_supported(p.child("operator"), operator, &["In", "NotIn"]));
        }
        if codes.list("values").len() > MOST_CODES {
            e.push(FieldError::too_long(p.child("values"), MOST_CODES));
        }
    }
}

/// The image of a container of a pod (templates may have anything) has no space around it.
pub(crate) fn image_whitespace(e: &mut Errors, p: FieldPath<'_>, container: &Value) {
    let image = container.s("image");
    if image.trim().len() != image.len() {
        let detail = "must not have leading or trailing whitespace";
        e.push(FieldError::invalid(p.child("image"), image, detail));
    }
}
