//! Proxies to pods, services and nodes: what comes and goes by them.

use std::net::{IpAddr, UdpSocket};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use sampan_testkit::{Reply, TestServer, fixtures};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const DEFAULT: &str = "/api/v1/namespaces/default";

/// An address of this machine that is not its own affair: those that are may not be proxied to. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Answers one request of a connection by its path; an echo tells the head, and how long the body was.
async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let text = if path.starts_with("/moved") {
        "HTTP/1.1 302 Found\r\nlocation: /elsewhere/?a=b\r\ncontent-length: 0\r\n\r\n".to_owned()
    } else if path.starts_with("/broken") {
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n".to_owned()
    } else if path.starts_with("/silent") {
        String::new()
    } else {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: u64 = length.map_or(0, |text| text.parse().unwrap());
        let read = tokio::io::copy(&mut (&mut stream).take(length), &mut tokio::io::sink()).await?;
        let body = format!("{head}{read}");
        format!(
            "HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\nx-own: yes\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// A server with the pod `web` behind the service `web`, both answered by [`answer`].
struct Case {
    server: TestServer,
    port: u16,
}

impl Case {
    async fn start() -> Option<Self> {
        let Some(address) = own_address() else {
            eprintln!("skipped: this machine has no address but its own");
            return None;
        };
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
        let server = TestServer::reaching_nodes().await;
        server.create(&format!("{DEFAULT}/pods"), &fixtures::pod("web")).await.ok();
        let status = json!({"status": {"podIP": address, "podIPs": [{"ip": address}]}});
        server.patch(&format!("{DEFAULT}/pods/web/status"), "merge-patch", &status).await.ok();
        server.create(&format!("{DEFAULT}/services"), &fixtures::service("web")).await.ok();
        let slice = json!({
            "metadata": {"name": "web", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "", "port": port}],
            "endpoints": [{"addresses": [address], "targetRef": {"kind": "Pod", "namespace": "default", "name": "web"}}],
        });
        let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
        server.create(slices, &slice).await.ok();
        Some(Self { server, port })
    }

    async fn ask(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Reply {
        let path = path.replace("PORT", &self.port.to_string());
        self.server.request(method, &path, &[("authorization", "Bearer secret")], body).await
    }
}

#[tokio::test]
async fn requests_reach_pods_and_services_as_they_are() {
    let Some(case) = Case::start().await else { return };
    let rows = [
        (Method::GET, "pods/web:PORT/proxy/a%20b/?c=d%20e", "/a%20b/?c=d%20e"),
        (Method::POST, "pods/http:web:PORT/proxy/", "/"),
        (Method::PUT, "services/web/proxy/x/../y", "/y"),
        (Method::PATCH, "services/web:80/proxy/x", "/x"),
        (Method::DELETE, "services/http:web:80/proxy/x", "/x"),
        (Method::OPTIONS, "services/web:80/proxy/x", "/x"),
    ];
    for (method, path, want) in rows {
        let reply = case.ask(method.clone(), &format!("{DEFAULT}/{path}"), "").await;
        let text = reply.text();
        assert_eq!(reply.code, 200, "{path}: {text}");
        assert!(text.starts_with(&format!("{method} {want} HTTP/1.1\r\n")), "{path}: {text}");
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(reply.headers["x-own"], "yes");
        assert!(reply.headers.get("access-control-allow-origin").is_none());
    }
    let told = case.ask(Method::GET, &format!("{DEFAULT}/services/web/proxy/a/"), "").await.text();
    assert!(told.contains("x-forwarded-uri: /api/v1/namespaces/default/services/web/proxy/a/\r\n"), "{told}");
}

#[tokio::test]
async fn bodies_of_any_length_are_passed_on() {
    let Some(case) = Case::start().await else { return };
    // More than the API itself takes.
    let body = vec![b'x'; 8 << 20];
    let reply = case.ask(Method::POST, &format!("{DEFAULT}/services/web/proxy/up"), body).await;
    assert!(reply.code == 200 && reply.text().ends_with("\r\n\r\n8388608"), "{}", reply.code);
}

#[tokio::test]
async fn redirects_lead_back_through_the_proxy() {
    let Some(case) = Case::start().await else { return };
    let rows = [
        ("services/web/proxy", 301, "/api/v1/namespaces/default/services/web/proxy/"),
        ("services/web/proxy?a=b", 301, "/api/v1/namespaces/default/services/web/proxy/?a=b"),
        ("services/web/proxy/moved", 302, "/api/v1/namespaces/default/services/web/proxy/elsewhere/?a=b"),
    ];
    for (path, code, want) in rows {
        let reply = case.ask(Method::GET, &format!("{DEFAULT}/{path}"), "").await;
        assert_eq!((reply.code, reply.headers["location"].to_str().unwrap()), (code, want), "{path}");
    }
}

#[tokio::test]
async fn what_does_not_answer_is_told() {
    let Some(case) = Case::start().await else { return };
    let nobody = json!({"metadata": {"name": "nobody"}, "spec": {"selector": {"app": "nobody"}, "ports": [{"port": 80}]}});
    case.server.create(&format!("{DEFAULT}/services"), &nobody).await.ok();
    let rows = [
        ("services/web/proxy/silent", 503, "error trying to reach service: EOF"),
        ("services/nobody:80/proxy/", 503, "no endpoints available for service \"nobody:80\""),
        ("services/web:81/proxy/", 503, "no service port 81 found for service \"web\""),
        (
            "pods/web:http/proxy/",
            503,
            "error trying to reach service: dial tcp: lookup tcp/http: unknown port",
        ),
        ("pods/none/proxy/", 404, "pods \"none\" not found"),
    ];
    for (path, code, want) in rows {
        let reply = case.ask(Method::GET, &format!("{DEFAULT}/{path}"), "").await;
        assert_eq!((reply.code, &reply.json()["message"]), (code, &Value::from(want)), "{path}");
    }
    let request = Request::get(format!("{DEFAULT}/services/web/proxy/broken")).body(Bytes::new()).unwrap();
    let mut body = case.server.send(request).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    assert!(body.frame().await.unwrap().is_err(), "a part is not the whole");
}

#[tokio::test]
async fn the_machine_itself_is_out_of_reach() {
    let server = TestServer::reaching_nodes().await;
    let pod = fixtures::pod("here");
    server.create(&format!("{DEFAULT}/pods"), &pod).await.ok();
    let status = json!({"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}});
    server.patch(&format!("{DEFAULT}/pods/here/status"), "merge-patch", &status).await.ok();
    server.create("/api/v1/nodes", &json!({"metadata": {"name": "n"}})).await.ok();
    let addresses = json!({"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}});
    server.patch("/api/v1/nodes/n/status", "merge-patch", &addresses).await.ok();
    for path in [format!("{DEFAULT}/pods/here:80/proxy/"), "/api/v1/nodes/n:80/proxy/".to_owned()] {
        assert_eq!(server.get(&path).await.refused(400)["message"], "address not allowed", "{path}");
    }
}
