//! A node with one pod, and its clients.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tempfile::TempDir;
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::container::{ContainerConfig, ContainerId, PodUid};
use crate::runtime::Runtime as _;
use crate::runtime::fake::{Fake, container_config, programs, sandbox_config};
use crate::server::access::attributes::Attributes;
use crate::server::access::{Access, Error, User};
use crate::server::{Config, Found, Pods, serve, tls};
use crate::stream::spdy;
use crate::stream::spdy::header::Headers;

/// Everybody of `system:masters` may everything, a monitor may read metrics.
struct Everybody;

#[async_trait]
impl Access for Everybody {
    async fn user(&self, token: &str) -> Result<Option<User>, Error> {
        Ok((token == "monitor-token").then(|| User { name: "monitor".into(), ..User::default() }))
    }

    async fn allows(&self, user: &User, attributes: &Attributes) -> Result<bool, Error> {
        let master = user.groups.iter().any(|group| group == "system:masters");
        Ok(master || (attributes.subresource == "metrics" && attributes.verb == "get"))
    }
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

/// A node with the pod `default/web`, whose container `main` says who it is and then what it hears. Port 80 echoes.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) fake: Fake,
    address: SocketAddr,
    client: Arc<rustls::ClientConfig>,
    anonymous: Arc<rustls::ClientConfig>,
    _kept: Arc<(TempDir, DropGuard)>,
}

fn id() -> ContainerId {
    ContainerId { pod: PodUid::new("u-web").unwrap(), name: "main".into(), attempt: 0 }
}

impl Node {
    pub(super) async fn start() -> Self {
        let logs = tempfile::tempdir().unwrap();
        let main = programs::program(|mut process| async move {
            use tokio::io::AsyncWriteExt as _;
            process.stdout.write_all(b"I am web\n").await.unwrap();
            tokio::io::copy(&mut process.stdin, &mut process.stdout).await.unwrap();
            std::future::pending().await
        });
        let echo = |io: DuplexStream| {
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(io);
                tokio::io::copy(&mut read, &mut write).await
            });
        };
        let fake = Fake::default().program("main", main).listener(80, Arc::new(echo));
        fake.start_sandbox(&sandbox_config(&id().pod, "default", "web", logs.path())).await.unwrap();
        let config = ContainerConfig { stdin: true, ..container_config(&id(), &["main"]) };
        fake.create_container(&config).await.unwrap();
        fake.start_container(&id()).await.unwrap();
        let log = logs.path().join("main/0.log");
        while !std::fs::read_to_string(&log).is_ok_and(|text| text.contains("I am web")) {
            tokio::task::yield_now().await;
        }
        let found = Found { pod: Arc::new(pod()), uid: id().pod, log_directory: logs.path().to_owned() };
        let authority = Authority::new();
        let (chain, key) = authority.sign("node", None, ExtendedKeyUsagePurpose::ServerAuth);
        let tls = tls::config(chain.as_bytes(), key.as_bytes(), authority.pem.as_bytes()).unwrap();
        let (_, tls) = watch::channel(tls);
        let stop = CancellationToken::new();
        let config = Config {
            node: "n".into(),
            tls,
            access: Arc::new(Everybody),
            pods: Arc::new(One(found)),
            runtime: Arc::new(fake.clone()),
            configuration: serde_json::json!({"port": 10250}),
            metrics: prometheus_client::registry::Registry::default(),
            data_directory: PathBuf::from("/"),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(config, listener, stop.clone()));
        let (chain, key) =
            authority.sign("admin", Some("system:masters"), ExtendedKeyUsagePurpose::ClientAuth);
        Self {
            fake,
            address,
            client: authority.client(Some((chain, key))),
            anonymous: authority.client(None),
            _kept: Arc::new((logs, stop.drop_guard())),
        }
    }

    /// The same node, for a client without a certificate.
    pub(super) fn without_certificate(self) -> Self {
        Self { client: Arc::clone(&self.anonymous), ..self }
    }

    async fn send(&self, request: Request<Empty<bytes::Bytes>>) -> Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::from(self.address.ip());
        let stream = TlsConnector::from(Arc::clone(&self.client)).connect(name, stream).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.unwrap()
    }

    async fn text(&self, request: Request<Empty<bytes::Bytes>>) -> (u16, String) {
        let response = self.send(request).await;
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(super) async fn ask(&self, method: Method, path: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).header("host", "node");
        self.text(request.body(Empty::new()).unwrap()).await
    }

    pub(super) async fn get(&self, path: &str) -> (u16, String) {
        self.ask(Method::GET, path).await
    }

    pub(super) async fn get_with_token(&self, path: &str, token: &str) -> (u16, String) {
        let request =
            Request::get(path).header("host", "node").header("authorization", format!("Bearer {token}"));
        self.text(request.body(Empty::new()).unwrap()).await
    }

    /// A connection that was upgraded, or the answer that was given instead.
    pub(super) async fn upgrade(
        &self,
        path: &str,
        to: &str,
        protocols: &[&str],
    ) -> Result<TokioIo<hyper::upgrade::Upgraded>, Response<Incoming>> {
        let mut request =
            Request::post(path).header("host", "node").header("connection", "Upgrade").header("upgrade", to);
        for protocol in protocols {
            request = request.header("x-stream-protocol-version", *protocol);
        }
        let response = self.send(request.body(Empty::new()).unwrap()).await;
        if response.status() != 101 {
            return Err(response);
        }
        Ok(TokioIo::new(hyper::upgrade::on(response).await.unwrap()))
    }

    pub(super) async fn spdy(&self, path: &str) -> TokioIo<hyper::upgrade::Upgraded> {
        self.upgrade(path, "SPDY/3.1", &["v4.channel.k8s.io"]).await.ok().unwrap()
    }

    /// Stops the container.
    pub(super) async fn stop(&self) {
        self.fake.stop_container(&id(), std::time::Duration::ZERO).await.unwrap();
    }

    /// Waits until no stream is open and no command runs.
    pub(super) async fn quiet(&self) {
        while self.fake.processes() > 1 || !self.get("/metrics").await.1.contains("sampan_node_streams 0") {
            tokio::task::yield_now().await;
        }
    }
}

/// Speaks SPDY as a client, and opens streams of these types.
pub(super) async fn spdy_streams(
    io: TokioIo<hyper::upgrade::Upgraded>,
    names: &[&str],
) -> (spdy::Connection, Vec<spdy::Stream>, JoinHandle<Result<(), spdy::Error>>) {
    let (connection, _, carrier) = spdy::open(io, spdy::Role::Client);
    let carrier = tokio::spawn(carrier);
    let mut streams = Vec::new();
    for name in names {
        streams.push(connection.open(Headers::of(&[("streamtype", name)])).await.unwrap());
    }
    (connection, streams, carrier)
}

fn pod() -> Pod {
    let value = serde_json::json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "u-web"},
        "spec": {"containers": [{"name": "main", "image": "fake", "stdin": true}]},
        "status": {"containerStatuses": [
            {"name": "main", "image": "fake", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}},
        ]},
    });
    serde_json::from_value(value).unwrap()
}

/// An authority for one test.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: &str, group: Option<&str>, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![usage];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn client(&self, identity: Option<(String, String)>) -> Arc<rustls::ClientConfig> {
        use rustls_pki_types::CertificateDer;
        use rustls_pki_types::pem::PemObject as _;
        let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate(&self.pem)).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match identity {
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate(&chain)], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        })
    }
}
