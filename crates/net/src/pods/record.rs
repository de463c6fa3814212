//! What is written down of a pod: a file of its own, named by its UID, replaced whole.
//!
//! It is not synced: it has to outlive this process, and no pod outlives the machine.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Port;

/// Fields may be added, never changed or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub(super) addresses: Vec<IpAddr>,
    /// Those that are on the host.
    #[serde(default)]
    pub(super) ports: Vec<Port>,
}

/// The directory of all records.
#[derive(Debug)]
pub(super) struct Records(PathBuf);

/// What a file is called while it is written. No UID has a dot.
const NEW: &str = ".new";

/// Whether a text can be a UID, and so a file's name.
pub(super) fn is_uid(uid: &str) -> bool {
    (1..=128).contains(&uid.len())
        && uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

impl Records {
    /// All records. What cannot be read is not one: only a machine that went down leaves such, and no pod of that time runs.
    pub(super) fn open(directory: &Path) -> io::Result<(Self, BTreeMap<String, Record>)> {
        fs::create_dir_all(directory)?;
        let mut records = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let uid = entry.file_name().to_string_lossy().into_owned();
            match fs::read(entry.path()).map(|bytes| serde_json::from_slice(&bytes)) {
                Ok(Ok(record)) if is_uid(&uid) => {
                    records.insert(uid, record);
                }
                _ => {
                    tracing::warn!(file = %entry.path().display(), "not the record of a pod's network; removed");
                    fs::remove_file(entry.path())?;
                }
            }
        }
        Ok((Self(directory.to_owned()), records))
    }

    pub(super) fn write(&self, uid: &str, record: &Record) -> io::Result<()> {
        let new = self.0.join(format!("{uid}{NEW}"));
        fs::write(&new, serde_json::to_vec(record)?)?;
        fs::rename(new, self.0.join(uid))
    }

    pub(super) fn remove(&self, uid: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(uid)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_again_and_halves_of_them_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("network");
        let (records, found) = Records::open(&path).unwrap();
        assert!(found.is_empty());
        let record = Record { addresses: vec!["10.244.0.2".parse().unwrap()], ports: Vec::new() };
        records.write("a-1", &record).unwrap();
        records.write("b-2", &record).unwrap();
        records.remove("b-2").unwrap();
        records.remove("b-2").unwrap();
        fs::write(path.join("c-3"), "{\"addr").unwrap();
        fs::write(path.join("a-1.new"), serde_json::to_vec(&record).unwrap()).unwrap();
        let (_, found) = Records::open(&path).unwrap();
        assert_eq!(found, BTreeMap::from([("a-1".to_owned(), record)]));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }

    #[test]
    fn a_uid_is_a_plain_file_name() {
        for (uid, expected) in [
            ("0e2dbd1c-36a0-4d2c-8b9e-000000000000", true),
            ("f00d", true),
            ("", false),
            ("..", false),
            ("a/b", false),
            ("a.new", false),
        ] {
            assert_eq!(is_uid(uid), expected, "{uid}");
        }
    }
}
