//! What libcontainer says about its failures. Its processes report only the outermost error to the shim, and log the rest: this keeps those lines
//! in a file in memory that they share.

use std::fmt::{Debug, Write as _};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::OnceLock;

use rustix::fs::MemfdFlags;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Most bytes of one explanation.
const MAX_BYTES: u64 = 2048;

static LINES: OnceLock<File> = OnceLock::new();

struct Keeper;

/// Begins to keep lines. Without it (or without memory) explanations are only shorter.
pub(crate) fn begin() {
    if let Ok(file) = rustix::fs::memfd_create("sampan-shim", MemfdFlags::CLOEXEC) {
        let _ = LINES.set(File::from(file));
        let _ = tracing::subscriber::set_global_default(Keeper);
    }
}

/// Forgets what was said before an attempt.
pub(crate) fn clear() {
    if let Some(mut file) = LINES.get() {
        let _ = file.set_len(0);
        let _ = file.seek(SeekFrom::Start(0));
    }
}

/// What was said first: the innermost error.
pub(crate) fn first() -> Option<String> {
    let mut file = LINES.get()?;
    file.seek(SeekFrom::Start(0)).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().next().filter(|line| !line.is_empty()).map(str::to_owned)
}

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let text = format!("{}{}\n", line.message, line.fields).replace('\n', " ");
        if let Some(mut file) = LINES.get() {
            let _ = writeln!(file, "{}", text.trim_end());
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // To a string this cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
