//! Tokens that live and die with what they are bound to.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use sampan_apiserver::pages::Page as _;
use sampan_store::embedded::Embedded;
use sampan_store::{Expect, NewValue, Op, Store as _, Txn};
use serde_json::{Value, json};

use super::last_used::Uses;
use super::*;
use crate::authentication::jwt::{PublicKey, SigningKey};
use crate::authentication::stored::Stored;
use crate::authentication::token::TokenAuthenticator;

const START: i64 = 1_800_000_000;
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

thread_local! {
    /// The time of a test, which runs in one thread.
    static NOW: AtomicI64 = const { AtomicI64::new(START) };
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW.with(|now| now.load(Ordering::SeqCst))).unwrap()
}

fn wait(seconds: i64) {
    NOW.with(|now| now.fetch_add(seconds, Ordering::SeqCst));
}

fn key() -> SigningKey {
    SigningKey::from_pem(rcgen::KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap()
}

struct Cluster {
    store: Arc<Embedded>,
    issuer: Issuer,
    tokens: AccountTokens,
}

impl Cluster {
    async fn new() -> Self {
        let store = Arc::new(Embedded::in_memory());
        let keys = Keys::of(KeyRing::new(Some(key()), []));
        let audiences = vec![ISSUER.to_owned()];
        let issuer = Issuer {
            keys: keys.clone(),
            name: ISSUER.into(),
            audiences: audiences.clone(),
            max_seconds: None,
            extend: true,
            clock: now,
        };
        let stored = Stored::new(store.clone());
        let tokens = AccountTokens::new(keys, audiences.clone(), audiences, stored, now);
        let cluster = Self { store, issuer, tokens };
        for (key, uid) in [
            ("serviceaccounts/ns/sa", "u-sa"),
            ("pods/ns/p", "u-p"),
            ("secrets/ns/s", "u-s"),
            ("nodes/n", "u-n"),
        ] {
            cluster.put(key, &json!({"metadata": {"uid": uid}})).await;
        }
        cluster
    }

    async fn put(&self, key: &str, object: &Value) {
        let value = NewValue { bytes: object.to_string().into(), ..NewValue::default() };
        let op = Op::Put { key: format!("/registry/{key}").into(), expect: Expect::Any, value };
        self.store.commit(Txn { ops: vec![op] }).await.unwrap();
    }

    async fn remove(&self, key: &str) {
        let op = Op::Delete { key: format!("/registry/{key}").into(), expect: Expect::Any, last: None };
        self.store.commit(Txn { ops: vec![op] }).await.unwrap();
    }

    fn spec(bound: Bound) -> TokenSpec {
        TokenSpec {
            namespace: "ns".into(),
            account: Reference::new("sa", "u-sa"),
            bound,
            audiences: vec![ISSUER.into()],
            seconds: 3600,
        }
    }

    async fn token(&self, bound: Bound) -> String {
        self.issuer.issue(Self::spec(bound)).await.unwrap().token
    }

    async fn ask(&self, token: &str) -> Result<sampan_apiserver::User, String> {
        let outcome = self.tokens.authenticate(token, &[ISSUER.into()]).await.map_err(|e| e.0)?;
        outcome.map(|i| (*i.user).clone()).ok_or_else(|| "unknown".into())
    }
}

fn pod() -> Bound {
    Bound::Pod(Reference::new("p", "u-p"), Some(Reference::new("n", "u-n")))
}

fn payload(token: &str) -> Value {
    crate::authentication::jwt::Compact::parse(token).unwrap().claims().unwrap()
}

#[tokio::test]
async fn a_token_says_whose_it_is_and_where_its_pod_runs() {
    let cluster = Cluster::new().await;
    let token = cluster.token(pod()).await;
    let claims = payload(&token);
    let jti = claims["jti"].as_str().unwrap().to_owned();
    assert_eq!(
        claims,
        json!({
            "aud": [ISSUER], "exp": START + 3600, "iat": START, "iss": ISSUER, "jti": jti,
            "kubernetes.io": {
                "namespace": "ns",
                "node": {"name": "n", "uid": "u-n"},
                "pod": {"name": "p", "uid": "u-p"},
                "serviceaccount": {"name": "sa", "uid": "u-sa"},
            },
            "nbf": START, "sub": "system:serviceaccount:ns:sa",
        })
    );
    let user = cluster.ask(&token).await.unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("system:serviceaccount:ns:sa", "u-sa"));
    assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns"]);
    let extra: Vec<String> = user.extra.iter().map(|(k, v)| format!("{k}={}", v.join(","))).collect();
    assert_eq!(
        extra,
        [
            format!("authentication.kubernetes.io/credential-id=JTI={jti}"),
            "authentication.kubernetes.io/node-name=n".into(),
            "authentication.kubernetes.io/node-uid=u-n".into(),
            "authentication.kubernetes.io/pod-name=p".into(),
            "authentication.kubernetes.io/pod-uid=u-p".into(),
        ]
    );
}

#[tokio::test]
async fn a_deletion_ends_a_token_at_once() {
    let gone = "service account token has been invalidated";
    let rows = [
        ("its account", Bound::Nothing, "serviceaccounts/ns/sa", "serviceaccounts \"sa\" not found"),
        ("its pod", pod(), "pods/ns/p", gone),
        ("its secret", Bound::Secret(Reference::new("s", "u-s")), "secrets/ns/s", gone),
        ("its node", Bound::Node(Reference::new("n", "u-n")), "nodes/n", gone),
    ];
    for (name, bound, key, want) in rows {
        let cluster = Cluster::new().await;
        let token = cluster.token(bound).await;
        assert!(cluster.ask(&token).await.is_ok(), "{name}");
        cluster.remove(key).await;
        assert_eq!(cluster.ask(&token).await.unwrap_err(), want, "{name}");
    }
    let cluster = Cluster::new().await;
    let token = cluster.token(pod()).await;
    cluster.remove("nodes/n").await;
    assert!(cluster.ask(&token).await.is_ok(), "the node of a pod's token is only a word");
}

#[tokio::test]
async fn another_object_of_the_name_is_another_object() {
    let rows = [
        ("serviceaccounts/ns/sa", Bound::Nothing, "service account UID (new) does not match claim (u-sa)"),
        ("pods/ns/p", pod(), "pod UID (new) does not match service account pod ref claim (u-p)"),
        (
            "secrets/ns/s",
            Bound::Secret(Reference::new("s", "u-s")),
            "secret UID (new) does not match service account secret ref claim (u-s)",
        ),
        (
            "nodes/n",
            Bound::Node(Reference::new("n", "u-n")),
            "node UID (new) does not match service account node ref claim (u-n)",
        ),
    ];
    for (key, bound, want) in rows {
        let cluster = Cluster::new().await;
        let token = cluster.token(bound).await;
        cluster.put(key, &json!({"metadata": {"uid": "new"}})).await;
        assert_eq!(cluster.ask(&token).await.unwrap_err(), want);
    }
}

#[tokio::test]
async fn what_is_asked_to_go_counts_a_minute_longer() {
    let cluster = Cluster::new().await;
    let token = cluster.token(pod()).await;
    let going = json!({"metadata": {"uid": "u-p", "deletionTimestamp": now().to_string()}});
    cluster.put("pods/ns/p", &going).await;
    wait(60);
    assert!(cluster.ask(&token).await.is_ok());
    wait(1);
    assert_eq!(cluster.ask(&token).await.unwrap_err(), "service account token has been invalidated");
}

#[tokio::test]
async fn a_token_has_its_time_and_a_minute_for_clocks_that_differ() {
    let cluster = Cluster::new().await;
    let token = cluster.token(Bound::Nothing).await;
    for (seconds, want) in [
        (-61, Err("service account token is not valid yet".to_owned())),
        (1, Ok(())),
        (3660, Ok(())),
        (1, Ok(())),
        (59, Ok(())),
        (1, Err("service account token has expired".to_owned())),
    ] {
        wait(seconds);
        let got = cluster.ask(&token).await.map(|_| ());
        let second = now().as_second() - START;
        assert_eq!(got, want, "{second}");
    }
}

#[tokio::test]
async fn old_clients_get_a_year_and_a_time_to_warn_from() {
    let cluster = Cluster::new().await;
    let rows = [
        ("an old client", pod(), 3607, ISSUER, true),
        ("another life", pod(), 3600, ISSUER, false),
        ("no pod", Bound::Nothing, 3607, ISSUER, false),
        ("for others", pod(), 3607, "vault", false),
    ];
    for (name, bound, seconds, audience, extended) in rows {
        let spec = TokenSpec { seconds, audiences: vec![audience.into()], ..Cluster::spec(bound) };
        let claims = payload(&cluster.issuer.issue(spec).await.unwrap().token);
        let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(life, if extended { 31_536_000 } else { seconds }, "{name}");
        let warn = claims["kubernetes.io"]["warnafter"].as_i64();
        assert_eq!(warn, extended.then_some(START + 3607), "{name}");
    }
}

#[tokio::test]
async fn the_use_of_a_token_beyond_the_life_that_was_asked_for_is_told() {
    let cluster = Cluster::new().await;
    let spec = TokenSpec { seconds: 3607, ..Cluster::spec(pod()) };
    let token = cluster.issuer.issue(spec).await.unwrap().token;
    let told = async || {
        let identity = cluster.tokens.authenticate(&token, &[ISSUER.into()]).await.unwrap().unwrap();
        identity.notes.annotations
    };
    assert_eq!(told().await, []);
    wait(3607 + 5);
    let text = "subject: system:serviceaccount:ns:sa, seconds after warning threshold: 5".to_owned();
    assert_eq!(told().await, [("authentication.k8s.io/stale-token", text)]);
    let mut registry = prometheus_client::registry::Registry::default();
    cluster.tokens.register_metrics(&mut registry);
    let mut metrics = String::new();
    prometheus_client::encoding::text::encode(&mut metrics, &registry).unwrap();
    for line in ["serviceaccount_stale_tokens_total 1", "serviceaccount_valid_tokens_total 1"] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[tokio::test]
async fn forged_and_foreign_tokens_are_refused() {
    let cluster = Cluster::new().await;
    let claims = payload(&cluster.token(Bound::Nothing).await);
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    let ring = cluster.issuer.keys.get().await;
    let own = ring.signing().unwrap();
    let stranger = key();
    // A stranger that names the cluster's key.
    let named = {
        let real = own.sign(&claims).unwrap();
        let forged = stranger.sign(&claims).unwrap();
        let parts: Vec<&str> = real.split('.').collect();
        format!("{}.{}.{}", parts[0], parts[1], forged.rsplit('.').next().unwrap())
    };
    let rows = [
        ("a stranger's key", stranger.sign(&claims).unwrap(), "invalid signature, no keys found"),
        ("a stranger's signature", named, "go-jose/go-jose: error in cryptographic primitive"),
        (
            "another audience",
            own.sign(&with("aud", json!(["vault"]))).unwrap(),
            "token audiences [\"vault\"] is invalid for the target audiences [\"https://kubernetes.default.svc.cluster.local\"]",
        ),
        ("another issuer", own.sign(&with("iss", json!("https://other"))).unwrap(), "unknown"),
        (
            "made tomorrow",
            own.sign(&with("iat", json!(START + 86_400))).unwrap(),
            "service account token is issued in the future",
        ),
        ("no token", "nonsense".to_owned(), "unknown"),
    ];
    for (name, token, want) in rows {
        assert_eq!(cluster.ask(&token).await.unwrap_err(), want, "{name}");
    }
    let path =
        with("kubernetes.io", json!({"namespace": "../pods", "serviceaccount": {"name": "p", "uid": "u-p"}}));
    assert!(cluster.ask(&own.sign(&path).unwrap()).await.unwrap_err().contains("not found"));
}

#[tokio::test]
async fn after_a_rotation_old_tokens_are_still_good() {
    let mut cluster = Cluster::new().await;
    let old = cluster.token(Bound::Nothing).await;
    let old_key = cluster.issuer.keys.get().await.verifying()[0].clone();
    let keys = Keys::of(KeyRing::new(Some(key()), [old_key.clone()]));
    cluster.issuer.keys = keys.clone();
    let audiences = vec![ISSUER.to_owned()];
    let stored = Stored::new(cluster.store.clone());
    cluster.tokens =
        AccountTokens::new(keys.clone(), audiences.clone(), audiences.clone(), stored.clone(), now);
    let new = cluster.token(Bound::Nothing).await;
    for token in [&old, &new] {
        assert!(cluster.ask(token).await.is_ok());
    }
    // Both keys are published.
    let set: crate::authentication::jwt::JwkSet =
        serde_json::from_slice(&KeySet(keys.clone()).body().await).unwrap();
    assert_eq!(set.verifying().len(), 2);
    let document = Configuration { keys, issuer: ISSUER.into(), jwks_uri: "https://x/openid/v1/jwks".into() };
    assert_eq!(
        String::from_utf8(document.body().await.to_vec()).unwrap(),
        r#"{"issuer":"https://kubernetes.default.svc.cluster.local","jwks_uri":"https://x/openid/v1/jwks","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]}"#
    );
    // Without the old key the old token is nobody's.
    let keys =
        Keys::of(KeyRing::new(None, [PublicKey::clone(&cluster.issuer.keys.get().await.verifying()[0])]));
    cluster.tokens = AccountTokens::new(keys, audiences.clone(), audiences, stored, now);
    assert_eq!(cluster.ask(&old).await.unwrap_err(), "invalid signature, no keys found");
    assert!(cluster.ask(&new).await.is_ok());
}

#[tokio::test]
async fn a_secret_token_is_good_while_its_secret_has_it() {
    use base64::Engine as _;
    let cluster = Cluster::new().await;
    let keys = cluster.issuer.keys.clone();
    let claims = json!({
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:ns:sa",
        "kubernetes.io/serviceaccount/namespace": "ns",
        "kubernetes.io/serviceaccount/secret.name": "legacy",
        "kubernetes.io/serviceaccount/service-account.name": "sa",
        "kubernetes.io/serviceaccount/service-account.uid": "u-sa",
    });
    let token = keys.get().await.signing().unwrap().sign(&claims).unwrap();
    let legacy = LegacyTokens {
        keys,
        audiences: vec![ISSUER.into()],
        stored: Stored::new(cluster.store.clone()),
        uses: Uses::default(),
        clock: now,
        metrics: LegacyMetrics::default(),
    };
    let ask =
        async || legacy.authenticate(&token, &[ISSUER.into()]).await.map(|i| i.unwrap().user.name.clone());
    let secret = |text: &str, labels: Value| {
        let data = base64::engine::general_purpose::STANDARD.encode(text);
        json!({"metadata": {"uid": "u", "labels": labels}, "type": "kubernetes.io/service-account-token", "data": {"token": data}})
    };
    assert_eq!(ask().await.unwrap_err().0, "Token has been invalidated");
    cluster.put("secrets/ns/legacy", &secret(&token, json!({}))).await;
    assert_eq!(ask().await.unwrap(), "system:serviceaccount:ns:sa");
    // Audit and the client are told of such tokens; of one that was made for the account, that it will go.
    let notes = async || legacy.authenticate(&token, &[ISSUER.into()]).await.unwrap().unwrap().notes;
    let told = |name: &'static str| vec![(name, "legacy".to_owned())];
    let manual = notes().await;
    assert_eq!(manual.annotations, told("authentication.k8s.io/legacy-token-manual-secret"));
    assert!(manual.warnings.is_empty());
    let account = json!({"metadata": {"uid": "u-sa"}, "secrets": [{"name": "legacy"}]});
    cluster.put("serviceaccounts/ns/sa", &account).await;
    let auto = notes().await;
    assert_eq!(auto.annotations, told("authentication.k8s.io/legacy-token-autogenerated-secret"));
    assert!(auto.warnings[0].starts_with("Use tokens from the TokenRequest API"), "{:?}", auto.warnings);
    cluster.put("secrets/ns/legacy", &secret("other", json!({}))).await;
    assert_eq!(ask().await.unwrap_err().0, "Token does not match server's copy");
    let invalid = json!({"kubernetes.io/legacy-token-invalid-since": "2026-01-01"});
    cluster.put("secrets/ns/legacy", &secret(&token, invalid)).await;
    assert!(ask().await.unwrap_err().0.contains("has been marked invalid"));
    cluster.put("secrets/ns/legacy", &secret(&token, json!({}))).await;
    cluster.remove("serviceaccounts/ns/sa").await;
    assert_eq!(ask().await.unwrap_err().0, "serviceaccounts \"sa\" not found");
}
