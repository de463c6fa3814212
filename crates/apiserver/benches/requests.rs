//! What a request costs in the server alone, without TLS and HTTP: gets, lists, selectors, pages, writes.
//!
//! 10,000 ConfigMaps of 1.5 KB in memory; a tenth has each value of the label `shard`.

use std::sync::OnceLock;

use divan::{Bencher, black_box};
use http::Method;
use sampan_testkit::TestServer;
use serde_json::json;
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

const OBJECTS: usize = 10_000;
const COLLECTION: &str = "/api/v1/namespaces/default/configmaps";

/// The server that all benches read, and the runtime that runs it.
fn world() -> &'static (Runtime, TestServer) {
    static WORLD: OnceLock<(Runtime, TestServer)> = OnceLock::new();
    WORLD.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let server = runtime.block_on(async {
            let server = TestServer::start().await;
            for i in 0..OBJECTS {
                let reply = server.create(COLLECTION, &config_map(&format!("cm-{i:05}"), i)).await;
                assert_eq!(reply.code, 201);
            }
            server
        });
        (runtime, server)
    })
}

fn config_map(name: &str, i: usize) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": "load", "shard": (i % 10).to_string()}},
        "data": {"payload": "x".repeat(1024)},
    })
}

fn get(path: &str, accept: &str) -> usize {
    let (runtime, server) = world();
    let reply = runtime.block_on(server.request(Method::GET, path, &[("accept", accept)], ""));
    assert_eq!(reply.code, 200);
    reply.body.len()
}

#[divan::bench]
fn get_one(bencher: Bencher<'_, '_>) {
    world();
    bencher.bench(|| black_box(get(&format!("{COLLECTION}/cm-05000"), "application/json")));
}

#[divan::bench]
fn list_everything(bencher: Bencher<'_, '_>) {
    world();
    bencher.bench(|| black_box(get(COLLECTION, "application/json")));
}

#[divan::bench]
fn list_one_in_ten_by_label(bencher: Bencher<'_, '_>) {
    world();
    bencher.bench(|| black_box(get(&format!("{COLLECTION}?labelSelector=shard%3D3"), "application/json")));
}

#[divan::bench]
fn list_nothing_by_label(bencher: Bencher<'_, '_>) {
    world();
    bencher.bench(|| black_box(get(&format!("{COLLECTION}?labelSelector=shard%3Dnone"), "application/json")));
}

#[divan::bench]
fn list_a_page_of_500(bencher: Bencher<'_, '_>) {
    world();
    bencher.bench(|| black_box(get(&format!("{COLLECTION}?limit=500"), "application/json")));
}

#[divan::bench]
fn list_a_page_of_500_as_table(bencher: Bencher<'_, '_>) {
    world();
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    bencher.bench(|| black_box(get(&format!("{COLLECTION}?limit=500"), table)));
}

#[divan::bench]
fn create_in_memory(bencher: Bencher<'_, '_>) {
    let (runtime, server) = world();
    // Names of another namespace, so that the lists above keep their length.
    let path = "/api/v1/namespaces/kube-system/configmaps";
    let body = json!({"metadata": {"generateName": "bench-"}, "data": {"payload": "x".repeat(1024)}});
    bencher.bench(|| {
        let reply = runtime.block_on(server.create(path, &body));
        assert_eq!(reply.code, 201);
    });
}

#[divan::bench]
fn create_a_pod_as_dry_run(bencher: Bencher<'_, '_>) {
    let (runtime, server) = world();
    let path = "/api/v1/namespaces/default/pods?dryRun=All";
    let pod = json!({
        "metadata": {"name": "bench", "labels": {"app": "load"}},
        "spec": {"containers": [{
            "name": "main", "image": "busybox", "command": ["sleep", "9999"],
            "resources": {"requests": {"cpu": "15m", "memory": "500Ki"}, "limits": {"cpu": "100m", "memory": "8Mi"}},
        }]},
    });
    bencher.bench(|| {
        let reply = runtime.block_on(server.create(path, &pod));
        assert_eq!(reply.code, 201);
    });
}
