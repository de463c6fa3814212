use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Response;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;

pub(crate) type Reply = (u16, &'static str, String);

/// A server that answers its n-th request with `reply(n)`; its URL and how often it was asked.
pub(crate) async fn server(
    reply: impl Fn(usize, &str) -> Reply + Send + Sync + 'static,
) -> (http::Uri, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap()).parse().unwrap();
    let (asked, reply) = (Arc::new(AtomicUsize::new(0)), Arc::new(reply));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (count, reply) = (Arc::clone(&count), Arc::clone(&reply));
            let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                let auth = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or("");
                let (code, retry_after, text) = reply(count.fetch_add(1, Ordering::SeqCst), auth);
                let mut response = Response::builder().status(code);
                if !retry_after.is_empty() {
                    response = response.header(RETRY_AFTER, retry_after);
                }
                let response = response.body(Full::new(Bytes::from(text)));
                async move { response }
            });
            tokio::spawn(async move {
                auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
            });
        }
    });
    (url, asked)
}

pub(crate) fn client(url: http::Uri, credentials: Credentials, timeout: Duration) -> WebhookClient {
    let config = Kubeconfig { server: url, trust: https::Trust::default(), credentials };
    let backoff = Backoff { attempts: 3, first: Duration::from_millis(1) };
    WebhookClient::new(config, timeout, backoff).unwrap()
}

const LONG: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_failure_that_may_pass_is_asked_again_and_others_are_not() {
    let ok = || json!({"ok": true}).to_string();
    let rows: [(&str, u16, usize, bool); 4] = [
        ("an internal error passes", 500, 2, true),
        ("too many requests pass", 429, 2, true),
        ("a refusal stays", 403, 1, false),
        ("a page that is not there stays", 404, 1, false),
    ];
    for (name, code, times, answered) in rows {
        let (url, asked) = server(move |n, _| if n == 0 { (code, "0", ok()) } else { (200, "", ok()) }).await;
        // Retry-After makes every failure worth another try, so rows that are not leave it out.
        let (url, asked) = if answered {
            (url, asked)
        } else {
            server(move |n, _| if n == 0 { (code, "", "no".into()) } else { (200, "", ok()) }).await
        };
        let answer = client(url, Credentials::None, LONG).ask(&json!({})).await;
        assert_eq!((answer.is_ok(), asked.load(Ordering::SeqCst)), (answered, times), "{name}");
    }
}

#[tokio::test]
async fn the_token_is_shown_and_its_file_read_anew() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let (url, _) = server(|_, auth| (200, "", json!({"auth": auth}).to_string())).await;
    let client = client(url, Credentials::TokenFile(file.clone()), LONG);
    for token in ["one", "two"] {
        std::fs::write(&file, format!("{token}\n")).unwrap();
        assert_eq!(client.ask(&json!({})).await.unwrap()["auth"], format!("Bearer {token}"));
    }
}

#[tokio::test]
async fn an_answer_that_floods_or_is_no_json_is_an_error() {
    type Body = fn() -> String;
    let rows: [(&str, Body, &str); 2] = [
        ("flood", || "x".repeat(MAX_ANSWER_BYTES + 1), "the answer is longer than 1048576 bytes"),
        ("page", || "<html>".into(), "the webhook's answer is no JSON"),
    ];
    for (name, text, want) in rows {
        let (url, asked) = server(move |_, _| (200, "", text())).await;
        let error = client(url, Credentials::None, LONG).ask(&json!({})).await.unwrap_err();
        assert_eq!((error.to_string().as_str(), asked.load(Ordering::SeqCst)), (want, 1), "{name}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let error = client(url, Credentials::None, Duration::from_millis(20)).ask(&json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer within 20ms");
}
