//! The calls of libcontainer: the only place that makes them, from a process that has one thread and nothing else to do meanwhile.
//!
//! Its `Container::kill` and `delete` are not used: both look at process ids that may be somebody else's by now.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::rc::Rc;

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use rustix::fs::MemfdFlags;
use seccompiler::BpfProgram;

use crate::launcher::Launcher;
use crate::protocol::{Cause, Failure};
use crate::{clock, seccomp, trace};

/// The three streams that a process is given; with a terminal, none.
#[derive(Default)]
pub(crate) struct Stdio {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
}

/// What a bundle says, as far as it is needed again.
pub(crate) struct Bundle {
    pub(crate) spec: Spec,
    pub(crate) filters: Rc<Vec<BpfProgram>>,
}

impl Bundle {
    pub(crate) fn load(directory: &Path) -> Result<Self, Failure> {
        let config = |message: String| Failure { cause: Cause::Config, message };
        let spec = Spec::load(directory.join("config.json")).map_err(|error| config(clock::chain(&error)))?;
        let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let filters =
            profile.map(seccomp::compile).transpose().map_err(|error| config(clock::chain(&error)))?;
        Ok(Self { filters: Rc::new(filters.unwrap_or_default()), spec })
    }
}

fn builder(
    root: &Path,
    id: &str,
    bundle: &Bundle,
    stdio: Stdio,
) -> Result<ContainerBuilder, LibcontainerError> {
    let mut builder = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(root)?
        .with_executor(Launcher { filters: Rc::clone(&bundle.filters) });
    builder.stdin = stdio.stdin;
    builder.stdout = stdio.stdout;
    builder.stderr = stdio.stderr;
    builder.validate_id()
}

/// Creates a container: its process waits to be started. With a terminal, returns the master end.
pub(crate) fn create(
    root: &Path,
    id: &str,
    directory: &Path,
    bundle: &Bundle,
    stdio: Stdio,
    terminal: bool,
) -> Result<(Container, Option<OwnedFd>), Failure> {
    attempt(terminal, root, |console| {
        let builder = builder(root, id, bundle, stdio)?;
        builder.with_console_socket(console).as_init(directory).with_systemd(false).with_detach(true).build()
    })
}

/// Starts a created container.
pub(crate) fn start(container: &mut Container) -> Result<(), Failure> {
    container.start().map_err(|error| failure(&error))
}

/// Runs a command in a container as the container's own user, and returns its process id.
pub(crate) fn exec(
    root: &Path,
    id: &str,
    bundle: &Bundle,
    command: &[String],
    stdio: Stdio,
    terminal: bool,
) -> Result<(i32, Option<OwnedFd>), Failure> {
    let process = process(bundle, command, terminal).map_err(|error| Failure {
        cause: Cause::Failed,
        message: format!("cannot describe the command: {error}"),
    })?;
    let path = Path::new("/proc/self/fd").join(process.as_raw_fd().to_string());
    attempt(terminal, root, |console| {
        let builder = builder(root, id, bundle, stdio)?.with_console_socket(console);
        let tenant = builder.as_tenant().with_detach(true).with_process(Some(path));
        Ok(tenant.build()?.as_raw())
    })
}

/// What libcontainer reads of a command: the container's own process (user, groups, capabilities, environment, limits) with another program.
fn process(bundle: &Bundle, command: &[String], terminal: bool) -> std::io::Result<File> {
    let mut process = bundle.spec.process().clone().ok_or(std::io::ErrorKind::InvalidData)?;
    process.set_args(Some(command.to_vec())).set_terminal(Some(terminal));
    let mut file = File::from(rustix::fs::memfd_create("process", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(&process)?)?;
    Ok(file)
}

/// Acts, with a socket on which the terminal's master end arrives if one is wanted.
fn attempt<T>(
    terminal: bool,
    root: &Path,
    act: impl FnOnce(Option<std::path::PathBuf>) -> Result<T, LibcontainerError>,
) -> Result<(T, Option<OwnedFd>), Failure> {
    trace::clear();
    if !terminal {
        return act(None).map(|made| (made, None)).map_err(|error| failure(&error));
    }
    let io = |error: std::io::Error| Failure {
        cause: Cause::Failed,
        message: format!("cannot make a terminal: {error}"),
    };
    // A path through an open directory is short enough for a socket, however deep the directory is.
    let directory = File::open(root).map_err(io)?;
    let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join("console.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(io)?;
    let made = act(Some(path.clone()));
    let _ = std::fs::remove_file(&path);
    let made = made.map_err(|error| failure(&error))?;
    let (connection, _) = listener.accept().map_err(io)?;
    let (_, mut descriptors) = crate::packet::receive(connection.as_fd()).map_err(io)?;
    let master = descriptors.pop().ok_or_else(|| io(std::io::ErrorKind::UnexpectedEof.into()))?;
    Ok((made, Some(master)))
}

fn failure(error: &LibcontainerError) -> Failure {
    explain(&clock::chain(error), trace::first().as_deref())
}

/// The words of the launcher, if it was the one that refused; else the error with the innermost line of the log.
fn explain(chain: &str, first: Option<&str>) -> Failure {
    // An exec's error comes through a pipe in pieces that may be filled up with zeros.
    let chain = chain.replace('\0', "");
    if let Some(at) = chain.find("exec: \"") {
        let words = chain[at..].to_owned();
        let cause = if words.ends_with("permission denied") || words.ends_with("is a directory") {
            Cause::CommandNotExecutable
        } else {
            Cause::CommandNotFound
        };
        return Failure { cause, message: words };
    }
    let message = first.map_or_else(|| chain.clone(), |first| format!("{chain}: {first}"));
    Failure { cause: Cause::Failed, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_keep_the_words_of_who_refused() {
        let found = "failed to create container: exec process failed with error error in executing process : exec: \"foo\": executable file not found in $PATH\0";
        for (name, chain, first, cause, message) in [
            (
                "no such program",
                found,
                Some("x"),
                Cause::CommandNotFound,
                "exec: \"foo\": executable file not found in $PATH",
            ),
            (
                "not executable",
                "x: exec: \"/f\": permission denied",
                None,
                Cause::CommandNotExecutable,
                "exec: \"/f\": permission denied",
            ),
            (
                "anything else",
                "failed to prepare rootfs",
                Some("failed to mount"),
                Cause::Failed,
                "failed to prepare rootfs: failed to mount",
            ),
        ] {
            assert_eq!(explain(chain, first), Failure { cause, message: message.to_owned() }, "{name}");
        }
    }
}
