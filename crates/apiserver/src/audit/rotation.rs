//! A file of lines that is set aside when it is full; old ones are compressed and deleted as configured.
//!
//! Names are those that upstream's library gives: `audit.log` becomes `audit-2026-01-02T03-04-05.678.log`, and with
//! compression `.gz` behind it. Own code, since no crate has these names, ages and sizes together.

#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use parking_lot::Mutex;

/// When a file is full, and what becomes of old ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RotationOptions {
    /// How many bytes a file has at most; 0 is 100 MiB.
    pub max_bytes: u64,
    /// How many old files stay; 0 is all.
    pub max_backups: usize,
    /// How many days old files stay; 0 is for ever.
    pub max_age_days: u32,
    /// Whether old files are compressed.
    pub compress: bool,
}

/// The file.
#[derive(Debug)]
pub struct Rotating {
    path: PathBuf,
    options: RotationOptions,
    file: Option<File>,
    size: u64,
    clock: fn() -> Timestamp,
    /// Held by the thread that tidies up.
    tidying: Arc<Mutex<()>>,
}

const DEFAULT_MAX_BYTES: u64 = 100 << 20;
const DAY: Duration = Duration::from_hours(24);

impl Rotating {
    /// Opens the file, and makes it and its directory when they are not there.
    pub fn open(path: &Path, options: RotationOptions, clock: fn() -> Timestamp) -> io::Result<Self> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            fs::create_dir_all(dir)?;
        }
        let mut rotating =
            Self { path: path.to_owned(), options, file: None, size: 0, clock, tidying: Arc::default() };
        rotating.open_file()?;
        Ok(rotating)
    }

    fn max_bytes(&self) -> u64 {
        if self.options.max_bytes == 0 { DEFAULT_MAX_BYTES } else { self.options.max_bytes }
    }

    fn open_file(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
            self.size = file.metadata()?.len();
            self.file = Some(file);
        }
        Ok(self.file.as_mut().expect("it was opened just above"))
    }

    /// Writes a line, whole or not at all.
    pub(super) fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if length > self.max_bytes() {
            let why = format!("write length {length} exceeds maximum file size {}", self.max_bytes());
            return Err(io::Error::other(why));
        }
        self.open_file()?;
        if self.size + length > self.max_bytes() {
            self.rotate()?;
        }
        let size = self.size;
        let file = self.open_file()?;
        if let Err(error) = file.write_all(line) {
            // A part of a line would spoil the next one.
            let _ = file.set_len(size);
            return Err(error);
        }
        self.size += length;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        let now = (self.clock)();
        fs::rename(&self.path, self.backup(now))?;
        self.open_file()?;
        let (path, options, tidying) = (self.path.clone(), self.options, Arc::clone(&self.tidying));
        // Compression takes its time; whoever writes does not wait for it.
        std::thread::spawn(move || {
            let _turn = tidying.lock();
            if let Err(error) = tidy(&path, options, now) {
                tracing::warn!(path = %path.display(), %error, "old audit logs cannot be tidied up");
            }
        });
        Ok(())
    }

    fn backup(&self, now: Timestamp) -> PathBuf {
        let (stem, extension) = parts(&self.path);
        let base = format!("{stem}-{}", now.strftime(NAME_FORMAT));
        let mut path = self.path.with_file_name(format!("{base}{extension}"));
        // Two in one millisecond: neither may be lost.
        for n in 1.. {
            if !path.exists() {
                break;
            }
            path = self.path.with_file_name(format!("{base}.{n}{extension}"));
        }
        path
    }
}

const NAME_FORMAT: &str = "%Y-%m-%dT%H-%M-%S.%3f";

/// The name without its extension, and the extension with its dot.
fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned());
    (
        text(path.file_stem()).unwrap_or_default(),
        text(path.extension()).map_or_else(String::new, |e| format!(".{e}")),
    )
}

/// The files that were set aside, the newest first, with their times.
fn backups(path: &Path) -> io::Result<Vec<(Timestamp, PathBuf)>> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (stem, extension) = parts(path);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        let middle = plain.strip_prefix(&format!("{stem}-")).and_then(|rest| rest.strip_suffix(&extension));
        if let Some(time) = middle.and_then(backup_time) {
            found.push((time, entry.path()));
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    Ok(found)
}

/// The time in a backup's name, which may have a number behind it.
fn backup_time(middle: &str) -> Option<Timestamp> {
    let text = middle.get(.."2006-01-02T15-04-05.000".len())?;
    let time = jiff::civil::DateTime::strptime("%Y-%m-%dT%H-%M-%S%.3f", text).ok()?;
    jiff::tz::Offset::UTC.to_timestamp(time).ok()
}

/// Deletes the files that are too many or too old, and compresses the others.
fn tidy(path: &Path, options: RotationOptions, now: Timestamp) -> io::Result<()> {
    let oldest = (options.max_age_days > 0).then(|| now - DAY * options.max_age_days);
    for (i, (time, backup)) in backups(path)?.into_iter().enumerate() {
        let too_many = options.max_backups > 0 && i >= options.max_backups;
        let outcome = if too_many || oldest.is_some_and(|oldest| time < oldest) {
            fs::remove_file(&backup)
        } else if options.compress && backup.extension().is_none_or(|e| e != "gz") {
            compress(&backup)
        } else {
            continue;
        };
        outcome?;
    }
    Ok(())
}

fn compress(path: &Path) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".gz");
    let target = path.with_file_name(name);
    let mut from = File::open(path)?;
    let to = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&target)?;
    let mut to = GzEncoder::new(to, Compression::default());
    io::copy(&mut from, &mut to)?;
    to.finish()?.sync_all()?;
    fs::remove_file(path)
}
