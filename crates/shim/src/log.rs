//! Log files in the CRI's format: `TIME STREAM TAG CONTENT`, where the tag is `F` for a line with its end and `P` for a part of one.
//!
//! What cannot be written (a full disk) is dropped: a container never waits for its log.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// A longer line is written in parts, as containerd does (`max_container_log_line_size`).
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// Cuts one stream into lines.
#[derive(Default)]
pub(crate) struct Lines {
    /// What came after the last end of a line; at most [`MAX_LINE_BYTES`].
    pending: Vec<u8>,
}

impl Lines {
    /// Appends the entries that `data` completes to `out`.
    pub(crate) fn push(&mut self, stream: &str, time: &str, mut data: &[u8], out: &mut Vec<u8>) {
        while !data.is_empty() {
            let end = data.iter().position(|byte| *byte == b'\n');
            let mut rest = &data[..end.unwrap_or(data.len())];
            // A line of exactly the limit is whole, so a part is cut off only when more than that is there.
            while self.pending.len() + rest.len() > MAX_LINE_BYTES {
                let (head, tail) = rest.split_at(MAX_LINE_BYTES - self.pending.len());
                entry(stream, time, 'P', &self.pending, head, out);
                self.pending.clear();
                rest = tail;
            }
            let Some(end) = end else {
                self.pending.extend_from_slice(rest);
                return;
            };
            entry(stream, time, 'F', &self.pending, rest, out);
            // Most streams end their lines; a buffer is kept only while it is needed.
            self.pending = Vec::new();
            data = &data[end + 1..];
        }
    }

    /// The stream has ended: what is left has no end of a line, and so is a part.
    pub(crate) fn finish(&mut self, stream: &str, time: &str, out: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            entry(stream, time, 'P', &self.pending, &[], out);
            self.pending = Vec::new();
        }
    }
}

fn entry(stream: &str, time: &str, tag: char, first: &[u8], second: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(time.as_bytes());
    // To a vector this cannot fail.
    let _ = write!(out, " {stream} {tag} ");
    out.extend_from_slice(first);
    out.extend_from_slice(second);
    out.push(b'\n');
}

/// The time of an entry: RFC 3339 with nanoseconds.
pub(crate) fn time(now: Timestamp) -> String {
    format!("{now:.9}")
}

/// One container's log, rotated by size.
pub(crate) struct LogFile {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    /// Most bytes of one file; 0 is without a limit.
    limit: u64,
    /// Most files, the one written to included.
    files: u32,
}

impl LogFile {
    /// Nothing is opened before the first entry, so that a container whose log cannot be written runs all the same.
    pub(crate) fn new(path: PathBuf, limit: u64, files: u32) -> Self {
        let mut log = Self { path, file: None, size: 0, limit, files: files.max(1) };
        log.open();
        log
    }

    fn open(&mut self) {
        self.file = OpenOptions::new().create(true).append(true).mode(0o640).open(&self.path).ok();
        self.size =
            self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len());
    }

    /// Opens the file anew, after somebody moved it away.
    pub(crate) fn reopen(&mut self) -> bool {
        self.open();
        self.file.is_some()
    }

    /// Appends whole entries; no file becomes longer than its limit, unless one entry is.
    pub(crate) fn append(&mut self, mut entries: &[u8], now: Timestamp) {
        while !entries.is_empty() {
            let room = if self.limit == 0 { u64::MAX } else { self.limit.saturating_sub(self.size) };
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            let end = if entries.len() <= room {
                entries.len()
            } else if let Some(last) = entries[..room].iter().rposition(|byte| *byte == b'\n') {
                last + 1
            } else if self.size > 0 {
                self.rotate(now);
                continue;
            } else {
                entries.iter().position(|byte| *byte == b'\n').map_or(entries.len(), |first| first + 1)
            };
            let (head, tail) = entries.split_at(end);
            self.write(head);
            entries = tail;
        }
    }

    fn write(&mut self, entries: &[u8]) {
        if self.file.is_none() {
            self.open();
        }
        if let Some(file) = &mut self.file
            && file.write_all(entries).is_ok()
        {
            self.size += entries.len() as u64;
        }
    }

    fn rotate(&mut self, now: Timestamp) {
        self.file = None;
        if self.files > 1 {
            let _ = std::fs::rename(&self.path, rotated(&self.path, now));
            let mut old = rotated_files(&self.path);
            let keep = self.files as usize - 1;
            if old.len() > keep {
                old.truncate(old.len() - keep);
                for path in old {
                    let _ = std::fs::remove_file(path);
                }
            }
        } else {
            let _ = std::fs::remove_file(&self.path);
        }
        self.open();
    }
}

/// `0.log` becomes `0.log.20260102-150405.123456789`: the kubelet's name, made unique.
fn rotated(path: &Path, now: Timestamp) -> PathBuf {
    let stamp = now.strftime("%Y%m%d-%H%M%S.%9f");
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{stamp}"));
    PathBuf::from(name)
}

/// The files that `path` was before, the oldest first.
fn rotated_files(path: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Vec::new();
    };
    let prefix = format!("{name}.");
    let mut found: Vec<PathBuf> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(chunks: &[&[u8]], finish: bool) -> String {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for chunk in chunks {
            lines.push("stdout", "T", chunk, &mut out);
        }
        if finish {
            lines.finish("stdout", "T", &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_is_written_when_it_ends() {
        let cases: [(&str, &[&[u8]], bool, &str); 6] = [
            ("nothing", &[], true, ""),
            ("one line", &[b"a\n"], false, "T stdout F a\n"),
            ("an empty line", &[b"\n"], false, "T stdout F \n"),
            ("two lines in three pieces", &[b"a", b"b\nc", b"\n"], false, "T stdout F ab\nT stdout F c\n"),
            ("a line without its end", &[b"a\nb"], false, "T stdout F a\n"),
            ("the end of the stream", &[b"a\nb"], true, "T stdout F a\nT stdout P b\n"),
        ];
        for (name, chunks, finish, expected) in cases {
            assert_eq!(written(chunks, finish), expected, "{name}");
        }
    }

    #[test]
    fn a_long_line_is_written_in_parts() {
        let whole = "x".repeat(MAX_LINE_BYTES);
        assert_eq!(
            written(&[format!("{whole}\n").as_bytes()], true),
            format!("T stdout F {whole}\n"),
            "exactly the limit"
        );
        let more = format!("{whole}yz\n");
        assert_eq!(
            written(&[more.as_bytes()], true),
            format!("T stdout P {whole}\nT stdout F yz\n"),
            "two bytes more"
        );
        let (first, second) = more.as_bytes().split_at(10_000);
        assert_eq!(written(&[first, second], true), written(&[more.as_bytes()], true), "in two pieces");
        let without_end = "x".repeat(3 * MAX_LINE_BYTES);
        assert_eq!(written(&[without_end.as_bytes()], true).lines().count(), 3, "three parts");
    }

    #[test]
    fn times_have_nine_digits() {
        assert_eq!(time(Timestamp::new(1, 5).unwrap()), "1970-01-01T00:00:01.000000005Z");
        assert_eq!(time(Timestamp::new(1, 0).unwrap()), "1970-01-01T00:00:01.000000000Z");
    }

    #[test]
    fn a_log_keeps_as_many_files_as_it_may() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut log = LogFile::new(path.clone(), 10, 3);
        for second in 0..8 {
            log.append(b"12345678\n", Timestamp::new(second, 0).unwrap());
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"12345678\n");
        log.append(b"a\nb\nc\nd\ne\nf\n", Timestamp::new(8, 0).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"f\n", "entries are not cut");
        let old = rotated_files(&path);
        let names: Vec<_> = old.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["0.log.19700101-000007.000000000", "0.log.19700101-000008.000000000"]);
    }

    #[test]
    fn a_log_that_was_moved_away_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut log = LogFile::new(path.clone(), 0, 1);
        log.append(b"old\n", Timestamp::UNIX_EPOCH);
        std::fs::rename(&path, directory.path().join("moved")).unwrap();
        assert!(log.reopen());
        log.append(b"new\n", Timestamp::UNIX_EPOCH);
        assert_eq!(std::fs::read(&path).unwrap(), b"new\n");
    }
}
