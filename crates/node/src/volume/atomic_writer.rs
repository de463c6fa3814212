//! Puts a payload into a directory such that whoever looks sees the old files or the new ones, never some of both.
//!
//! The files are in a directory with the time in its name; `..data` is a link to it that is swapped by a rename, and what users see are links into `..data`. Names that
//! begin with `..` are the writer's own. Only the node writes here: containers have such volumes read-only.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::payload::Payload;

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";
/// The longest path of a file, as the kubelet has it.
const PATH_BYTES: usize = 4096;

/// Whether anything was written. `own` is told the new directory before anybody sees it, to set its owners.
pub(super) fn write(
    directory: &Path,
    payload: &Payload,
    own: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<bool> {
    for path in payload.keys() {
        check(path)?;
    }
    let data = directory.join(DATA);
    let old = fs::read_link(&data).ok();
    let visible = |path: &String| path.split('/').next().unwrap_or_default().to_owned();
    let wanted: BTreeSet<String> = payload.keys().map(visible).collect();
    if old.is_some() && paths(&data)? == payload.keys().cloned().collect() && !differs(&data, payload) {
        // A crash may have come between the swap and the links.
        link(directory, &wanted)?;
        clean(directory, &wanted, old.as_deref())?;
        return Ok(false);
    }
    let fresh = fresh(directory)?;
    let written = fill(&fresh, payload).and_then(|()| own(&fresh));
    let swapped = written.and_then(|()| {
        let (name, link) = (fresh.file_name().unwrap_or_default(), directory.join(NEW_DATA));
        remove_if_there(&link)?;
        symlink(name, &link)?;
        fs::rename(&link, &data)
    });
    if let Err(error) = swapped {
        // What nobody has seen goes; the old files stay.
        let _ = fs::remove_dir_all(&fresh);
        return Err(error);
    }
    link(directory, &wanted)?;
    clean(directory, &wanted, fresh.file_name().map(Path::new))?;
    Ok(true)
}

fn check(path: &str) -> io::Result<()> {
    let wrong =
        |reason| Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid path: {reason}: {path}")));
    if path.is_empty() {
        return wrong("must not be empty");
    }
    if path.starts_with('/') {
        return wrong("must be relative path");
    }
    if path.len() > PATH_BYTES {
        return wrong("must be less than or equal to 4096 characters");
    }
    if path.split('/').any(|part| part == "..") {
        return wrong("must not contain '..'");
    }
    if path.starts_with("..") {
        return wrong("must not start with '..'");
    }
    Ok(())
}

/// Paths of all files below `root`.
fn paths(root: &Path) -> io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut left = vec![String::new()];
    while let Some(below) = left.pop() {
        for entry in fs::read_dir(root.join(&below))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            if entry.file_type()?.is_dir() {
                left.push(path);
            } else {
                found.insert(path);
            }
        }
    }
    Ok(found)
}

fn differs(data: &Path, payload: &Payload) -> bool {
    payload.iter().any(|(path, file)| fs::read(data.join(path)).map_or(true, |old| old != file.data))
}

/// A new directory: `..2026_01_31_12_00_00.RANDOM`.
fn fresh(directory: &Path) -> io::Result<PathBuf> {
    let now = jiff::Timestamp::now().to_string();
    // `2026-01-31T12:00:00.123456Z`
    let time: String = now.chars().take(19).map(|c| if c.is_ascii_digit() { c } else { '_' }).collect();
    loop {
        let path = directory.join(format!("..{time}.{:010}", rand::random::<u32>()));
        match fs::create_dir(&path) {
            Ok(()) => {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

fn fill(fresh: &Path, payload: &Payload) -> io::Result<()> {
    for (path, file) in payload {
        let path = fresh.join(path);
        if let Some(parent) = path.parent() {
            directories(fresh, parent)?;
        }
        fs::write(&path, &file.data)?;
        // Whatever the process's umask.
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))?;
        if let Some(user) = file.user {
            std::os::unix::fs::chown(&path, Some(user), None)?;
        }
    }
    Ok(())
}

fn directories(fresh: &Path, path: &Path) -> io::Result<()> {
    if path == fresh || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        directories(fresh, parent)?;
    }
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Links for users: one for each first part of a path.
fn link(directory: &Path, wanted: &BTreeSet<String>) -> io::Result<()> {
    for name in wanted {
        let (path, target) = (directory.join(name), Path::new(DATA).join(name));
        if fs::read_link(&path).ok().as_ref() == Some(&target) {
            continue;
        }
        symlink(&target, &path)?;
    }
    Ok(())
}

/// Takes away links to what is no more, and directories that `..data` does not name.
fn clean(directory: &Path, wanted: &BTreeSet<String>, current: Option<&Path>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let is_own = text.starts_with("..");
        if is_own && entry.file_type()?.is_dir() && Some(Path::new(&name)) != current {
            fs::remove_dir_all(entry.path())?;
        } else if !is_own && !wanted.contains(text.as_ref()) {
            let target = fs::read_link(entry.path()).ok();
            if target.is_some_and(|target| target.starts_with(DATA)) {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::volume::File;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let file = |data: &str| File { data: data.into(), mode: 0o640, user: None };
        files.iter().map(|(path, data)| ((*path).to_owned(), file(data))).collect()
    }

    fn seen(directory: &Path) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for name in fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()) {
            if name.starts_with("..") {
                continue;
            }
            let path = directory.join(&name);
            assert_eq!(fs::read_link(&path).unwrap(), Path::new("..data").join(&name));
            if path.is_dir() {
                let below = paths(&path).unwrap();
                all.extend(
                    below
                        .into_iter()
                        .map(|b| (format!("{name}/{b}"), fs::read_to_string(path.join(&b)).unwrap())),
                );
            } else {
                all.push((name, fs::read_to_string(path).unwrap()));
            }
        }
        all.sort();
        all
    }

    #[test]
    fn what_is_seen_is_always_the_last_payload() {
        type Step<'a> = (&'a str, &'a [(&'a str, &'a str)], bool);
        let steps: &[Step<'_>] = &[
            ("at first", &[("a", "1"), ("b/c/d", "2")], true),
            ("the same", &[("a", "1"), ("b/c/d", "2")], false),
            ("a changed file", &[("a", "3"), ("b/c/d", "2")], true),
            ("a new file below", &[("a", "3"), ("b/c/d", "2"), ("b/e", "4")], true),
            ("a file less", &[("b/c/d", "2"), ("b/e", "4")], true),
            ("a directory becomes a file", &[("b", "5")], true),
            ("a hidden one", &[(".b", "5")], true),
            ("nothing", &[], true),
            ("nothing again", &[], false),
        ];
        let directory = tempfile::tempdir().unwrap();
        for (name, files, is_written) in steps {
            let written = write(directory.path(), &payload(files), |_| Ok(())).unwrap();
            assert_eq!(written, *is_written, "{name}");
            let expected: Vec<_> = files.iter().map(|(p, d)| ((*p).to_owned(), (*d).to_owned())).collect();
            assert_eq!(seen(directory.path()), expected, "{name}");
            let own = fs::read_dir(directory.path()).unwrap();
            let own = own.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with(".."));
            assert_eq!(own.count(), 2, "{name}: ..data and what it names");
        }
    }

    #[test]
    fn modes_are_as_they_are_written() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &payload(&[("a/b", "1")]), |_| Ok(())).unwrap();
        assert_eq!(fs::metadata(directory.path().join("a/b")).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::metadata(directory.path().join("a")).unwrap().mode() & 0o7777, 0o755);
        assert_eq!(fs::metadata(directory.path().join("..data/")).unwrap().mode() & 0o7777, 0o755);
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &payload(&[("a", "1")]), |_| Ok(())).unwrap();
        let failed = write(directory.path(), &payload(&[("a", "2")]), |_| Err(io::Error::other("no")));
        assert_eq!(failed.unwrap_err().to_string(), "no");
        assert_eq!(seen(directory.path()), [("a".into(), "1".into())]);
    }

    #[test]
    fn what_a_crash_left_is_put_right() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &payload(&[("a", "1")]), |_| Ok(())).unwrap();
        fs::remove_file(directory.path().join("a")).unwrap();
        fs::create_dir(directory.path().join("..2026_01_01_00_00_00.1")).unwrap();
        symlink("..data/b", directory.path().join("b")).unwrap();
        symlink("nowhere", directory.path().join(NEW_DATA)).unwrap();
        assert!(!write(directory.path(), &payload(&[("a", "1")]), |_| Ok(())).unwrap());
        assert_eq!(seen(directory.path()), [("a".into(), "1".into())]);
        assert!(!directory.path().join("..2026_01_01_00_00_00.1").exists());
        assert!(write(directory.path(), &payload(&[("a", "2")]), |_| Ok(())).unwrap());
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        for path in ["", "/a", "../a", "a/../b", "..a", "a/.."] {
            let refused = write(directory.path(), &payload(&[(path, "")]), |_| Ok(()));
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput, "{path}");
        }
    }
}
