//! Layers that are as they should be, and layers that somebody made to hurt. They need root: owners, devices, attributes.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::getxattr;
use sampan_testkit::image::{EntrySpec, EntryType, Layer};
use tempfile::TempDir;

use super::*;

/// Writes an archive, and is told where `outside` is.
type Build = fn(&mut Layer, &str);

/// A layer's directory, and beside it something that must never be touched.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["target", "below", "outside"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("outside/precious"), "untouched").unwrap();
        Self { dir }
    }

    fn path(&self, rest: &str) -> std::path::PathBuf {
        self.dir.path().join(rest)
    }

    fn unpack(&self, build: impl FnOnce(&mut Layer)) -> io::Result<Unpacked> {
        let mut layer = Layer::new();
        build(&mut layer);
        self.unpack_stream(&layer.finish()[..], Limits::default())
    }

    fn unpack_stream(&self, stream: impl Read, limits: Limits) -> io::Result<Unpacked> {
        let open = |name: &str| OwnedFd::from(File::open(self.path(name)).unwrap());
        unpack(stream, open("target"), &[open("below")], limits)
    }

    fn assert_nothing_outside(&self, name: &str) {
        assert_eq!(fs::read_to_string(self.path("outside/precious")).unwrap(), "untouched", "{name}");
        assert_eq!(fs::read_dir(self.path("outside")).unwrap().count(), 1, "{name}");
        assert_eq!(fs::metadata(self.path("outside/precious")).unwrap().nlink(), 1, "{name}");
        assert_eq!(fs::read_dir(self.dir.path()).unwrap().count(), 3, "{name}");
    }
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 64];
    let length = getxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

fn is_whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_char_device() && m.rdev() == 0)
}

#[test]
fn a_layer_is_unpacked_with_owners_permissions_times_links_and_attributes_as_root() {
    let place = Place::new();
    let capability: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let spec =
        |kind| EntrySpec { kind, mode: 0o640, owner: (11, 12), device: (1, 3), ..EntrySpec::default() };
    let unpacked = place
        .unpack(|layer| {
            let root = EntrySpec {
                kind: EntryType::Directory,
                mode: 0o711,
                owner: (5, 6),
                modified: 77,
                ..EntrySpec::default()
            };
            layer.entry("./", &root);
            layer.entry(
                "dir/",
                &EntrySpec { kind: EntryType::Directory, mode: 0o1777, modified: 5, ..EntrySpec::default() },
            );
            layer.extension(&[
                ("SCHILY.xattr.security.capability", capability),
                ("SCHILY.xattr.user.note", b"hello"),
                ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
                ("SCHILY.xattr.security.selinux", b"x"),
                ("mtime", b"1234.5"),
            ]);
            layer.entry(
                "dir/setuid",
                &EntrySpec { mode: 0o6755, content: b"content", owner: (11, 12), ..EntrySpec::default() },
            );
            layer.hard_link("dir/hard", "dir/setuid");
            layer.symlink("dir/soft", "/nowhere");
            layer
                .entry("null", &spec(EntryType::Char))
                .entry("disk", &spec(EntryType::Block))
                .entry("pipe", &spec(EntryType::Fifo));
        })
        .unwrap();
    let root = fs::metadata(place.path("target")).unwrap();
    assert_eq!((root.mode() & 0o7777, root.uid(), root.gid(), root.mtime()), (0o711, 5, 6, 77));
    let dir = fs::metadata(place.path("target/dir")).unwrap();
    assert_eq!((dir.mode() & 0o7777, dir.mtime()), (0o1777, 5), "although something was made in it later");
    let path = place.path("target/dir/setuid");
    let file = fs::metadata(&path).unwrap();
    assert_eq!((file.mode() & 0o7777, file.uid(), file.gid(), file.nlink()), (0o6755, 11, 12, 2));
    assert_eq!((file.mtime(), file.mtime_nsec()), (1234, 500_000_000));
    assert_eq!(fs::read(place.path("target/dir/hard")).unwrap(), b"content");
    assert_eq!(attribute(&path, "security.capability").as_deref(), Some(capability));
    assert_eq!(attribute(&path, "user.note").as_deref(), Some(&b"hello"[..]));
    assert_eq!(attribute(&path, "trusted.overlay.redirect"), None);
    assert_eq!(attribute(&path, "security.selinux"), None);
    assert_eq!(fs::read_link(place.path("target/dir/soft")).unwrap(), Path::new("/nowhere"));
    for (name, is) in [
        ("null", FileTypeExt::is_char_device as fn(&fs::FileType) -> bool),
        ("disk", FileTypeExt::is_block_device),
        ("pipe", FileTypeExt::is_fifo),
    ] {
        let metadata = fs::metadata(place.path("target").join(name)).unwrap();
        assert!(is(&metadata.file_type()), "{name}");
        assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o640, 11, 12), "{name}");
    }
    assert_eq!(unpacked.entries, 8);
    assert!(unpacked.disk_bytes >= 9 * 4096);
}

#[test]
fn no_path_of_an_archive_leads_out_of_the_layer_as_root() {
    // name, archive (told where `outside` is), where its file must be instead; none where it must be refused
    let rows: [(&str, Build, Option<&str>); 13] = [
        (
            "dots",
            |l, _| {
                l.file("../../outside/new", b"x", 0o644);
            },
            Some("outside/new"),
        ),
        (
            "dots within",
            |l, _| {
                l.file("a/../../../outside/new", b"x", 0o644);
            },
            Some("outside/new"),
        ),
        (
            "absolute",
            |l, _| {
                l.file("/tmp/new", b"x", 0o644);
            },
            Some("tmp/new"),
        ),
        (
            "through a relative link",
            |l, _| {
                l.symlink("link", "../outside").file("link/new", b"x", 0o644);
            },
            Some("outside/new"),
        ),
        (
            "through an absolute link",
            |l, _| {
                l.symlink("link", "/etc").file("link/new", b"x", 0o644);
            },
            Some("etc/new"),
        ),
        (
            "through links of links",
            |l, _| {
                l.symlink("a", "b/../..").symlink("b", "/../..").file("a/outside/new", b"x", 0o644);
            },
            Some("outside/new"),
        ),
        (
            "over a link to a file",
            |l, outside| {
                l.symlink("link", &format!("{outside}/precious")).file("link", b"x", 0o644);
            },
            Some("link"),
        ),
        (
            "a directory over a link",
            |l, outside| {
                l.symlink("link", outside).directory("link", 0o700).file("link/new", b"x", 0o644);
            },
            Some("link/new"),
        ),
        (
            "an opaque mark through a link",
            |l, _| {
                l.symlink("link", "../outside").file("link/.wh..wh..opq", b"", 0o644);
            },
            None,
        ),
        (
            "a hard link to dots",
            |l, _| {
                l.hard_link("new", "../outside/precious");
            },
            None,
        ),
        (
            "a hard link to an absolute path",
            |l, outside| {
                l.hard_link("new", &format!("{outside}/precious"));
            },
            None,
        ),
        (
            "a hard link through a link",
            |l, _| {
                l.symlink("link", "../outside").hard_link("new", "link/precious");
            },
            None,
        ),
        (
            "links without end",
            |l, _| {
                l.symlink("a", "b").symlink("b", "a").file("a/new", b"x", 0o644);
            },
            None,
        ),
    ];
    for (name, build, inside) in rows {
        let place = Place::new();
        let outside = place.path("outside").display().to_string();
        let outcome = place.unpack(|layer| build(layer, &outside));
        place.assert_nothing_outside(name);
        match inside {
            Some(path) => {
                outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(fs::read(place.path("target").join(path)).unwrap(), b"x", "{name}");
            }
            None if name.contains("opaque") => assert!(outcome.is_ok(), "{name}"),
            None => assert!(outcome.is_err(), "{name}"),
        }
        assert_eq!(attribute(&place.path("outside"), OPAQUE_ATTRIBUTE), None, "{name}");
    }
    assert!(!Path::new("/etc/new").exists() && !Path::new("/tmp/new").exists());
}

#[test]
fn whiteouts_hide_what_is_below_and_nothing_of_their_own_layer_as_root() {
    let place = Place::new();
    for path in ["gone", "dir/gone", "kept", "opaque/old", "replaced/old", "later/old"] {
        let path = place.path("below").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "below").unwrap();
    }
    place
        .unpack(|layer| {
            layer.file(".wh.gone", b"", 0).file("dir/.wh.gone", b"", 0).file(".wh.never", b"", 0);
            layer.file("opaque/.wh..wh..opq", b"", 0).file("opaque/new", b"x", 0o644);
            layer.file("kept", b"x", 0o644).file(".wh.kept", b"", 0);
            // Hidden, then made anew: what it had below must not shine through, whichever comes first.
            layer.file(".wh.later", b"", 0).directory("later", 0o755);
            layer.directory("replaced", 0o755).file(".wh.replaced", b"", 0);
            layer.file(".wh..wh.aufs", b"", 0).file(".wh..wh.plnk/x", b"", 0);
        })
        .unwrap();
    let target = |path: &str| place.path("target").join(path);
    for path in ["gone", "dir/gone"] {
        assert!(is_whiteout(&target(path)), "{path}");
    }
    assert!(!target("never").exists(), "nothing of that name is below");
    assert_eq!(fs::read(target("kept")).unwrap(), b"x");
    for path in ["opaque", "later", "replaced"] {
        assert_eq!(attribute(&target(path), OPAQUE_ATTRIBUTE).as_deref(), Some(&b"y"[..]), "{path}");
    }
    assert!(!target(".wh..wh.aufs").exists());
    for name in [".wh.", ".wh..", "a/.wh..."] {
        let outcome = Place::new().unpack(|layer| {
            layer.file(name, b"", 0);
        });
        assert!(outcome.is_err(), "{name}");
    }
}

#[test]
fn later_entries_replace_earlier_ones_of_the_same_name_as_root() {
    let place = Place::new();
    place
        .unpack(|layer| {
            layer.file("file", b"first", 0o600).file("file", b"second", 0o644);
            layer.directory("a", 0o700).file("a/inner", b"x", 0o644).file("a", b"a file now", 0o644);
            layer
                .file("b", b"x", 0o644)
                .directory("b", 0o750)
                .directory("b", 0o755)
                .file("b/inner", b"x", 0o644);
            layer.symlink("c", "file").file("c", b"no link", 0o644);
            layer.hard_link("file", "file");
        })
        .unwrap();
    let read = |path: &str| fs::read_to_string(place.path("target").join(path)).unwrap();
    assert_eq!(
        (read("file"), read("a"), read("b/inner"), read("c")),
        ("second".into(), "a file now".into(), "x".into(), "no link".into())
    );
    assert_eq!(fs::metadata(place.path("target/b")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn directories_that_an_archive_does_not_name_are_as_below_as_root() {
    let place = Place::new();
    let below = place.path("below/usr/bin");
    fs::create_dir_all(&below).unwrap();
    fs::set_permissions(&below, fs::Permissions::from_mode(0o2750)).unwrap();
    std::os::unix::fs::chown(&below, Some(3), Some(4)).unwrap();
    fs::set_permissions(&below, fs::Permissions::from_mode(0o2750)).unwrap();
    fs::set_permissions(place.path("below"), fs::Permissions::from_mode(0o555)).unwrap();
    place
        .unpack(|layer| {
            layer.file("usr/bin/tool", b"x", 0o755).file("new/file", b"x", 0o644);
        })
        .unwrap();
    let mode = |path: &str| {
        let metadata = fs::metadata(place.path("target").join(path)).unwrap();
        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
    };
    assert_eq!(mode("usr/bin"), (0o2750, 3, 4));
    assert_eq!(mode("new"), (0o755, 0, 0));
    assert_eq!(mode(""), (0o555, 0, 0));
}

#[test]
fn what_a_layer_may_take_is_bounded_as_root() {
    // A gigabyte of zeros, from a megabyte of gzip.
    let mut header = tar::Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_size(1 << 30);
    header.set_mode(0o644);
    header.set_cksum();
    let bomb = || {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(header.as_bytes()).unwrap();
        io::copy(&mut io::repeat(0).take((1 << 30) + 1024), &mut encoder).unwrap();
        encoder.finish().unwrap()
    };
    let bomb = bomb();
    assert!(bomb.len() < 8 << 20, "{}", bomb.len());
    let many = |count: usize, kind| {
        let mut layer = Layer::new();
        for i in 0..count {
            layer.entry(&format!("{i:0>60}"), &EntrySpec { kind, ..EntrySpec::default() });
        }
        layer.finish()
    };
    let limits = Limits { bytes: 1 << 20, entries: 100, directory_names: 1000 };
    let gzip: Box<dyn Read> = Box::new(flate2::read::GzDecoder::new(&bomb[..]));
    let (files, directories) = (many(101, EntryType::Regular), many(90, EntryType::Directory));
    let rows: [(&str, Box<dyn Read>, &str); 4] = [
        ("a bomb", gzip, "the layer unpacks to more than 1048576 bytes, the most that is allowed"),
        (
            "an archive with a long tail",
            Box::new(io::repeat(0)),
            "the layer unpacks to more than 1048576 bytes",
        ),
        ("many files", Box::new(&files[..]), "the layer has more than 100 entries, the most that is allowed"),
        (
            "many directories",
            Box::new(&directories[..]),
            "the names of the layer's directories take more than 1000 bytes",
        ),
    ];
    for (name, stream, want) in rows {
        let place = Place::new();
        let error = place.unpack_stream(stream, limits).unwrap_err().to_string();
        assert!(error.contains(want), "{name}: {error}");
        let written = fs::metadata(place.path("target/zeros")).map_or(0, |metadata| metadata.len());
        assert!(written <= 2 << 20, "{name}: {written}");
    }
}
