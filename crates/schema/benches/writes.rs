//! What a write costs in this crate: decoding, defaults, managed fields, patches.

#[path = "../fixtures/schemas.rs"]
#[allow(dead_code, unreachable_pub)]
mod schemas;

use divan::{Bencher, black_box};
use sampan_model::Value;
use sampan_schema::managed::{self, Manager};
use sampan_schema::{Schema, complete, decode, default, patch};
use schemas::{core, value};

fn main() {
    divan::main();
}

const MANAGER: Manager<'static> = Manager { name: "bench", api_version: "v1", subresource: "" };
const NOW: &str = "2026-01-01T00:00:00Z";

/// A ConfigMap of about 1.5 KB.
fn config_map() -> String {
    let data: Vec<String> =
        (0..10).map(|i| format!(r#""key-{i:02}":"{}""#, "some text, ".repeat(10))).collect();
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a","namespace":"default","labels":{{"app":"web","tier":"front"}}}},"data":{{{}}}}}"#,
        data.join(",")
    )
}

fn pod() -> String {
    let container = |name: &str| {
        format!(
            r#"{{"name":"{name}","image":"registry.test/app:1.2.3","command":["/bin/app","--flag"],"env":[{{"name":"A","value":"1"}},{{"name":"B","value":"2"}},{{"name":"C","value":"3"}}],"ports":[{{"containerPort":8080,"protocol":"TCP","name":"http"}}],"resources":{{"limits":{{"cpu":"500m","memory":"128Mi"}},"requests":{{"cpu":"0.25","memory":"64Mi"}}}},"volumeMounts":[{{"name":"v","mountPath":"/data"}}],"livenessProbe":{{"httpGet":{{"path":"/","port":8080}},"periodSeconds":10}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}}"#
        )
    };
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p","namespace":"default","labels":{{"app":"web"}}}},"spec":{{"containers":[{},{}],"volumes":[{{"name":"v","emptyDir":{{}}}}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default","securityContext":{{}},"schedulerName":"default-scheduler","tolerations":[{{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}}],"priority":0,"enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority"}},"status":{{"phase":"Pending"}}}}"#,
        container("main"),
        container("side")
    )
}

fn tracked(schema: &Schema, text: &str) -> Value {
    let mut object = decode::json(schema, text.as_bytes()).expect("it fits").value;
    managed::update(schema, None, &mut object, &MANAGER, NOW, None).expect("it is tracked");
    object
}

fn changed(object: &Value, patch: &str) -> Value {
    let mut object = object.clone();
    patch::merge(&mut object, value(patch));
    object
}

#[divan::bench]
fn decode_config_map(bencher: Bencher<'_, '_>) {
    let (schema, text) = (core("ConfigMap"), config_map());
    bencher.bench(|| decode::json(black_box(&schema), black_box(text.as_bytes())));
}

#[divan::bench]
fn decode_pod(bencher: Bencher<'_, '_>) {
    let (schema, text) = (core("Pod"), pod());
    bencher.bench(|| decode::json(black_box(&schema), black_box(text.as_bytes())));
}

#[divan::bench]
fn decode_pod_tree(bencher: Bencher<'_, '_>) {
    let (schema, tree) = (core("Pod"), value(&pod()));
    bencher.with_inputs(|| tree.clone()).bench_values(|tree| decode::value(black_box(&schema), tree));
}

#[divan::bench]
fn default_pod(bencher: Bencher<'_, '_>) {
    let (schema, tree) = (core("Pod"), value(&pod()));
    bencher.with_inputs(|| tree.clone()).bench_refs(|tree| default(black_box(&schema), tree));
}

#[divan::bench]
fn complete_pod(bencher: Bencher<'_, '_>) {
    let (schema, tree) = (core("Pod"), value(&pod()));
    bencher.with_inputs(|| tree.clone()).bench_refs(|tree| complete(black_box(&schema), tree));
}

#[divan::bench]
fn managed_create_pod(bencher: Bencher<'_, '_>) {
    let (schema, tree) = (core("Pod"), value(&pod()));
    bencher
        .with_inputs(|| tree.clone())
        .bench_refs(|new| managed::update(black_box(&schema), None, new, &MANAGER, NOW, None));
}

#[divan::bench]
fn managed_update_config_map(bencher: Bencher<'_, '_>) {
    let schema = core("ConfigMap");
    let old = tracked(&schema, &config_map());
    let new = changed(&old, r#"{"data":{"key-03":"other"}}"#);
    bencher
        .with_inputs(|| new.clone())
        .bench_refs(|new| managed::update(black_box(&schema), Some(&old), new, &MANAGER, NOW, None));
}

#[divan::bench]
fn managed_update_config_map_without_sent_fields(bencher: Bencher<'_, '_>) {
    let schema = core("ConfigMap");
    let old = tracked(&schema, &config_map());
    let new = changed(&old, r#"{"data":{"key-03":"other"},"metadata":{"managedFields":null}}"#);
    bencher
        .with_inputs(|| new.clone())
        .bench_refs(|new| managed::update(black_box(&schema), Some(&old), new, &MANAGER, NOW, None));
}

#[divan::bench]
fn managed_update_pod_status(bencher: Bencher<'_, '_>) {
    let schema = core("Pod");
    let old = tracked(&schema, &pod());
    let new =
        changed(&old, r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#);
    let manager = Manager { subresource: "status", ..MANAGER };
    bencher
        .with_inputs(|| new.clone())
        .bench_refs(|new| managed::update(black_box(&schema), Some(&old), new, &manager, NOW, None));
}

#[divan::bench]
fn managed_update_of_nothing(bencher: Bencher<'_, '_>) {
    let schema = core("Pod");
    let old = tracked(&schema, &pod());
    bencher
        .with_inputs(|| old.clone())
        .bench_refs(|new| managed::update(black_box(&schema), Some(&old), new, &MANAGER, NOW, None));
}

#[divan::bench]
fn apply_config_map(bencher: Bencher<'_, '_>) {
    let schema = core("ConfigMap");
    let live =
        managed::apply(&schema, None, value(&config_map()), &MANAGER, false, NOW, None).expect("it applies");
    let config = changed(&value(&config_map()), r#"{"data":{"key-03":"other"}}"#);
    bencher.with_inputs(|| config.clone()).bench_values(|config| {
        managed::apply(black_box(&schema), Some(&live), config, &MANAGER, false, NOW, None)
    });
}

#[divan::bench]
fn apply_pod(bencher: Bencher<'_, '_>) {
    let schema = core("Pod");
    let live = managed::apply(&schema, None, value(&pod()), &MANAGER, false, NOW, None).expect("it applies");
    let config = changed(&value(&pod()), r#"{"spec":{"nodeName":"n"}}"#);
    bencher.with_inputs(|| config.clone()).bench_values(|config| {
        managed::apply(black_box(&schema), Some(&live), config, &MANAGER, false, NOW, None)
    });
}

#[divan::bench]
fn strategic_merge_pod(bencher: Bencher<'_, '_>) {
    let (schema, pod) = (core("Pod"), value(&pod()));
    let change =
        value(r#"{"spec":{"containers":[{"name":"main","image":"x:2","env":[{"name":"B","value":"9"}]}]}}"#);
    bencher.with_inputs(|| (pod.clone(), change.clone())).bench_values(|(mut pod, change)| {
        patch::strategic(black_box(&schema), &mut pod, change).map(|()| pod)
    });
}
