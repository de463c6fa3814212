use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use sampan_apiserver::audit::{Level, Stage};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::webhook_client::Credentials;

fn event(id: &str) -> Arc<Event> {
    Arc::new(Event {
        level: Level::Metadata,
        audit_id: id.into(),
        stage: Stage::ResponseComplete,
        request_uri: "/x".into(),
        verb: "get".into(),
        user: None,
        impersonated_user: None,
        impersonation_constraint: "",
        source_ips: Vec::new(),
        user_agent: String::new(),
        object_ref: None,
        response_status: None,
        request_object: None,
        response_object: None,
        received: "2026-01-02T03:04:05Z".parse().unwrap(),
        stage_time: "2026-01-02T03:04:05.6Z".parse().unwrap(),
        annotations: BTreeMap::new(),
    })
}

fn webhook(url: &str, timeout: Duration) -> AuditWebhook {
    let config = Kubeconfig {
        server: url.parse().unwrap(),
        trust: https::Trust::default(),
        credentials: Credentials::None,
    };
    AuditWebhook::with_timeout(config, Duration::from_millis(1), timeout).unwrap()
}

/// A server that answers its n-th request with the n-th code (the last one again and again); what it is sent.
async fn server(codes: &'static [u16]) -> (String, mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/audit", listener.local_addr().unwrap());
    let (sender, bodies) = mpsc::unbounded_channel();
    let asked = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (sender, asked) = (sender.clone(), asked.clone());
            let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                let n = asked.fetch_add(1, Ordering::SeqCst);
                let sender = sender.clone();
                async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    sender.send(serde_json::from_slice(&body).unwrap()).unwrap();
                    let code = codes.get(n).or(codes.last()).copied().unwrap();
                    Response::builder().status(code).body(Full::new(Bytes::new()))
                }
            });
            tokio::spawn(async move {
                auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
            });
        }
    });
    (url, bodies)
}

const LONG: Duration = Duration::from_mins(1);

#[tokio::test]
async fn events_are_sent_as_one_list() {
    let (url, mut bodies) = server(&[200]).await;
    webhook(&url, LONG).process(&[event("a"), event("b")]).await.unwrap();
    let list = bodies.recv().await.unwrap();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("EventList"), &json!("audit.k8s.io/v1")));
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert_eq!(list["items"][1]["auditID"], "b");
    assert_eq!(list["items"][1]["stageTimestamp"], "2026-01-02T03:04:05.600000Z");
}

#[tokio::test]
async fn every_failure_is_tried_again_and_the_fifth_is_the_last() {
    for (name, codes, sent, taken) in [
        ("nothing to say is as good as a word", &[204][..], 1, true),
        ("a refusal may pass", &[403, 404, 500, 200], 4, true),
        ("five times is enough", &[403], 5, false),
    ] {
        let (url, mut bodies) = server(codes).await;
        let outcome = webhook(&url, LONG).process(&[event("a")]).await;
        assert_eq!(outcome.is_ok(), taken, "{name}: {outcome:?}");
        let mut count = 0;
        while bodies.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, sent, "{name}");
    }
}

#[tokio::test]
async fn a_webhook_that_hangs_or_is_not_there_loses_its_events() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = format!("http://{}", silent.local_addr().unwrap());
    let failure = webhook(&hanging, Duration::from_millis(5)).process(&[event("a")]).await.unwrap_err();
    assert_eq!(failure.0, "the webhook did not take the events: no answer within 5ms");
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(webhook(&format!("http://{gone}"), LONG).process(&[event("a")]).await.is_err());
}
