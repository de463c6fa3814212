//! What the node agent and a shim say to each other: one JSON message a packet on a `SOCK_SEQPACKET` Unix socket; file descriptors travel beside it.
//!
//! A later version of the agent talks to an earlier shim, since a shim lives as long as its pod: fields may be added, never changed or removed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a shim is told when it is started: `shim.json` in its directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools, reason = "they are independent switches")]
pub struct Setup {
    /// Name of the host inside; `None` keeps the host's UTS namespace.
    pub hostname: Option<String>,
    /// Whether it makes a network namespace.
    pub network: bool,
    /// Whether it makes an IPC namespace.
    pub ipc: bool,
    /// Whether it makes a namespace of processes that all containers share.
    pub processes: bool,
    /// Kernel parameters, set after the namespaces are made.
    pub sysctls: BTreeMap<String, String>,
    /// Most bytes of one log file before it is rotated.
    pub log_file_bytes: u64,
    /// Most log files of one container.
    pub log_files: u32,
}

/// A request, with a number that its reply repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Number of the request on this connection.
    pub id: u64,
    /// What is asked.
    pub call: Call,
}

/// What is asked of a shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "camelCase")]
pub enum Call {
    /// Everything it knows; from then on this connection also gets events.
    State,
    /// Creates a container from a bundle. Repeated, it does nothing.
    Create {
        /// Its id.
        container: String,
        /// Directory with `config.json`.
        bundle: PathBuf,
        /// Its log file.
        log: PathBuf,
        /// Whether it has a terminal.
        terminal: bool,
        /// Whether its standard input is kept open.
        stdin: bool,
        /// Whether its standard input ends with the first who attached.
        stdin_once: bool,
        /// `oom_score_adj` of its processes, as far as the machine lets it be set.
        #[serde(default)]
        oom_score_adj: Option<i32>,
    },
    /// Starts a created container. Repeated, it does nothing.
    Start {
        /// Its id.
        container: String,
    },
    /// Sends a signal to a container's first process.
    Signal {
        /// Its id.
        container: String,
        /// Number of the signal.
        signal: i32,
    },
    /// Runs a command. The reply carries the ends of its wanted streams, in the order stdin, stdout, stderr, or its terminal.
    Exec {
        /// The container.
        container: String,
        /// Name of this command among those of the container.
        exec: String,
        /// Program and arguments.
        command: Vec<String>,
        /// Whether it gets a terminal.
        terminal: bool,
        /// Whether standard input is wanted.
        stdin: bool,
        /// Whether standard output is wanted.
        stdout: bool,
        /// Whether standard error is wanted.
        stderr: bool,
    },
    /// Kills a command.
    KillExec {
        /// The container.
        container: String,
        /// The command.
        exec: String,
    },
    /// Joins a container's streams. The reply carries their ends, in the order stdin, stdout, stderr, or one end of its terminal.
    Attach {
        /// The container.
        container: String,
        /// Whether standard input is wanted.
        stdin: bool,
        /// Whether standard output is wanted.
        stdout: bool,
        /// Whether standard error is wanted.
        stderr: bool,
    },
    /// Changes the size of a container's terminal.
    Resize {
        /// The container.
        container: String,
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// Opens a container's log file anew.
    ReopenLog {
        /// The container.
        container: String,
    },
    /// Forgets a container that does not run, and removes what libcontainer kept of it.
    Delete {
        /// Its id.
        container: String,
    },
    /// Kills everything and ends.
    Shutdown,
}

/// What a shim says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Message {
    /// To a request.
    Reply {
        /// The request's number.
        id: u64,
        /// What came of it.
        result: Result<Answer, Failure>,
    },
    /// A container's first process ended.
    Exited {
        /// The container.
        container: String,
        /// How.
        exit: Exit,
    },
    /// A command ended.
    ExecExited {
        /// The container.
        container: String,
        /// The command.
        exec: String,
        /// How.
        exit: Exit,
    },
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase")]
pub enum Answer {
    /// It was done.
    Done,
    /// What it knows.
    State {
        /// The shim's process.
        pid: i32,
        /// The first process of the shared namespace, if there is one.
        init: Option<i32>,
        /// Its containers by id.
        containers: BTreeMap<String, Container>,
    },
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure.
    pub cause: Cause,
    /// In words.
    pub message: String,
}

/// Kinds of failures that the agent tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// There is no such container or command.
    NotFound,
    /// It is in another state than that needs.
    Precondition,
    /// The bundle cannot be carried out.
    Config,
    /// The program is not there: exit code 127 of a shell's meaning.
    CommandNotFound,
    /// The program cannot be executed: exit code 126 of a shell's meaning.
    CommandNotExecutable,
    /// Anything else.
    Failed,
}

/// A container as a shim knows it. Times are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Its first process, while it runs.
    pub pid: Option<i32>,
    /// When it was created.
    pub created_ns: i64,
    /// When it was started.
    pub started_ns: Option<i64>,
    /// How it ended.
    pub exit: Option<Exit>,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// Its exit code; 128 and the signal's number if a signal ended it.
    pub code: i32,
    /// The signal that ended it, 0 if none did.
    pub signal: i32,
    /// Whether the kernel killed it for want of memory.
    pub out_of_memory: bool,
    /// When, in nanoseconds since 1970.
    pub finished_ns: i64,
}
