//! Which names of resources belong to devices that somebody added to a node.

use sampan_model::name::is_qualified_name;

/// What the requests of a resource are called in a quota.
pub(super) const REQUESTS: &str = "requests.";
/// The names of huge pages begin with it.
pub(super) const HUGE_PAGES: &str = "hugepages-";

/// Whether Kubernetes itself defines the resource.
pub(super) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether it is a device or the like, which a container asks for by its own name.
pub(super) fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with(REQUESTS)
        && is_qualified_name(&format!("{REQUESTS}{name}")).is_empty()
}
