//! The files that a container finds mounted besides its volumes: `/etc/hosts`, and the one for its last words.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use super::{hosts, pod_directory, termination_log};
use crate::container::{ContainerId, PodUid};
use crate::pods::allocation;
use crate::pods::parts::NodeFacts;

/// Where a pod's `/etc/hosts` is.
pub(crate) fn hosts(node: &NodeFacts, uid: &PodUid) -> PathBuf {
    pod_directory(node, uid).join("etc-hosts")
}

/// Writes both. Whoever the container runs as may write its last words.
pub(crate) fn write(pod: &Pod, id: &ContainerId, pod_ips: &[IpAddr], node: &NodeFacts) -> io::Result<()> {
    let Some(spec) = &pod.spec else { return Ok(()) };
    let host = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let path = hosts(node, &id.pod);
    make_parent(&path)?;
    fs::write(&path, hosts::file(pod, spec, pod_ips, &host, &node.cluster_domain))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    let path = termination_log(node, id);
    make_parent(&path)?;
    fs::write(&path, "")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666))
}

/// Removes a pod's directory, of which only what the node itself wrote is left: whatever else is in it was forgotten by somebody, and is not ours to lose.
pub(crate) fn remove(node: &NodeFacts, uid: &PodUid) -> io::Result<()> {
    let absent = |outcome: io::Result<()>| match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    };
    absent(fs::remove_file(hosts(node, uid)))?;
    absent(fs::remove_file(allocation::file(&pod_directory(node, uid))))?;
    absent(fs::remove_dir(pod_directory(node, uid)))
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}
