//! Tar archives as tests want them: the paths are written as they are given, good or evil.

use std::io::Write as _;

use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tar::{EntryType, Header};

/// How a layer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl Compression {
    /// Compresses.
    pub fn of(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::None => bytes.to_vec(),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).expect("memory takes all that is written");
                encoder.finish().expect("memory takes all that is written")
            }
            Self::Zstd => compress_to_vec(bytes, CompressionLevel::Fastest),
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// An archive that is being written. Owner is root and the time is 1000 unless [`Layer::entry`] says otherwise.
#[derive(Default)]
pub struct Layer(Vec<u8>);

/// What an entry is, besides its path.
#[derive(Clone, Debug)]
pub struct EntrySpec<'a> {
    /// Its type.
    pub kind: EntryType,
    /// Permissions.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u64, u64),
    /// Seconds since 1970.
    pub modified: u64,
    /// Major and minor number.
    pub device: (u32, u32),
    /// What a link leads to.
    pub target: &'a str,
    /// Content.
    pub content: &'a [u8],
}

impl Default for EntrySpec<'_> {
    fn default() -> Self {
        Self {
            kind: EntryType::Regular,
            mode: 0o644,
            owner: (0, 0),
            modified: 1000,
            device: (0, 0),
            target: "",
            content: b"",
        }
    }
}

impl Layer {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A regular file.
    pub fn file(&mut self, path: &str, content: &[u8], mode: u32) -> &mut Self {
        self.entry(path, &EntrySpec { mode, content, ..EntrySpec::default() })
    }

    /// A directory.
    pub fn directory(&mut self, path: &str, mode: u32) -> &mut Self {
        self.entry(path, &EntrySpec { kind: EntryType::Directory, mode, ..EntrySpec::default() })
    }

    /// A symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> &mut Self {
        self.entry(path, &EntrySpec { kind: EntryType::Symlink, mode: 0o777, target, ..EntrySpec::default() })
    }

    /// A hard link.
    pub fn hard_link(&mut self, path: &str, target: &str) -> &mut Self {
        self.entry(path, &EntrySpec { kind: EntryType::Link, target, ..EntrySpec::default() })
    }

    /// Any entry. Paths and targets have at most 100 bytes.
    pub fn entry(&mut self, path: &str, spec: &EntrySpec<'_>) -> &mut Self {
        let mut header = Header::new_gnu();
        let fields = header.as_gnu_mut().expect("it was just made in that form");
        fields.name[..path.len()].copy_from_slice(path.as_bytes());
        fields.linkname[..spec.target.len()].copy_from_slice(spec.target.as_bytes());
        header.set_entry_type(spec.kind);
        header.set_mode(spec.mode);
        header.set_uid(spec.owner.0);
        header.set_gid(spec.owner.1);
        header.set_mtime(spec.modified);
        header.set_size(spec.content.len() as u64);
        if matches!(spec.kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(spec.device.0).expect("the form has devices");
            header.set_device_minor(spec.device.1).expect("the form has devices");
        }
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.content(spec.content);
        self
    }

    /// Extended attributes and the like for the entry that follows.
    pub fn extension(&mut self, records: &[(&str, &[u8])]) -> &mut Self {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions(records.iter().copied()).expect("memory takes all that is written");
        let bytes = builder.into_inner().expect("memory takes all that is written");
        // Without the two blocks that end an archive.
        self.0.extend_from_slice(&bytes[..bytes.len() - 1024]);
        self
    }

    fn content(&mut self, content: &[u8]) {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    /// The archive.
    pub fn finish(self) -> Vec<u8> {
        let mut bytes = self.0;
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }
}
