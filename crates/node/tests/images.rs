//! Images against a real registry (Debian's `docker-registry` on loopback), and from archives, to the root file system of a container.

#[path = "images/archives.rs"]
mod archives;
#[path = "images/pulls.rs"]
mod pulls;
#[path = "images/stores.rs"]
mod stores;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use sampan_node::container::{ContainerId, PodUid};
use sampan_node::image::progress::{Event, Observer};
use sampan_node::image::store::{ImageStore, Options};
use tempfile::TempDir;

/// A store in a directory of its own.
struct Store {
    dir: TempDir,
    store: ImageStore,
}

impl Store {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path().join("images"));
        change(&mut options);
        Self { store: ImageStore::open(options).unwrap(), dir }
    }

    fn path(&self, rest: &str) -> PathBuf {
        self.dir.path().join("images").join(rest)
    }

    fn count(&self, folder: &str) -> usize {
        std::fs::read_dir(self.path(folder)).unwrap().count()
    }

    /// What is on its way or thrown away: nothing, when nothing is being done.
    fn assert_clean(&self) {
        for folder in ["ingest", "leases", "trash", "roots"] {
            assert_eq!(self.count(folder), 0, "{folder}");
        }
    }
}

/// Remembers what it was told.
fn recorder() -> (Observer, Arc<Mutex<Vec<Event>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = events.clone();
    (Arc::new(move |event: &Event| log.lock().push(event.clone())), events)
}

fn container(name: &str) -> ContainerId {
    ContainerId { pod: PodUid::new("0f1e").unwrap(), name: name.to_owned(), attempt: 0 }
}

/// An error and its causes.
fn whole(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", whole(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}
