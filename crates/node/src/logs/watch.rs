//! Tells of changes in directories: one inotify instance for all who follow logs, since a machine has few.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::inotify;
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Watches directories. Clones are the same watcher.
#[derive(Clone)]
pub struct Watcher(Arc<Inner>);

struct Inner {
    fd: Arc<AsyncFd<OwnedFd>>,
    directories: Arc<Mutex<HashMap<i32, Directory>>>,
    _task: DropGuard,
}

struct Directory {
    changed: watch::Sender<()>,
    watches: usize,
}

impl Watcher {
    /// A watcher, whose task runs on this runtime.
    #[allow(
        deprecated,
        reason = "an `OwnedFd` keeps its descriptor; the successor is unsafe for the sake of types that may not"
    )]
    pub fn new() -> io::Result<Self> {
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let fd = Arc::new(AsyncFd::new(inotify::init(flags)?)?);
        let directories = Arc::default();
        let ended = CancellationToken::new();
        tokio::spawn({
            let (fd, directories, ended) = (Arc::clone(&fd), Arc::clone(&directories), ended.clone());
            async move {
                tokio::select! {
                    result = tell(&fd, &directories) => if let Err(error) = result {
                        tracing::error!(%error, "logs are not followed any more");
                    },
                    () = ended.cancelled() => {}
                }
            }
        });
        Ok(Self(Arc::new(Inner { fd, directories, _task: ended.drop_guard() })))
    }

    /// Watches what happens to the files of a directory from now on.
    pub fn watch(&self, directory: &Path) -> io::Result<Watch> {
        use inotify::WatchFlags as Flags;
        let flags = Flags::MODIFY | Flags::CREATE | Flags::MOVED_TO | Flags::MOVED_FROM | Flags::DELETE;
        let mut directories = self.0.directories.lock();
        // The kernel has one watch a directory, however often it is asked for.
        let id = inotify::add_watch(&*self.0.fd, directory, flags | Flags::ONLYDIR)?;
        let entry =
            directories.entry(id).or_insert_with(|| Directory { changed: watch::channel(()).0, watches: 0 });
        entry.watches += 1;
        let changed = entry.changed.subscribe();
        drop(directories);
        Ok(Watch { watcher: self.clone(), id, changed })
    }
}

/// Reads events for ever.
async fn tell(fd: &AsyncFd<OwnedFd>, directories: &Mutex<HashMap<i32, Directory>>) -> io::Result<()> {
    loop {
        let mut ready = fd.readable().await?;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(fd.get_ref(), &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let directories = directories.lock();
            if event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) {
                directories.values().for_each(|directory| directory.changed.send_replace(()));
            } else if let Some(directory) = directories.get(&event.wd()) {
                directory.changed.send_replace(());
            }
        }
        ready.clear_ready();
    }
}

/// A directory that is watched, as long as this is kept.
pub struct Watch {
    watcher: Watcher,
    id: i32,
    changed: watch::Receiver<()>,
}

impl Watch {
    /// Waits until something has happened since the last call.
    pub async fn changed(&mut self) {
        if self.changed.changed().await.is_err() {
            // The watcher's task ended, and has said why.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut directories = self.watcher.0.directories.lock();
        if let Some(directory) = directories.get_mut(&self.id) {
            directory.watches -= 1;
            if directory.watches == 0 {
                directories.remove(&self.id);
                // It is gone already if its directory is.
                let _ = inotify::remove_watch(&*self.watcher.0.fd, self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_are_told_to_all_who_watch() {
        let dir = tempfile::tempdir().unwrap();
        let watcher = Watcher::new().unwrap();
        let (mut one, mut two) = (watcher.watch(dir.path()).unwrap(), watcher.watch(dir.path()).unwrap());
        std::fs::write(dir.path().join("0.log"), "a").unwrap();
        one.changed().await;
        two.changed().await;
        drop(one);
        std::fs::rename(dir.path().join("0.log"), dir.path().join("1.log")).unwrap();
        two.changed().await;
        drop(two);
        assert!(watcher.0.directories.lock().is_empty());
    }
}
