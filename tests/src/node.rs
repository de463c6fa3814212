//! A node: `sampan node`, started and ended as a user would, in a cluster that is there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::cluster::{Ended, Process, binary};
use crate::leftovers;

/// A running node. It is killed when dropped, and its pods with it.
#[derive(Debug)]
pub struct Node {
    dir: TempDir,
    process: Option<Process>,
}

impl Node {
    /// A node with a directory of its own that does not run yet. Only root can run it, in a network of the test's own ([`crate::network`]).
    pub fn new() -> Result<Self> {
        Ok(Self { dir: tempfile::tempdir()?, process: None })
    }

    /// Starts it, and waits until it says that it is ready.
    pub fn start(&mut self, args: &[&str]) -> Result<()> {
        ensure!(self.process.is_none(), "the node is running");
        let mut process = Process::spawn(
            Command::new(binary())
                .args(["node", "--data-dir"])
                .arg(self.data_dir())
                .arg("--kubeconfig")
                .arg(self.kubeconfig())
                // How full the machine's disk is, is no concern of a test's.
                .args(["--eviction-hard", "memory.available<100Mi", "--kubelet-port", "0"])
                .args(args),
        )?;
        process.wait_for("sampan node ready in ")?;
        self.process = Some(process);
        Ok(())
    }

    /// Kills the process as a crash would.
    pub fn kill(&mut self) -> Ended {
        self.process.take().expect("the node is running").end(Signal::KILL)
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// The directory of the node.
    pub fn node_dir(&self) -> PathBuf {
        self.dir.path().join("node")
    }

    /// The kubeconfig of the node.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process = None;
        leftovers::remove(&self.node_dir());
    }
}
