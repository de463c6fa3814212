//! Credentials over the wire: certificates that are good and bad, and tokens that outlive a restart.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use sampan_tests::Cluster;
use serde_json::{Value, json};

/// A client with these credentials, in the words of a kubeconfig.
async fn client(cluster: &Cluster, credentials: &str) -> Client {
    let authority = std::fs::read(cluster.data_dir().join("pki/ca.crt")).unwrap();
    let text = format!(
        "apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: '{}', certificate-authority-data: {}}}}}]
users: [{{name: u, user: {{{credentials}}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
current-context: c
",
        cluster.url(),
        STANDARD.encode(authority)
    );
    let config = Kubeconfig::from_yaml(&text).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// Code and message of the answer.
async fn ask(client: &Client, request: Request<Vec<u8>>) -> (u16, Value) {
    match client.request::<Value>(request).await {
        Ok(answer) => (200, answer),
        Err(kube::Error::Api(status)) => (status.code, json!(status.message)),
        Err(error) => panic!("there is no answer: {error}"),
    }
}

fn whoami() -> Request<Vec<u8>> {
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    Request::post(path).header("content-type", "application/json").body(b"{}".to_vec()).unwrap()
}

fn version() -> Request<Vec<u8>> {
    Request::get("/version").body(Vec::new()).unwrap()
}

/// A certificate for an administrator, and its key, in the words of a kubeconfig.
fn certificate(issuer: &Issuer<'_, KeyPair>, change: impl FnOnce(&mut CertificateParams)) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:masters");
    params.distinguished_name.push(DnType::CommonName, "jane");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    change(&mut params);
    let pem = params.signed_by(&key, issuer).unwrap().pem();
    format!(
        "client-certificate-data: {}, client-key-data: {}",
        STANDARD.encode(pem),
        STANDARD.encode(key.serialize_pem())
    )
}

/// A certificate with so many authorities behind it, none of which signed the one before.
fn chained(issuer: &Issuer<'_, KeyPair>, length: usize) -> String {
    let credentials = certificate(issuer, |_| {});
    let (first, key) = credentials.split_once(", ").unwrap();
    let first = STANDARD.decode(first.trim_start_matches("client-certificate-data: ")).unwrap();
    let mut chain = String::from_utf8(first).unwrap();
    for _ in 0..length {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        chain.push_str(&params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem());
    }
    format!("client-certificate-data: {}, {key}", STANDARD.encode(chain))
}

#[tokio::test]
async fn a_client_with_a_bad_certificate_reads_why_it_is_not_let_in() {
    let cluster = Cluster::start();
    let read = |name: &str| std::fs::read_to_string(cluster.data_dir().join("pki").join(name)).unwrap();
    let key = KeyPair::from_pem(&read("ca.key")).unwrap();
    let own = Issuer::from_ca_cert_pem(&read("ca.crt"), key).unwrap();
    let stranger = {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Issuer::from_ca_cert_pem(&certificate, key).unwrap()
    };
    let good = client(&cluster, &certificate(&own, |_| {})).await;
    let (_, me) = ask(&good, whoami()).await;
    assert_eq!(me["status"]["userInfo"]["username"], "jane");
    let rows = [
        ("another authority", certificate(&stranger, |_| {})),
        ("expired", certificate(&own, |p| p.not_after = rcgen::date_time_ymd(2021, 1, 1))),
        ("not yet valid", certificate(&own, |p| p.not_before = rcgen::date_time_ymd(2099, 1, 1))),
        ("a huge chain", chained(&stranger, 40)),
    ];
    for (name, credentials) in rows {
        let client = client(&cluster, &credentials).await;
        let (code, message) = ask(&client, version()).await;
        assert_eq!((code, message.as_str().unwrap()), (401, "Unauthorized"), "{name}");
    }
    let nobody = client(&cluster, "").await;
    let (code, message) = ask(&nobody, Request::get("/api/v1/nodes").body(Vec::new()).unwrap()).await;
    assert_eq!(code, 403);
    assert!(message.as_str().unwrap().contains("User \"system:anonymous\""), "{message}");
}

#[tokio::test]
async fn a_token_is_good_after_a_restart_and_ends_with_its_account() {
    let mut cluster = Cluster::start();
    let account = "/api/v1/namespaces/default/serviceaccounts/default";
    let request = Request::post(format!("{account}/token"))
        .header("content-type", "application/json")
        .body(br#"{"spec":{}}"#.to_vec())
        .unwrap();
    let (_, answer) = ask(&cluster.client().await, request).await;
    let credentials = format!("token: {}", answer["status"]["token"].as_str().unwrap());
    cluster.stop();
    cluster.restart().unwrap();
    let bearer = client(&cluster, &credentials).await;
    let nodes = || Request::get("/api/v1/nodes").body(Vec::new()).unwrap();
    let (code, message) = ask(&bearer, nodes()).await;
    assert_eq!(code, 403);
    assert!(
        message.as_str().unwrap().contains("User \"system:serviceaccount:default:default\""),
        "{message}"
    );
    let delete = Request::delete(account).body(Vec::new()).unwrap();
    assert_eq!(ask(&cluster.client().await, delete).await.0, 200);
    assert_eq!(ask(&bearer, nodes()).await, (401, json!("Unauthorized")));
}
