//! What a pod's spec says when it says nothing.

use sampan_model::{Map, Value};

use super::resources::aggregate_requests;
use crate::core::resource_name::{is_huge_page, is_overcommit_allowed};
use crate::look::{Look, Put, items_mut, spec_mut};

/// Defaults of a pod: those of every pod spec, and those that templates do not get.
pub fn default_pod(pod: &mut Value) {
    let spec = spec_mut(pod);
    default_pod_spec(spec);
    for field in ["containers", "initContainers"] {
        for container in items_mut(spec, field) {
            requests_from_limits(container);
        }
    }
    if spec.has("resources") {
        pod_level_resources(spec);
    }
    spec.default_ptr("enableServiceLinks", true);
    if spec.flag("hostNetwork") {
        for field in ["containers", "initContainers"] {
            for container in items_mut(spec, field) {
                for port in items_mut(container, "ports") {
                    let number = port.num("containerPort");
                    if number != 0 {
                        port.default_to("hostPort", number);
                    }
                }
            }
        }
    }
}

/// Defaults of a template: its pod spec's.
pub(crate) fn default_template(owner: &mut Map) {
    let template = owner.object_mut("template");
    default_pod_spec(template.object_mut("spec"));
}

/// Defaults of every pod spec.
pub(crate) fn default_pod_spec(spec: &mut Map) {
    spec.default_to("dnsPolicy", "ClusterFirst");
    spec.default_to("restartPolicy", "Always");
    spec.default_ptr("securityContext", Map::new());
    spec.default_ptr("terminationGracePeriodSeconds", 30);
    spec.default_to("schedulerName", "default-scheduler");
    // Both names of this field are kept alike: the old one is what many clients still read.
    let account = match spec.s("serviceAccountName") {
        "" => spec.s("serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !account.is_empty() {
        spec.insert("serviceAccount", account.as_str());
        spec.insert("serviceAccountName", account);
    }
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items_mut(spec, field) {
            default_container(container);
        }
    }
    for volume in items_mut(spec, "volumes") {
        default_volume(volume);
    }
}

fn default_container(container: &mut Map) {
    if container.s("imagePullPolicy").is_empty() {
        let policy = pull_policy(container.s("image"));
        container.insert("imagePullPolicy", policy);
    }
    container.default_to("terminationMessagePath", "/dev/termination-log");
    container.default_to("terminationMessagePolicy", "File");
    for port in items_mut(container, "ports") {
        port.default_to("protocol", "TCP");
    }
    for var in items_mut(container, "env") {
        if let Some(from) = var.get_mut("valueFrom").and_then(Value::as_object_mut) {
            default_references(from);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name).and_then(Value::as_object_mut) {
            probe.default_to("timeoutSeconds", 1);
            probe.default_to("periodSeconds", 10);
            probe.default_to("successThreshold", 1);
            probe.default_to("failureThreshold", 3);
            default_handler(probe);
        }
    }
    if let Some(lifecycle) = container.get_mut("lifecycle").and_then(Value::as_object_mut) {
        for name in ["postStart", "preStop"] {
            if let Some(hook) = lifecycle.get_mut(name).and_then(Value::as_object_mut) {
                default_handler(hook);
            }
        }
    }
}

fn default_handler(handler: &mut Map) {
    if let Some(http) = handler.get_mut("httpGet").and_then(Value::as_object_mut) {
        http.default_to("path", "/");
        http.default_to("scheme", "HTTP");
    }
    if let Some(grpc) = handler.get_mut("grpc").and_then(Value::as_object_mut) {
        grpc.default_ptr("service", "");
    }
}

/// Defaults of `fieldRef`, `resourceFieldRef` and `fileKeyRef` where they stand.
fn default_references(holder: &mut Map) {
    if let Some(field) = holder.get_mut("fieldRef").and_then(Value::as_object_mut) {
        field.default_to("apiVersion", "v1");
    }
    if let Some(resource) = holder.get_mut("resourceFieldRef").and_then(Value::as_object_mut) {
        resource.default_to("divisor", "0");
    }
    if let Some(file) = holder.get_mut("fileKeyRef").and_then(Value::as_object_mut) {
        file.default_ptr("optional", false);
    }
}

const FILE_MODE: i64 = 0o644;

fn default_volume(volume: &mut Map) {
    if volume.iter().all(|(key, value)| key == "name" || value.is_null()) {
        volume.insert("emptyDir", Map::new());
        return;
    }
    for (kind, source) in volume.iter_mut() {
        let Some(source) = source.as_object_mut() else { continue };
        match kind.as_str() {
            "secret" | "configMap" => source.default_ptr("defaultMode", FILE_MODE),
            "downwardAPI" => {
                source.default_ptr("defaultMode", FILE_MODE);
                items_mut(source, "items").for_each(default_references);
            }
            "projected" => {
                source.default_ptr("defaultMode", FILE_MODE);
                for projection in items_mut(source, "sources") {
                    if let Some(downward) = projection.get_mut("downwardAPI").and_then(Value::as_object_mut) {
                        items_mut(downward, "items").for_each(default_references);
                    }
                    if let Some(token) =
                        projection.get_mut("serviceAccountToken").and_then(Value::as_object_mut)
                    {
                        token.default_ptr("expirationSeconds", 3600);
                    }
                    if let Some(certificate) =
                        projection.get_mut("podCertificate").and_then(Value::as_object_mut)
                    {
                        certificate.default_ptr("maxExpirationSeconds", 86_400);
                    }
                }
            }
            "image" => {
                if source.s("pullPolicy").is_empty() {
                    let policy = pull_policy(source.s("reference"));
                    source.insert("pullPolicy", policy);
                }
            }
            "ephemeral" => {
                if let Some(template) = source.get_mut("volumeClaimTemplate").and_then(Value::as_object_mut) {
                    template.object_mut("spec").default_ptr("volumeMode", "Filesystem");
                }
            }
            kind => default_source(kind, source),
        }
    }
}

/// Defaults of a source of storage that pods and persistent volumes share.
pub(crate) fn default_source(kind: &str, source: &mut Map) {
    match kind {
        "hostPath" => source.default_ptr("type", ""),
        "iscsi" => source.default_to("iscsiInterface", "default"),
        "rbd" => {
            source.default_to("pool", "rbd");
            source.default_to("user", "admin");
            source.default_to("keyring", "/etc/ceph/keyring");
        }
        "azureDisk" => {
            source.default_ptr("cachingMode", "ReadWrite");
            source.default_ptr("kind", "Shared");
            source.default_ptr("fsType", "ext4");
            source.default_ptr("readOnly", false);
        }
        "scaleIO" => {
            source.default_to("storageMode", "ThinProvisioned");
            source.default_to("fsType", "xfs");
        }
        _ => {}
    }
}

/// `Always` for `latest` (also when it is only implied), else `IfNotPresent`, as for what is no image name.
fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let last = name.rsplit('/').next().unwrap_or(name);
    let (repository, tag) = last.split_once(':').map_or((last, ""), |(r, t)| (r, t));
    let readable = !repository.is_empty() && !repository.chars().any(|c| c.is_ascii_uppercase() || c == ' ');
    if readable && (tag == "latest" || (tag.is_empty() && !digest)) { "Always" } else { "IfNotPresent" }
}

fn requests_from_limits(container: &mut Map) {
    let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else { return };
    let Some(limits) = resources.map("limits").cloned() else { return };
    let requests = resources.object_mut("requests");
    for (name, quantity) in limits {
        if !requests.contains_key(&name) {
            requests.insert(name, quantity);
        }
    }
    if requests.is_empty() {
        resources.remove("requests");
    }
}

/// Requests and limits of a pod as a whole, from its containers' where it names some of them (KEP-2837).
fn pod_level_resources(spec: &mut Map) {
    let whole = Value::Object(spec.clone());
    let sums = aggregate_requests(&whole);
    let Some(resources) = spec.get_mut("resources").and_then(Value::as_object_mut) else { return };
    let limits = resources.map("limits").cloned().unwrap_or_default();
    if limits.is_empty() {
        return;
    }
    let supported = |name: &str| matches!(name, "cpu" | "memory") || is_huge_page(name);
    let requests = resources.object_mut("requests");
    for (name, sum) in sums {
        if supported(&name) && is_overcommit_allowed(&name) && !requests.contains_key(&name) {
            requests.insert(name, sum.to_string());
        }
    }
    for (name, limit) in limits {
        if supported(&name) && !requests.contains_key(&name) {
            requests.insert(name, limit);
        }
    }
    if requests.is_empty() {
        resources.remove("requests");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tag_decides_the_pull_policy() {
        for (image, want) in [
            ("app", "Always"),
            ("app:latest", "Always"),
            ("app:1", "IfNotPresent"),
            ("host:5000/app", "Always"),
            ("host:5000/app:2", "IfNotPresent"),
            ("app@sha256:00", "IfNotPresent"),
            ("app:latest@sha256:00", "Always"),
            ("App", "IfNotPresent"),
        ] {
            assert_eq!(super::pull_policy(image), want, "{image}");
        }
    }
}
