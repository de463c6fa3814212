//! Static pods: the manifests of a directory, read anew whenever the kernel says that something in it changed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use k8s_openapi::api::core::v1::Pod;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::{Origin, Update, manifest};

/// The most that a manifest may have: upstream's bound.
const MAX_BYTES: u64 = 10 << 20;
/// The most manifests of a directory.
const MAX_FILES: usize = 1024;

/// Follows a directory, which is made if it is not there, until the manager is gone.
pub async fn run(directory: &Path, node: &str, updates: mpsc::Sender<Update>) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let kernel = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let interest = WatchFlags::CLOSE_WRITE
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::ONLYDIR;
    inotify::add_watch(&kernel, directory, interest)?;
    let kernel = watched(kernel)?;
    loop {
        // What changes while it is read is told by the kernel later.
        let pods = read(directory, node)?;
        if updates.send(Update::All(Origin::Files, pods)).await.is_err() {
            return Ok(());
        }
        tokio::select! {
            changed = changed(&kernel) => changed?,
            () = updates.closed() => return Ok(()),
        }
    }
}

/// Puts a descriptor, which must not block, before the runtime's poll.
fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[allow(
        unsafe_code,
        reason = "an OwnedFd names one descriptor as long as it lives, which is what is asked for"
    )]
    let registered = unsafe { AsyncFd::register(descriptor) };
    registered.map_err(|error| error.into_parts().1)
}

/// Waits for the next change, and takes all that are there.
async fn changed(kernel: &AsyncFd<OwnedFd>) -> io::Result<()> {
    loop {
        let mut guard = kernel.readable().await?;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(kernel.get_ref(), &mut buffer);
        let mut any = false;
        loop {
            match events.next() {
                Ok(_) => any = true,
                Err(rustix::io::Errno::WOULDBLOCK) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        guard.clear_ready();
        if any {
            return Ok(());
        }
    }
}

/// The pods of a directory. A manifest that is none is left out and told in the log; of two pods of one name the first file's counts.
fn read(directory: &Path, node: &str) -> io::Result<Vec<Arc<Pod>>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)?
        .filter_map(Result::ok)
        .map(|e| e.path())
        .filter(|p| is_one(p))
        .collect();
    files.sort();
    if files.len() > MAX_FILES {
        tracing::error!(
            files = files.len(),
            MAX_FILES,
            "there are too many manifests: the last ones are left out"
        );
        files.truncate(MAX_FILES);
    }
    let mut pods = BTreeMap::new();
    for path in files {
        match read_one(&path, node) {
            Ok(pod) => {
                let name = (pod.metadata.namespace.clone(), pod.metadata.name.clone());
                match pods.entry(name) {
                    Entry::Vacant(place) => {
                        place.insert(Arc::new(pod));
                    }
                    Entry::Occupied(other) => {
                        let (path, name) = (path.display(), other.key());
                        tracing::error!(%path, ?name, "another manifest has a pod of this name");
                    }
                }
            }
            Err(error) => tracing::error!(path = %path.display(), error, "a manifest cannot be read"),
        }
    }
    Ok(pods.into_values().collect())
}

/// Hidden files are those that are being written.
fn is_one(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    !hidden && path.is_file()
}

fn read_one(path: &Path, node: &str) -> Result<Pod, String> {
    let words = |error: io::Error| error.to_string();
    let about = std::fs::metadata(path).map_err(words)?;
    if about.len() > MAX_BYTES {
        return Err(format!("it has {} bytes, and may have {MAX_BYTES}", about.len()));
    }
    let text = std::fs::read_to_string(path).map_err(words)?;
    let seen = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    manifest::read(&text, path, node, seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn names(updates: &mut mpsc::Receiver<Update>) -> Vec<String> {
        match updates.recv().await {
            Some(Update::All(Origin::Files, pods)) => {
                pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_pods_of_a_directory_come_and_go_with_its_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str| directory.path().join(name);
        let pod = |name: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  containers: [{{name: c}}]\n"
            )
        };
        std::fs::write(file("a.yaml"), pod("a")).expect("written");
        std::fs::write(file(".hidden"), pod("h")).expect("written");
        std::fs::write(file("broken"), "{").expect("written");
        let (sender, mut updates) = super::super::channel();
        let path = directory.path().to_owned();
        let task = tokio::spawn(async move { run(&path, "n1", sender).await });
        assert_eq!(names(&mut updates).await, ["a-n1"]);
        std::fs::write(file(".b"), pod("b")).expect("written");
        std::fs::rename(file(".b"), file("b.yaml")).expect("renamed");
        while names(&mut updates).await != ["a-n1", "b-n1"] {}
        std::fs::remove_file(file("a.yaml")).expect("removed");
        while names(&mut updates).await != ["b-n1"] {}
        drop(updates);
        task.await.expect("no panic").expect("it ends with the manager");
    }
}
