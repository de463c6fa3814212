//! A cluster: the binary, started and ended as a user would.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::leftovers;

/// How long a start or an end may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The binary under test.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("SAMPAN_BIN") {
        return path.into();
    }
    // target/<profile>/deps/<test>-<hash> stands one folder below the binary.
    let test = std::env::current_exe().expect("a running program has a path");
    let folder = test.ancestors().nth(2).expect("cargo runs tests from a folder of its own");
    let path = folder.join("sampan");
    assert!(path.exists(), "{} is not there: run `cargo build -p sampan`", path.display());
    path
}

/// How the process ended, and all that it said.
#[derive(Debug)]
pub struct Ended {
    /// The exit status.
    pub status: ExitStatus,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// A running cluster. It is killed when dropped.
#[derive(Debug)]
pub struct Cluster {
    dir: TempDir,
    port: u16,
    ready_line: String,
    args: Vec<String>,
    process: Option<Process>,
}

/// The binary, running. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    stderr: String,
}

impl Cluster {
    /// Starts a cluster in a new directory, on a free port.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with further arguments.
    pub fn start_with(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        Self::start_in(dir, ["--no-node", "--no-controllers"].iter().chain(args))
    }

    /// Starts one with everything, the node included. Only root can, in a network of the test's own ([`crate::network`]).
    pub fn start_whole(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        // How full the machine's disk is, is no concern of a test's.
        Self::start_in(dir, ["--eviction-hard", "memory.available<100Mi"].iter().chain(args))
    }

    /// Starts one that has everything but a node.
    pub fn start_without_node(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        Self::start_in(dir, ["--no-node"].iter().chain(args))
    }

    fn start_in<'a>(dir: TempDir, args: impl IntoIterator<Item = &'a &'a str>) -> Self {
        let args = args.into_iter().map(|&arg| arg.to_owned()).collect();
        let mut cluster = Self { dir, port: 0, ready_line: String::new(), args, process: None };
        cluster.restart().expect("the cluster starts");
        cluster
    }

    /// The directory of the node.
    pub fn node_dir(&self) -> PathBuf {
        self.dir.path().join("node")
    }

    /// Starts the cluster again, on the same directory and the same port.
    pub fn restart(&mut self) -> Result<()> {
        anyhow::ensure!(self.process.is_none(), "the cluster is running");
        let mut process = Process::spawn(
            Command::new(binary())
                .args(["up", "--data-dir"])
                .arg(self.data_dir())
                .args(["--listen", &format!("127.0.0.1:{}", self.port)])
                .args(&self.args),
        )?;
        self.ready_line = process.wait_for("sampan ready in ")?;
        let address = self.ready_line.split_once("https://127.0.0.1:").context("no URL in the ready line")?.1;
        self.port = address.split(',').next().unwrap_or_default().parse().context("no port in the URL")?;
        self.process = Some(process);
        Ok(())
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// The kubeconfig of the administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("admin.kubeconfig")
    }

    /// The URL.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The line that said that it is ready.
    pub fn ready_line(&self) -> &str {
        &self.ready_line
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the cluster is running").child.id()
    }

    /// A client for the administrator.
    pub async fn client(&self) -> kube::Client {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig()).expect("the kubeconfig can be read");
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        kube::Client::try_from(config.expect("the kubeconfig is whole")).expect("a client can be made")
    }

    /// Asks the process to end, and waits until it has.
    pub fn stop(&mut self) -> Ended {
        self.end(Signal::TERM)
    }

    /// Ends the process with this signal, and waits until it is gone.
    pub fn end(&mut self, signal: Signal) -> Ended {
        self.process.take().expect("the cluster is running").end(signal)
    }

    /// Kills the process as a crash would.
    pub fn kill(&mut self) -> Ended {
        self.end(Signal::KILL)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.process = None;
        leftovers::remove(&self.node_dir());
    }
}

impl Process {
    /// Starts the binary, whose standard error is read.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("the binary cannot be started")?;
        let stderr = child.stderr.take().context("standard error is piped")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, lines, stderr: String::new() })
    }

    /// The next line that begins with `start`.
    pub(crate) fn wait_for(&mut self, start: &str) -> Result<String> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.stderr += &line;
                    self.stderr.push('\n');
                    if line.starts_with(start) {
                        return Ok(line);
                    }
                }
                Err(error) => bail!("no line {start:?} ({error}); it said: {}", self.stderr),
            }
        }
    }

    /// Ends it with this signal, and waits until it is gone.
    pub(crate) fn end(&mut self, signal: Signal) -> Ended {
        kill_process(Pid::from_child(&self.child), signal).expect("the process can be signalled");
        self.ended().expect("the process ends")
    }

    /// Waits until the process is gone: its standard error ends with it.
    fn ended(&mut self) -> Result<Ended> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.stderr += &line;
                    self.stderr.push('\n');
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err(anyhow!("it does not end; it said: {}", self.stderr));
                }
            }
        }
        Ok(Ended { status: self.child.wait()?, stderr: std::mem::take(&mut self.stderr) })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Of one that has ended already nothing is left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
