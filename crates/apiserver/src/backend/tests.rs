//! Against servers of this process.

use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn location(port: u16) -> Location {
    Location {
        scheme: Scheme::Http,
        host: "127.0.0.1".into(),
        port,
        path: "/a%20b".into(),
        query: "c=d".into(),
    }
}

fn backend() -> Backend {
    Backend::new(None, None).unwrap()
}

/// A server that answers one connection with these bytes, and returns what it was sent.
async fn once(answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap()
    });
    (port, served)
}

#[tokio::test]
async fn what_a_node_says_is_passed_on() {
    let (port, served) =
        once("HTTP/1.1 404 Not Found\r\nx-a: b\r\nconnection: close\r\ncontent-length: 4\r\n\r\ngone").await;
    let answer = backend().get(&location(port)).await.unwrap();
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.headers()["x-a"], "b");
    assert!(answer.headers().get("connection").is_none());
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "gone");
    let head = served.await.unwrap();
    assert!(head.starts_with("GET /a%20b?c=d HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{head}");
}

#[tokio::test]
async fn who_cannot_be_reached_is_told_as_go_tells_it() {
    // A port that nobody listens on: it was taken a moment ago and given back.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = backend().get(&location(port)).await.err().unwrap();
    let want = format!(
        "Get \"http://127.0.0.1:{port}/a%20b?c=d\": dial tcp 127.0.0.1:{port}: connect: connection refused"
    );
    assert_eq!((error.code(), error.message()), (500, want.as_str()));
}

#[tokio::test]
async fn what_does_not_ask_for_an_upgrade_gets_none() {
    let (parts, ()) = http::Request::get("/").body(()).unwrap().into_parts();
    let error = backend().upgrade(&location(1), &parts).await.err().unwrap();
    assert_eq!((error.code(), error.message()), (400, "Upgrade request required"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_whole_one() {
    let rows = [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ];
    for text in rows {
        let (port, _served) = once(text).await;
        let mut body = backend().get(&location(port)).await.unwrap().into_body();
        let first = body.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "half");
        assert_eq!(body.frame().await.unwrap().unwrap_err(), crate::http_io::body::Broken, "{text:?}");
    }
}

#[tokio::test]
async fn who_says_nothing_or_nonsense_is_told_as_go_tells_it() {
    let rows = [
        ("", "EOF"),
        ("nonsense\r\n\r\n", "net/http: HTTP/1.x transport connection broken: malformed HTTP response"),
    ];
    for (text, want) in rows {
        let (port, _served) = once(text).await;
        let error = backend().get(&location(port)).await.err().unwrap();
        let want = format!("Get \"http://127.0.0.1:{port}/a%20b?c=d\": {want}");
        assert_eq!((error.code(), error.message()), (500, want.as_str()));
    }
}

/// A request for another protocol, of a client that is never told that it was taken over.
fn upgrading() -> http::request::Parts {
    let (mut parts, ()) = http::Request::get("/")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .body(())
        .unwrap()
        .into_parts();
    parts.extensions.insert(hyper::upgrade::on(http::Request::new(())));
    parts
}

#[tokio::test]
async fn who_refuses_an_upgrade_is_passed_on_and_who_ignores_it_is_not() {
    let (port, served) = once("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    let answer = backend().upgrade(&location(port), &upgrading()).await.unwrap();
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "no");
    let head = served.await.unwrap();
    assert!(head.contains("connection: Upgrade\r\n") && head.contains("upgrade: websocket\r\n"), "{head}");
    let (port, _served) = once("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno").await;
    let error = backend().upgrade(&location(port), &upgrading()).await.err().unwrap();
    assert_eq!((error.code(), error.message()), (500, "invalid upgrade response: status code 200"));
    assert_eq!(backend().0.upgraded.get(), 0);
}
