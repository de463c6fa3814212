use std::io::Read as _;

use flate2::read::GzDecoder;

use super::*;

/// A clock that goes on by a second each time it is looked at.
fn clock() -> Timestamp {
    use std::sync::atomic::{AtomicI64, Ordering};
    static SECONDS: AtomicI64 = AtomicI64::new(1_767_323_045);
    Timestamp::from_second(SECONDS.fetch_add(1, Ordering::SeqCst)).unwrap()
}

/// The names in a directory, sorted, and their texts.
fn files(dir: &Path) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let bytes = fs::read(entry.path()).unwrap();
            let name = entry.file_name().into_string().unwrap();
            let mut text = String::new();
            if entry.path().extension().is_some_and(|e| e == "gz") {
                GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
            } else {
                text = String::from_utf8(bytes).unwrap();
            }
            (name, text)
        })
        .collect();
    files.sort();
    files
}

fn temp_dir(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("sampan-rotation-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    dir
}

#[test]
fn a_full_file_is_set_aside_with_its_time_in_its_name() {
    let dir = temp_dir("aside");
    let path = dir.join("deep").join("audit.log");
    let options = RotationOptions { max_bytes: 10, ..RotationOptions::default() };
    let mut file = Rotating::open(&path, options, clock).unwrap();
    for line in ["12345\n", "abc\n", "x\n"] {
        file.write_line(line.as_bytes()).unwrap();
    }
    let files = files(path.parent().unwrap());
    assert_eq!(files.len(), 2);
    assert!(backup_time(files[0].0.strip_prefix("audit-").unwrap()).is_some(), "{}", files[0].0);
    assert!(files[0].0.ends_with(".000.log"), "{}", files[0].0);
    assert_eq!(files[0].1, "12345\nabc\n");
    assert_eq!(files[1], ("audit.log".into(), "x\n".into()));

    let mut again = Rotating::open(&path, options, clock).unwrap();
    again.write_line(b"y\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "x\ny\n", "what was there stays");
    let error = again.write_line(b"longer than a file\n").unwrap_err();
    assert_eq!(error.to_string(), "write length 19 exceeds maximum file size 10");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn old_files_are_compressed_and_deleted_by_number_and_age() {
    let dir = temp_dir("tidy");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join("audit.log");
    let names = [
        "audit.log",
        "audit-2026-01-02T00-00-00.000.log",
        "audit-2026-01-03T00-00-00.000.log",
        "audit-2026-01-04T00-00-00.000.log",
        "audit-notes.log",
        "other-2026-01-01T00-00-00.000.log",
    ];
    let left = |options: RotationOptions| {
        for name in names {
            fs::write(dir.join(name), name).unwrap();
        }
        tidy(&path, options, "2026-01-05T12:00:00Z".parse().unwrap()).unwrap();
        let left: Vec<String> = files(&dir)
            .into_iter()
            .map(|(name, text)| {
                assert_eq!(name.strip_suffix(".gz").unwrap_or(&name), text, "its text is as it was");
                name
            })
            .collect();
        for name in &left {
            fs::remove_file(dir.join(name)).unwrap();
        }
        left
    };
    let default = RotationOptions::default();
    assert_eq!(left(default).len(), 6, "nothing is demanded");
    let two = left(RotationOptions { max_backups: 2, ..default });
    assert!(!two.contains(&names[1].to_owned()) && two.len() == 5, "{two:?}");
    let young = left(RotationOptions { max_age_days: 2, ..default });
    assert!(young.contains(&names[3].to_owned()) && young.len() == 4, "{young:?}");
    let small = left(RotationOptions { max_backups: 1, compress: true, ..default });
    assert_eq!(
        small,
        [
            "audit-2026-01-04T00-00-00.000.log.gz",
            "audit-notes.log",
            "audit.log",
            "other-2026-01-01T00-00-00.000.log"
        ]
    );
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_full_disk_is_an_error() {
    // A device that is always full; what it takes is nothing.
    let full = Path::new("/dev/full");
    let mut file = Rotating::open(full, RotationOptions::default(), clock).unwrap();
    assert_eq!(file.write_line(b"line\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
}
