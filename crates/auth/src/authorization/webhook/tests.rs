use std::sync::atomic::{AtomicUsize, Ordering};

use sampan_apiserver::request_info::RequestInfo;
use sampan_model::{field_selector, label_selector};

use super::*;
use crate::webhook_client::Credentials;
use crate::webhook_client::tests::{client, server};

const LONG: Duration = Duration::from_mins(5);

fn settings(on_failure: FailurePolicy) -> Settings {
    let (authorized_ttl, unauthorized_ttl) = (LONG, Duration::from_secs(30));
    Settings { name: "test".into(), authorized_ttl, unauthorized_ttl, on_failure }
}

/// A webhook that always answers with this status.
async fn webhook(code: u16, status: Value, on_failure: FailurePolicy) -> (Webhook, Arc<AtomicUsize>) {
    let (url, asked) = server(move |_, _| (code, "", json!({"status": status}).to_string())).await;
    (Webhook::new(client(url, Credentials::None, LONG), settings(on_failure)), asked)
}

async fn decide(webhook: &Webhook, name: &str) -> Verdict {
    let user = User { name: "u".into(), groups: vec!["g".into()], ..User::default() };
    let info = RequestInfo {
        is_resource: true,
        verb: "get".into(),
        resource: "pods".into(),
        name: name.into(),
        ..RequestInfo::default()
    };
    webhook.authorize(&Attributes { user: &user, info: &info, selectors: None }).await
}

#[tokio::test]
async fn an_answer_is_a_yes_a_no_or_neither() {
    use FailurePolicy::{Deny, NoOpinion};
    let both = Some("webhook subject access review returned both allow and deny response");
    let failed = Some("the webhook answered 403 Forbidden: {\"status\":{}}");
    let rows = [
        (200, json!({"allowed": true, "reason": "r"}), NoOpinion, Decision::Allow, None),
        (201, json!({"allowed": false}), NoOpinion, Decision::NoOpinion, None),
        (200, json!({"allowed": false, "denied": true}), NoOpinion, Decision::Deny, None),
        (200, json!({"allowed": true, "denied": true}), NoOpinion, Decision::Deny, both),
        (403, json!({}), NoOpinion, Decision::NoOpinion, failed),
        (403, json!({}), Deny, Decision::Deny, failed),
    ];
    for (code, status, policy, decision, error) in rows {
        let verdict = decide(&webhook(code, status.clone(), policy).await.0, "p").await;
        assert_eq!((verdict.decision, verdict.error.as_deref()), (decision, error), "{status}");
    }
}

#[tokio::test]
async fn answers_are_remembered_for_their_time_and_failures_are_not() {
    let rows = [
        (200, json!({"allowed": true}), 31, 1),
        (200, json!({"allowed": true}), 301, 2),
        (200, json!({"allowed": false}), 29, 1),
        (200, json!({"allowed": false}), 31, 2),
        (403, json!({}), 0, 2),
    ];
    for (code, status, seconds, times) in rows {
        let (webhook, asked) = webhook(code, status.clone(), FailurePolicy::NoOpinion).await;
        decide(&webhook, "p").await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
        decide(&webhook, "p").await;
        assert_eq!(asked.load(Ordering::SeqCst), times, "{status} after {seconds} s");
        decide(&webhook, "q").await;
        assert_eq!(asked.load(Ordering::SeqCst), times + 1, "another question");
    }
}

#[test]
fn the_question_says_who_wants_to_do_what() {
    let user = User { name: "u".into(), uid: "1".into(), ..User::default() };
    let selectors = Selectors {
        fields: field_selector::Selector::parse("a=b,c!=d").unwrap(),
        labels: label_selector::Selector::parse("e in (f,g),!h,i>1").unwrap(),
    };
    let info = RequestInfo {
        is_resource: true,
        verb: "list".into(),
        group: "apps".into(),
        version: "v1".into(),
        resource: "deployments".into(),
        namespace: "n".into(),
        ..RequestInfo::default()
    };
    let asked = spec(&Attributes { user: &user, info: &info, selectors: Some(&selectors) });
    assert_eq!(
        asked,
        json!({"user": "u", "uid": "1", "resourceAttributes": {
            "namespace": "n", "verb": "list", "group": "apps", "version": "v1", "resource": "deployments",
            "fieldSelector": {"requirements": [
                {"key": "a", "operator": "In", "values": ["b"]}, {"key": "c", "operator": "NotIn", "values": ["d"]},
            ]},
            "labelSelector": {"requirements": [
                {"key": "e", "operator": "In", "values": ["f", "g"]}, {"key": "h", "operator": "DoesNotExist"},
            ]},
        }})
    );
    let info = RequestInfo { verb: "get".into(), path: "/x".into(), ..RequestInfo::default() };
    let asked = spec(&Attributes { user: &user, info: &info, selectors: None });
    assert_eq!(asked["nonResourceAttributes"], json!({"path": "/x", "verb": "get"}));
}
