//! Follows a configuration file: what is new in it is tried, and what cannot be used is said and left alone.
//!
//! The file is looked at every second by its metadata, which costs next to nothing, and read when they differ, and once a
//! minute whatever they say. A change of the file it links to counts, so that volumes of Kubernetes work.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::metrics::ConfigMetrics;

/// How often its metadata are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// After how many looks it is read in any case (upstream's interval).
const LOOKS_TO_READ: u32 = 60;

/// Why a new text is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It never can be.
    Wrong(String),
    /// It might be later: it is tried again.
    NotYet(String),
}

/// A file that is followed.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// The text that was looked at last.
    text: Vec<u8>,
    metrics: ConfigMetrics,
}

impl Follower {
    /// Follows a file, of which `text` is in force.
    pub fn new(path: PathBuf, text: Vec<u8>, metrics: ConfigMetrics) -> Self {
        metrics.in_force(&text);
        Self { path, text, metrics }
    }

    /// Tries each new text, for ever.
    pub async fn follow<F: Future<Output = Result<(), Refusal>>>(mut self, apply: impl Fn(String) -> F) {
        let mut seen = None;
        loop {
            for _ in 0..LOOKS_TO_READ {
                tokio::time::sleep(LOOK).await;
                let now = mark(&self.path).await;
                if now != seen {
                    seen = now;
                    break;
                }
            }
            self.look(&apply).await;
        }
    }

    /// Reads the file, and tries its text if it is new.
    pub async fn look<F: Future<Output = Result<(), Refusal>>>(&mut self, apply: impl Fn(String) -> F) {
        let file = self.path.display().to_string();
        let text = match tokio::fs::read(&self.path).await {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(file, %error, "a configuration file cannot be read, the old one stays");
                return self.metrics.reloaded(false);
            }
        };
        if text == self.text {
            return;
        }
        let outcome = match String::from_utf8(text.clone()) {
            Ok(text) => apply(text).await,
            Err(error) => Err(Refusal::Wrong(error.to_string())),
        };
        match outcome {
            Ok(()) => {
                tracing::info!(file, "the changed configuration is in force");
                self.metrics.in_force(&text);
                self.metrics.reloaded(true);
                self.text = text;
            }
            Err(refusal) => {
                let (why, is_final) = match refusal {
                    Refusal::Wrong(why) => (why, true),
                    Refusal::NotYet(why) => (why, false),
                };
                tracing::error!(
                    file,
                    error = why,
                    "the changed configuration is not used, the old one stays"
                );
                self.metrics.reloaded(false);
                if is_final {
                    self.text = text;
                }
            }
        }
    }
}

/// What changes when a file does; `None` when it is not there.
async fn mark(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn what_cannot_be_used_is_tried_once_and_what_may_be_later_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut follower = Follower::new(file.path().into(), b"old".to_vec(), ConfigMetrics::default());
        let tried = Mutex::new(Vec::new());
        let apply = |text: String| {
            tried.lock().unwrap().push(text.clone());
            async move {
                match text.as_str() {
                    "wrong" => Err(Refusal::Wrong("it is wrong".into())),
                    "not yet" => Err(Refusal::NotYet("it is early".into())),
                    _ => Ok(()),
                }
            }
        };
        let rows = [
            ("the same", "old", 0),
            ("a new text", "new", 1),
            ("the new text again", "new", 1),
            ("a wrong text", "wrong", 2),
            ("the wrong text again", "wrong", 2),
            ("one that may be good later", "not yet", 3),
            ("the same, later", "not yet", 4),
            ("back again", "new", 5),
        ];
        for (name, text, times) in rows {
            std::fs::write(file.path(), text).unwrap();
            follower.look(apply).await;
            assert_eq!(tried.lock().unwrap().len(), times, "{name}");
        }
        let path = file.path().to_owned();
        drop(file);
        follower.look(apply).await;
        assert_eq!(tried.lock().unwrap().len(), 5, "{} is gone", path.display());
    }
}
