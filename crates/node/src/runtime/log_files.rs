//! The log files of a container: the one that is written, and what it was before it was rotated (`0.log.20260102-150405.123456789`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// Removes a log with what it was before, and its directory if nothing else is there.
pub(super) fn remove(log: &Path) -> io::Result<()> {
    for path in old(log).into_iter().chain([log.to_owned()]) {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    if let Some(directory) = log.parent() {
        let _ = fs::remove_dir(directory);
    }
    Ok(())
}

/// Moves a log aside, and removes the oldest so that at most `files` are there with the new one. Whoever writes it has to open it anew.
pub(super) fn rotate(log: &Path, files: u32, now: Timestamp) -> io::Result<()> {
    let mut name = log.as_os_str().to_owned();
    name.push(now.strftime(".%Y%m%d-%H%M%S.%9f").to_string());
    fs::rename(log, PathBuf::from(name))?;
    let old = old(log);
    let keep = usize::try_from(files.max(2) - 1).unwrap_or(usize::MAX);
    for path in old.iter().take(old.len().saturating_sub(keep)) {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// What a log was before, the oldest first.
fn old(log: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let prefix = format!("{name}.");
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_files_stay_and_all_are_removed_together() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("c/0.log");
        fs::create_dir(log.parent().unwrap()).unwrap();
        for second in 0..5 {
            fs::write(&log, second.to_string()).unwrap();
            rotate(&log, 3, Timestamp::from_second(second).unwrap()).unwrap();
        }
        let left: Vec<String> = old(&log).iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        assert_eq!(left, ["3", "4"]);
        fs::write(&log, "new").unwrap();
        remove(&log).unwrap();
        assert!(!log.parent().unwrap().exists());
        remove(&log).unwrap();
    }
}
