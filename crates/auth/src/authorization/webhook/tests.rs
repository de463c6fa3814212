use std::sync::atomic::{AtomicUsize, Ordering};

use sampan_apiserver::request_info::RequestInfo;
use sampan_model::{field_selector, label_selector};

use super::*;
use crate::webhook_client::Credentials;
use crate::webhook_client::tests::{client, server};

const LONG: Duration = Duration::from_mins(5);

fn settings(on_failure: FailurePolicy) -> Settings {
    let (authorized_ttl, unauthorized_ttl) = (LONG, Duration::from_secs(30));
    Settings {
        name: "test".into(),
        authorized_ttl,
        unauthorized_ttl,
        on_failure,
        version: Version::V1,
        conditions: Arc::default(),
    }
}

/// A webhook that always answers with this status.
async fn webhook(code: u16, status: Value, on_failure: FailurePolicy) -> (Webhook, Arc<AtomicUsize>) {
    let (url, asked) = server(move |_, _| (code, "", json!({"status": status}).to_string())).await;
    (Webhook::new(client(url, Credentials::None, LONG), settings(on_failure), Metrics::default()), asked)
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

#[tokio::test]
async fn a_webhook_is_asked_only_what_its_conditions_let_through() {
    use FailurePolicy::{Deny, NoOpinion};
    let failed = "cel evaluation error: expression 'request.nonResourceAttributes.path == \"\"' resulted in error: no such key: nonResourceAttributes";
    let path = "request.nonResourceAttributes.path == \"\"";
    let rows: [(&str, &[&str], _, _, usize, Option<&str>); 5] = [
        ("none", &[], Deny, Decision::Allow, 1, None),
        ("all hold", &["request.user == 'u'", "'g' in request.groups"], Deny, Decision::Allow, 1, None),
        ("one does not", &["request.user == 'u'", "request.user == 'x'"], Deny, Decision::NoOpinion, 0, None),
        ("one fails", &["request.user == 'u'", path], Deny, Decision::Deny, 0, Some(failed)),
        ("one fails, open", &[path], NoOpinion, Decision::NoOpinion, 0, Some(failed)),
    ];
    for (name, conditions, policy, decision, times, error) in rows {
        let (url, asked) = server(|_, _| (200, "", json!({"status": {"allowed": true}}).to_string())).await;
        let mut compiled = Conditions::default();
        for text in conditions {
            compiled.add(text).unwrap();
        }
        let settings = Settings { conditions: Arc::new(compiled), ..settings(policy) };
        let mut registry = prometheus_client::registry::Registry::default();
        let metrics = Metrics::register(&mut registry, "here");
        let webhook = Webhook::new(client(url, Credentials::None, LONG), settings, metrics);
        let verdict = decide(&webhook, "p").await;
        assert_eq!((verdict.decision, verdict.error.as_deref()), (decision, error), "{name}");
        assert_eq!(asked.load(Ordering::SeqCst), times, "{name}");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let count = |metric: &str| {
            let line =
                text.lines().find(|l| l.starts_with(&format!("apiserver_authorization_{metric}_total{{")));
            line.map_or(0, |l| l.rsplit(' ').next().unwrap().parse().unwrap())
        };
        assert_eq!(count("webhook_evaluations"), times, "{name}");
        assert_eq!(count("match_condition_evaluation_errors"), usize::from(error.is_some()), "{name}");
        let is_excluded = times == 0 && error.is_none();
        assert_eq!(count("match_condition_exclusions"), usize::from(is_excluded), "{name}");
    }
}
