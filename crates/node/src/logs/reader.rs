//! Reads a log file, and follows it over its rotations until its container has ended.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::filter::Filter;
use super::{Options, Watcher, tail};
use crate::container::ContainerId;
use crate::runtime::{Runtime, State};

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;
/// The longest line; a longer one is cut.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Pieces that wait for a slow client.
const PIECES: usize = 2;

/// The container whose log it is.
pub struct Alive {
    /// What runs it.
    pub runtime: Arc<dyn Runtime>,
    /// Which it is.
    pub id: ContainerId,
}

impl Alive {
    /// Waits until it does not run any more.
    async fn ended(&self) {
        let mut changes = self.runtime.changes();
        loop {
            let sandbox = self.runtime.sandbox(&self.id.pod).await;
            let container = match &sandbox {
                Ok(Some(sandbox)) => sandbox.containers.iter().find(|container| container.id == self.id),
                Ok(None) => None,
                // A runtime that does not answer has not said that it ended.
                Err(error) => {
                    tracing::debug!(container = %self.id, %error, "the state of a container is not known");
                    let _ = changes.recv().await;
                    continue;
                }
            };
            if !container.is_some_and(|c| matches!(c.state, State::Created | State::Running { .. })) {
                return;
            }
            if let Err(tokio::sync::broadcast::error::RecvError::Closed) = changes.recv().await {
                return;
            }
        }
    }
}

/// A log.
pub struct Log {
    /// Its newest file.
    pub path: PathBuf,
    /// Whose it is; followed until that ends.
    pub container: Alive,
}

/// What is shown of a log, in pieces, as they are taken. A file that is not there (yet) is an error, unless it is followed.
pub async fn read(log: Log, options: Options, watcher: &Watcher) -> io::Result<mpsc::Receiver<Bytes>> {
    let directory = log.path.parent().map(Path::to_owned).unwrap_or_default();
    // Watched before it is read: nothing happens unseen between the two.
    let watch = if options.follow { Some(watcher.watch(&directory)?) } else { None };
    let (path, lines) = (log.path.clone(), options.tail_lines);
    let file = blocking(move || {
        let mut file = File::open(path)?;
        let start = lines.map_or(Ok(0), |lines| tail::start(&mut file, lines))?;
        file.seek(SeekFrom::Start(start))?;
        Ok(file)
    });
    let file = match file.await {
        Err(error) if error.kind() == io::ErrorKind::NotFound && options.follow => None,
        other => Some(other?),
    };
    let (pieces, receiver) = mpsc::channel(PIECES);
    let reader = Reader { path: log.path, file, rest: Vec::new(), filter: Filter::new(&options), pieces };
    tokio::spawn(async move {
        let closed = reader.pieces.clone();
        let path = reader.path.clone();
        let read = reader.run(watch, log.container);
        tokio::select! {
            result = read => if let Err(error) = result {
                tracing::warn!(path = %path.display(), %error, "a log cannot be read");
            },
            () = closed.closed() => {}
        }
    });
    Ok(receiver)
}

/// Runs something that may wait for the disk.
async fn blocking<T: Send + 'static>(run: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

struct Reader {
    path: PathBuf,
    file: Option<File>,
    rest: Vec<u8>,
    filter: Filter,
    pieces: mpsc::Sender<Bytes>,
}

/// What is at a path, compared with a file that is open.
enum Newest {
    Same,
    Missing,
    Other(File),
}

impl Reader {
    async fn run(mut self, watch: Option<super::Watch>, container: Alive) -> io::Result<()> {
        let Some(mut watch) = watch else {
            self.read_on().await?;
            return self.finish().await;
        };
        let ended = container.ended();
        tokio::pin!(ended);
        let mut has_ended = false;
        loop {
            if self.read_on().await? {
                return Ok(());
            }
            if let Newest::Other(file) = self.newest().await? {
                // What was written between the end of the last read and the move.
                if self.read_on().await? {
                    return Ok(());
                }
                self.file = Some(file);
                continue;
            }
            if has_ended {
                return self.finish().await;
            }
            tokio::select! {
                () = watch.changed() => {}
                () = &mut ended => has_ended = true,
            }
        }
    }

    /// Shows what is there; whether nothing more is to be shown.
    async fn read_on(&mut self) -> io::Result<bool> {
        loop {
            let Some(mut file) = self.file.take() else { return Ok(false) };
            let (back, bytes) = blocking(move || {
                let mut bytes = vec![0; READ_BYTES];
                let n = file.read(&mut bytes)?;
                bytes.truncate(n);
                Ok((file, bytes))
            })
            .await?;
            self.file = Some(back);
            if bytes.is_empty() {
                return Ok(self.filter.is_full());
            }
            if self.show(&bytes).await {
                return Ok(true);
            }
        }
    }

    /// Shows the lines that are complete; whether nothing more is to be shown.
    async fn show(&mut self, bytes: &[u8]) -> bool {
        let mut out = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if (piece.ends_with(b"\n") || self.rest.len() >= MAX_LINE_BYTES) && !self.filter.is_full() {
                self.filter.show(&self.rest, &mut out);
                self.rest.clear();
            }
        }
        let gone = !out.is_empty() && self.pieces.send(out.into()).await.is_err();
        gone || self.filter.is_full()
    }

    /// Shows a last line that has no end.
    async fn finish(mut self) -> io::Result<()> {
        if !self.rest.is_empty() && !self.filter.is_full() {
            let mut out = Vec::new();
            self.filter.show(&self.rest, &mut out);
            if !out.is_empty() {
                // Who is gone does not miss it.
                let _ = self.pieces.send(out.into()).await;
            }
        }
        Ok(())
    }

    /// Whether another file has taken the place of the one that is read.
    async fn newest(&self) -> io::Result<Newest> {
        let current = self.file.as_ref().map(File::metadata).transpose()?.map(|m| (m.dev(), m.ino()));
        let path = self.path.clone();
        blocking(move || {
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Newest::Missing),
                Err(error) => return Err(error),
            };
            let found = file.metadata().map(|m| (m.dev(), m.ino()))?;
            Ok(if Some(found) == current { Newest::Same } else { Newest::Other(file) })
        })
        .await
    }
}

#[cfg(test)]
mod tests;
