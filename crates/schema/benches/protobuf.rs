//! What protobuf costs: a pod of two containers from and to its message, beside the same in JSON.

#[path = "../fixtures/schemas.rs"]
#[allow(dead_code, unreachable_pub)]
mod schemas;

use divan::{Bencher, black_box};
use sampan_model::Value;
use sampan_schema::protobuf::{Backwards, Layout, MessageId, Transcoder, decode, encode};
use sampan_schema::{SchemaSet, decode as json};
use schemas::{CORE, NUMBERS, core, parse, value};

fn main() {
    divan::main();
}

fn pod() -> Value {
    let container = |name: &str| {
        format!(
            r#"{{"name":"{name}","image":"registry.test/app:1.2.3","command":["/bin/app","--flag"],"env":[{{"name":"A","value":"1"}},{{"name":"B","value":"2"}}],"ports":[{{"containerPort":8080,"protocol":"TCP","name":"http"}}],"resources":{{"limits":{{"cpu":"500m","memory":"128Mi"}},"requests":{{"cpu":"250m","memory":"64Mi"}}}},"volumeMounts":[{{"name":"v","mountPath":"/data"}}],"livenessProbe":{{"httpGet":{{"path":"/","port":8080}},"periodSeconds":10}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}}"#
        )
    };
    value(&format!(
        r#"{{"metadata":{{"name":"p","namespace":"default","uid":"0a0b0c0d-0000-0000-0000-000000000000","creationTimestamp":"2026-01-01T00:00:00Z","labels":{{"app":"web"}}}},"spec":{{"containers":[{},{}],"volumes":[{{"name":"v","emptyDir":{{}}}}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default","securityContext":{{}},"schedulerName":"default-scheduler","tolerations":[{{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}}],"priority":0,"enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority"}},"status":{{"phase":"Pending"}}}}"#,
        container("main"),
        container("side")
    ))
}

fn layout() -> (Layout, MessageId) {
    let layout = Layout::new(&parse(CORE, SchemaSet::new()), NUMBERS);
    let id = layout.find("io.k8s.api.core.v1.Pod").expect("the fixtures have pods");
    (layout, id)
}

fn message() -> Vec<u8> {
    let (layout, id) = layout();
    let mut out = Backwards::default();
    encode(&layout, id, &pod(), &mut out).expect("a pod has a message");
    out.as_slice().to_vec()
}

#[divan::bench]
fn encode_pod(bencher: Bencher<'_, '_>) {
    let ((layout, id), pod) = (layout(), pod());
    let mut out = Backwards::with_capacity(4096);
    bencher.bench_local(|| {
        out.clear();
        encode(&layout, id, black_box(&pod), &mut out).expect("a pod has a message");
        out.len()
    });
}

#[divan::bench]
fn decode_pod(bencher: Bencher<'_, '_>) {
    let ((layout, id), message) = (layout(), message());
    bencher.bench(|| decode(&layout, id, black_box(&message)));
}

#[divan::bench]
fn decode_pod_from_json(bencher: Bencher<'_, '_>) {
    let (schema, text) = (core("Pod"), pod().to_json());
    bencher.bench(|| json::json(&schema, black_box(text.as_bytes())));
}

/// What an answer costs: stored JSON to a message.
#[divan::bench]
fn transcode_pod_from_stored_bytes(bencher: Bencher<'_, '_>) {
    let ((layout, id), text) = (layout(), pod().to_json());
    let mut out = Backwards::with_capacity(4096);
    let mut transcoder = Transcoder::default();
    bencher.bench_local(|| {
        out.clear();
        transcoder.transcode(&layout, id, black_box(text.as_bytes()), &mut out).expect("a pod has a message");
        out.len()
    });
}

/// The same by way of a tree.
#[divan::bench]
fn encode_pod_from_stored_bytes_by_a_tree(bencher: Bencher<'_, '_>) {
    let ((layout, id), text) = (layout(), pod().to_json());
    let mut out = Backwards::with_capacity(4096);
    bencher.bench_local(|| {
        let tree: Value = serde_json::from_str(black_box(&text)).expect("it is JSON");
        out.clear();
        encode(&layout, id, &tree, &mut out).expect("a pod has a message");
        out.len()
    });
}
