//! The cgroup of a pod, in which the runtime makes those of its containers: the node's own, as it is the kubelet's.
//!
//! Paths are those of the cgroupfs driver. A runtime that is told to have systemd make its cgroups refuses them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Shared, failed};
use crate::container::{Resources, SandboxConfig};
use crate::runtime::{Error, cgroup};

/// The cgroup of all pods.
const PODS: &str = "/kubepods";

/// Makes the cgroup of all pods.
pub(super) fn prepare(shared: &Shared) -> Result<(), Error> {
    cgroup::create(&shared.layout, PODS).map_err(failed("cannot make the cgroup of pods"))?;
    for (file, error) in cgroup::limit(&shared.layout, PODS, &shared.options.limits, false) {
        tracing::warn!(file = %file.display(), %error, "a limit of all pods together cannot be set");
    }
    Ok(())
}

/// Makes that of a pod, with its limits. One that cannot be set is no reason not to run it.
pub(super) async fn make(shared: &Arc<Shared>, config: &SandboxConfig) -> Result<(), Error> {
    let (owner, path, resources) =
        (Arc::clone(shared), config.cgroup_parent.clone(), config.resources.clone());
    let refused = blocking(move || {
        cgroup::create(&owner.layout, &path)?;
        Ok(cgroup::limit(&owner.layout, &path, &resources, false))
    });
    for (file, error) in refused.await.map_err(failed("cannot make the pod's cgroup"))? {
        tracing::warn!(file = %file.display(), %error, "a limit of a pod cannot be set");
    }
    Ok(())
}

/// Sets limits of what runs already, where a failure is one.
pub(super) async fn limit(
    shared: &Arc<Shared>,
    path: &str,
    resources: &Resources,
    reset: bool,
) -> Result<(), Error> {
    let (owner, path, resources) = (Arc::clone(shared), path.to_owned(), resources.clone());
    let refused = blocking(move || Ok(cgroup::limit(&owner.layout, &path, &resources, reset)));
    let refused = refused.await.map_err(failed("cannot set the pod's limits"))?;
    match refused.into_iter().next() {
        Some((file, error)) => Err(failed(format!("cannot set {}", file.display()))(error)),
        None => Ok(()),
    }
}

/// Removes it everywhere, also where only the runtime has made it.
pub(super) async fn remove(shared: &Arc<Shared>, path: &str) -> Result<(), Error> {
    let path = path.trim_matches('/').to_owned();
    if path.is_empty() {
        return Ok(());
    }
    let owner = Arc::clone(shared);
    let removed = blocking(move || {
        cgroup::remove(&owner.layout, &path)?;
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        hierarchies(&mounts).into_iter().try_for_each(|root| remove_empty(&root.join(&path)))
    });
    removed.await.map_err(failed("cannot remove the pod's cgroup"))
}

/// Where cgroups are, whatever their controllers.
fn hierarchies(mounts: &str) -> Vec<PathBuf> {
    let fields = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let cgroups = fields
        .filter(|(path, kind)| path.starts_with("/sys/fs/cgroup") && matches!(*kind, "cgroup" | "cgroup2"));
    cgroups.map(|(path, _)| path.into()).collect()
}

/// Removes a tree of cgroups in which nothing is.
fn remove_empty(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path())?;
        }
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(act: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(act).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hierarchy_counts() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n\
                      none /sys/fs/cgroup/unified cgroup2 rw 0 0\ntmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /elsewhere cgroup rw,cpu 0 0\n";
        let roots = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];
        assert_eq!(hierarchies(mounts), roots.map(PathBuf::from));
    }
}
