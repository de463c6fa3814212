//! A store that is used by several at once, that was left in the middle of something, and that is full.

use std::fs;
use std::time::{Duration, SystemTime};

use sampan_node::image::digest::Digest;
use sampan_node::image::gc::Policy;
use sampan_node::image::progress::nobody;
use sampan_node::image::store::{ImageStore, Options};
use sampan_node::image::{Error, Images as _};
use sampan_testkit::image::{Compression, ImageBuilder, Layer};

use crate::{Store, container};

/// An archive of an image that has one layer of its own and one that all of them have.
fn archive(store: &Store, name: &str) -> std::path::PathBuf {
    let layer = |path: &str| {
        let mut layer = Layer::new();
        layer.file(path, &vec![b'x'; 100_000], 0o644);
        layer
    };
    let image = ImageBuilder::default()
        .layer(layer("shared"), Compression::Gzip)
        .layer(layer(name), Compression::Gzip)
        .build();
    let path = store.dir.path().join(name);
    fs::write(&path, image.docker_archive(&[name])).unwrap();
    path
}

async fn load(store: &Store, name: &str) {
    store.store.load(&archive(store, name), None, nobody()).await.unwrap();
}

async fn names(store: &ImageStore) -> Vec<String> {
    let mut names: Vec<String> =
        store.list().await.unwrap().into_iter().flat_map(|image| image.tags).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_have_the_store_open_see_what_the_other_does_as_root() {
    let store = Store::new();
    let other = ImageStore::open(Options::new(store.path(""))).unwrap();
    load(&store, "a").await;
    assert_eq!(names(&other).await, ["docker.io/library/a:latest"]);
    let target = store.path("../root");
    store.store.mount("a", &container("c"), &target).await.unwrap();
    assert!(matches!(other.remove("a").await, Err(Error::InUse(_))));
    store.store.unmount(&container("c"), &target).await.unwrap();
    other.remove("a").await.unwrap();
    assert_eq!(store.store.get("a").await.unwrap(), None);
    assert!(matches!(store.store.remove("a").await, Err(Error::NotFound(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_and_removals_by_many_at_once_lose_nothing_as_root() {
    let store = Store::new();
    let archives: Vec<_> = (0..8).map(|i| archive(&store, &format!("image{i}"))).collect();
    let stores: Vec<ImageStore> =
        (0..8).map(|_| ImageStore::open(Options::new(store.path(""))).unwrap()).collect();
    let work = archives.iter().zip(&stores).enumerate().map(|(i, (archive, mine))| async move {
        for _ in 0..3 {
            mine.load(archive, None, nobody()).await.unwrap();
            if i % 2 == 1 {
                mine.remove(&format!("image{i}")).await.unwrap();
            }
        }
    });
    futures::future::join_all(work).await;
    let left: Vec<String> = [0, 2, 4, 6].map(|i| format!("docker.io/library/image{i}:latest")).into();
    assert_eq!(names(&store.store).await, left);
    assert_eq!((store.count("layers"), store.count("blobs/sha256")), (5, 8));
    for name in &left {
        let target = store.path("../root");
        store.store.mount(name, &container("c"), &target).await.unwrap();
        assert_eq!(fs::read_dir(&target).unwrap().count(), 2, "{name}");
        store.store.unmount(&container("c"), &target).await.unwrap();
    }
    store.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_leaves_behind_is_resumed_or_deleted_as_root() {
    let store = Store::new();
    load(&store, "a").await;
    let layer = fs::read_dir(store.path("layers")).unwrap().next().unwrap().unwrap().file_name();
    let hex = |text: &str| Digest::of(text.as_bytes()).hex().to_owned();
    // Everything that a process may leave when it is killed, each with the name it would have.
    let half = store.path("ingest").join(format!("{}.layer/fs/deep/er", hex("half")));
    fs::create_dir_all(&half).unwrap();
    fs::write(store.path("ingest").join(format!("{}.lock", hex("half"))), "").unwrap();
    fs::create_dir_all(store.path("ingest").join(format!("{}.layer/fs", hex("orphan")))).unwrap();
    fs::write(store.path("ingest").join("load-1-2-3"), "half an archive's file").unwrap();
    fs::write(store.path("ingest").join(hex("recent")), "half a blob").unwrap();
    let old = fs::File::create(store.path("ingest").join(hex("old"))).unwrap();
    old.set_modified(SystemTime::now() - Duration::from_hours(2)).unwrap();
    drop(old);
    fs::write(store.path("blobs/sha256").join(hex("unnamed")), "a blob before its image had a name").unwrap();
    fs::create_dir_all(store.path("layers").join(hex("unnamed")).join("fs/x")).unwrap();
    fs::create_dir_all(store.path("layers").join(hex("pending")).join("fs/x")).unwrap();
    fs::write(store.path("leases/1-2-3"), format!("{}\n", hex("unnamed"))).unwrap();
    let long_ago = SystemTime::now() - Duration::from_hours(2);
    fs::File::options()
        .append(true)
        .open(store.path("leases/1-2-3"))
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    fs::write(store.path("leases/1-2-4"), format!("{}\n", hex("pending"))).unwrap();
    fs::write(store.path("trash/1-2-3"), "half an index").unwrap();
    fs::create_dir_all(store.path("trash/1-2-4/fs/x")).unwrap();

    let reopened = ImageStore::open(Options::new(store.path(""))).unwrap();
    assert_eq!(store.count("trash"), 0);
    assert_eq!(names(&reopened).await, ["docker.io/library/a:latest"]);
    reopened.load(&archive(&store, "b"), None, nobody()).await.unwrap();
    assert_eq!((store.count("layers"), store.count("blobs/sha256"), store.count("leases")), (4, 4, 1));
    let left: Vec<_> = fs::read_dir(store.path("ingest")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, [hex("recent").as_str()], "what can be resumed stays for a while");
    assert!(store.path("layers").join(hex("pending")).exists(), "and so does what a pull had finished");
    assert!(store.path("layers").join(layer).join("fs").is_dir());

    // A layer that was being unpacked is begun anew.
    reopened.remove("a").await.unwrap();
    let half = store.path("ingest").join(format!("{}.layer", hex("x")));
    fs::create_dir_all(half.join("fs")).unwrap();
    reopened.load(&archive(&store, "a"), None, nobody()).await.unwrap();
    assert_eq!(names(&reopened).await.len(), 2);
    // With a full disk nothing of it stays.
    reopened.remove_unused().await.unwrap();
    store.assert_clean();
    assert_eq!((store.count("layers"), store.count("blobs/sha256")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_read_is_an_error_and_is_kept_as_root() {
    let store = Store::new();
    fs::write(store.path("index.json"), "{").unwrap();
    let error = ImageStore::open(Options::new(store.path(""))).err().unwrap();
    assert!(error.to_string().starts_with("cannot read the list of images"), "{error}");
    assert!(store.store.load(&archive(&store, "a"), None, nobody()).await.is_err());
    assert_eq!(fs::read_to_string(store.path("index.json")).unwrap(), "{");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_the_images_that_were_not_used_for_longest_as_root() {
    let store = Store::new();
    for name in ["a", "b", "c"] {
        load(&store, name).await;
    }
    let target = store.path("../root");
    store.store.mount("a", &container("c"), &target).await.unwrap();
    let disk = store.store.disk_use().await.unwrap();
    assert!(disk.used_bytes > 400_000 && disk.available_bytes <= disk.capacity_bytes);
    // Every disk is fuller than nothing: all that may go goes.
    let full = Policy { high_percent: 0, low_percent: 0, minimum_age: Duration::ZERO, ..Policy::default() };
    let young = Policy { minimum_age: Duration::from_hours(1), ..full };
    assert_eq!(store.store.collect_by(young).await.unwrap().remove.len(), 0);
    let plan = store.store.collect_by(full).await.unwrap();
    assert_eq!(plan.remove.len(), 2);
    assert!(
        plan.complaint()
            .is_some_and(|text| text.starts_with("Failed to garbage collect required amount of images."))
    );
    assert_eq!(names(&store.store).await, ["docker.io/library/a:latest"]);
    store.store.unmount(&container("c"), &target).await.unwrap();
    assert_eq!(store.store.remove_unused().await.unwrap().len(), 1);
    assert_eq!((store.count("layers"), store.count("blobs/sha256")), (0, 0));
}
