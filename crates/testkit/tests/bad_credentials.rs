//! Credentials that are forged, stale or said to be good by a server that cannot be believed: what the API answers.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use jiff::Timestamp;
use sampan_apiserver::chain::authentication::InProcess;
use sampan_auth::authentication::jwt::SigningKey;
use sampan_auth::authentication::token::{Bearer, Tokens};
use sampan_auth::authentication::webhook::{Version, WebhookTokens};
use sampan_auth::https::Trust;
use sampan_auth::webhook_client::{Backoff, Credentials, Kubeconfig, WebhookClient};
use sampan_store::embedded::Embedded;
use sampan_testkit::credentials::{ISSUER, KEY};
use sampan_testkit::{Reply, TestServer, eventually};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const ACCOUNT: &str = "/api/v1/namespaces/default/serviceaccounts/default";

async fn with_token(server: &TestServer, token: &str) -> Reply {
    let header = format!("Bearer {token}");
    server.asked_anonymously().request(Method::GET, "/api/v1/nodes", &[("authorization", &header)], "").await
}

fn key() -> SigningKey {
    SigningKey::from_pem(KEY.as_bytes()).unwrap()
}

/// The claims of a good token of the account.
async fn claims(server: &TestServer) -> Value {
    let answer = server.create(&format!("{ACCOUNT}/token"), &json!({"spec": {}})).await.ok();
    let payload = answer["status"]["token"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// A token whose signature is made with the cluster's public key as a common secret.
fn signed_with_public_key(claims: &Value) -> String {
    let public = rcgen::KeyPair::from_pem(&KEY).unwrap().public_key_pem();
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let head = format!("{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(&claims.to_string()));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
    let signature = aws_lc_rs::hmac::sign(&key, head.as_bytes());
    format!("{head}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

#[tokio::test]
async fn every_forged_or_stale_token_is_unauthorized() {
    let server = TestServer::start().await;
    let good = claims(&server).await;
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let own = key();
    let stranger =
        SigningKey::from_pem(rcgen::KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap();
    let now = Timestamp::now().as_second();
    let mut of_other = good.clone();
    of_other["kubernetes.io"]["serviceaccount"]["uid"] = json!("another");
    let rows = [
        ("the public key as a secret", signed_with_public_key(&good)),
        ("a stranger's key", stranger.sign(&good).unwrap()),
        ("another audience", own.sign(&with("aud", json!(["vault"]))).unwrap()),
        ("another issuer", own.sign(&with("iss", json!("https://elsewhere"))).unwrap()),
        ("expired", own.sign(&with("exp", json!(now - 3600))).unwrap()),
        ("not yet valid", own.sign(&with("nbf", json!(now + 3600))).unwrap()),
        ("another account of the name", own.sign(&of_other).unwrap()),
        ("megabytes", format!("{}.{}.x", "a".repeat(1 << 20), "b".repeat(1 << 20))),
    ];
    for (name, token) in rows {
        let status = with_token(&server, &token).await.refused(401);
        assert_eq!(status["message"], "Unauthorized", "{name}");
        assert_eq!(status["reason"], "Unauthorized", "{name}");
    }
    let token = own.sign(&good).unwrap();
    with_token(&server, &token).await.refused(403);
    server.delete(ACCOUNT).await.ok();
    assert_eq!(
        with_token(&server, &token).await.refused(401)["message"],
        "Unauthorized",
        "a deleted account"
    );
}

/// A server that answers every request with these bytes; with none it never does.
async fn answering(answer: Option<String>) -> http::Uri {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(answer) = answer.clone() else {
                held.push(stream);
                continue;
            };
            tokio::spawn(async move {
                let mut buffer = vec![0; 16 << 10];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    format!("http://{address}/authenticate").parse().unwrap()
}

fn http(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn review(status: &Value) -> String {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status});
    http(&review.to_string())
}

/// What somebody with a token that only the webhook can know reads.
async fn through_webhook(answer: Option<String>) -> Reply {
    let config = Kubeconfig {
        server: answering(answer).await,
        trust: Trust::default(),
        credentials: Credentials::None,
    };
    let backoff = Backoff { attempts: 2, first: Duration::from_millis(1) };
    let client = WebhookClient::new(config, Duration::from_millis(300), backoff).unwrap();
    let audiences = vec![ISSUER.to_owned()];
    let webhook = WebhookTokens::new(client, Version::V1, audiences.clone());
    let tokens = Arc::new(Tokens::new(vec![Arc::new(webhook)], audiences));
    let server = TestServer::configured(Arc::new(Embedded::in_memory()), |config| {
        config.authenticators = vec![Arc::new(InProcess), Arc::new(Bearer(tokens))];
    })
    .await;
    with_token(&server, "opaque").await
}

#[tokio::test]
async fn a_token_server_that_hangs_lies_or_floods_lets_nobody_in() {
    let jane = json!({"authenticated": true, "user": {"username": "jane"}, "audiences": [ISSUER]});
    let good = through_webhook(Some(review(&jane))).await.refused(403);
    assert!(good["message"].as_str().unwrap().contains("User \"jane\""), "{good}");
    let flood = http(&" ".repeat((1 << 20) + 10));
    let rows = [
        ("hangs", None),
        ("says no", Some(review(&json!({"authenticated": false})))),
        (
            "says yes to another audience",
            Some(review(
                &json!({"authenticated": true, "user": {"username": "jane"}, "audiences": ["vault"]}),
            )),
        ),
        (
            "says yes in another word",
            Some(review(&json!({"authenticated": "true", "user": {"username": "jane"}}))),
        ),
        ("says nothing", Some(http("{}"))),
        ("says no JSON", Some(http("<html>yes</html>"))),
        ("floods", Some(flood)),
        ("breaks off", Some("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".into())),
        ("fails", Some("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into())),
    ];
    for (name, answer) in rows {
        let status = through_webhook(answer).await.refused(401);
        assert_eq!(status["message"], "Unauthorized", "{name}");
    }
}

#[tokio::test]
async fn nobody_can_be_impersonated_by_anyone() {
    let server = TestServer::start().await;
    let rows: [&[(&str, &str)]; 3] = [
        &[("impersonate-group", "system:masters")],
        &[("impersonate-uid", "1")],
        &[("impersonate-extra-a", "b")],
    ];
    for who in [
        server.clone(),
        server.asked_by(sampan_testkit::user("joe", &["system:authenticated"])),
        server.asked_anonymously(),
    ] {
        for headers in rows {
            let reply = who.request(Method::GET, "/version", headers, "").await;
            let status = reply.refused(400);
            assert!(
                status["message"].as_str().unwrap().contains("without impersonating a user name"),
                "{status}"
            );
        }
    }
}

#[tokio::test]
async fn the_use_of_a_secrets_token_is_written_to_it_once_a_day() {
    let server = TestServer::start().await;
    let uid = server.get(ACCOUNT).await.ok()["metadata"]["uid"].clone();
    let claims = json!({
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:default:default",
        "kubernetes.io/serviceaccount/namespace": "default",
        "kubernetes.io/serviceaccount/secret.name": "legacy",
        "kubernetes.io/serviceaccount/service-account.name": "default",
        "kubernetes.io/serviceaccount/service-account.uid": uid,
    });
    let token = key().sign(&claims).unwrap();
    let secret = json!({
        "metadata": {"name": "legacy", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token",
        "data": {"token": STANDARD.encode(&token)},
    });
    server.create("/api/v1/namespaces/default/secrets", &secret).await.ok();
    let path = "/api/v1/namespaces/default/secrets/legacy";
    with_token(&server, &token).await.refused(403);
    let label = |secret: &Value| secret["metadata"]["labels"]["kubernetes.io/legacy-token-last-used"].clone();
    let labelled = eventually("the use is written down", || async {
        let secret = server.get(path).await.ok();
        label(&secret).is_string().then_some(secret)
    })
    .await;
    let today = Timestamp::now().to_string()[..10].to_owned();
    assert_eq!(label(&labelled), today);
    with_token(&server, &token).await.refused(403);
    let since =
        "/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking";
    assert_eq!(server.get(since).await.ok()["data"]["since"], today);
    let after = server.get(path).await.ok();
    assert_eq!(after["metadata"]["resourceVersion"], labelled["metadata"]["resourceVersion"]);
}
