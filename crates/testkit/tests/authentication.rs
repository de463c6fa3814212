//! Tokens of service accounts from their making to their end, as clients see them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use sampan_testkit::{Reply, TestServer, fixtures, user};
use serde_json::{Value, json};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const WHOAMI: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

async fn token(server: &TestServer, spec: Value) -> Value {
    server.create(&format!("{ACCOUNTS}/default/token"), &json!({"spec": spec})).await.ok()
}

/// What somebody who shows a token reads.
async fn with_token(server: &TestServer, token: &str, path: &str) -> Reply {
    let header = format!("Bearer {token}");
    server.asked_anonymously().request(Method::GET, path, &[("authorization", &header)], "").await
}

async fn whoami(server: &TestServer, headers: &[(&str, &str)]) -> Reply {
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    server.request(Method::POST, WHOAMI, &all, "{}").await
}

#[tokio::test]
async fn a_token_request_is_answered_with_what_was_asked_and_the_token() {
    let server = TestServer::start().await;
    let answer = token(&server, json!({"expirationSeconds": 7200})).await;
    assert_eq!(answer["kind"], "TokenRequest");
    assert_eq!(answer["metadata"]["name"], "default");
    assert_eq!(answer["metadata"]["namespace"], "default");
    assert_eq!(answer["spec"]["audiences"][0], sampan_testkit::credentials::ISSUER);
    assert_eq!(answer["spec"]["expirationSeconds"], 7200);
    assert!(answer["spec"]["boundObjectRef"].is_null());
    let owned = &answer["metadata"]["managedFields"][0];
    assert_eq!(owned["subresource"], "token");
    assert_eq!(owned["fieldsV1"], json!({"f:spec": {"f:expirationSeconds": {}}}));
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    let life =
        time(&answer["status"]["expirationTimestamp"]) - time(&answer["metadata"]["creationTimestamp"]);
    assert_eq!(life, 7200);
}

#[tokio::test]
async fn whoever_shows_a_token_is_its_account_until_that_goes() {
    let server = TestServer::start().await;
    server.create("/api/v1/namespaces/default/pods", &pod()).await.ok();
    let bound = json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}});
    let answer = token(&server, bound).await;
    let token = answer["status"]["token"].as_str().unwrap();
    let header = format!("Bearer {token}");
    // Without rights it is refused by its name.
    let refused = with_token(&server, token, "/api/v1/nodes").await.refused(403);
    assert!(refused["message"].as_str().unwrap().contains("User \"system:serviceaccount:default:default\""));
    server.delete("/api/v1/namespaces/default/pods/p?gracePeriodSeconds=0").await.ok();
    let gone = server
        .asked_anonymously()
        .request(Method::GET, "/api/v1/nodes", &[("authorization", &header)], "")
        .await;
    assert_eq!(gone.refused(401)["message"], "Unauthorized");
}

#[tokio::test]
async fn a_bound_object_must_be_there_and_be_the_one_that_is_meant() {
    let server = TestServer::start().await;
    server.create("/api/v1/namespaces/default/pods", &pod()).await.ok();
    server.create(ACCOUNTS, &json!({"metadata": {"name": "other"}})).await.ok();
    let reference = |kind: &str, name: &str, uid: &str| json!({"spec": {"boundObjectRef": {"kind": kind, "apiVersion": "v1", "name": name, "uid": uid}}});
    let rows = [
        ("default", reference("Pod", "none", ""), 404, "pods \"none\" not found"),
        ("default", reference("Node", "n", ""), 404, "nodes \"n\" not found"),
        ("default", reference("Secret", "s", ""), 404, "secrets \"s\" not found"),
        (
            "other",
            reference("Pod", "p", ""),
            400,
            "cannot bind token for serviceaccount \"other\" to pod running with different serviceaccount name.",
        ),
        (
            "default",
            reference("Pod", "p", "x"),
            409,
            "Operation cannot be fulfilled on Pod \"p\": the UID in the bound object reference (x) does not match the UID in record. The object might have been deleted and then recreated",
        ),
        (
            "default",
            reference("ConfigMap", "c", ""),
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap",
        ),
        (
            "default",
            json!({"metadata": {"name": "x"}, "spec": {}}),
            422,
            "TokenRequest.authentication.k8s.io \"default\" is invalid: metadata.name: Invalid value: \"x\": must match the service account name if specified",
        ),
    ];
    for (account, body, code, want) in rows {
        let status = server.create(&format!("{ACCOUNTS}/{account}/token"), &body).await.refused(code);
        assert_eq!(status["message"], want);
    }
}

#[tokio::test]
async fn a_review_tells_whose_a_token_is_and_to_whom() {
    let server = TestServer::start().await;
    let vault = token(&server, json!({"audiences": ["vault"]})).await;
    let review = async |audiences: Value| {
        let spec = json!({"token": vault["status"]["token"], "audiences": audiences});
        server.create(REVIEWS, &json!({"spec": spec})).await.ok()["status"].clone()
    };
    let good = review(json!(["vault", "other"])).await;
    assert_eq!(good["authenticated"], true);
    assert_eq!(good["audiences"], json!(["vault"]));
    assert_eq!(good["user"]["username"], "system:serviceaccount:default:default");
    let bad = review(json!([])).await;
    assert_eq!(bad["authenticated"], Value::Null);
    assert_eq!(
        bad["error"],
        "[invalid bearer token, token audiences [\"vault\"] is invalid for the target audiences [\"https://kubernetes.default.svc.cluster.local\"]]"
    );
    let empty = server.create(REVIEWS, &json!({"spec": {}})).await.refused(400);
    assert_eq!(empty["message"], "token is required for TokenReview in authentication");
    let long = json!({"spec": {"token": "x".repeat(1 << 20)}});
    let long = server.create(REVIEWS, &long).await.ok();
    assert_eq!(long["status"]["error"], "the token is longer than 65536 bytes");
}

#[tokio::test]
async fn credentials_that_are_wrong_are_unauthorized_and_never_anonymous() {
    let server = TestServer::start().await;
    let answer = token(&server, json!({})).await;
    let good = answer["status"]["token"].as_str().unwrap();
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let hs256 = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let rows = [
        ("nonsense", "nonsense".to_owned()),
        ("alg none", format!("{none}.{payload}.")),
        ("alg HS256", format!("{hs256}.{payload}.{signature}")),
        ("another payload", format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode("{}"))),
        ("no signature", format!("{header}.{payload}.")),
        ("another signature", format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode([7; 64]))),
        ("long", "x".repeat(60_000)),
    ];
    for (name, token) in rows {
        let status = with_token(&server, &token, "/version").await.refused(401);
        assert_eq!(status["message"], "Unauthorized", "{name}");
    }
    // Other schemes are no credentials here: such a request is anonymous, as upstream.
    let basic = [("authorization", "Basic eDp5")];
    let reply = server.asked_anonymously().request(Method::GET, "/api/v1/nodes", &basic, "").await;
    assert!(reply.refused(403)["message"].as_str().unwrap().contains("system:anonymous"));
}

#[tokio::test]
async fn an_administrator_may_be_anybody_and_nobody_else_may() {
    let server = TestServer::start().await;
    let me = whoami(&server, &[]).await.ok();
    assert_eq!(me["status"]["userInfo"]["username"], "kubernetes-admin");
    assert!(me["metadata"]["managedFields"].is_null());
    let headers = [
        ("impersonate-user", "jane"),
        ("impersonate-group", "system:masters"),
        ("impersonate-extra-a%2fb", "c"),
    ];
    let jane = whoami(&server, &headers).await.ok();
    assert_eq!(
        jane["status"]["userInfo"],
        json!({"username": "jane", "groups": ["system:masters", "system:authenticated"], "extra": {"a/b": ["c"]}})
    );
    let joe = server.asked_by(user("joe", &["system:authenticated"]));
    for headers in [&headers[..], &headers[..1]] {
        let status = whoami(&joe, headers).await.refused(403);
        assert_eq!(
            status["message"],
            "selfsubjectreviews.authentication.k8s.io is forbidden: User \"joe\" cannot impersonate-on:user-info:create resource \"selfsubjectreviews\" in API group \"authentication.k8s.io\" at the cluster scope"
        );
    }
    let nobody = whoami(&server.asked_anonymously(), &headers).await.refused(403);
    assert!(
        nobody["message"]
            .as_str()
            .unwrap()
            .contains("User \"system:anonymous\" cannot impersonate-on:user-info")
    );
}

fn pod() -> Value {
    let mut pod = fixtures::pod("p");
    pod["spec"]["serviceAccountName"] = "default".into();
    pod
}
