//! What survives when the process or the end of the log does not.
//!
//! The writer is a child process: this test binary again, run with the one test that writes.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use sampan_store::embedded::{Embedded, HistoryLimits, Options};
use sampan_store::{EventKind, Expect, NewValue, Op, Revision, Snapshot, Store, Txn};

const DIR: &str = "SAMPAN_STORE_TEST_DIR";
const WRITERS: u64 = 4;
const KEYS: u64 = 300;

/// A history that is short enough to be trimmed all the time.
fn open(dir: &Path) -> Embedded {
    let history = HistoryLimits { events: 500, ..HistoryLimits::default() };
    Embedded::open(Options { history, ..Options::new(dir) }).unwrap()
}

/// Two keys at once, which must never be seen apart; now and then one is removed for a while.
fn pair(n: u64, len: u64) -> Txn {
    let op = |side: &str| {
        let key = format!("/{side}/{:03}", n % KEYS).into();
        if n.is_multiple_of(11) {
            return Op::Delete { key, expect: Expect::Any, last: None };
        }
        let bytes = [format!("{n}:").as_bytes(), &vec![b'.'; usize::try_from(len).unwrap()]].concat();
        Op::Put { key, expect: Expect::Any, value: NewValue { bytes, ..NewValue::default() } }
    };
    Txn { ops: vec![op("left"), op("right")] }
}

/// Not a test but the child of the tests below: writes until it is killed, and says what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other tests run it as a child process"]
async fn child_that_writes() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = Arc::new(open(Path::new(&dir)));
    let start = store.snapshot().revision();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for n in 0.. {
                let n = start + n * WRITERS + writer;
                let done = store.commit(pair(n, 700 + n * 37 % 900)).await.unwrap();
                // Removing what is not there has no revision of its own.
                if done.entries.iter().all(Option::is_none) {
                    continue;
                }
                // A line is written whole, or it does not count.
                std::io::stdout().write_all(format!("ack {} {n}\n", done.revision).as_bytes()).unwrap();
            }
        });
    }
    tasks.join_next().await;
}

fn spawn_child(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_writes", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Lets a child write until it has acknowledged `count` commits, and kills it. Gives what it acknowledged, by revision.
fn write_and_kill(dir: &Path, count: usize) -> BTreeMap<Revision, u64> {
    let mut child = spawn_child(dir);
    let lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n');
    let mut acks = BTreeMap::new();
    for line in lines {
        let line = String::from_utf8(line.unwrap()).unwrap();
        let Some(ack) = line.split("ack ").nth(1) else { continue };
        let (revision, n) = ack.split_once(' ').unwrap();
        // The last line may have been cut short by the kill; a shorter number would be another one.
        if let (Ok(revision), Ok(n)) = (revision.parse(), n.parse()) {
            assert!(acks.insert(revision, n).is_none(), "revision {revision} was given twice");
        }
        if acks.len() == count {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acks.len() >= count, "the child must write until it is killed");
    acks
}

/// The two sides of every pair are the same.
fn check_pairs(snapshot: &Snapshot) {
    let side = |side: &'static str| {
        snapshot.range(side, None).map(move |e| (e.key[side.len()..].to_owned(), e.revision, e.value.clone()))
    };
    assert!(side("/left/").eq(side("/right/")));
    assert_eq!(snapshot.len(), 2 * snapshot.count("/left/"));
}

/// Everything that can be had of the history fits together.
async fn check_history(store: &Embedded) {
    let (oldest, newest) = (store.oldest_revision(), store.snapshot().revision());
    let mut state = store.snapshot_at(oldest).unwrap();
    check_pairs(&state);
    let mut watcher = store.watch("/", oldest).unwrap();
    let mut at = oldest;
    while at < newest {
        for event in watcher.next().await.unwrap().iter() {
            if event.revision != at {
                assert_eq!(event.revision, at + 1);
                state = store.snapshot_at(at).unwrap();
                at = event.revision;
            }
            let before = state.get(&event.entry.key).map(|e| e.revision);
            assert_eq!(event.previous.as_ref().map(|e| e.revision), before);
            assert!(event.kind == EventKind::Put || before.is_some());
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9_and_no_revision_is_used_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut acks: BTreeMap<Revision, u64> = BTreeMap::new();
    for round in 0..20 {
        // Not a round number, so that the kill falls into every phase of groups, trims and checkpoints.
        let count = 50 + round * 7919 % 700;
        for (revision, n) in write_and_kill(dir.path(), count) {
            assert!(acks.insert(revision, n).is_none(), "revision {revision} was given twice");
        }
        let store = open(dir.path());
        let snapshot = store.snapshot();
        let newest_ack = *acks.last_key_value().unwrap().0;
        assert!(snapshot.revision() >= newest_ack, "acknowledged commits are lost");
        check_pairs(&snapshot);
        // The newest acknowledged write of every key is there, unless an unacknowledged one came later.
        let mut newest: BTreeMap<u64, (Revision, u64)> = BTreeMap::new();
        newest.extend(acks.iter().map(|(revision, n)| (n % KEYS, (*revision, *n))));
        for (key, (revision, n)) in newest {
            let entry = snapshot.get(&format!("/left/{key:03}"));
            match entry {
                Some(entry) if entry.revision == revision => {
                    assert!(entry.value.starts_with(format!("{n}:").as_bytes()));
                }
                Some(entry) => assert!(entry.revision > revision, "key {key} was set back"),
                None if n.is_multiple_of(11) => {}
                None => assert!(removed_later(&store, key, revision).await, "key {key} is lost"),
            }
        }
        check_history(&store).await;
    }
}

/// Whether an unacknowledged deletion explains that a key is not there.
async fn removed_later(store: &Embedded, key: u64, after: Revision) -> bool {
    let key = format!("/left/{key:03}");
    let mut watcher = store.watch(&key, after.max(store.oldest_revision())).unwrap();
    watcher.next().await.unwrap().iter().any(|e| e.kind == EventKind::Delete)
}

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn a_damaged_end_of_the_log_costs_only_what_was_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let acks = write_and_kill(dir.path(), 120);
    let log = fs::metadata(dir.path().join("state.db-wal")).unwrap().len();
    let frames = (log - 32) / 4120;
    let mut newest = Vec::new();
    for case in 0..60 {
        let copied = tempfile::tempdir().unwrap();
        copy(dir.path(), copied.path());
        let file =
            OpenOptions::new().read(true).write(true).open(copied.path().join("state.db-wal")).unwrap();
        // From the end backwards, not aligned to frames: cut off, flipped, or zeroed up to the end.
        let at = log - (1 + case * 1733 % (log / 2));
        match case % 3 {
            0 => file.set_len(at).unwrap(),
            1 => {
                let mut byte = [0];
                file.read_exact_at(&mut byte, at).unwrap();
                file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
            }
            _ => file.write_all_at(&vec![0; usize::try_from(log - at).unwrap()], at).unwrap(),
        }
        drop(file);
        let store = open(copied.path());
        let snapshot = store.snapshot();
        check_pairs(&snapshot);
        check_history(&store).await;
        newest.push(snapshot.revision());
        let next = store.commit(pair(1, 10)).await.unwrap();
        assert_eq!(next.revision, snapshot.revision() + 1);
        drop(store);
        check_pairs(&open(copied.path()).snapshot());
    }
    assert!(frames > 100 && acks.len() >= 120);
    assert!(
        newest.iter().any(|revision| *revision < *acks.last_key_value().unwrap().0),
        "some damage must hurt"
    );
}

#[test]
fn what_is_no_store_is_called_corrupt_with_its_path() {
    let spoil: [fn(&Path); 4] = [
        |file| fs::write(file, vec![b'x'; 8192]).unwrap(),
        |file| {
            // The root of a table, whose first byte says what kind of page it is.
            let file = OpenOptions::new().write(true).open(file).unwrap();
            file.write_all_at(&[0xff; 4096], 4096).unwrap();
        },
        |file| {
            let connection = rusqlite::Connection::open(file).unwrap();
            connection.execute_batch("PRAGMA user_version=99").unwrap();
        },
        |file| {
            let connection = rusqlite::Connection::open(file).unwrap();
            connection.execute_batch("DELETE FROM events WHERE id >> 12 = 7").unwrap();
        },
    ];
    for (case, spoil) in spoil.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store = open(dir.path());
        runtime.block_on(async {
            for n in 1..40 {
                store.commit(pair(n, 500)).await.unwrap();
            }
        });
        drop(store);
        let file = dir.path().join("state.db");
        spoil(&file);
        let history = HistoryLimits::default();
        match Embedded::open(Options { history, ..Options::new(dir.path()) }) {
            Err(sampan_store::Error::Corrupt { path, .. }) => assert_eq!(path, file, "case {case}"),
            Err(other) => panic!("case {case}: {other:?}"),
            Ok(_) => panic!("case {case}: it was opened"),
        }
    }
}

#[test]
fn a_log_without_its_file_is_not_taken_for_another() {
    let dir = tempfile::tempdir().unwrap();
    write_and_kill(dir.path(), 5);
    fs::remove_file(dir.path().join("state.db")).unwrap();
    match Embedded::open(Options::new(dir.path())) {
        Err(sampan_store::Error::Corrupt { path, .. }) => assert_eq!(path, dir.path().join("state.db-wal")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_start_that_was_interrupted_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("state.db.new"), b"half a file").unwrap();
    assert_eq!(open(dir.path()).snapshot().revision(), 0);
}

/// Not a test but the child of the next one, on a disk of its own that is full soon.
#[tokio::test]
#[ignore = "the next test runs it as a child process"]
async fn child_that_fills_its_disk() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = Path::new(&dir);
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let store = open(&dir.join("store"));
    let mut acknowledged = 0;
    let mut n = 0;
    // New keys all the time, so that the store itself grows.
    let grow = |n: u64| {
        let value = NewValue { bytes: vec![b'.'; 3000], ..NewValue::default() };
        Txn { ops: vec![Op::Put { key: format!("/grow/{n:06}").into(), expect: Expect::Absent, value }] }
    };
    let mut failures = 0;
    while failures < 5 {
        n += 1;
        match store.commit(grow(n)).await {
            Ok(done) => acknowledged = done.revision,
            Err(sampan_store::Error::Engine(_)) => failures += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(acknowledged > 50 && store.snapshot().revision() >= acknowledged);
    // The disk recovers, and so does the store.
    fs::remove_file(&ballast).unwrap();
    let done = store.commit(grow(n + 1)).await.unwrap();
    assert!(done.revision > acknowledged);
    let before: Vec<_> = store.snapshot().range("", None).map(|e| (e.key.to_string(), e.revision)).collect();
    drop(store);
    let store = open(&dir.join("store"));
    let after: Vec<_> = store.snapshot().range("", None).map(|e| (e.key.to_string(), e.revision)).collect();
    assert_eq!(before, after);
    assert_eq!(store.snapshot().revision(), done.revision);
    println!("the child is through");
}

#[test]
fn a_full_disk_refuses_commits_and_the_store_recovers_when_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let child = "mount -t tmpfs -o size=6m tmpfs \"$SAMPAN_STORE_TEST_DIR\" || exit 77
        exec \"$0\" --exact child_that_fills_its_disk --ignored --nocapture --test-threads=1";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", child])
        .arg(std::env::current_exe().unwrap())
        .env(DIR, dir.path())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            assert!(String::from_utf8_lossy(&output.stdout).contains("the child is through"));
        }
        Ok(output)
            if output.status.code() == Some(77)
                || String::from_utf8_lossy(&output.stderr).starts_with("unshare:") =>
        {
            eprintln!("skipped: this machine allows no mount of one's own");
        }
        Ok(output) => {
            panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        }
        Err(error) => eprintln!("skipped: no unshare here: {error}"),
    }
}
