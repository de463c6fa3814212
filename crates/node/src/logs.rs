//! Logs of containers: files in the CRI's format become what `kubectl logs` shows.
//!
//! `line`, `filter` and `options` are pure; `tail` finds where to begin, `watch` tells of changes, `reader` joins them.
//! It knows neither the API nor who writes the files.

mod filter;
mod line;
mod options;
mod reader;
mod tail;
mod watch;

pub use options::{Error, Options, Stream};
pub use reader::{Alive, Log, read};
pub use watch::{Watch, Watcher};
