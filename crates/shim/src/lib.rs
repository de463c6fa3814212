//! The parent of a pod's containers: one small, single-threaded process a pod, which outlives the node agent.
//!
//! `docs/node.md` says why. It knows OCI bundles and file descriptors; it knows neither pods' specs nor the API.

mod cgroup;
mod clock;
mod connection;
mod container;
mod init;
mod launcher;
mod log;
mod oci;
pub mod packet;
pub mod protocol;
mod seccomp;
mod server;
mod setup;
mod state_file;
mod streams;
mod trace;

use std::ffi::OsString;
use std::path::Path;

pub use log::MAX_LINE_BYTES;
pub use state_file::{STATE_FILE, read as read_state, write as write_state};

/// The word after the program's name that makes it a shim.
pub const COMMAND: &str = "shim";

/// The word after that which makes it the first process of a shared namespace of processes.
const INIT: &str = "--init";

/// What a program does first of all, before any thread exists: if its arguments (without its own name) make it a shim, it is one until the end, and exits with this code.
pub fn entry(mut arguments: impl Iterator<Item = OsString>) -> Option<i32> {
    if arguments.next()? != COMMAND {
        return None;
    }
    let what = arguments.next()?;
    Some(if what == INIT { init::run() } else { run(Path::new(&what)) })
}

/// Runs the shim of this directory until it is told to end. What goes wrong before it listens is said on standard output; `ready` is said when it listens.
pub fn run(directory: &Path) -> i32 {
    match server::Server::start(directory) {
        Ok(mut server) => server.serve(),
        Err(error) => {
            println!("{}", clock::chain(&error));
            1
        }
    }
}
