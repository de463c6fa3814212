//! One tenant floods, another's latency is measured; and what fairness costs where nobody floods.
//!
//! The server runs on as many threads as there are processors; the tenants on threads of their own, which hand each request to
//! the server's runtime as a connection does. `cargo bench -p sampan-apiserver --bench fairness`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use sampan_apiserver::flow_control::Limits;
use sampan_store::embedded::Embedded;
use sampan_testkit::{TestServer, user};
use serde_json::json;
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
    println!("{:<14}{:<30}{:>12}{:>12}{:>14}", "", "flood", "p50 us", "p99 us", "flood/s");
    for (name, server) in [("fair", &fair), ("two limits", &simple)] {
        for (what, flood) in phases {
            let (latencies, answered) = measure(&runtime, server, flood);
            let at = |part: usize| latencies[latencies.len() * part / 100].as_micros();
            println!(
                "{name:<14}{what:<30}{:>12}{:>12}{:>14}",
                at(50),
                at(99),
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

async fn ask(server: &TestServer, path: &str) -> u16 {
    server.request(Method::GET, path, &[("accept", "application/json")], "").await.code
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

/// The latencies of a quiet tenant in ascending order, and how many requests of the flood were answered with 200.
fn measure(runtime: &Runtime, server: &TestServer, flood: Flood) -> (Vec<Duration>, usize) {
    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (quiet, loud) = (tenant(server, "quiet"), tenant(server, "loud"));
    let handle = runtime.handle();
    let flooding = {
        let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
        move || flood_until(handle, &loud, flood, &over, &answered)
    };
    std::thread::scope(|scope| {
        let flooding = scope.spawn(flooding);
        std::thread::sleep(Duration::from_millis(200));
        let (end, path) = (Instant::now() + PHASE, format!("{COLLECTION}/cm-00700"));
        let mut latencies = Vec::new();
        while Instant::now() < end {
            let (quiet, path) = (quiet.clone(), path.clone());
            let began = Instant::now();
            let code = handle.block_on(handle.spawn(async move { ask(&quiet, &path).await }));
            latencies.push(began.elapsed());
            assert_eq!(code.expect("it does not panic"), 200, "the quiet tenant is never refused");
            std::thread::sleep(Duration::from_millis(1));
        }
        over.store(true, Ordering::Relaxed);
        flooding.join().expect("the flood does not panic");
        latencies.sort_unstable();
        (latencies, answered.load(Ordering::Relaxed))
    })
}

fn flood_until(
    handle: &tokio::runtime::Handle,
    loud: &TestServer,
    flood: Flood,
    over: &Arc<AtomicBool>,
    answered: &Arc<AtomicUsize>,
) {
    let one = |path: &'static str, again: bool| {
        let (loud, over, answered) = (loud.clone(), Arc::clone(over), Arc::clone(answered));
        handle.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                if ask(&loud, path).await == 200 {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                if !again {
                    return;
                }
                // The next comes from the network.
                tokio::task::yield_now().await;
            }
        })
    };
    match flood {
        Flood::None => {}
        Flood::Rate(per_second, path) => {
            let (began, mut sent) = (Instant::now(), 0);
            while !over.load(Ordering::Relaxed) {
                let due = began.elapsed().as_micros() as usize * per_second / 1_000_000;
                for _ in sent..due {
                    one(path, false);
                }
                sent = due;
                std::thread::sleep(Duration::from_micros(500));
            }
        }
        Flood::AtOnce(count, path) => {
            let all: Vec<_> = (0..count).map(|_| one(path, true)).collect();
            for task in all {
                handle.block_on(task).expect("it does not panic");
            }
        }
    }
}
