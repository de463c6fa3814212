//! `hostPath`: a path of the node, checked (and made, where that is asked for) before a container sees it. Texts are the kubelet's.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Checks that `path` is what `kind` says, and makes what may be made.
pub(super) fn check(path: &Path, kind: &str) -> Result<(), String> {
    let shown = path.display();
    let failed = |error: io::Error| format!("hostPath type check failed: {shown}: {error}");
    let found = match fs::metadata(path) {
        Ok(found) => Some(found.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let (is_right, wanted) = match (kind, found) {
        // Container runtimes make the directory if there is nothing.
        ("" | "DirectoryOrCreate", None) => {
            return fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed);
        }
        ("", Some(_)) => return Ok(()),
        ("FileOrCreate", None) => {
            let made = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(path);
            return made.map(|_| ()).map_err(failed);
        }
        ("Directory" | "DirectoryOrCreate", found) => (found.is_some_and(|f| f.is_dir()), "directory"),
        ("File" | "FileOrCreate", found) => (found.is_some_and(|f| f.is_file()), "file"),
        ("Socket", found) => (found.is_some_and(|f| f.is_socket()), "socket file"),
        ("CharDevice", found) => (found.is_some_and(|f| f.is_char_device()), "character device"),
        ("BlockDevice", found) => (found.is_some_and(|f| f.is_block_device()), "block device"),
        (kind, _) => return Err(format!("{kind} is an invalid volume type")),
    };
    if is_right { Ok(()) } else { Err(format!("hostPath type check failed: {shown} is not a {wanted}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_to_be_what_its_type_says() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "").unwrap();
        fs::create_dir(at("dir")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let null = Path::new("/dev/null");
        let rows: &[(&str, &Path, &str, Option<&str>)] = &[
            ("anything", &at("file"), "", None),
            ("nothing is made a directory", &at("new/dir"), "", None),
            ("a directory", &at("dir"), "Directory", None),
            ("a directory that is made", &at("new2/dir"), "DirectoryOrCreate", None),
            ("no directory", &at("none"), "Directory", Some("is not a directory")),
            ("a file for a directory", &at("file"), "DirectoryOrCreate", Some("is not a directory")),
            ("a file", &at("file"), "File", None),
            ("a file that is made", &at("new-file"), "FileOrCreate", None),
            ("no file", &at("none"), "File", Some("is not a file")),
            ("a directory for a file", &at("dir"), "FileOrCreate", Some("is not a file")),
            ("a socket", &at("socket"), "Socket", None),
            ("no socket", &at("file"), "Socket", Some("is not a socket file")),
            ("a character device", null, "CharDevice", None),
            ("no character device", &at("file"), "CharDevice", Some("is not a character device")),
            ("no block device", null, "BlockDevice", Some("is not a block device")),
        ];
        for (name, path, kind, complaint) in rows {
            let expected = complaint.map(|c| format!("hostPath type check failed: {} {c}", path.display()));
            assert_eq!(check(path, kind).err(), expected, "{name}");
        }
        assert!(at("new/dir").is_dir() && at("new2/dir").is_dir() && at("new-file").is_file());
        assert_eq!(check(null, "Pipe").unwrap_err(), "Pipe is an invalid volume type");
    }
}
