//! One container of the pod, from its creation to its removal, and the commands that run in it.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::process::{Pid, PidfdFlags, Signal, WaitStatus, pidfd_open, pidfd_send_signal};

use crate::cgroup::Group;
use crate::log::{self, Lines, LogFile};
use crate::oci::Bundle;
use crate::protocol::{self, Cause, Exit, Failure};
use crate::streams::{Streams, Which};
use crate::{clock, oci, state_file};

/// What a container is created from.
pub(crate) struct Wanted<'a> {
    pub(crate) id: &'a str,
    pub(crate) directory: &'a Path,
    pub(crate) log: LogFile,
    pub(crate) terminal: bool,
    pub(crate) stdin: bool,
    pub(crate) stdin_once: bool,
    pub(crate) oom_score_adj: Option<i32>,
}

pub(crate) struct Container {
    directory: PathBuf,
    bundle: Bundle,
    made: libcontainer::container::Container,
    process: Process,
    group: Group,
    /// Whether its end leaves nobody behind: it has a namespace of processes of its own.
    own_processes: bool,
    oom_score_adj: Option<i32>,
    created_ns: i64,
    started_ns: Option<i64>,
    exit: Option<Exit>,
    pub(crate) streams: Streams,
    lines: [Lines; 2],
    log: LogFile,
    pub(crate) commands: BTreeMap<String, Command>,
}

/// A command that runs in a container.
pub(crate) struct Command {
    pub(crate) process: Process,
    /// The connection that asked for it: it ends with that.
    pub(crate) connection: u64,
}

/// A child of the shim.
pub(crate) struct Process {
    pub(crate) pid: i32,
    handle: OwnedFd,
}

impl Process {
    /// A child that nobody has waited for is still that child, even if it has ended.
    fn open(pid: i32) -> Result<Self, Failure> {
        let handle = Pid::from_raw(pid)
            .ok_or(rustix::io::Errno::SRCH)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
        let handle = handle.map_err(|errno| failed("cannot follow a process", &errno.into()))?;
        Ok(Self { pid, handle })
    }

    pub(crate) fn signal(&self, number: i32) -> Result<(), Failure> {
        let number = std::num::NonZeroI32::new(number).filter(|number| (1..=64).contains(&number.get()));
        let Some(number) = number else {
            return Err(Failure { cause: Cause::Config, message: "no such signal".to_owned() });
        };
        #[allow(
            unsafe_code,
            reason = "real-time signals, by which some programs end, have no safe constructor; sending one is harmless to the sender"
        )]
        let signal = unsafe { Signal::from_raw_nonzero_unchecked(number) };
        pidfd_send_signal(self.handle.as_fd(), signal).map_err(|errno| match errno {
            rustix::io::Errno::SRCH => {
                Failure { cause: Cause::Precondition, message: "the process has ended".to_owned() }
            }
            errno => failed("cannot signal a process", &errno.into()),
        })
    }

    pub(crate) fn kill(&self) {
        let _ = self.signal(libc::SIGKILL);
    }

    /// Best effort: without `CAP_SYS_RESOURCE` it can only be raised.
    fn set_oom_score_adj(&self, value: Option<i32>) {
        if let Some(value) = value {
            let _ = std::fs::write(format!("/proc/{}/oom_score_adj", self.pid), value.to_string());
        }
    }
}

pub(crate) fn failed(what: &str, error: &std::io::Error) -> Failure {
    Failure { cause: Cause::Failed, message: format!("{what}: {error}") }
}

impl Container {
    pub(crate) fn create(root: &Path, wanted: Wanted<'_>) -> Result<Self, Failure> {
        let bundle = Bundle::load(wanted.directory)?;
        let io = |error: std::io::Error| failed("cannot make the container's streams", &error);
        let (mut streams, stdio) = if wanted.terminal {
            (Streams::default(), oci::Stdio::default())
        } else {
            crate::streams::for_container(wanted.stdin, wanted.stdin_once).map_err(io)?
        };
        let (made, master) = oci::create(root, wanted.id, wanted.directory, &bundle, stdio, wanted.terminal)?;
        if let Some(master) = master {
            streams = Streams::of_terminal(master, wanted.stdin, wanted.stdin_once).map_err(io)?;
        }
        let pid = made.pid().ok_or_else(|| Failure {
            cause: Cause::Failed,
            message: "the container has no process".to_owned(),
        })?;
        let process = Process::open(pid.as_raw())?;
        process.set_oom_score_adj(wanted.oom_score_adj);
        let container = Self {
            group: Group::of(process.pid),
            own_processes: has_own_processes(&bundle),
            directory: wanted.directory.to_owned(),
            oom_score_adj: wanted.oom_score_adj,
            created_ns: clock::now_ns(),
            started_ns: None,
            exit: None,
            lines: Default::default(),
            log: wanted.log,
            commands: BTreeMap::new(),
            bundle,
            made,
            process,
            streams,
        };
        container.save();
        Ok(container)
    }

    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        if self.exit.is_some() {
            return Err(Failure {
                cause: Cause::Precondition,
                message: "the container has ended".to_owned(),
            });
        }
        if self.started_ns.is_none() {
            // Before it starts, so that nothing of its own is older.
            let now = clock::now_ns();
            oci::start(&mut self.made)?;
            self.started_ns = Some(now);
            self.save();
        }
        Ok(())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.exit.is_none()
    }

    pub(crate) fn is(&self, pid: i32) -> bool {
        self.exit.is_none() && self.process.pid == pid
    }

    pub(crate) fn signal(&self, number: i32) -> Result<(), Failure> {
        if self.exit.is_some() {
            return Err(Failure {
                cause: Cause::Precondition,
                message: "the container has ended".to_owned(),
            });
        }
        self.process.signal(number)
    }

    /// Runs a command in it, and returns the agent's ends of its streams.
    pub(crate) fn exec(&mut self, root: &Path, id: &str, exec: &Exec<'_>) -> Result<Vec<OwnedFd>, Failure> {
        if self.exit.is_some() || self.started_ns.is_none() {
            return Err(Failure {
                cause: Cause::Precondition,
                message: "the container is not running".to_owned(),
            });
        }
        if self.commands.contains_key(exec.name) {
            return Err(Failure {
                cause: Cause::Precondition,
                message: format!("command {} is running already", exec.name),
            });
        }
        let io = |error: std::io::Error| failed("cannot make the command's streams", &error);
        let (mut ends, stdio) = if exec.terminal {
            (Vec::new(), oci::Stdio::default())
        } else {
            crate::streams::for_exec(exec.stdin, exec.stdout, exec.stderr).map_err(io)?
        };
        let (pid, master) = oci::exec(root, id, &self.bundle, exec.command, stdio, exec.terminal)?;
        let process = Process::open(pid)?;
        process.set_oom_score_adj(self.oom_score_adj);
        ends.extend(master);
        self.commands.insert(exec.name.to_owned(), Command { process, connection: exec.connection });
        Ok(ends)
    }

    /// Its first process has ended. Whoever shares its cgroup but not its namespace of processes ends too.
    pub(crate) fn ended(&mut self, status: WaitStatus) -> Exit {
        if !self.own_processes {
            for pid in self.group.processes() {
                if let Ok(process) = Process::open(pid) {
                    process.kill();
                }
            }
        }
        let mut exit = exit(status);
        exit.out_of_memory = self.group.out_of_memory();
        self.exit = Some(exit.clone());
        self.streams.close_stdin();
        self.save();
        exit
    }

    /// Writes what came out of it to its log and to those who joined; `false` at the end.
    pub(crate) fn output(&mut self, which: Which, buffer: &mut [u8], out: &mut Vec<u8>) -> Option<usize> {
        let length = self.streams.read(which, buffer)?;
        let now = Timestamp::now();
        let lines = &mut self.lines[which as usize];
        let time = log::time(now);
        out.clear();
        if length == 0 {
            lines.finish(which.name(), &time, out);
            self.streams.close(which);
        } else {
            lines.push(which.name(), &time, &buffer[..length], out);
            self.streams.copy(which, &buffer[..length]);
        }
        self.log.append(out, now);
        Some(length)
    }

    pub(crate) fn reopen_log(&mut self) -> Result<(), Failure> {
        if self.log.reopen() {
            Ok(())
        } else {
            Err(Failure { cause: Cause::Failed, message: "cannot open the log file".to_owned() })
        }
    }

    pub(crate) fn describe(&self) -> protocol::Container {
        protocol::Container {
            pid: self.exit.is_none().then_some(self.process.pid),
            created_ns: self.created_ns,
            started_ns: self.started_ns,
            exit: self.exit.clone(),
        }
    }

    /// Kills all that runs in it.
    pub(crate) fn kill(&self) {
        if self.exit.is_none() {
            self.process.kill();
        }
    }

    fn save(&self) {
        // A full disk takes the exit code from an agent that comes after this shim, no more.
        let _ = state_file::write(&self.directory, &self.describe());
    }
}

/// A command to run.
#[allow(clippy::struct_excessive_bools, reason = "they are independent switches")]
pub(crate) struct Exec<'a> {
    pub(crate) name: &'a str,
    pub(crate) command: &'a [String],
    pub(crate) terminal: bool,
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) connection: u64,
}

fn has_own_processes(bundle: &Bundle) -> bool {
    use libcontainer::oci_spec::runtime::LinuxNamespaceType;
    let namespaces =
        bundle.spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    namespaces
        .iter()
        .any(|namespace| namespace.typ() == LinuxNamespaceType::Pid && namespace.path().is_none())
}

/// How a process ended, in a shell's numbers.
pub(crate) fn exit(status: WaitStatus) -> Exit {
    let signal = status.terminating_signal().unwrap_or(0);
    let code = status.exit_status().unwrap_or(128 + signal);
    Exit { code, signal, out_of_memory: false, finished_ns: clock::now_ns() }
}
