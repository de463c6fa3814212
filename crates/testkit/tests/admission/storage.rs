//! PersistentVolumeClaimResize, DefaultStorageClass.

use sampan_testkit::Admitting;
use serde_json::json;

use crate::expect;

const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";

#[tokio::test]
async fn a_bound_claim_grows_when_its_class_allows_it() {
    let server = Admitting::default().start().await;
    for (name, expands) in [("grows", true), ("stays", false)] {
        let class = json!({"metadata": {"name": name}, "provisioner": "p", "allowVolumeExpansion": expands});
        server.create("/apis/storage.k8s.io/v1/storageclasses", &class).await.ok();
    }
    let fixed = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    let rows = [("a", "grows", None), ("c", "stays", Some(fixed)), ("d", "gone", Some(fixed))];
    for (name, class, refusal) in rows {
        let claim = json!({"metadata": {"name": name}, "spec": {
            "storageClassName": class, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
        }});
        server.create(CLAIMS, &claim).await.ok();
        let status = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
        server.patch(&format!("{CLAIMS}/{name}/status"), "merge-patch", &status).await.ok();
        let more = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
        let reply = server.patch(&format!("{CLAIMS}/{name}"), "merge-patch", &more).await;
        let message = refusal.map(|why| format!("persistentvolumeclaims {name:?} is forbidden: {why}"));
        expect(name, &reply, message.as_deref());
    }
}

#[tokio::test]
async fn of_several_default_classes_the_newest_is_taken_and_then_the_first_by_name() {
    let server = Admitting::default().start().await;
    for name in ["b", "a", "plain"] {
        let mark = json!({"storageclass.kubernetes.io/is-default-class": (name != "plain").to_string()});
        let class = json!({"metadata": {"name": name, "annotations": mark}, "provisioner": "p"});
        server.create("/apis/storage.k8s.io/v1/storageclasses", &class).await.ok();
    }
    let claim = json!({"metadata": {"name": "c"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
    }});
    let class = server.create(CLAIMS, &claim).await.ok()["spec"]["storageClassName"].clone();
    assert!(class == "a" || class == "b", "{class}");
}
