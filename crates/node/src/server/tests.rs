//! The whole server over TLS, with the fake runtime behind it.

mod support;

use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::stream::spdy;
use crate::stream::spdy::header::Headers;
use support::{Node, spdy_streams};

#[tokio::test]
async fn what_runs_and_what_it_uses_is_told() {
    let node = Node::start().await;
    let rows = [
        ("/healthz", 200, "ok"),
        ("/pods", 200, "\"kind\":\"PodList\""),
        ("/configz", 200, "{\"kubeletconfig\":{\"port\":10250}}"),
        (
            "/metrics",
            200,
            "kubelet_http_requests_total{method=\"GET\",path=\"pods\",long_running=\"false\"} 1",
        ),
        ("/metrics/resource", 200, "pod_memory_working_set_bytes{namespace=\"default\",pod=\"web\"} 0 "),
        ("/stats/summary", 200, "\"podRef\":{\"name\":\"web\",\"namespace\":\"default\",\"uid\":\"u-web\"}"),
        ("/logs/", 405, "logs endpoint is disabled."),
        ("/nothing", 404, "Not Found"),
    ];
    for (path, code, text) in rows {
        let (got, body) = node.get(path).await;
        assert_eq!(got, code, "{path}: {body}");
        assert!(body.contains(text), "{path}: {body}");
    }
}

#[tokio::test]
async fn who_shows_nothing_is_refused() {
    let node = Node::start().await.without_certificate();
    assert_eq!(node.get("/pods").await, (401, "Unauthorized".into()));
    assert_eq!(node.get_with_token("/pods", "monitor-token").await.0, 403);
    assert_eq!(node.get_with_token("/metrics", "monitor-token").await.0, 200);
}

#[tokio::test]
async fn logs_are_told_and_followed() {
    let node = Node::start().await;
    let log = |query: &str| format!("/containerLogs/default/web/main?{query}");
    let (code, text) = node.get(&log("tailLines=1")).await;
    assert_eq!((code, text.as_str()), (200, "I am web\n"));
    let rows = [
        ("/containerLogs/default/none/main", 404, "pod \"none\" does not exist"),
        ("/containerLogs/default/web/none", 404, "container \"none\" not found in pod \"web\""),
        (
            "/containerLogs/default/web/main?previous=1",
            400,
            "previous terminated container \"main\" in pod \"web\" not found",
        ),
        ("/containerLogs/default/web/main?tailLines=x", 400, "{\"message\": \"Unable to decode query.\"}"),
        ("/containerLogs/default/web/main?tailLines=-1", 422, "{\"message\": \"Invalid request.\"}"),
    ];
    for (path, code, text) in rows {
        assert_eq!(node.get(path).await, (code, text.to_owned()), "{path}");
    }
    let path = log("follow=1");
    let followed = node.get(&path);
    let stopped = async {
        tokio::task::yield_now().await;
        node.stop().await;
    };
    let ((code, text), ()) = tokio::join!(followed, stopped);
    assert_eq!((code, text.as_str()), (200, "I am web\n"));
}

#[tokio::test]
async fn streams_are_refused_in_the_kubelets_words() {
    let node = Node::start().await;
    let rows = [
        ("/exec/default/web/main?command=echo", 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("/exec/default/none/main?command=echo&output=1", 404, "pod does not exist"),
        ("/exec/default/web/none?command=echo&output=1", 500, "container not found (\"none\")"),
        ("/exec/default/web/other-uid/main?command=echo&output=1", 404, "pod does not exist"),
        ("/attach/default/web/none?output=1", 500, "container none not found in pod web_default"),
        ("/portForward/default/none", 404, "pod does not exist"),
        (
            "/exec/default/web/main?command=echo&output=1",
            400,
            "unable to upgrade: missing upgrade headers in request",
        ),
    ];
    for (path, code, text) in rows {
        assert_eq!(node.ask(Method::POST, path).await, (code, text.to_owned()), "{path}");
    }
    let (code, text) = node.ask(Method::POST, "/run/default/web/main?cmd=echo+hello+you").await;
    assert_eq!((code, text.as_str()), (200, "hello you\n"));
    let refused =
        node.upgrade("/exec/default/web/main?command=cat&input=1", "SPDY/3.1", &["v9.channel.k8s.io"]).await;
    let refused = refused.err().unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.headers().get_all("x-accepted-stream-protocol-versions").iter().count(), 5);
}

#[tokio::test]
async fn a_container_is_attached_to() {
    let node = Node::start().await;
    let io = node.spdy("/attach/default/web/main?input=1&output=1").await;
    let (connection, mut streams, _carrier) = spdy_streams(io, &["error", "stdin", "stdout"]).await;
    streams[1].write_all(b"hello\n").await.unwrap();
    let mut heard = [0; 6];
    streams[2].read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello\n");
    connection.close().await;
}

#[tokio::test]
async fn ports_are_forwarded() {
    let node = Node::start().await;
    let upgraded = node.upgrade("/portForward/default/web", "SPDY/3.1", &["portforward.k8s.io"]).await;
    let (connection, _, carrier) = spdy::open(upgraded.ok().unwrap(), spdy::Role::Client);
    tokio::spawn(carrier);
    let headers = |kind| Headers::of(&[("streamtype", kind), ("port", "80"), ("requestid", "0")]);
    let _error = connection.open(headers("error")).await.unwrap();
    let mut data = connection.open(headers("data")).await.unwrap();
    data.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    data.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Half of the clients end their command, the others go away in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_commands_at_once_leave_nothing_behind() {
    let node = Node::start().await;
    let one = |n: usize| {
        let node = node.clone();
        async move {
            let io = node.spdy("/exec/default/web/main?command=cat&input=1&output=1").await;
            let (connection, mut streams, carrier) = spdy_streams(io, &["error", "stdin", "stdout"]).await;
            streams[1].write_all(b"hello").await.unwrap();
            let mut heard = [0; 5];
            streams[2].read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"hello");
            (n, connection, streams, carrier)
        }
    };
    // One alone, so that what is made once is there.
    let (_, connection, _, carrier) = one(0).await;
    connection.close().await;
    carrier.abort();
    node.quiet().await;
    let before = (descriptors(), tasks());
    let all = futures::future::join_all((0..200).map(one)).await;
    assert_eq!(node.fake.processes(), 201);
    assert!(node.get("/metrics").await.1.contains("sampan_node_streams 200"));
    for (n, connection, mut streams, carrier) in all {
        if n % 2 == 0 {
            streams[1].shutdown().await.unwrap();
            let mut status = String::new();
            streams[0].read_to_string(&mut status).await.unwrap();
            assert!(status.contains("Success"), "{status}");
        }
        drop((streams, connection));
        carrier.abort();
    }
    node.quiet().await;
    // Sockets are closed by the runtime a moment after the last task that had them.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while (descriptors(), tasks()) > before && tokio::time::Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert!((descriptors(), tasks()) <= before, "{:?} > {before:?}", (descriptors(), tasks()));
}
