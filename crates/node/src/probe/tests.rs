use std::convert::Infallible;
use std::net::Ipv4Addr;

use ::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::container::PodUid;
use crate::testing::Scripted;

/// Asks with a probe what listens on `port` of the loopback.
async fn answer(probe: Value, port: u16) -> Answer {
    let probe: Probe = serde_json::from_value(probe).expect("a probe");
    let ports = json!({"name": "main", "ports": [{"name": "here", "containerPort": port}]});
    let container: Container = serde_json::from_value(ports).expect("a container");
    let id = ContainerId { pod: PodUid::new("u").expect("a UID"), name: "main".into(), attempt: 0 };
    let runtime: Arc<dyn Runtime> = Scripted::new([]);
    let address = Some(Ipv4Addr::LOCALHOST.into());
    ask(Asked { runtime: &runtime, container: &container, id: &id, address }, &probe).await
}

/// A web server for one test; `/status/N` answers with that code, `/to/X` redirects.
async fn web(acceptor: Option<tokio_rustls::TlsAcceptor>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let service = service_fn(page);
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = match acceptor {
                    None => server.serve_connection(TokioIo::new(stream), service).await,
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await,
                        Err(_) => return,
                    },
                };
            });
        }
    });
    port
}

async fn page(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let header =
        |name: &str| request.headers().get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let (status, location) = match path.as_bytes() {
        [b'/', b's', b't', b'a', b't', b'u', b's', b'/', code @ ..] => {
            (std::str::from_utf8(code).ok().and_then(|c| c.parse().ok()).unwrap_or(500), None)
        }
        [b'/', b't', b'o', b'/', target @ ..] => (302, Some(format!("/{}", String::from_utf8_lossy(target)))),
        b"/host" => (if header("host").as_deref() == Some("x.org") { 200 } else { 400 }, None),
        b"/agent" => {
            (if header("user-agent").as_deref() == Some("kube-probe/1.36") { 200 } else { 400 }, None)
        }
        b"/loop" => (302, Some("/loop".into())),
        b"/away" => (302, Some("http://example.invalid/".into())),
        b"/hang" => std::future::pending().await,
        _ => (200, None),
    };
    let mut response = Response::builder().status(status);
    if let Some(location) = location {
        response = response.header("location", location);
    }
    Ok(response.body(Full::new("body".into())).expect("a response"))
}

fn get(path: &str) -> Value {
    json!({"httpGet": {"port": "here", "path": path}})
}

#[tokio::test]
async fn an_http_probe_reads_the_status_and_follows_redirects_on_its_host() {
    let port = web(None).await;
    let url = |path: &str| format!("Get \"http://127.0.0.1:{port}{path}\": ");
    for (name, probe, expected) in [
        ("200", get("/"), Answer::Success),
        (
            "399",
            get("/status/399"),
            Answer::Warning("Probe terminated redirects, Response body: body".into()),
        ),
        ("404", get("/status/404"), Answer::Failure("HTTP probe failed with statuscode: 404".into())),
        ("500", get("/status/500"), Answer::Failure("HTTP probe failed with statuscode: 500".into())),
        ("its agent", get("/agent"), Answer::Success),
        (
            "a host header",
            json!({"httpGet": {"port": "here", "path": "/host", "httpHeaders": [{"name": "Host", "value": "x.org"}]}}),
            Answer::Success,
        ),
        (
            "a redirect",
            get("/to/status/500"),
            Answer::Failure("HTTP probe failed with statuscode: 500".into()),
        ),
        (
            "a redirect away",
            get("/away"),
            Answer::Warning("Probe terminated redirects, Response body: body".into()),
        ),
        ("a loop", get("/loop"), Answer::Failure(url("/loop") + "stopped after 10 redirects")),
        (
            "nobody answers in time",
            get("/hang"),
            Answer::Failure(
                url("/hang") + "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            ),
        ),
        (
            "TLS that is none",
            json!({"httpGet": {"port": "here", "scheme": "HTTPS"}}),
            Answer::Failure(format!(
                "Get \"https://127.0.0.1:{port}/\": http: server gave HTTP response to HTTPS client"
            )),
        ),
        (
            "a port without a name",
            json!({"httpGet": {"port": "there"}}),
            Answer::Error("strconv.Atoi: parsing \"there\": invalid syntax".into()),
        ),
    ] {
        assert_eq!(answer(probe, port).await, expected, "{name}");
    }
}

#[tokio::test]
async fn an_https_probe_trusts_anybody() {
    let key = rcgen::generate_simple_self_signed(vec!["nobody.invalid".into()]).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            rustls_pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()).into(),
        )
        .expect("a server");
    let port = web(Some(Arc::new(config).into())).await;
    let probe = json!({"httpGet": {"port": "here", "scheme": "HTTPS", "path": "/status/201"}});
    assert_eq!(answer(probe, port).await, Answer::Success);
}

#[tokio::test]
async fn a_tcp_probe_asks_whether_somebody_accepts() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let probe = json!({"tcpSocket": {"port": "here"}});
    assert_eq!(answer(probe.clone(), port).await, Answer::Success);
    drop(listener);
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(answer(probe, port).await, Answer::Failure(refused.clone()));
    let http = format!("Get \"http://127.0.0.1:{port}/\": {refused}");
    assert_eq!(answer(get("/"), port).await, Answer::Failure(http));
}

/// A gRPC server that answers every service by its name: a status, or a code.
async fn health(
    request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let asked = grpc::HealthCheckRequest::decode(&body[5..]).expect("a message");
    let (status, code) = match asked.service.as_str() {
        "" => (1, "0"),
        "ill" => (2, "0"),
        "missing" => (0, "5"),
        "old" => (0, "12"),
        _ => std::future::pending().await,
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.parse().expect("a value"));
    trailers.insert("grpc-message", "words".parse().expect("a value"));
    let data = grpc::frame(&grpc::HealthCheckResponse { status });
    let frames = [Ok(Frame::data(data)), Ok(Frame::trailers(trailers))];
    let body = StreamBody::new(futures::stream::iter(frames));
    Ok(Response::builder().header("content-type", "application/grpc").body(body).expect("a response"))
}

#[tokio::test]
async fn a_grpc_probe_asks_for_the_health_of_a_service() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                let _ = server.serve_connection(TokioIo::new(stream), service_fn(health)).await;
            });
        }
    });
    for (service, expected) in [
        ("", Answer::Success),
        ("ill", Answer::Failure("service unhealthy (responded with \"NOT_SERVING\")".into())),
        ("missing", Answer::Failure("error: health rpc probe failed: rpc error: code = NotFound desc = words".into())),
        (
            "old",
            Answer::Failure(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): words".into(),
            ),
        ),
        ("slow", Answer::Failure("timeout: health rpc did not complete within 1s".into())),
    ] {
        assert_eq!(answer(json!({"grpc": {"port": port, "service": service}}), port).await, expected, "{service:?}");
    }
}
