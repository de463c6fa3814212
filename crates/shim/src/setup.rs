//! Makes the shim what its containers inherit: their namespaces, host name and kernel parameters.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::process::{getpid, set_child_subreaper, setsid};

use crate::protocol::Setup;

/// Why a shim could not become what it is to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot leave the agent's session")]
    Session(#[source] io::Error),
    #[error("cannot make the pod's namespaces")]
    Namespaces(#[source] nix::Error),
    #[error("cannot set the host name {name}")]
    Hostname { name: String, source: io::Error },
    #[error("cannot set the kernel parameter {name}")]
    Sysctl { name: String, source: io::Error },
    #[error("cannot start the first process of the shared namespace")]
    Init(#[source] io::Error),
}

/// Carries `setup` out, and returns the first process of the shared namespace, if there is one.
pub(crate) fn apply(setup: &Setup) -> Result<Option<i32>, Error> {
    // Signals to the agent's process group are not for the pod.
    setsid().map_err(|source| Error::Session(source.into()))?;
    set_child_subreaper(Some(getpid())).map_err(|source| Error::Session(source.into()))?;
    rustix::process::umask(rustix::fs::Mode::empty());

    let mut flags = CloneFlags::empty();
    flags.set(CloneFlags::CLONE_NEWNET, setup.network);
    flags.set(CloneFlags::CLONE_NEWIPC, setup.ipc);
    flags.set(CloneFlags::CLONE_NEWUTS, setup.hostname.is_some());
    unshare(flags).map_err(Error::Namespaces)?;

    if let Some(name) = &setup.hostname {
        let failed = |source| Error::Hostname { name: name.clone(), source };
        rustix::system::sethostname(name.as_bytes()).map_err(|errno| failed(errno.into()))?;
    }
    for (name, value) in &setup.sysctls {
        let path = sysctl_path(name);
        std::fs::write(path, value).map_err(|source| Error::Sysctl { name: name.clone(), source })?;
    }
    setup.processes.then(start_init).transpose()
}

/// `net.ipv4.ip_forward` and `net/ipv4/ip_forward` are the same; in the form with slashes, dots are part of a name (`sysctl.d(5)`).
fn sysctl_path(name: &str) -> PathBuf {
    let first = name.find(['.', '/']).map(|at| name.as_bytes()[at]);
    let path = if first == Some(b'/') { name.to_owned() } else { name.replace('.', "/") };
    Path::new("/proc/sys").join(path)
}

/// A process becomes the first of a namespace by being born after `unshare`; the shim's other children must not be born into it.
fn start_init() -> Result<i32, Error> {
    let failed = |errno: nix::Error| Error::Init(errno.into());
    let own = std::fs::File::open("/proc/self/ns/pid").map_err(Error::Init)?;
    unshare(CloneFlags::CLONE_NEWPID).map_err(failed)?;
    let child = Command::new("/proc/self/exe")
        .args([crate::COMMAND, crate::INIT])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    setns(own.as_fd(), CloneFlags::CLONE_NEWPID).map_err(failed)?;
    let child = child.map_err(Error::Init)?;
    i32::try_from(child.id()).map_err(|_| Error::Init(io::ErrorKind::InvalidData.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_parameters_are_named_with_dots_or_slashes() {
        for (name, path) in [
            ("net.core.somaxconn", "/proc/sys/net/core/somaxconn"),
            ("kernel/shm_rmid_forced", "/proc/sys/kernel/shm_rmid_forced"),
            ("net/ipv4/conf/eth0.100/forwarding", "/proc/sys/net/ipv4/conf/eth0.100/forwarding"),
        ] {
            assert_eq!(sysctl_path(name), Path::new(path), "{name}");
        }
    }
}
