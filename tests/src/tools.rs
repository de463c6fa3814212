//! Clients that are no crates: found where `scripts/test` puts them, or on this machine. Their tests are
//! skipped, with one line that says so, where there are none.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::Cluster;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests stand in a folder of the repository")
}

fn tools() -> PathBuf {
    root().join("target/tools")
}

/// Where Debian's package of the Google Cloud CLI keeps kubectl in several versions.
const CLOUD_CLI: &str = "/usr/lib/google-cloud-sdk/bin";
/// Those that are tested: the oldest, one with SPDY only, and the newest that it has.
const OLDER: [&str; 3] = ["1.27", "1.30", "1.33"];

/// One kubectl.
#[derive(Debug, Clone)]
pub struct Kubectl {
    path: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

impl Kubectl {
    /// Every kubectl to test with: those that `SAMPAN_KUBECTL` names (separated by colons), else that of
    /// `scripts/test` (or on the path), and older ones where the Google Cloud CLI has brought them. Says so when there
    /// is none.
    pub fn all(cluster: &Cluster) -> Vec<Self> {
        let works = |path: &PathBuf| runs(path, &["version", "--client"]);
        let paths: Vec<PathBuf> = if let Some(list) = std::env::var_os("SAMPAN_KUBECTL") {
            std::env::split_paths(&list).filter(works).collect()
        } else {
            let newest = [tools().join("bin/kubectl"), "kubectl".into()].into_iter().find(works);
            let older = OLDER.map(|version| Path::new(CLOUD_CLI).join(format!("kubectl.{version}")));
            newest.into_iter().chain(older.into_iter().filter(works)).collect()
        };
        let found: Vec<Self> = paths
            .into_iter()
            .map(|path| Self {
                path,
                kubeconfig: cluster.kubeconfig(),
                cache: cluster.data_dir().join("kubectl-cache"),
            })
            .collect();
        if found.is_empty() {
            eprintln!("skipped: there is no kubectl (scripts/test installs one)");
        }
        found
    }

    /// The command, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--cache-dir").arg(&self.cache).args(args);
        command
    }

    /// Runs it; `input` goes to its standard input.
    pub fn run_with(&self, args: &[&str], input: &str) -> Output {
        self.run_in(args, input, &[])
    }

    /// The same with variables of the environment.
    pub fn run_in(&self, args: &[&str], input: &str, variables: &[(&str, &str)]) -> Output {
        use std::io::Write as _;
        let mut child = self
            .command(args)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl can be started");
        // A command that reads nothing closes its end first.
        let _ = child.stdin.take().expect("standard input is piped").write_all(input.as_bytes());
        child.wait_with_output().expect("kubectl ends")
    }

    /// Starts it at a terminal.
    pub fn spawn_at(&self, args: &[&str], terminal: &std::fs::File) -> std::process::Child {
        let end = || terminal.try_clone().expect("an open file can be shared");
        let mut command = self.command(args);
        command.stdin(end()).stdout(end()).stderr(end());
        command.spawn().expect("kubectl can be started")
    }

    /// Starts it, with pipes to its input and of its output.
    pub fn spawn(&self, args: &[&str]) -> std::process::Child {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().expect("kubectl can be started")
    }

    /// Runs it, and answers what it printed; panics when it fails.
    #[track_caller]
    pub fn apply(&self, args: &[&str], input: &str) -> String {
        let output = self.run_with(args, input);
        assert!(
            output.status.success(),
            "{} {args:?}: {}",
            self.path.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs it without input, and answers what it printed; panics when it fails.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> String {
        self.apply(args, "")
    }

    /// Runs it, and answers what it complained about; panics when it succeeds.
    #[track_caller]
    pub fn fail(&self, args: &[&str], input: &str) -> String {
        let output = self.run_with(args, input);
        assert!(!output.status.success(), "{args:?} was to fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// A Python that has the official client; says so when there is none.
pub fn python_with_client() -> Option<PathBuf> {
    let path = tools().join("bin/python");
    if runs(&path, &["-c", "import kubernetes"]) {
        return Some(path);
    }
    eprintln!("skipped: there is no Python with the package `kubernetes` (scripts/test installs one)");
    None
}

/// Whether a program is there and content with these arguments.
pub fn runs(path: &Path, args: &[&str]) -> bool {
    let mut command = Command::new(path);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
