//! Images from files.

use std::path::PathBuf;

use sampan_node::image::progress::nobody;
use sampan_node::image::{Error, Images as _, Limits};
use sampan_testkit::image::{BuiltImage, Compression, ImageBuilder, Layer};
use serde_json::json;

use crate::{Store, container, whole};

/// name, archive, given name, tags
type Row = (&'static str, Vec<u8>, Option<&'static str>, &'static [&'static str]);

fn file(store: &Store, bytes: &[u8]) -> PathBuf {
    let path = store.dir.path().join("archive");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_of_either_form_are_loaded_under_their_names_as_root() {
    let built = ImageBuilder::busybox().build();
    let other = ImageBuilder::default().architecture("s390x").build();
    let index = BuiltImage::index(&[other, built.clone()]);
    let annotated = |key: &str, value: &str| built.oci_archive(&json!({key: value}));
    let reference = "org.opencontainers.image.ref.name";
    let containerd = json!({"io.containerd.image.name": "docker.io/library/bb:2", reference: "2"});
    let both = {
        // As newer versions of docker write it: a layout, and a manifest.json beside it.
        let mut layout = built.oci_archive(&json!({"io.containerd.image.name": "docker.io/library/bb:3"}));
        layout.truncate(layout.len() - 1024);
        let mut rest = Layer::new();
        rest.file("manifest.json", b"[{\"Config\": \"nowhere\"}]", 0o644);
        layout.extend(rest.finish());
        layout
    };
    let rows: [Row; 10] = [
        (
            "docker",
            built.docker_archive(&["bb:1", "example.org/bb:x"]),
            None,
            &["docker.io/library/bb:1", "example.org/bb:x"],
        ),
        ("docker without a name", built.docker_archive(&[]), None, &[]),
        ("docker, named", built.docker_archive(&[]), Some("bb:n"), &["docker.io/library/bb:n"]),
        ("a layout", annotated(reference, "bb:1"), None, &["docker.io/library/bb:1"]),
        ("a layout with a tag only", annotated(reference, "v1"), None, &[]),
        (
            "a layout with a tag, named",
            annotated(reference, "v1"),
            Some("x"),
            &["docker.io/library/x:latest", "docker.io/library/x:v1"],
        ),
        ("containerd's annotation", built.oci_archive(&containerd), None, &["docker.io/library/bb:2"]),
        ("both forms", both, None, &["docker.io/library/bb:3"]),
        ("gzip", Compression::Gzip.of(&annotated(reference, "bb:1")), None, &["docker.io/library/bb:1"]),
        (
            "zstd, an index",
            Compression::Zstd.of(&index.oci_archive(&json!({reference: "bb:i"}))),
            None,
            &["docker.io/library/bb:i"],
        ),
    ];
    for (name, archive, given, tags) in rows {
        let store = Store::new();
        let images = store.store.load(&file(&store, &archive), given, nobody()).await;
        let images = images.unwrap_or_else(|error| panic!("{name}: {}", whole(&error)));
        assert_eq!(images.len(), 1, "{name}");
        assert_eq!(images[0].id, built.config, "{name}");
        assert_eq!(images[0].tags, tags, "{name}");
        assert_eq!(store.store.list().await.unwrap(), images, "{name}");
        store.store.collect_by(sampan_node::image::gc::Policy::default()).await.unwrap();
        store.store.load(&file(&store, &archive), given, nobody()).await.unwrap();
        store.assert_clean();
        assert_eq!((store.count("blobs/sha256"), store.count("layers")), (2, 1), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loaded_image_runs_as_root() {
    let store = Store::new();
    let archive = ImageBuilder::busybox().build().docker_archive(&["busybox"]);
    store.store.load(&file(&store, &archive), None, nobody()).await.unwrap();
    let target = store.path("../root");
    store.store.mount("busybox", &container("c"), &target).await.unwrap();
    let output =
        std::process::Command::new("chroot").arg(&target).args(["/bin/echo", "hello"]).output().unwrap();
    store.store.unmount(&container("c"), &target).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_are_wrong_are_refused_with_what_is_wrong_as_root() {
    let built = ImageBuilder::busybox().build();
    let whole_archive = built.docker_archive(&["bb"]);
    let mut damaged = built.clone();
    damaged.blobs.insert(built.layers[0].clone(), b"something else".to_vec());
    let mut missing = built.clone();
    missing.blobs.remove(&built.layers[0]);
    let list = |text: &str| {
        let mut layer = Layer::new();
        layer.file("manifest.json", text.as_bytes(), 0o644);
        layer.finish()
    };
    let rows: [(&str, Vec<u8>, &str); 10] = [
        ("nothing", vec![], "it has neither an index.json nor a manifest.json"),
        ("no archive", vec![b'x'; 4096], "not a tar archive"),
        ("half of it", whole_archive[..whole_archive.len() / 2].to_vec(), "unexpected end of file"),
        ("half of it, compressed", Compression::Gzip.of(&whole_archive)[..5000].to_vec(), ""),
        (
            "an archive without images",
            Layer::new().finish(),
            "it has neither an index.json nor a manifest.json",
        ),
        ("no images in the list", list("[]"), "there is no image in it"),
        ("no list", list("{"), "its manifest.json: "),
        (
            "a file that is not there",
            list(r#"[{"Config": "../../etc/passwd", "Layers": []}]"#),
            "it refers to ../../etc/passwd, which it does not have",
        ),
        ("a blob that is another", damaged.oci_archive(&json!({})), "is not what its name says"),
        ("a layer that is not there", missing.oci_archive(&json!({})), "which it does not have"),
    ];
    let store = Store::new();
    for (name, archive, want) in rows {
        let path = file(&store, &archive);
        let error = store.store.load(&path, None, nobody()).await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{name}: {error:?}");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("cannot load {}: ", path.display())) && text.contains(want),
            "{name}: {text}"
        );
    }
    assert_eq!(store.store.list().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_unpacks_to_too_much_is_refused_and_leaves_nothing_as_root() {
    let mut big = Layer::new();
    big.file("zeros", &vec![0; 20 << 20], 0o644);
    let archive = ImageBuilder::default().layer(big, Compression::Gzip).build().docker_archive(&["big"]);
    assert!(archive.len() < 1 << 20);
    let store = Store::with(|options| options.limits = Limits { bytes: 10 << 20, ..Limits::default() });
    let error = store.store.load(&file(&store, &archive), None, nobody()).await.unwrap_err();
    assert!(error.to_string().contains("the layer unpacks to more than 10485760 bytes"), "{error}");
    assert_eq!(store.store.remove_unused().await.unwrap(), []);
    assert_eq!(store.count("layers"), 0);
    assert_eq!(store.count("ingest"), 0);
}
