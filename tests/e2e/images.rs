//! `sampan image` as a user types it: archives, a registry, two of them at once, and what is refused.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use sampan_testkit::image::{Compression, ImageBuilder, Layer};
use sampan_testkit::registry::{LOGIN, Registry};
use sampan_tests::cluster::binary;

fn sampan(data_dir: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(binary())
        .arg("image")
        .args(args)
        .arg("--data-dir")
        .arg(data_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing closes its end first.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[track_caller]
fn good(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn bad(output: Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn images_are_loaded_pulled_listed_and_removed_as_root() {
    let dir = tempfile::tempdir().unwrap();
    let busybox = ImageBuilder::busybox().build();
    let archive = dir.path().join("busybox.tar.gz");
    std::fs::write(&archive, Compression::Gzip.of(&busybox.docker_archive(&["busybox:1.35"]))).unwrap();
    let data = dir.path().join("data");
    let loaded = good(sampan(&data, &["load", archive.to_str().unwrap()], ""));
    assert_eq!(loaded, format!("docker.io/library/busybox:1.35 {}\n", busybox.config));
    let listed = good(sampan(&data, &["ls"], ""));
    assert!(listed.starts_with("IMAGE                       TAG    IMAGE ID        SIZE\n"), "{listed}");
    assert!(listed.contains("docker.io/library/busybox   1.35   "), "{listed}");
    assert_eq!(good(sampan(&data, &["ls", "--quiet"], "")), format!("{}\n", busybox.config));
    let refused = bad(sampan(&data, &["rm", "nope"], ""));
    assert_eq!(refused, "sampan: image \"docker.io/library/nope:latest\": not found\n");
    let start = &busybox.config.trim_start_matches("sha256:")[..8];
    assert_eq!(good(sampan(&data, &["rm", start], "")), format!("{start}\n"));
    assert_eq!(good(sampan(&data, &["ls", "-q"], "")), "");
    assert_eq!(std::fs::read_dir(data.join("node/images/layers")).unwrap().count(), 0);
    let refused = bad(sampan(&data, &["load", "/nowhere.tar"], ""));
    assert_eq!(
        refused,
        "sampan: cannot load /nowhere.tar: cannot read it: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_private_registry_is_pulled_from_with_a_password_from_standard_input_as_root() {
    let Some(registry) = Registry::start_private() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut layer = Layer::new();
    layer.file("hello", b"hello", 0o644);
    let image = ImageBuilder::default().layer(layer, Compression::Zstd).build();
    registry.push("app", "1", &image);
    let name = registry.reference("app:1");
    let refused = bad(sampan(dir.path(), &["pull", &name], ""));
    assert!(refused.ends_with("authorization failed: no basic auth credentials\n"), "{refused}");
    let login = ["pull", &name, "--username", LOGIN.0, "--password-stdin"];
    assert!(bad(sampan(dir.path(), &login, "wrong\n")).contains("401 Unauthorized"));
    let pulled = good(sampan(dir.path(), &login, &format!("{}\n", LOGIN.1)));
    assert_eq!(pulled, format!("{name} {}\n", image.config));
}

#[test]
fn several_processes_may_use_a_store_at_once_and_one_that_is_killed_harms_nobody_as_root() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut shared = Layer::new();
    for i in 0..200 {
        shared.file(&format!("file{i}"), &[b'x'; 10_000], 0o644);
    }
    let shared = shared.finish();
    let archives: Vec<_> = (0..6)
        .map(|i| {
            let mut own = Layer::new();
            own.file(&format!("own{i}"), &vec![b'y'; 100_000], 0o644);
            let image = ImageBuilder::default()
                .tar(shared.clone(), Compression::Gzip)
                .layer(own, Compression::Gzip)
                .build();
            let path = dir.path().join(format!("image{i}.tar"));
            std::fs::write(&path, image.docker_archive(&[&format!("image{i}")])).unwrap();
            path
        })
        .collect();
    let spawn = |archive: &Path| {
        let mut command = Command::new(binary());
        command.args(["image", "load"]).arg(archive).arg("--data-dir").arg(&data);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for round in 0..5 {
        let mut children: Vec<_> = archives.iter().map(|archive| spawn(archive)).collect();
        // Half of them are killed: somewhere, which is another place each time.
        for child in children.iter_mut().skip(3) {
            std::thread::yield_now();
            child.kill().unwrap();
        }
        for (i, child) in children.into_iter().enumerate() {
            let output = child.wait_with_output().unwrap();
            assert!(
                i >= 3 || output.status.success(),
                "round {round}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    for archive in &archives {
        good(sampan(&data, &["load", archive.to_str().unwrap()], ""));
    }
    assert_eq!(good(sampan(&data, &["ls", "-q"], "")).lines().count(), 6);
    assert_eq!(std::fs::read_dir(data.join("node/images/layers")).unwrap().count(), 7);
    let names: Vec<String> = (0..6).map(|i| format!("image{i}")).collect();
    let args: Vec<&str> = std::iter::once("rm").chain(names.iter().map(String::as_str)).collect();
    good(sampan(&data, &args, ""));
    assert_eq!(good(sampan(&data, &["ls", "-q"], "")), "");
}
