//! One tenant floods, another's latency is measured; and what fairness costs where nobody floods.
//!
//! The server runs on as many threads as there are processors; the tenants are threads of their own, each with a connection whose
//! requests run as those of HTTP/2 do. Beside the time, it tells how much this process computed in it: on a machine that does
//! other things too, that is the figure to compare. `cargo bench -p sampan-apiserver --bench fairness`.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use sampan_apiserver::flow_control::Limits;
use sampan_store::embedded::Embedded;
use sampan_testkit::{TestServer, user};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};

const COLLECTION: &str = "/api/v1/namespaces/default/configmaps";
const OBJECTS: usize = 2_000;
const PHASE: Duration = Duration::from_secs(3);

/// What the flooding tenant does.
#[derive(Clone, Copy)]
enum Flood {
    /// Nothing.
    None,
    /// So many requests a second, whether they are answered or not.
    Rate(usize, &'static str),
    /// So many at any time.
    AtOnce(usize, &'static str),
}

fn main() {
    // Run as a test, it only shows that it compiles.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let fair = runtime.block_on(world(None));
    let simple = runtime.block_on(world(Some(Limits::InFlight { reading: 400, mutating: 200 })));
    cost("fair", &fair);
    cost("two limits", &simple);
    let page = concat!("/api/v1/namespaces/default/configmaps", "?limit=500");
    let get = "/api/v1/namespaces/default/configmaps/cm-00500";
    let phases = [
        ("nobody else", Flood::None),
        ("10,000 gets/s", Flood::Rate(10_000, get)),
        ("256 gets at once", Flood::AtOnce(256, get)),
        ("250 pages of 500 at once", Flood::AtOnce(250, page)),
        ("250 lists of 2,000 at once", Flood::AtOnce(250, COLLECTION)),
    ];
    println!(
        "{:<12}{:<28}{:>9}{:>9}{:>13}{:>13}{:>10}",
        "", "flood", "p50 us", "p99 us", "p50 CPU us", "p99 CPU us", "flood/s"
    );
    for (name, server) in [("fair", &fair), ("two limits", &simple)] {
        for (what, flood) in phases {
            let (latencies, work, answered) = measure(&runtime, server, flood);
            let at = |all: &[Duration], part: usize| all[all.len() * part / 100].as_micros();
            println!(
                "{name:<12}{what:<28}{:>9}{:>9}{:>13}{:>13}{:>10}",
                at(&latencies, 50),
                at(&latencies, 99),
                at(&work, 50),
                at(&work, 99),
                answered as u64 / PHASE.as_secs()
            );
        }
    }
}

async fn world(limits: Option<Limits>) -> TestServer {
    let server = TestServer::configured(Arc::new(Embedded::in_memory()), |config| {
        if let Some(limits) = limits {
            config.limits = limits;
        }
    })
    .await;
    for i in 0..OBJECTS {
        let object =
            json!({"metadata": {"name": format!("cm-{i:05}")}, "data": {"payload": "x".repeat(1024)}});
        assert_eq!(server.create(COLLECTION, &object).await.code, 201);
    }
    let group =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:serviceaccounts"});
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
    let binding = json!({"metadata": {"name": "tenants"}, "roleRef": role, "subjects": [group]});
    server.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await.ok();
    server
}

fn tenant(server: &TestServer, name: &str) -> TestServer {
    let groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    server.asked_by(user(&format!("system:serviceaccount:default:{name}"), &groups))
}

/// Asks, and takes the answer piece by piece, as a connection does.
async fn ask(server: &TestServer, path: &str) -> u16 {
    let request = Request::get(path).header("accept", "application/json").body(Bytes::new());
    let mut answer = server.send(request.expect("the request is well formed")).await;
    while answer.body_mut().frame().await.is_some() {}
    answer.status().as_u16()
}

/// A get of a tenant, one after another, on one thread.
fn cost(name: &str, server: &TestServer) {
    const TIMES: u32 = 100_000;
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let tenant = tenant(server, "quiet");
    let path = format!("{COLLECTION}/cm-00700");
    let best = (0..5).map(|_| {
        let began = Instant::now();
        runtime.block_on(async {
            for _ in 0..TIMES {
                assert_eq!(ask(&tenant, &path).await, 200);
            }
        });
        began.elapsed() / TIMES
    });
    println!("{name}: a get costs {:?}", best.min().expect("it was measured"));
}

/// The latencies of a quiet tenant, and what was computed meanwhile, in ascending order; and how many requests of the flood were
/// answered.
fn measure(runtime: &Runtime, server: &TestServer, flood: Flood) -> (Vec<Duration>, Vec<Duration>, usize) {
    let path = match flood {
        Flood::None => "",
        Flood::Rate(_, path) | Flood::AtOnce(_, path) => path,
    };
    let (loud, flooded) = connect(runtime, tenant(server, "loud"), path.to_owned());
    let (mut quiet, ok) = connect(runtime, tenant(server, "quiet"), format!("{COLLECTION}/cm-00700"));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood_until(loud, flood, &over));
        std::thread::sleep(Duration::from_millis(200));
        let end = Instant::now() + PHASE;
        let (mut latencies, mut work, mut answer) = (Vec::new(), Vec::new(), [0]);
        let before_phase = flooded.load(Ordering::Relaxed);
        while Instant::now() < end {
            let (began, before) = (Instant::now(), computed());
            quiet.write_all(&[0]).expect("the connection is open");
            quiet.read_exact(&mut answer).expect("the connection is open");
            latencies.push(began.elapsed());
            work.push(computed().saturating_sub(before));
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(ok.load(Ordering::Relaxed), latencies.len(), "the quiet tenant is never refused");
        let answered = flooded.load(Ordering::Relaxed) - before_phase;
        over.store(true, Ordering::Relaxed);
        flooding.join().expect("the flood does not panic");
        latencies.sort_unstable();
        work.sort_unstable();
        (latencies, work, answered)
    })
}

/// A connection of a tenant: the server runs a request for each byte that it reads, in a task of its own as with HTTP/2, and
/// writes a byte for each answer. Counts those that are 200.
fn connect(runtime: &Runtime, tenant: TestServer, path: String) -> (UnixStream, Arc<AtomicUsize>) {
    let (client, server) = UnixStream::pair().expect("a pair of sockets");
    let (ok, path) = (Arc::new(AtomicUsize::new(0)), Arc::new(path));
    let counted = Arc::clone(&ok);
    runtime.spawn(async move {
        server.set_nonblocking(true).expect("a socket can be asked not to block");
        let stream = tokio::net::UnixStream::from_std(server).expect("the runtime takes sockets");
        let (mut reading, mut writing) = stream.into_split();
        let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut all = Vec::new();
            while answers.recv_many(&mut all, 256).await > 0 {
                if writing.write_all(&all).await.is_err() {
                    return;
                }
                all.clear();
            }
        });
        let mut bytes = [0; 256];
        while let Ok(count) = reading.read(&mut bytes).await {
            if count == 0 {
                return;
            }
            for _ in 0..count {
                let (tenant, path, answered) = (tenant.clone(), Arc::clone(&path), answered.clone());
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    if ask(&tenant, &path).await == 200 {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                    let _ = answered.send(0_u8);
                });
            }
        }
    });
    (client, ok)
}

fn flood_until(mut connection: UnixStream, flood: Flood, over: &AtomicBool) {
    let mut bytes = [0; 256];
    match flood {
        Flood::None => {}
        Flood::Rate(per_second, _) => {
            let mut answers = connection.try_clone().expect("a socket has two ends");
            let reading =
                std::thread::spawn(move || while answers.read(&mut bytes).is_ok_and(|count| count > 0) {});
            let (began, mut sent) = (Instant::now(), 0);
            while !over.load(Ordering::Relaxed) {
                let due = usize::try_from(began.elapsed().as_micros()).unwrap_or(0) * per_second / 1_000_000;
                connection.write_all(&vec![0; due - sent]).expect("the connection is open");
                sent = due;
                std::thread::sleep(Duration::from_micros(500));
            }
            connection.shutdown(std::net::Shutdown::Both).expect("the connection is open");
            reading.join().expect("it only reads");
        }
        Flood::AtOnce(count, _) => {
            connection.write_all(&vec![0; count]).expect("the connection is open");
            let mut under_way = count;
            while under_way > 0 {
                let count = connection.read(&mut bytes).expect("the connection is open");
                under_way -= count;
                if !over.load(Ordering::Relaxed) {
                    connection.write_all(&bytes[..count]).expect("the connection is open");
                    under_way += count;
                }
            }
        }
    }
}

/// How much this process has computed, on all processors.
fn computed() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
