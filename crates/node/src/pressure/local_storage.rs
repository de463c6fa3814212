//! What a pod keeps on the node's disk: what its containers wrote and said, and its empty directories.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use crate::container::PodUid;
use crate::pods::config;
use crate::pods::parts::NodeFacts;

/// What a pod keeps on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LocalStorage {
    containers: BTreeMap<String, Size>,
    volumes: BTreeMap<String, Size>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    bytes: u64,
    inodes: u64,
}

impl Size {
    fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.inodes = self.inodes.saturating_add(other.inodes);
    }
}

impl LocalStorage {
    /// Looks at a pod's directories. `written` is what the runtime says that containers wrote into their root file systems. It takes as long as there are files.
    pub(super) fn measure(node: &NodeFacts, pod: &Pod, uid: &PodUid, written: BTreeMap<String, u64>) -> Self {
        let mut storage = Self::default();
        for (name, bytes) in written {
            storage.containers.insert(name, Size { bytes, inodes: 0 });
        }
        let logs = node.logs.join(config::log_directory(pod));
        for entry in fs::read_dir(logs).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            storage.containers.entry(name).or_default().add(size_of(&entry.path()));
        }
        let volumes = config::pod_directory(node, uid).join("volumes/kubernetes.io~empty-dir");
        for entry in fs::read_dir(volumes).into_iter().flatten().flatten() {
            storage.volumes.insert(entry.file_name().to_string_lossy().into_owned(), size_of(&entry.path()));
        }
        storage
    }

    #[cfg(test)]
    pub(super) fn of<'a>(
        containers: impl IntoIterator<Item = (&'a str, u64)>,
        volumes: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> Self {
        let size = |(name, bytes): (&str, u64)| (name.to_owned(), Size { bytes, inodes: 1 });
        Self {
            containers: containers.into_iter().map(size).collect(),
            volumes: volumes.into_iter().map(size).collect(),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.containers
            .values()
            .chain(self.volumes.values())
            .fold(0, |sum, size| sum.saturating_add(size.bytes))
    }

    pub(super) fn inodes(&self) -> u64 {
        self.containers.values().chain(self.volumes.values()).map(|size| size.inodes).sum()
    }

    pub(super) fn containers(&self) -> impl Iterator<Item = (&str, u64)> {
        self.containers.iter().map(|(name, size)| (name.as_str(), size.bytes))
    }

    pub(super) fn volume(&self, name: &str) -> u64 {
        self.volumes.get(name).map_or(0, |size| size.bytes)
    }
}

/// Blocks of a tree, on its own file system. What others change meanwhile may be missed.
pub(crate) fn bytes_of(directory: &Path) -> u64 {
    size_of(directory).bytes
}

fn size_of(directory: &Path) -> Size {
    let Ok(root) = fs::symlink_metadata(directory) else { return Size::default() };
    let mut sum = Size { bytes: root.blocks() * 512, inodes: 1 };
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            // Links are not followed: this is the entry's own.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.dev() != root.dev() {
                continue;
            }
            // A file of several names is shared among them.
            let names = if metadata.is_dir() { 1 } else { metadata.nlink().max(1) };
            sum.add(Size { bytes: metadata.blocks() * 512 / names, inodes: 1 });
            if metadata.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_and_empty_directories_are_measured_and_links_are_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let node = NodeFacts {
            logs: directory.path().join("logs"),
            pods: directory.path().join("pods"),
            ..NodeFacts::default()
        };
        let pod: Pod = serde_json::from_value(
            serde_json::json!({"metadata": {"namespace": "ns", "name": "p", "uid": "u"}}),
        )
        .expect("a pod");
        let log = node.logs.join("ns_p_u/c");
        let volume = node.pods.join("u/volumes/kubernetes.io~empty-dir/v");
        for path in [&log, &volume] {
            fs::create_dir_all(path).expect("a directory");
        }
        fs::write(log.join("0.log"), vec![1; 1 << 20]).expect("a file");
        fs::write(volume.join("file"), vec![1; 2 << 20]).expect("a file");
        fs::hard_link(volume.join("file"), volume.join("again")).expect("a link");
        std::os::unix::fs::symlink("/", volume.join("everything")).expect("a link");
        let written = BTreeMap::from([("c".to_owned(), 7 << 20)]);
        let uid = PodUid::new("u").expect("a UID");
        let storage = LocalStorage::measure(&node, &pod, &uid, written);
        let about = |bytes: u64| bytes >> 20;
        assert_eq!(
            storage.containers().map(|(name, bytes)| (name, about(bytes))).collect::<Vec<_>>(),
            [("c", 8)]
        );
        assert_eq!(about(storage.volume("v")), 2);
        assert_eq!(about(storage.bytes()), 10);
    }
}
