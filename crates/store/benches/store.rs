//! What the embedded engine costs: commits beside a plain fdatasync, fan-out, ranges, reload, memory.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use divan::counter::ItemsCount;
use sampan_store::embedded::{Embedded, Options};
use sampan_store::{Expect, NewValue, Op, Snapshot, Store, Txn};
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

const VALUE: usize = 1500;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

fn put(key: &str, len: usize) -> Txn {
    let value = NewValue { bytes: vec![b'v'; len], revision_at: Some(len / 2), ..NewValue::default() };
    Txn { ops: vec![Op::Put { key: key.into(), expect: Expect::Any, value }] }
}

fn key(n: u64) -> String {
    format!("/registry/pods/namespace-{}/pod-{:06}", n % 20, n)
}

/// On the disk under test rather than in a directory that may be memory.
fn disk() -> tempfile::TempDir {
    let base = std::env::var_os("SAMPAN_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), Into::into);
    tempfile::tempdir_in(base).unwrap()
}

async fn fill(store: &Arc<dyn Store>, count: u64, len: usize) {
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..256 {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            for n in (writer..count).step_by(256) {
                store.commit(put(&key(n), len)).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

fn in_memory(count: u64) -> (Runtime, Arc<dyn Store>) {
    let runtime = runtime();
    let store = Arc::new(Embedded::in_memory()) as Arc<dyn Store>;
    runtime.block_on(fill(&store, count, VALUE));
    (runtime, store)
}

/// What the disk itself costs: bytes written over the same place of a file, synced.
#[divan::bench(sample_count = 1000, sample_size = 1)]
fn a_plain_fdatasync(bencher: divan::Bencher) {
    let dir = disk();
    let mut file = File::create(dir.path().join("plain")).unwrap();
    let chunk = vec![b'v'; 4096 + 24];
    // As the log does once it has wrapped: the file keeps its length.
    (0..1000).for_each(|_| file.write_all(&chunk).unwrap());
    file.sync_all().unwrap();
    let file = std::cell::RefCell::new(file);
    let n = std::cell::Cell::new(0_u64);
    bencher.bench_local(|| {
        use std::os::unix::fs::FileExt;
        let at = n.replace(n.get() + 1) % 1000 * chunk.len() as u64;
        file.borrow().write_all_at(&chunk, at).unwrap();
        file.borrow().sync_data().unwrap();
    });
}

#[divan::bench(sample_count = 2000, sample_size = 1)]
fn a_commit_alone(bencher: divan::Bencher) {
    let (dir, runtime) = (disk(), runtime());
    let store = Embedded::open(Options::new(dir.path())).unwrap();
    let n = AtomicU64::new(0);
    // Until the log has wrapped once.
    runtime.block_on(async {
        for n in 0..1500 {
            store.commit(put(&key(n), VALUE)).await.unwrap();
        }
    });
    bencher.bench_local(|| {
        runtime.block_on(store.commit(put(&key(n.fetch_add(1, Ordering::Relaxed) % 1000), VALUE))).unwrap()
    });
}

#[divan::bench(sample_count = 10, sample_size = 1, args = [1, 8, 16, 64, 256])]
fn a_thousand_commits_by_writers(bencher: divan::Bencher, writers: u64) {
    let (dir, runtime) = (disk(), runtime());
    let store = Arc::new(Embedded::open(Options::new(dir.path())).unwrap());
    let round = AtomicU64::new(0);
    bencher.counter(ItemsCount::new(1000_u64)).bench_local(|| {
        let start = round.fetch_add(1000, Ordering::Relaxed);
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for writer in 0..writers {
                let store = Arc::clone(&store);
                tasks.spawn(async move {
                    for n in (writer..1000).step_by(usize::try_from(writers).unwrap()) {
                        store.commit(put(&key((start + n) % 5000), VALUE)).await.unwrap();
                    }
                });
            }
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
        });
    });
}

#[divan::bench(sample_count = 2000, sample_size = 1)]
fn a_commit_in_memory(bencher: divan::Bencher) {
    let (runtime, store) = in_memory(10_000);
    let n = AtomicU64::new(0);
    bencher.bench_local(|| {
        runtime.block_on(store.commit(put(&key(n.fetch_add(1, Ordering::Relaxed) % 10_000), VALUE))).unwrap()
    });
}

/// 500 writes, one after the other, to 200 watchers that each take all: 100,000 events a round.
#[divan::bench(sample_count = 20, sample_size = 1, args = [0, 10_000])]
fn fan_out_to_200_watchers(bencher: divan::Bencher, bystanders: usize) {
    let (runtime, store) = in_memory(1000);
    let _others: Vec<_> = (0..bystanders)
        .map(|n| store.watch(&format!("/registry/configmaps/ns/{n}"), store.snapshot().revision()).unwrap())
        .collect();
    bencher.counter(ItemsCount::new(100_000_u64)).bench_local(|| {
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..200 {
                let mut watcher = store.watch("/registry/pods/", store.snapshot().revision()).unwrap();
                tasks.spawn(async move {
                    let mut seen = 0;
                    while seen < 500 {
                        for event in watcher.next().await.unwrap().iter() {
                            divan::black_box(event.revision);
                            seen += 1;
                        }
                    }
                });
            }
            for n in 0..500 {
                store.commit(put(&key(n % 1000), VALUE)).await.unwrap();
            }
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
        });
    });
}

/// The same 500 writes with nobody watching, to be taken off.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn fan_out_to_nobody(bencher: divan::Bencher) {
    let (runtime, store) = in_memory(1000);
    bencher.bench_local(|| {
        runtime.block_on(async {
            for n in 0..500 {
                store.commit(put(&key(n % 1000), VALUE)).await.unwrap();
            }
        });
    });
}

fn hundred_thousand() -> (Snapshot, imbl::OrdMap<Arc<str>, Arc<sampan_store::Entry>>) {
    let (_runtime, store) = in_memory(100_000);
    let snapshot = store.snapshot();
    let map = snapshot.range("", None).map(|e| (Arc::clone(&e.key), Arc::clone(e))).collect();
    (snapshot, map)
}

#[divan::bench]
fn a_range_of_all_100_000(bencher: divan::Bencher) {
    let (snapshot, _) = hundred_thousand();
    bencher.bench_local(|| snapshot.range("/registry/pods/", None).map(|e| e.value.len()).sum::<usize>());
}

/// What the tree is compared with.
#[divan::bench]
fn a_range_of_all_100_000_in_imbl(bencher: divan::Bencher) {
    let (_, map) = hundred_thousand();
    bencher.bench_local(|| map.values().map(|e| e.value.len()).sum::<usize>());
}

#[divan::bench]
fn a_page_of_500_and_the_count_of_the_rest(bencher: divan::Bencher) {
    let (snapshot, _) = hundred_thousand();
    let from = key(44_444);
    bencher.bench_local(|| {
        let page =
            snapshot.range("/registry/pods/", Some(&from)).take(500).map(|e| e.value.len()).sum::<usize>();
        (page, snapshot.count_from("/registry/pods/", Some(&from)))
    });
}

#[divan::bench]
fn a_thousand_gets_among_100_000(bencher: divan::Bencher) {
    let (snapshot, _) = hundred_thousand();
    let keys: Vec<_> = (0..1000).map(|n| key(n * 97 % 100_000)).collect();
    bencher
        .counter(ItemsCount::new(1000_u64))
        .bench_local(|| keys.iter().filter(|key| snapshot.get(key).is_some()).count());
}

#[divan::bench]
fn a_thousand_gets_among_100_000_in_imbl(bencher: divan::Bencher) {
    let (_, map) = hundred_thousand();
    let keys: Vec<_> = (0..1000).map(|n| key(n * 97 % 100_000)).collect();
    bencher
        .counter(ItemsCount::new(1000_u64))
        .bench_local(|| keys.iter().filter(|key| map.get(key.as_str()).is_some()).count());
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn a_reload_of_100_000(bencher: divan::Bencher) {
    let (dir, runtime) = (disk(), runtime());
    let store = Arc::new(Embedded::open(Options::new(dir.path())).unwrap()) as Arc<dyn Store>;
    runtime.block_on(fill(&store, 100_000, VALUE));
    drop(store);
    bencher.bench_local(|| {
        let began = Instant::now();
        let store = Embedded::open(Options::new(dir.path())).unwrap();
        assert_eq!(store.snapshot().len(), 100_000);
        (began.elapsed(), store)
    });
}

/// Not a time but a size: printed once. 10,500 objects of 1.7 KB with a full history.
#[divan::bench(sample_count = 1, sample_size = 1)]
fn memory_of_10_500_objects_with_a_full_history(bencher: divan::Bencher) {
    bencher.bench_local(|| {
        let (dir, runtime) = (disk(), runtime());
        let before = resident();
        let store = Arc::new(Embedded::open(Options::new(dir.path())).unwrap()) as Arc<dyn Store>;
        runtime.block_on(async {
            fill(&store, 10_500, 1700).await;
            for _ in 0..3 {
                fill(&store, 10_500, 1700).await;
            }
        });
        eprintln!("  anonymous memory: {before} KiB before, {} KiB after", resident());
        store.snapshot().len()
    });
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The 50th and 99th percentile of commits one after the other, printed.
#[divan::bench(sample_count = 1, sample_size = 1)]
fn percentiles_of_commits_alone(bencher: divan::Bencher) {
    bencher.bench_local(|| {
        let (dir, runtime) = (disk(), runtime());
        let store = Embedded::open(Options::new(dir.path())).unwrap();
        let mut times: Vec<Duration> = runtime.block_on(async {
            let mut times = Vec::new();
            for n in 0..30_000 {
                let began = Instant::now();
                store.commit(put(&key(n % 5000), VALUE)).await.unwrap();
                times.push(began.elapsed());
            }
            times.split_off(1500)
        });
        times.sort_unstable();
        let at = |percent: usize| times[times.len() * percent / 1000];
        eprintln!("  p50 {:?}, p90 {:?}, p99 {:?}, p99.9 {:?}", at(500), at(900), at(990), at(999));
        let wal = std::fs::metadata(dir.path().join("state.db-wal")).unwrap().len();
        eprintln!("  log file: {} KiB", wal >> 10);
    });
}

/// What a start pays that finds nothing.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn an_open_of_a_new_directory(bencher: divan::Bencher) {
    bencher
        .with_inputs(disk)
        .bench_local_values(|dir| (Embedded::open(Options::new(dir.path())).unwrap(), dir));
}
