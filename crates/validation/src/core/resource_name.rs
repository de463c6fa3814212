//! The names of resources, and which of them may stand where.

use sampan_model::name::is_qualified_name;
use sampan_model::{FieldError, FieldPath};

use crate::look::{Errors, complain, not_supported};

const HUGE_PAGES: &str = "hugepages-";
const REQUESTS_HUGE_PAGES: &str = "requests.hugepages-";
const DEFAULT_NAMESPACE: &str = "kubernetes.io/";

const CONTAINER: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
const QUOTA: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
    "storage",
];
const INTEGER: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// `hugepages-2Mi` and its like.
pub(crate) fn is_huge_page(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

/// A name without a domain, or in `kubernetes.io`.
pub(crate) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains(DEFAULT_NAMESPACE)
}

/// Whether more may be promised than there is.
pub(crate) fn is_overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// A resource that some device plugin provides.
pub(crate) fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && is_qualified_name(&format!("requests.{name}")).is_empty()
}

/// A resource that is counted.
pub(crate) fn is_integer(name: &str) -> bool {
    INTEGER.contains(&name) || is_extended(name)
}

/// A resource that a quota can limit.
pub(crate) fn is_standard_quota(name: &str) -> bool {
    QUOTA[..19].contains(&name) || is_huge_page(name) || name.starts_with(REQUESTS_HUGE_PAGES)
}

fn is_standard(name: &str) -> bool {
    QUOTA.contains(&name) || is_huge_page(name) || name.starts_with(REQUESTS_HUGE_PAGES)
}

/// A name of a resource: qualified, or one of the standard ones.
pub(crate) fn resource_name(e: &mut Errors, path: FieldPath<'_>, name: &str) {
    let complaints = is_qualified_name(name);
    if !complaints.is_empty() {
        complain(e, path, name, complaints);
    } else if !name.contains('/') && !is_standard(name) {
        e.push(FieldError::invalid(path, name, "must be a standard resource type or fully qualified"));
    }
}

/// A resource that a container can ask for.
pub(crate) fn container_resource_name(e: &mut Errors, path: FieldPath<'_>, name: &str) {
    if CONTAINER.contains(&name) {
        return;
    }
    resource_name(e, path, name);
    if !name.contains('/') {
        if !is_huge_page(name) {
            e.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
        }
    } else if !is_native(name) && !is_extended(name) {
        e.push(FieldError::invalid(path, name, "doesn't follow extended resource name standard"));
    }
}

/// A resource that a pod as a whole can ask for.
pub(crate) fn pod_resource_name(e: &mut Errors, path: FieldPath<'_>, name: &str) {
    let before = e.len();
    resource_name(e, path, name);
    if e.len() == before && name != "cpu" && name != "memory" && !is_huge_page(name) {
        e.push(not_supported(path, name, &["cpu", "hugepages-", "memory"]));
    }
}

/// A resource that a quota can limit.
pub(crate) fn quota_resource_name(e: &mut Errors, path: FieldPath<'_>, name: &str) {
    resource_name(e, path, name);
    if !name.contains('/') && !is_standard_quota(name) {
        e.push(FieldError::invalid(path, name, "must be a standard resource for quota"));
    }
}
