//! Servers that answer, and servers that do not.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::net::TcpListener;

use super::*;
use crate::https::Trust;
use crate::webhook_client::{Backoff, Credentials, Kubeconfig};

/// A server that answers each question with `reply`.
async fn server(reply: impl Fn(Value) -> String + Send + Sync + 'static) -> http::Uri {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let reply = Arc::new(reply);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let reply = Arc::clone(&reply);
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let reply = Arc::clone(&reply);
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    let text = reply(serde_json::from_slice(&body).unwrap());
                    Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(text))))
                }
            });
            let connection = auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { connection.serve_connection(TokioIo::new(stream), service).await });
        }
    });
    url
}

fn tokens(url: http::Uri, timeout: Duration) -> WebhookTokens {
    let config = Kubeconfig { server: url, trust: Trust::default(), credentials: Credentials::None };
    let backoff = Backoff { attempts: 1, first: Duration::ZERO };
    let client = WebhookClient::new(config, timeout, backoff).unwrap();
    WebhookTokens::new(client, Version::V1, vec!["api".into()])
}

const LONG: Duration = Duration::from_mins(1);

fn review(status: &str) -> String {
    format!(r#"{{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","status":{status}}}"#)
}

#[tokio::test]
async fn a_server_that_answers_decides() {
    let url = server(|question| {
        assert_eq!(question["spec"]["audiences"][0], "api");
        match question["spec"]["token"].as_str().unwrap() {
            "good" => review(
                r#"{"authenticated":true,"user":{"username":"jane","groups":["g"],"extra":{"k":["v"]}}}"#,
            ),
            "vault" => review(r#"{"authenticated":true,"user":{"username":"jane"},"audiences":["vault"]}"#),
            "bad" => review(r#"{"authenticated":false,"error":"it has expired"}"#),
            _ => review("{}"),
        }
    })
    .await;
    let tokens = tokens(url, LONG);
    let wanted = ["api".to_owned()];
    let good = tokens.authenticate("good", &wanted).await.unwrap().unwrap();
    assert_eq!((good.user.name.as_str(), &*good.audiences), ("jane", &wanted[..]));
    assert_eq!(good.user.extra["k"], ["v"]);
    assert_eq!(tokens.authenticate("vault", &wanted).await, Ok(None));
    assert_eq!(tokens.authenticate("bad", &wanted).await, Err(Rejected::new("it has expired")));
    assert_eq!(tokens.authenticate("other", &wanted).await, Ok(None));
}

#[tokio::test]
async fn a_server_that_lies_or_floods_lets_nobody_in() {
    let yes = r#"{"authenticated":true,"user":{"username":"admin","groups":["system:masters"]}}"#;
    let rows = [
        (
            "another kind",
            format!(r#"{{"kind":"Pod","apiVersion":"v1","status":{yes}}}"#),
            "answered with v1, Kind=Pod",
        ),
        (
            "another version",
            format!(r#"{{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v2","status":{yes}}}"#),
            "answered with authentication.k8s.io/v2",
        ),
        ("no kind", format!(r#"{{"status":{yes}}}"#), "is no TokenReview"),
        ("other types", review(r#"{"authenticated":"true"}"#), "is no TokenReview"),
        ("no JSON", "<html>".into(), "does not answer: the webhook's answer is no JSON"),
        (
            "a flood",
            format!("{}{}", review(yes), " ".repeat(2 << 20)),
            "does not answer: the answer is longer than",
        ),
    ];
    for (name, answer, want) in rows {
        let url = server(move |_| answer.clone()).await;
        let error = tokens(url, LONG).authenticate("good", &["api".into()]).await.unwrap_err();
        assert!(error.0.contains(want), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let error = tokens(url, Duration::from_millis(20)).authenticate("x", &["api".into()]).await.unwrap_err();
    assert!(error.0.contains("no answer within"), "{error}");
}

#[tokio::test]
async fn no_more_than_so_many_tokens_wait_for_the_answer() {
    // It takes connections, and answers nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (tokens, wanted) = (tokens(url, LONG), ["api".to_owned()]);
    let mut waiting: Vec<_> =
        (0..MAX_WAITING).map(|_| Box::pin(tokens.authenticate("unknown", &wanted))).collect();
    for ask in &mut waiting {
        assert!(futures::poll!(ask.as_mut()).is_pending());
    }
    assert_eq!(tokens.asking.available_permits(), 0);
    let error = tokens.authenticate("one more", &wanted).await.unwrap_err();
    assert_eq!(error.0, "too many tokens wait for the token webhook");
    drop(waiting);
    assert_eq!(tokens.asking.available_permits(), MAX_ASKING);
}
