//! Volumes as a pod meets them, against the API server of the testkit.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use sampan_testkit::{TestServer, eventually};
use serde_json::{Value, json};

use super::Mounter;
use crate::container::{ContainerId, PodUid};
use crate::objects::Objects;
use crate::objects::tests::{CONFIG_MAPS, SECRETS, client, client_of_node, config_map, create};
use crate::pods::parts::{NodeFacts, Volumes as _};

struct Node {
    server: TestServer,
    mounter: Mounter,
    directory: tempfile::TempDir,
}

impl Node {
    async fn start() -> Self {
        let server = TestServer::start().await;
        let objects = Arc::new(Objects::new(client(server.clone())));
        Self::with(server, objects)
    }

    fn with(server: TestServer, objects: Arc<Objects>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pods = directory.path().join("pods");
        let allocatable = BTreeMap::from([("memory".to_owned(), Quantity("64Mi".into()))]);
        let facts = NodeFacts { allocatable, pods, ..NodeFacts::default() };
        Self { server, mounter: Mounter::new(objects, Arc::new(facts)), directory }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join("pods/u1").join(path)
    }

    fn mounts(&self) -> usize {
        let below = self.directory.path().to_str().unwrap();
        fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .lines()
            .filter(|line| line.contains(below))
            .count()
    }

    async fn leave(&self) {
        self.mounter.unmount(&uid()).await.unwrap();
        assert_eq!(self.mounts(), 0);
        assert!(!self.at("volumes").exists() && !self.at("volume-subpaths").exists());
        assert_eq!(self.mounter.path(&uid(), "v"), None);
    }
}

/// A test that fails leaves no mount behind either.
impl Drop for Node {
    fn drop(&mut self) {
        super::mounts::remove(&self.directory.path().join("pods")).ok();
    }
}

fn uid() -> PodUid {
    PodUid::new("u1").unwrap()
}

fn id() -> ContainerId {
    ContainerId { pod: uid(), name: "c".into(), attempt: 0 }
}

fn pod(volumes: &Value, spec: &Value) -> Pod {
    let names = volumes.as_array().unwrap().iter().map(|volume| &volume["name"]);
    let mounts: Vec<_> = names.map(|name| json!({"name": name, "mountPath": "/x"})).collect();
    let mut pod = json!({"metadata": {"name": "p", "namespace": "default", "uid": "u1", "labels": {"a": "1"}},
        "spec": {"containers": [{"name": "c", "volumeMounts": mounts}], "volumes": volumes}});
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    serde_json::from_value(pod).unwrap()
}

async fn comes_to_be(path: &Path, text: &str) {
    eventually(&format!("{} says {text:?}", path.display()), || async {
        fs::read_to_string(path).is_ok_and(|found| found == text).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_mounted_volume_follows_its_objects_and_its_pod_as_root() {
    let node = Node::start().await;
    create(&node.server, CONFIG_MAPS, &config_map("m", &json!({"a": "1"}))).await;
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "old"}});
    create(&node.server, SECRETS, &secret).await;
    let volumes = json!([
        {"name": "v", "configMap": {"name": "m", "defaultMode": 420}},
        {"name": "later", "configMap": {"name": "later", "optional": true}},
        {"name": "all", "projected": {"sources": [{"secret": {"name": "s"}}, {"downwardAPI": {"items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}},
    ]);
    let mut pod = pod(&volumes, &json!({}));
    node.mounter.mount(&pod).await.unwrap();
    let map = node.at("volumes/kubernetes.io~configmap/v");
    assert_eq!(node.mounter.path(&uid(), "v"), Some(map.clone()));
    assert_eq!(fs::read_to_string(map.join("a")).unwrap(), "1");
    assert_eq!(fs::metadata(&map).unwrap().mode() & 0o7777, 0o777);
    let all = node.at("volumes/kubernetes.io~projected/all");
    assert_eq!(fs::metadata(&all).unwrap().mode() & 0o7777, 0o1777, "in memory");
    assert_eq!(fs::read_to_string(all.join("k")).unwrap(), "old");
    assert_eq!(node.mounts(), 1);

    let changed =
        node.server.patch(&format!("{CONFIG_MAPS}/m"), "merge-patch", &json!({"data": {"a": "2"}})).await;
    assert_eq!(changed.code, 200);
    comes_to_be(&map.join("a"), "2").await;
    let changed =
        node.server.patch(&format!("{SECRETS}/s"), "merge-patch", &json!({"stringData": {"k": "new"}})).await;
    assert_eq!(changed.code, 200);
    comes_to_be(&all.join("k"), "new").await;
    create(&node.server, CONFIG_MAPS, &config_map("later", &json!({"b": "3"}))).await;
    comes_to_be(&node.at("volumes/kubernetes.io~configmap/later/b"), "3").await;
    pod.metadata.labels = Some([("a".to_owned(), "2".to_owned())].into());
    node.mounter.update(&pod).await;
    comes_to_be(&all.join("labels"), "a=\"2\"").await;

    node.mounter.mount(&pod).await.unwrap();
    assert_eq!(node.mounts(), 1, "a second time changes nothing");
    node.leave().await;
}

#[tokio::test]
async fn a_volume_that_waits_for_its_object_is_mounted_when_it_is_tried_again() {
    let node = Node::start().await;
    let pod = pod(&json!([{"name": "v", "configMap": {"name": "m"}}]), &json!({}));
    let error = node.mounter.mount(&pod).await.unwrap_err();
    assert_eq!(error.to_string(), "MountVolume.SetUp failed for volume \"v\" : configmap \"m\" not found");
    create(&node.server, CONFIG_MAPS, &config_map("m", &json!({"a": "1"}))).await;
    eventually("the volume is there", || async { node.mounter.mount(&pod).await.ok() }).await;
    assert_eq!(fs::read_to_string(node.at("volumes/kubernetes.io~configmap/v/a")).unwrap(), "1");
    node.leave().await;
}

#[tokio::test]
async fn a_node_gives_its_pod_a_token_of_the_pods_own_as_root() {
    let server = TestServer::start().await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    create(&server, "/api/v1/namespaces/default/serviceaccounts", &account).await;
    let made = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {
        "nodeName": "n1", "serviceAccountName": "robot", "containers": [{"name": "c", "image": "i"}]}});
    let made = create(&server, "/api/v1/namespaces/default/pods", &made).await;
    let objects = Arc::new(Objects::new(client_of_node(&server)));
    let node = Node::with(server, objects);
    let volumes = json!([{"name": "v", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607, "audience": "somebody"}}]}}]);
    let mut pod =
        pod(&volumes, &json!({"serviceAccountName": "robot", "securityContext": {"runAsUser": 1000}}));
    pod.metadata.uid = made["metadata"]["uid"].as_str().map(str::to_owned);
    let uid = PodUid::new(pod.metadata.uid.as_deref().unwrap()).unwrap();
    // The authorizer learns of the pod by watching, as it does upstream.
    eventually("the node has a token", || async { node.mounter.mount(&pod).await.ok() }).await;
    let path = node.mounter.path(&uid, "v").unwrap().join("token");
    let (token, meta) = (fs::read_to_string(&path).unwrap(), fs::metadata(&path).unwrap());
    assert_eq!(token.split('.').count(), 3);
    assert_eq!((meta.uid(), meta.mode() & 0o7777), (1000, 0o600));
    node.mounter.mount(&pod).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), token, "it is good for a while");
    node.mounter.unmount(&uid).await.unwrap();
    assert_eq!(node.mounts(), 0);
}

#[tokio::test]
async fn empty_directories_are_open_to_all_and_given_to_the_group_as_root() {
    let node = Node::start().await;
    let volumes = json!([{"name": "v", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]);
    let pod = pod(&volumes, &json!({"securityContext": {"fsGroup": 2000}}));
    node.mounter.mount(&pod).await.unwrap();
    let (disk, memory) =
        (node.at("volumes/kubernetes.io~empty-dir/v"), node.at("volumes/kubernetes.io~empty-dir/m"));
    let show = |path: &Path| (fs::metadata(path).unwrap().gid(), fs::metadata(path).unwrap().mode() & 0o7777);
    assert_eq!(show(&disk), (2000, 0o2777));
    assert_eq!(show(&memory), (2000, 0o3777));
    fs::write(memory.join("fits"), vec![0; 512 << 10]).unwrap();
    assert!(fs::write(memory.join("too-much"), vec![0; 1 << 20]).is_err(), "the limit holds");
    node.mounter.mount(&pod).await.unwrap();
    assert!(memory.join("fits").exists(), "a second time takes nothing away");
    node.leave().await;
}

#[tokio::test]
async fn volumes_that_this_node_cannot_make_are_refused_and_unused_ones_left_out() {
    let node = Node::start().await;
    let rows = [
        (
            json!({"emptyDir": {"medium": "HugePages-2Mi"}}),
            "storage medium \"HugePages-2Mi\" is not supported by this node",
        ),
        (json!({"nfs": {"server": "s", "path": "/"}}), "no volume plugin matched"),
        (
            json!({"csi": {"driver": "d"}}),
            "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: driver name d not found in the list of registered CSI drivers",
        ),
        (
            json!({"hostPath": {"path": "/none", "type": "Directory"}}),
            "hostPath type check failed: /none is not a directory",
        ),
        (
            json!({"persistentVolumeClaim": {"claimName": "c"}}),
            "error processing PVC default/c: failed to fetch PVC from API server: persistentvolumeclaims \"c\" not found",
        ),
    ];
    for (volume, expected) in rows {
        let mut volume = volume;
        volume["name"] = "v".into();
        let error = node.mounter.mount(&pod(&json!([volume]), &json!({}))).await.unwrap_err();
        assert_eq!(error.message, expected);
    }
    let unused = pod(
        &json!([{"name": "v", "nfs": {"server": "s", "path": "/"}}]),
        &json!({"containers": [{"name": "c"}]}),
    );
    node.mounter.mount(&unused).await.unwrap();
    node.leave().await;
}

#[tokio::test]
async fn a_claim_of_a_local_volume_is_mounted_as_root() {
    let node = Node::start().await;
    let data = node.directory.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("kept"), "1").unwrap();
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": "pv",
            "resources": {"requests": {"storage": "1Gi"}}}});
    let claim = create(&node.server, "/api/v1/namespaces/default/persistentvolumeclaims", &claim).await;
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "local": {"path": data},
        "claimRef": {"namespace": "default", "name": "c", "uid": claim["metadata"]["uid"]},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "a", "operator": "In", "values": ["b"]}]}]}}}});
    create(&node.server, "/api/v1/persistentvolumes", &volume).await;
    let with = |read_only: bool| {
        let source = json!({"claimName": "c", "readOnly": read_only});
        pod(&json!([{"name": "v", "persistentVolumeClaim": source}]), &json!({}))
    };
    let error = node.mounter.mount(&with(false)).await.unwrap_err();
    assert_eq!(error.message, "error processing PVC default/c: PVC is not bound");
    let path = "/api/v1/namespaces/default/persistentvolumeclaims/c/status";
    let bound = node.server.patch(path, "merge-patch", &json!({"status": {"phase": "Bound"}})).await;
    assert_eq!(bound.code, 200);
    for read_only in [false, true] {
        node.mounter.mount(&with(read_only)).await.unwrap();
        let path = node.mounter.path(&uid(), "v").unwrap();
        assert_eq!(path, node.at("volumes/kubernetes.io~local-volume/pv"));
        assert_eq!(fs::read_to_string(path.join("kept")).unwrap(), "1");
        assert_eq!(fs::write(path.join("new"), "").is_err(), read_only);
        node.leave().await;
        assert!(data.join("kept").exists(), "what is mounted is not what is deleted");
    }
}

#[tokio::test]
async fn paths_below_a_volume_are_made_and_pinned_as_root() {
    let node = Node::start().await;
    node.mounter.mount(&pod(&json!([{"name": "v", "emptyDir": {}}]), &json!({}))).await.unwrap();
    let volume = node.mounter.path(&uid(), "v").unwrap();
    fs::write(volume.join("file"), "1").unwrap();
    symlink("file", volume.join("inside")).unwrap();
    symlink("/etc", volume.join("outside")).unwrap();
    symlink("../../../..", volume.join("up")).unwrap();

    let made = node.mounter.sub_path(&id(), 0, "v", "a/b").await.unwrap();
    assert_eq!(made, node.at("volume-subpaths/v/c/0"));
    assert_eq!(fs::metadata(volume.join("a/b")).unwrap().mode() & 0o7777, 0o777, "as the volume's root");
    fs::write(made.join("new"), "2").unwrap();
    assert_eq!(fs::read_to_string(volume.join("a/b/new")).unwrap(), "2");
    // What was mounted stays what it was.
    fs::rename(volume.join("a"), volume.join("moved")).unwrap();
    symlink("/etc", volume.join("a")).unwrap();
    assert!(made.join("new").exists());

    for (place, path) in [(1, "file"), (2, "inside")] {
        let file = node.mounter.sub_path(&id(), place, "v", path).await.unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "1", "{path}");
    }
    let again = node.mounter.sub_path(&id(), 1, "v", "file").await.unwrap();
    assert_eq!((fs::read_to_string(again).unwrap().as_str(), node.mounts()), ("1", 3));
    let other = node.mounter.sub_path(&id(), 1, "v", "moved").await.unwrap();
    assert!(other.is_dir(), "another path in the same place");

    let failed = "failed to create subPath directory for volumeMount \"v\" of container \"c\"";
    let rows = [
        ("outside/hostname", failed),
        ("outside/new/directory", failed),
        ("up/tmp", failed),
        ("a/passwd", failed),
        ("/etc", "error SubPath `/etc` must not be an absolute path"),
        ("a/../..", "unable to provision SubPath `a/../..`: must not contain '..'"),
    ];
    for (path, expected) in rows {
        assert_eq!(node.mounter.sub_path(&id(), 4, "v", path).await.unwrap_err(), expected, "{path}");
    }
    assert!(!Path::new("/etc/new").exists());
    let told = node.mounter.sub_path(&id(), 4, "none", "a").await.unwrap_err();
    assert_eq!(told, "volume \"none\" not found");
    node.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_race_with_links_leads_out_of_a_volume_as_root() {
    let node = Node::start().await;
    node.mounter.mount(&pod(&json!([{"name": "v", "emptyDir": {}}]), &json!({}))).await.unwrap();
    let volume = node.mounter.path(&uid(), "v").unwrap();
    let outside = node.directory.path().join("outside");
    fs::create_dir_all(outside.join("x")).unwrap();
    fs::write(outside.join("x/secret"), "").unwrap();
    fs::create_dir_all(volume.join("swap/x")).unwrap();
    symlink(&outside, volume.join("link")).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let (over, at) = (Arc::clone(&is_over), volume.clone());
    // What a container can do: `swap` is a directory at one time and a link out at another.
    let swapping = std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            renameat_with(CWD, at.join("swap"), CWD, at.join("link"), RenameFlags::EXCHANGE).unwrap();
        }
    });
    let (mut made, mut refused) = (0, 0);
    // Until both have been met often; a machine with one core swaps seldom.
    for round in 0..20_000 {
        if made >= 100 && refused >= 100 {
            break;
        }
        let path = if round % 2 == 0 { "swap/x" } else { "swap/made" };
        match node.mounter.sub_path(&id(), 0, "v", path).await {
            Ok(mounted) => {
                made += 1;
                assert!(!mounted.join("secret").exists(), "{path} led out");
            }
            Err(_) => refused += 1,
        }
    }
    is_over.store(true, Ordering::Relaxed);
    swapping.join().unwrap();
    assert!(made > 0 && refused > 0, "both the directory ({made}) and the link ({refused}) were met");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "nothing was made outside");
    node.leave().await;
}
