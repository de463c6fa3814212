//! Where log lines go: standard error, filtered as the user says.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result};
use tracing_subscriber::EnvFilter;

/// Starts logging.
pub(crate) fn start(filter: &str) -> Result<()> {
    // What the watchers of our own clients meet is told by those who watch, in one line.
    let filter = EnvFilter::try_new(format!("kube_runtime=off,{filter}"))
        .with_context(|| format!("{filter:?} is no log level: write error, warn, info, debug or trace"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}
