//! What a pod or a template says that has a better way, or no effect.

use std::collections::HashMap;

use sampan_model::name::is_dns1123_label;
use sampan_model::{FieldPath, Value};

use super::annotations::{APP_ARMOR, SECCOMP_CONTAINER, SECCOMP_POD};
use super::visit_containers;
use crate::amount::{is_fractional, quantity};
use crate::look::{Look, annotation};
use crate::seen::Seen;

const VOLUMES: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];
const ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];

/// Warnings about a new pod. People do not change pods, so changes get none.
pub fn pod_warnings(pod: &Value, old: Option<&Value>) -> Vec<String> {
    let mut w = Vec::new();
    if old.is_some() {
        return w;
    }
    let name = pod.sub("metadata").s("name");
    let complaints = is_dns1123_label(name);
    if !complaints.is_empty() {
        w.push(format!("metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]", complaints.join(" ")));
    }
    warnings(&mut w, FieldPath::ROOT, pod, false);
    w
}

/// Warnings about a template.
pub(crate) fn template_warnings(w: &mut Vec<String>, p: FieldPath<'_>, template: &Value) {
    warnings(w, p, template, true);
}

fn warnings(w: &mut Vec<String>, p: FieldPath<'_>, pod: &Value, is_template: bool) {
    let (meta, spec) = (pod.sub("metadata"), pod.sub("spec"));
    let at = p.child("spec");
    placement(w, at, spec);
    for (key, text) in ANNOTATIONS {
        if annotation(meta, key).is_some() {
            w.push(format!("{}: {text}", p.child("metadata").child("annotations").key(key)));
        }
    }
    volumes(w, at.child("volumes"), spec.list("volumes"));
    twice(w, at.child("hostAliases"), spec.list("hostAliases"), "ip");
    let secrets = spec.list("imagePullSecrets");
    twice(w, at.child("imagePullSecrets"), secrets, "name");
    for (i, secret) in secrets.iter().enumerate() {
        if secret.s("name").is_empty() {
            let at = at.child("imagePullSecrets");
            w.push(format!("{}: invalid empty name \"\"", at.index(i).child("name")));
        }
    }
    for name in ["memory", "ephemeral-storage"] {
        fractional(w, at.child("overhead").key(name), spec.sub("overhead").sub(name));
    }
    let annotations_at = p.child("metadata");
    let annotations_at = annotations_at.child("annotations");
    let context = spec.sub("securityContext");
    let seccomp = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
    if !context.has("seccompProfile") && annotation(meta, SECCOMP_POD).is_some() {
        w.push(format!("{}: {seccomp}", annotations_at.key(SECCOMP_POD)));
    }
    let annotated = meta.map("annotations").is_some_and(|m| !m.is_empty());
    visit_containers(spec, at, &mut |container, p| {
        let own = container.sub("securityContext");
        if annotated {
            let key = format!("{SECCOMP_CONTAINER}{}", container.s("name"));
            if !own.has("seccompProfile") && annotation(meta, &key).is_some() {
                w.push(format!("{}: {seccomp}", annotations_at.key(&key)));
            }
            let key = format!("{APP_ARMOR}{}", container.s("name"));
            let has_field = own.has("appArmorProfile") || context.has("appArmorProfile");
            if is_template && !has_field && annotation(meta, &key).is_some() {
                let text = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
                w.push(format!("{}: {text}", annotations_at.key(&key)));
            }
        }
        let resources = container.sub("resources");
        for name in ["memory", "ephemeral-storage"] {
            for part in ["limits", "requests"] {
                let p = p.child("resources");
                fractional(w, p.child(part).key(name), resources.sub(part).sub(name));
            }
        }
        env(w, p.child("env"), container.list("env"));
    });
    ports(w, at, spec);
    for kind in ["podAffinity", "podAntiAffinity"] {
        let terms = spec.sub("affinity").sub(kind);
        let at = at.child("affinity");
        let at = at.child(kind);
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        for (i, term) in terms.list(required).iter().enumerate() {
            let at = at.child(required);
            null_selector(w, at.index(i).child("labelSelector"), term);
        }
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        for (i, term) in terms.list(preferred).iter().enumerate() {
            let at = at.child(preferred);
            let at = at.index(i);
            null_selector(w, at.child("podAffinityTerm").child("labelSelector"), term.sub("podAffinityTerm"));
        }
    }
}

fn null_selector(w: &mut Vec<String>, at: FieldPath<'_>, holder: &Value) {
    if !holder.has("labelSelector") {
        w.push(format!("{at}: a null labelSelector results in matching no pod"));
    }
}

/// What to say of a label of nodes that has a newer name.
pub(crate) fn deprecated_label(label: &str) -> Option<&'static str> {
    Some(match label {
        "beta.kubernetes.io/arch" => "deprecated since v1.14; use \"kubernetes.io/arch\" instead",
        "beta.kubernetes.io/os" => "deprecated since v1.14; use \"kubernetes.io/os\" instead",
        "failure-domain.beta.kubernetes.io/region" => {
            "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"
        }
        "failure-domain.beta.kubernetes.io/zone" => {
            "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"
        }
        "beta.kubernetes.io/instance-type" => {
            "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"
        }
        _ => return None,
    })
}

/// Old labels in a term of a node selector.
pub(crate) fn node_term(w: &mut Vec<String>, at: FieldPath<'_>, term: &Value) {
    for (i, requirement) in term.list("matchExpressions").iter().enumerate() {
        let key = requirement.s("key");
        if let Some(text) = deprecated_label(key) {
            let at = at.child("matchExpressions");
            w.push(format!("{}: {key} is {text}", at.index(i).child("key")));
        }
    }
}

fn placement(w: &mut Vec<String>, at: FieldPath<'_>, spec: &Value) {
    for (key, _) in spec.entries("nodeSelector") {
        if let Some(text) = deprecated_label(key) {
            w.push(format!("{}: {text}", at.child("nodeSelector").key(key)));
        }
    }
    let affinity = spec.sub("affinity").sub("nodeAffinity");
    if !affinity.is_null() {
        let at = at.child("affinity");
        let at = at.child("nodeAffinity");
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        for (i, term) in affinity.sub(required).list("nodeSelectorTerms").iter().enumerate() {
            node_term(w, at.child(required).child("nodeSelectorTerms").index(i), term);
        }
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        for (i, term) in affinity.list(preferred).iter().enumerate() {
            node_term(w, at.child(preferred).index(i).child("preference"), term.sub("preference"));
        }
    }
    for (i, constraint) in spec.list("topologySpreadConstraints").iter().enumerate() {
        let at = at.child("topologySpreadConstraints");
        let at = at.index(i);
        let key = constraint.s("topologyKey");
        if let Some(text) = deprecated_label(key) {
            w.push(format!("{}: {key} is {text}", at.child("topologyKey")));
        }
        null_selector(w, at.child("labelSelector"), constraint);
    }
}

fn volumes(w: &mut Vec<String>, at: FieldPath<'_>, volumes: &[Value]) {
    for (i, volume) in volumes.iter().enumerate() {
        for (kind, shown, text) in VOLUMES {
            if volume.has(kind) {
                w.push(format!("{}: {text}", at.index(i).child(shown)));
            }
        }
        if let Some(template) = volume.sub("ephemeral").opt("volumeClaimTemplate") {
            let at = at.index(i);
            let at = at.child("ephemeral");
            let at = at.child("volumeClaimTemplate");
            crate::core::claim::storage_warnings(w, at.child("spec"), template.sub("spec"));
        }
    }
    let sources = || {
        volumes
            .iter()
            .enumerate()
            .flat_map(|(i, v)| v.sub("projected").list("sources").iter().map(move |s| (i, s)))
    };
    let tokens: Vec<&str> =
        sources().filter_map(|(_, s)| s.opt("serviceAccountToken")).map(|t| t.s("path")).collect();
    if tokens.is_empty() {
        return;
    }
    let tokens: Seen<_> = tokens.into_iter().collect();
    for (i, source) in sources() {
        let at = at.index(i);
        let at = at.child("projected");
        let at = at.child("sources");
        for (kind, shown) in
            [("configMap", "configMap"), ("secret", "secrets"), ("downwardAPI", "downwardAPI")]
        {
            for (j, item) in source.sub(kind).list("items").iter().enumerate() {
                let path = item.s("path");
                if tokens.has(&path) {
                    let at = at.child(shown);
                    w.push(format!("{}: has duplicated path with ServiceAccountToken {path:?}", at.index(j)));
                }
            }
        }
        let path = source.sub("clusterTrustBundle").s("path");
        if source.has("clusterTrustBundle") && tokens.has(&path) {
            let at = at.child("ClusterTrustBundle");
            w.push(format!("{at}: has duplicated path with ServiceAccountToken {path:?}"));
        }
    }
}

fn twice(w: &mut Vec<String>, at: FieldPath<'_>, list: &[Value], field: &str) {
    let mut seen = Seen::default();
    for (i, item) in list.iter().enumerate() {
        let value = item.s(field);
        if seen.again(value) {
            w.push(format!("{}: duplicate {field} {value:?}", at.index(i).child(field)));
        }
    }
}

fn fractional(w: &mut Vec<String>, at: FieldPath<'_>, amount: &Value) {
    if !amount.is_null() && is_fractional(quantity(amount)) {
        let shown = amount.as_str().unwrap_or("");
        w.push(format!("{at}: fractional byte value {shown:?} is invalid, must be an integer"));
    }
}

fn env(w: &mut Vec<String>, at: FieldPath<'_>, vars: &[Value]) {
    let mut seen = Seen::default();
    for (i, var) in vars.iter().enumerate() {
        let name = var.s("name");
        if !seen.again(name) {
            continue;
        }
        let reference = format!("$({name})");
        let value = var.s("value");
        if var.has("valueFrom") || value == reference || !value.contains(&reference) {
            w.push(format!(
                "{}: hides previous definition of {name:?}, which may be dropped when using apply",
                at.index(i)
            ));
        }
    }
}

/// So many warnings are enough: a client is shown 4 KiB of them, and ports are compared in pairs.
const MOST_WARNINGS: usize = 1000;

fn ports(w: &mut Vec<String>, at: FieldPath<'_>, spec: &Value) {
    let mut seen: HashMap<(i64, &str), Vec<(&Value, String)>> = HashMap::new();
    visit_containers(spec, at, &mut |container, p| {
        for (i, port) in container.list("ports").iter().enumerate() {
            let (ip, host) = (port.s("hostIP"), port.num("hostPort"));
            let list = p.child("ports");
            let p = list.index(i);
            if !ip.is_empty() && host == 0 {
                w.push(format!(
                    "{p}: hostIP set without hostPort: {{Name:{} HostPort:0 ContainerPort:{} Protocol:{} HostIP:{ip}}}",
                    port.s("name"),
                    port.num("containerPort"),
                    port.s("protocol")
                ));
            }
            if w.len() > MOST_WARNINGS {
                return;
            }
            let equals = seen.entry((port.num("containerPort"), port.s("protocol"))).or_default();
            for (other, place) in &*equals {
                let (other_ip, other_host) = (other.s("hostIP"), other.num("hostPort"));
                if ip == other_ip && host == other_host {
                    w.push(format!("{p}: duplicate port definition with {place}"));
                } else if host == 0 || other_host == 0 {
                    w.push(format!("{p}: overlapping port definition with {place}"));
                } else if host == other_host && ip.is_empty() != other_ip.is_empty() {
                    w.push(format!("{p}: dangerously ambiguous port definition with {place}"));
                }
            }
            equals.push((port, p.to_string()));
        }
    });
}
