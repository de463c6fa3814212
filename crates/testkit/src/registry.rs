//! A registry on loopback: Debian's `docker-registry`, started by the test and ended with it, and a proxy that does to its answers what
//! networks do.

mod proxy;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::image::BuiltImage;

pub use proxy::{Behaviour, Proxy, Request};

/// User and password of a registry that asks for them.
pub const LOGIN: (&str, &str) = ("tester", "the-password-of-the-tests");
/// `htpasswd -Bbn` of them.
const HTPASSWD: &str = "tester:$2y$04$HEEzlONxgKg4uRAei5rvLuCaCSxZYODIl2GgVKspDfIdLuK0nUY5u\n";

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    dir: TempDir,
    child: Child,
    address: SocketAddr,
}

impl Registry {
    /// Starts one that asks nobody who they are. `None`, and a line that says so, where there is no `docker-registry`.
    pub fn start() -> Option<Self> {
        Self::start_with(false)
    }

    /// Starts one that lets in who knows [`LOGIN`].
    pub fn start_private() -> Option<Self> {
        Self::start_with(true)
    }

    fn start_with(private: bool) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let data = dir.path().join("data");
        let mut config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n",
            data.display()
        );
        if private {
            let file = dir.path().join("htpasswd");
            std::fs::write(&file, HTPASSWD).expect("the directory can be written");
            config.push_str(
                &["auth: {htpasswd: {realm: tests, path: ", &file.to_string_lossy(), "}}\n"].concat(),
            );
        }
        let file = dir.path().join("config.yml");
        std::fs::write(&file, config).expect("the directory can be written");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            eprintln!("skipped: there is no docker-registry (scripts/test installs one)");
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().expect("standard error is piped")).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once("listening on ")?;
            rest.split(['"', ' ']).next()?.parse().ok()
        });
        // What it says goes on being read, or it would wait for that.
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.expect("the registry says where it listens");
        Some(Self { dir, child, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A name for an image in it.
    pub fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// Puts an image into it, as its own files.
    pub fn push(&self, repository: &str, tag: &str, image: &BuiltImage) {
        let root = self.dir.path().join("data/docker/registry/v2");
        let repository = root.join("repositories").join(repository);
        for (digest, bytes) in &image.blobs {
            write(&blob(&root, digest), bytes);
            // Which of them are manifests nobody asks before they are asked for as such.
            for folder in ["_layers", "_manifests/revisions"] {
                write(
                    &repository.join(folder).join(digest.replace(':', "/")).join("link"),
                    digest.as_bytes(),
                );
            }
        }
        let tag = repository.join("_manifests/tags").join(tag);
        write(&tag.join("current/link"), image.manifest.as_bytes());
        write(
            &tag.join("index").join(image.manifest.replace(':', "/")).join("link"),
            image.manifest.as_bytes(),
        );
    }

    /// Replaces the content of a blob by something that is not what its digest says.
    pub fn damage(&self, digest: &str, content: &[u8]) {
        write(&blob(&self.dir.path().join("data/docker/registry/v2"), digest), content);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // One that has ended already is not there to be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn blob(root: &Path, digest: &str) -> PathBuf {
    let hex = digest.trim_start_matches("sha256:");
    root.join("blobs/sha256").join(&hex[..2]).join(hex).join("data")
}

fn write(path: &Path, content: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a file is in a directory"))
        .expect("directories can be made");
    std::fs::write(path, content).expect("files can be written");
}
