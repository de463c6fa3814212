//! The last steps of a container's process before it becomes the program: is it there, in whose words is it said if not, signals as a program expects
//! them, the filter of system calls, `execve`.
//!
//! libcontainer calls it inside the container, as the user of the container.

use std::ffi::{CString, NulError};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, Signal};
use seccompiler::BpfProgram;

use crate::seccomp;

/// Launches programs under these filters.
#[derive(Clone)]
pub(crate) struct Launcher {
    pub(crate) filters: Rc<Vec<BpfProgram>>,
}

impl Executor for Launcher {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let arguments = arguments(spec)
            .ok_or_else(|| ExecutorValidationError::ArgValidationError("no command specified".to_owned()))?;
        let path = variable(spec, "PATH");
        find(&arguments[0], path.unwrap_or_default())
            .map(|_| ())
            .map_err(ExecutorValidationError::ArgValidationError)
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let arguments = arguments(spec).ok_or(ExecutorError::InvalidArg)?;
        let path =
            find(&arguments[0], variable(spec, "PATH").unwrap_or_default()).map_err(ExecutorError::Other)?;
        let outcome = self.launch(&path, arguments);
        // Nobody listens any more: as with runc, the container's own standard error says it.
        eprintln!("exec {}: {}", path.display(), describe(&outcome));
        std::process::exit(255)
    }
}

impl Launcher {
    /// Returns only if it cannot.
    fn launch(&self, path: &Path, arguments: &[String]) -> std::io::Error {
        let prepared = (|| -> Result<_, NulError> {
            let path = CString::new(path.as_os_str().as_bytes())?;
            let arguments = arguments
                .iter()
                .map(|argument| CString::new(argument.as_str()))
                .collect::<Result<Vec<_>, _>>()?;
            let environment = std::env::vars_os()
                .map(|(name, value)| {
                    CString::new([name.into_vec(), b"=".to_vec(), value.into_vec()].concat())
                })
                .collect::<Result<Vec<_>, _>>()?;
            Ok((path, arguments, environment))
        })();
        let (path, arguments, environment) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return error.into(),
        };
        // The shim blocks some signals, and Rust ignores SIGPIPE: a program starts with neither.
        let _ = SigSet::empty().thread_set_mask();
        #[allow(unsafe_code, reason = "restoring a default disposition installs no handler")]
        let _ = unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigDfl) };
        for filter in self.filters.iter() {
            if let Err(error) = seccomp::install(filter) {
                return error;
            }
        }
        match nix::unistd::execve(&path, &arguments, &environment) {
            Ok(never) => match never {},
            Err(errno) => errno.into(),
        }
    }
}

fn arguments(spec: &Spec) -> Option<&[String]> {
    spec.process().as_ref()?.args().as_deref().filter(|arguments| !arguments.is_empty())
}

fn variable<'a>(spec: &'a Spec, name: &str) -> Option<&'a str> {
    let environment = spec.process().as_ref()?.env().as_deref()?;
    environment.iter().rev().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
}

/// Finds a program as Go's `exec.LookPath` does, whose words users of Kubernetes know.
fn find(name: &str, path: &str) -> Result<PathBuf, String> {
    if name.contains('/') {
        return match executable(Path::new(name)) {
            Ok(()) => Ok(name.into()),
            Err(Errno::ENOENT) => Err(format!("exec: {name:?}: stat {name}: no such file or directory")),
            Err(errno) => Err(format!("exec: {name:?}: {}", words(errno))),
        };
    }
    for directory in path.split(':') {
        // An empty entry is the working directory, as for a shell.
        let candidate = Path::new(if directory.is_empty() { "." } else { directory }).join(name);
        if !name.is_empty() && executable(&candidate).is_ok() {
            return Ok(candidate);
        }
    }
    Err(format!("exec: {name:?}: executable file not found in $PATH"))
}

fn executable(path: &Path) -> Result<(), Errno> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    if metadata.is_dir() {
        return Err(Errno::EISDIR);
    }
    // The effective user's rights, which differ from the real one's for nobody here.
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK)
        .map_err(|errno| Errno::from_raw(errno.raw_os_error()))
}

/// Error numbers in Go's words: lower case.
fn words(errno: Errno) -> String {
    errno.desc().to_lowercase()
}

fn describe(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |number| words(Errno::from_raw(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_go_finds_them() {
        let directory = tempfile::tempdir().unwrap();
        let plain = directory.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let at = directory.path().to_str().unwrap();
        for (name, program, path, expected) in [
            ("in the path", "sh", "/nowhere:/bin", Ok("/bin/sh".to_owned())),
            ("by its path", "/bin/sh", "", Ok("/bin/sh".to_owned())),
            ("nowhere", "foo", "/bin", Err("exec: \"foo\": executable file not found in $PATH".to_owned())),
            (
                "no such file",
                "/bin/foo",
                "/bin",
                Err("exec: \"/bin/foo\": stat /bin/foo: no such file or directory".to_owned()),
            ),
            ("a directory", at, "", Err(format!("exec: {at:?}: is a directory"))),
            (
                "not executable",
                &format!("{at}/plain"),
                "",
                Err(format!("exec: \"{at}/plain\": permission denied")),
            ),
            ("nothing", "", "/bin", Err("exec: \"\": executable file not found in $PATH".to_owned())),
        ] {
            assert_eq!(find(program, path), expected.map(PathBuf::from), "{name}");
        }
    }
}
