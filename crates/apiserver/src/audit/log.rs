//! Events as lines of a file or of standard output.

use std::io::{self, Write as _};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::backend::{Backend, Failure};
use super::event::Event;
use super::rotation::Rotating;

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// The whole event.
    Json,
    /// Its most important fields.
    Legacy,
}

/// Writes events as lines. Writing goes to the system's cache, so that it is done where the event is.
#[derive(Debug)]
pub struct Log {
    format: LogFormat,
    out: Output,
}

#[derive(Debug)]
enum Output {
    Stdout,
    File(Mutex<Rotating>),
}

impl Log {
    /// To standard output.
    pub fn stdout(format: LogFormat) -> Self {
        Self { format, out: Output::Stdout }
    }

    /// To a file.
    pub fn file(format: LogFormat, file: Rotating) -> Self {
        Self { format, out: Output::File(Mutex::new(file)) }
    }

    fn write(&self, line: &[u8]) -> io::Result<()> {
        match &self.out {
            Output::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(line)?;
                out.flush()
            }
            Output::File(file) => file.lock().write_line(line),
        }
    }
}

#[async_trait]
impl Backend for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    async fn process(&self, events: &[Arc<Event>]) -> Result<(), Failure> {
        let mut failure = None;
        for event in events {
            let line = match self.format {
                LogFormat::Json => event.json_line(),
                LogFormat::Legacy => event.legacy_line(),
            };
            if let Err(error) = self.write(&line) {
                failure = Some(Failure(format!("the audit log cannot be written: {error}")));
            }
        }
        failure.map_or(Ok(()), Err)
    }
}
