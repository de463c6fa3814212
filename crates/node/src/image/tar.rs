//! Reads tar archives entry by entry: ustar, GNU's and pax's long names, numbers and attributes.
//!
//! The `tar` crate reads the headers; the walk is our own, since an archive comes from anybody: that crate takes an
//! extension of any size into memory. What is read into memory here is bounded by [`MAX_EXTENSION`].

use std::io::{self, Read};

use tar::{EntryType, Header, PaxExtensions};

const BLOCK: u64 = 512;
/// Most bytes of extended headers of one entry: long names and attributes. The kernel takes 64 KiB an attribute.
const MAX_EXTENSION: u64 = 1 << 20;

/// One entry, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As it is written: it may have any form.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    /// Permissions with setuid, setgid and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) modified: Time,
    pub(crate) accessed: Option<Time>,
    /// Extended attributes by name.
    pub(crate) attributes: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File { size: u64 },
    Directory,
    Symlink { target: Vec<u8> },
    HardLink { target: Vec<u8> },
    Character { major: u32, minor: u32 },
    Block { major: u32, minor: u32 },
    Fifo,
}

/// A point in time: seconds since 1970, possibly before, and nanoseconds after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// An archive that is being read.
pub(crate) struct Archive<R> {
    source: R,
    /// What is left of the content of the entry that was returned last, and of the padding behind it.
    content: u64,
    padding: u64,
}

impl<R: Read> Archive<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, content: 0, padding: 0 }
    }

    /// The next entry; `None` at the end. What was not read of the last one is passed over.
    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut extension = Extension::default();
        let mut extended = 0;
        loop {
            self.skip(self.content.saturating_add(self.padding))?;
            (self.content, self.padding) = (0, 0);
            let Some(block) = self.block()? else { return Ok(None) };
            let header = Header::from_byte_slice(&block);
            let size = or_blank(&header.as_old().size, header.entry_size()).ok_or_else(|| bad("size"))?;
            self.content = size;
            self.padding = size.next_multiple_of(BLOCK) - size;
            let kind = header.entry_type();
            let is_extension =
                kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions();
            if is_extension {
                extended += size;
                if extended > MAX_EXTENSION {
                    return Err(io::Error::other(format!(
                        "an archive's header has more than {MAX_EXTENSION} bytes of extensions"
                    )));
                }
                let mut bytes = Vec::new();
                self.read_to_end(&mut bytes)?;
                extension.read(kind, &bytes)?;
            } else if !kind.is_pax_global_extensions() {
                // A file of 8 GiB or more has its size in an extension.
                if let Some(size) = extension.size {
                    self.content = size;
                    self.padding = size.checked_next_multiple_of(BLOCK).ok_or_else(|| bad("size"))? - size;
                }
                return extension.apply(header, self.content).map(Some);
            }
        }
    }

    /// Whoever read the archive may want what follows it.
    pub(crate) fn into_inner(self) -> R {
        self.source
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        if io::copy(&mut (&mut self.source).take(length), &mut io::sink())? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The next header; `None` at a block of zeros or at the end of the stream.
    fn block(&mut self) -> io::Result<Option<[u8; 512]>> {
        let mut block = [0; 512];
        let mut filled = 0;
        while filled < block.len() {
            match self.source.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum: u32 = block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum();
        let written = Header::from_byte_slice(&block).cksum().map_err(|_| bad("checksum"))?;
        // The field counts as spaces.
        if sum + 8 * u32::from(b' ') != written {
            return Err(bad("checksum"));
        }
        Ok(Some(block))
    }
}

/// Reads the content of the entry that was returned last.
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&mut self.source).take(self.content).read(buffer)?;
        if read == 0 && self.content > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.content -= read as u64;
        Ok(read)
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("not a tar archive, or a broken one: bad {what} in a header"),
    )
}

/// A number of a header. A field that nobody filled in is 0, as other readers have it.
fn or_blank<T: Default>(field: &[u8], number: io::Result<T>) -> Option<T> {
    let blank = field.iter().all(|byte| matches!(byte, 0 | b' '));
    if blank { Some(T::default()) } else { number.ok() }
}

/// What stands before an entry's header and replaces fields of it.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    modified: Option<Time>,
    accessed: Option<Time>,
    attributes: Vec<(String, Vec<u8>)>,
}

impl Extension {
    fn read(&mut self, kind: EntryType, bytes: &[u8]) -> io::Result<()> {
        let until_nul = || bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        if kind.is_gnu_longname() {
            self.path = Some(until_nul());
            return Ok(());
        }
        if kind.is_gnu_longlink() {
            self.link = Some(until_nul());
            return Ok(());
        }
        for record in PaxExtensions::new(bytes) {
            let record = record?;
            let key = record.key().map_err(|_| bad("extension"))?;
            let value = record.value_bytes();
            let number = || record.value().ok().and_then(|text| text.parse().ok()).ok_or_else(|| bad(key));
            let time = || record.value().ok().and_then(parse_time).ok_or_else(|| bad(key));
            match key {
                "path" => self.path = Some(value.to_vec()),
                "linkpath" => self.link = Some(value.to_vec()),
                "size" => self.size = Some(number()?),
                "uid" => self.uid = Some(number()?),
                "gid" => self.gid = Some(number()?),
                "mtime" => self.modified = Some(time()?),
                "atime" => self.accessed = Some(time()?),
                _ => {
                    if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                        self.attributes.push((name.to_owned(), value.to_vec()));
                    } else if key.starts_with("GNU.sparse.") {
                        return Err(io::Error::other(
                            "the archive has sparse files, which are not supported",
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn apply(self, header: &Header, size: u64) -> io::Result<Entry> {
        let path = self.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let target = || {
            self.link
                .clone()
                .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
                .unwrap_or_default()
        };
        let device = || {
            let major = header.device_major().ok().flatten().ok_or_else(|| bad("device"))?;
            let minor = header.device_minor().ok().flatten().ok_or_else(|| bad("device"))?;
            Ok::<_, io::Error>((major, minor))
        };
        let old = header.as_old();
        if path.contains(&0) {
            return Err(bad("name"));
        }
        let kind = match header.entry_type() {
            // So did tar write directories before it had a type for them.
            EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File { size },
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink { target: target() },
            EntryType::Link => Kind::HardLink { target: target() },
            EntryType::Char => device().map(|(major, minor)| Kind::Character { major, minor })?,
            EntryType::Block => device().map(|(major, minor)| Kind::Block { major, minor })?,
            EntryType::Fifo => Kind::Fifo,
            other => {
                let path = String::from_utf8_lossy(&path).into_owned();
                return Err(io::Error::other(format!(
                    "unhandled tar header type {} of {path}",
                    other.as_byte()
                )));
            }
        };
        let id = |extended: Option<u64>, plain: Option<u64>| {
            let id = extended.map_or(plain, Some).ok_or_else(|| bad("owner"))?;
            u32::try_from(id).map_err(|_| bad("owner"))
        };
        let modified = match self.modified {
            Some(time) => time,
            // Written in base 256 it may be before 1970.
            None => Time {
                seconds: or_blank(&old.mtime, header.mtime()).ok_or_else(|| bad("time"))?.cast_signed(),
                nanoseconds: 0,
            },
        };
        Ok(Entry {
            path,
            kind,
            mode: or_blank(&old.mode, header.mode()).ok_or_else(|| bad("mode"))? & 0o7777,
            uid: id(self.uid, or_blank(&old.uid, header.uid()))?,
            gid: id(self.gid, or_blank(&old.gid, header.gid()))?,
            modified,
            accessed: self.accessed,
            attributes: self.attributes,
        })
    }
}

/// `SECONDS[.FRACTION]`, possibly negative.
fn parse_time(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    Some(match (negative, nanoseconds) {
        (true, 1..) => Time { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds },
        _ => Time { seconds, nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o4755);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(9);
        header
    }

    fn archive(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        build(&mut builder);
        builder.into_inner().unwrap()
    }

    #[test]
    fn entries_come_with_their_long_names_attributes_and_content() {
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
        let bytes = archive(|b| {
            b.append_data(&mut header(EntryType::Regular, 5), &long, &b"12345"[..]).unwrap();
            let extensions: [(&str, &[u8]); 5] = [
                ("mtime", b"-1.25"),
                ("uid", b"3000000"),
                ("path", b"other/name"),
                ("SCHILY.xattr.user.a", b"\0\xff"),
                ("comment", b"ignored"),
            ];
            b.append_pax_extensions(extensions).unwrap();
            b.append_data(&mut header(EntryType::Regular, 3), "name", &b"abc"[..]).unwrap();
            b.append_link(&mut header(EntryType::Symlink, 0), "link", "t".repeat(150)).unwrap();
        });
        let mut archive = Archive::new(&bytes[..]);
        let first = archive.next().unwrap().unwrap();
        assert_eq!((first.path, first.kind), (long.into_bytes(), Kind::File { size: 5 }));
        assert_eq!((first.mode, first.uid, first.gid), (0o4755, 7, 8));
        assert_eq!(first.modified, Time { seconds: 9, nanoseconds: 0 });
        // Not read: the next entry is found all the same.
        let second = archive.next().unwrap().unwrap();
        assert_eq!((second.path, second.uid), (b"other/name".to_vec(), 3_000_000));
        assert_eq!(second.modified, Time { seconds: -2, nanoseconds: 750_000_000 });
        assert_eq!(second.attributes, [("user.a".to_owned(), vec![0, 0xff])]);
        let mut content = String::new();
        archive.read_to_string(&mut content).unwrap();
        assert_eq!(content, "abc");
        let third = archive.next().unwrap().unwrap();
        assert_eq!(third.kind, Kind::Symlink { target: vec![b't'; 150] });
        assert!(archive.next().unwrap().is_none());
    }

    #[test]
    fn broken_and_hostile_archives_are_refused() {
        let whole =
            archive(|b| b.append_data(&mut header(EntryType::Regular, 600), "f", &[1; 600][..]).unwrap());
        let mut flipped = whole.clone();
        flipped[3] ^= 1;
        let mut long_name = Header::new_gnu();
        long_name.set_entry_type(EntryType::GNULongName);
        long_name.set_size(8 << 30);
        long_name.set_cksum();
        let sparse = archive(|b| {
            b.append_pax_extensions([("GNU.sparse.major", &b"1"[..])]).unwrap();
            b.append_data(&mut header(EntryType::Regular, 0), "f", &b""[..]).unwrap();
        });
        let volume = archive(|b| b.append_data(&mut header(EntryType::new(b'V'), 0), "v", &b""[..]).unwrap());
        let rows = [
            ("no archive", vec![b'x'; 512], "bad checksum in a header"),
            ("half a header", whole[..100].to_vec(), "unexpected end of file"),
            ("half a file", whole[..700].to_vec(), "unexpected end of file"),
            ("a flipped bit", flipped, "bad checksum in a header"),
            ("a name of gigabytes", long_name.as_bytes().to_vec(), "more than 1048576 bytes of extensions"),
            ("a sparse file", sparse, "sparse files, which are not supported"),
            ("a volume", volume, "unhandled tar header type 86 of v"),
        ];
        for (name, bytes, want) in rows {
            let mut archive = Archive::new(&bytes[..]);
            let mut read = || -> io::Result<()> {
                while archive.next()?.is_some() {}
                Ok(())
            };
            let error = read().expect_err(name).to_string();
            assert!(error.contains(want), "{name}: {error}");
        }
    }
}
