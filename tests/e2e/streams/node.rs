//! A node of the cluster whose pods are programs of this process.

use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node as NodeObject, Pod};
use kube::api::{Api, Patch, PatchParams, PostParams};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use sampan_node::container::{ContainerConfig, ContainerId, PodUid};
use sampan_node::runtime::Runtime as _;
use sampan_node::runtime::fake::{Fake, Process, container_config, programs, sandbox_config};
use sampan_node::server::access::Reviews;
use sampan_node::server::{Config, Found, Pods, serve, tls};
use sampan_tests::Cluster;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// An address of this machine that others may be told: loopback ones are not proxied to. Nothing is sent.
pub(crate) fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The node `n`, which runs the pod `web`. Beside it there are the pod `unbound` without a node, and the pod `stranded` on the node `far`,
/// which cannot be reached.
pub(crate) struct Node {
    fake: Fake,
    logs: TempDir,
    _runtime: Runtime,
}

struct One(Found);

impl Pods for One {
    fn list(&self) -> Vec<Arc<Pod>> {
        vec![Arc::clone(&self.0.pod)]
    }

    fn find(&self, namespace: &str, name: &str) -> Option<Found> {
        ((namespace, name) == ("default", "web")).then(|| self.0.clone())
    }
}

impl Node {
    /// Starts it.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let logs = tempfile::tempdir().unwrap();
        let fake = runtime.block_on(begin(cluster, &logs));
        Self { fake, logs, _runtime: runtime }
    }

    fn log_file(&self) -> PathBuf {
        self.logs.path().join("main/0.log")
    }

    /// Writes a line into the log of the pod.
    pub(crate) fn log(&self, line: &str) {
        use std::io::Write as _;
        let mut file = std::fs::File::options().append(true).open(self.log_file()).unwrap();
        writeln!(file, "2026-01-01T00:00:00Z stdout F {line}").unwrap();
    }

    /// Takes that line away again.
    pub(crate) fn forget_log(&self) {
        let text = std::fs::read_to_string(self.log_file()).unwrap();
        let lines: Vec<&str> =
            text.lines().filter(|line| !line.starts_with("2026-01-01T00:00:00Z")).collect();
        std::fs::write(self.log_file(), lines.join("\n") + "\n").unwrap();
    }

    /// Waits until so many programs run.
    pub(crate) fn until_processes(&self, count: usize) {
        let begin = Instant::now();
        while self.fake.processes() != count {
            assert!(begin.elapsed() < PATIENCE, "{} programs run, not {count}", self.fake.processes());
            std::thread::yield_now();
        }
    }

    /// Waits until nothing but the container itself runs.
    pub(crate) fn is_quiet(&self) {
        self.until_processes(1);
    }
}

async fn begin(cluster: &Cluster, logs: &TempDir) -> Fake {
    let client = cluster.client().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for (name, port) in [("n", port), ("far", 9)] {
        node(&client, name, port).await;
    }
    let mut pods = Vec::new();
    for (name, node) in [("web", Some("n")), ("stranded", Some("far")), ("unbound", None)] {
        pods.push(pod(&client, name, node).await);
    }
    let pod = Arc::new(pods.remove(0));
    let uid = PodUid::new(pod.metadata.uid.as_deref().unwrap()).unwrap();
    let fake = container(&uid, logs).await;
    let found = Found { pod, uid, log_directory: logs.path().to_owned() };
    let (_, tls) = watch::channel(certificate(cluster));
    let config = Config {
        node: "n".into(),
        tls,
        access: Arc::new(Reviews::new(client)),
        pods: Arc::new(One(found)),
        runtime: Arc::new(fake.clone()),
        configuration: json!({}),
        metrics: prometheus_client::registry::Registry::default(),
        data_directory: logs.path().to_owned(),
    };
    tokio::spawn(serve(config, listener, CancellationToken::new()));
    fake
}

/// Says two lines, then what it hears.
async fn main_program(mut process: Process) -> i32 {
    process.stdout.write_all(b"I am web\nand I say two lines\n").await.unwrap();
    let _ = tokio::io::copy(&mut process.stdin, &mut process.stdout).await;
    std::future::pending().await
}

/// The machine's own `tar`, which kubectl needs to copy files.
async fn tar(mut process: Process) -> i32 {
    let mut child = tokio::process::Command::new("tar")
        .args(&process.args[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout, mut stderr) =
        (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let input = async {
        let _ = tokio::io::copy(&mut process.stdin, &mut stdin).await;
        drop(stdin);
        std::future::pending::<()>().await;
    };
    let output = async {
        let _ = tokio::join!(
            tokio::io::copy(&mut stdout, &mut process.stdout),
            tokio::io::copy(&mut stderr, &mut process.stderr)
        );
    };
    tokio::select! {
        () = input => unreachable!("its input does not end it"),
        () = output => {}
    }
    child.wait().await.ok().and_then(|status| status.code()).unwrap_or(1)
}

async fn container(uid: &PodUid, logs: &TempDir) -> Fake {
    let echo = |io: DuplexStream| {
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(io);
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
        });
    };
    let fake = Fake::default()
        .program("main", programs::program(main_program))
        .program("tar", programs::program(tar))
        .listener(80, Arc::new(echo));
    fake.start_sandbox(&sandbox_config(uid, "default", "web", logs.path())).await.unwrap();
    let id = ContainerId { pod: uid.clone(), name: "main".into(), attempt: 0 };
    let config = ContainerConfig { stdin: true, ..container_config(&id, &["main"]) };
    fake.create_container(&config).await.unwrap();
    fake.start_container(&id).await.unwrap();
    let log = logs.path().join("main/0.log");
    while !std::fs::read_to_string(&log).is_ok_and(|text| text.ends_with("two lines\n")) {
        tokio::task::yield_now().await;
    }
    fake
}

async fn node(client: &kube::Client, name: &str, port: u16) {
    let api = Api::<NodeObject>::all(client.clone());
    let object = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }});
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

async fn pod(client: &kube::Client, name: &str, node: Option<&str>) -> Pod {
    let api = Api::<Pod>::default_namespaced(client.clone());
    let object = json!({
        "metadata": {"name": name},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "example.org/web:1", "stdin": true}]},
    });
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    let ip = own_address();
    let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": ip.map(|ip| json!([{"ip": ip}])), "containerStatuses": [{
        "name": "main", "image": "example.org/web:1", "imageID": "", "ready": true, "restartCount": 0,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }]}});
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap()
}

/// A certificate of the cluster's authority.
fn certificate(cluster: &Cluster) -> Arc<tls::ServerConfig> {
    let read = |name: &str| std::fs::read_to_string(cluster.data_dir().join("pki").join(name)).unwrap();
    let authority = read("ca.crt");
    let issuer = Issuer::from_ca_cert_pem(&authority, KeyPair::from_pem(&read("ca.key")).unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "system:node:n");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let chain = params.signed_by(&key, &issuer).unwrap().pem();
    tls::config(chain.as_bytes(), key.serialize_pem().as_bytes(), authority.as_bytes()).unwrap()
}
