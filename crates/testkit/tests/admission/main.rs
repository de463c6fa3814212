//! Admission plug-ins as clients meet them: what is changed, what is refused, in which words.

mod certificates;
mod claims;
mod limits;
mod namespaces;
mod nodes;
mod owners;
mod pods;
mod quota;
mod quota_races;
mod rates;
mod storage;

use sampan_apiserver::chain::authorization::{Attributes, Authorizer, Verdict};
use sampan_testkit::Reply;
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";

/// A pod of one container, merged with more of its spec.
fn pod(name: &str, spec: &Value) -> Value {
    let mut pod =
        json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "main", "image": "i"}]}});
    for (field, value) in spec.as_object().expect("a spec is a map") {
        pod["spec"][field] = value.clone();
    }
    pod
}

/// A pod whose only container declares these resources.
fn sized(name: &str, resources: &Value) -> Value {
    pod(name, &json!({"containers": [{"name": "main", "image": "i", "resources": resources}]}))
}

/// The answer must be a success, or a refusal (403) with this message.
#[track_caller]
fn expect(row: &str, reply: &Reply, refusal: Option<&str>) {
    match refusal {
        None => assert!(reply.code < 300, "{row}: {}", reply.text()),
        Some(message) => {
            assert_eq!(reply.json()["message"], message, "{row}");
            assert_eq!(reply.code, 403, "{row}");
        }
    }
}

/// An authorizer that is one question.
#[derive(Debug)]
struct Says(fn(&Attributes<'_>) -> bool);

#[async_trait::async_trait]
impl Authorizer for Says {
    async fn authorize(&self, a: &Attributes<'_>) -> Verdict {
        if (self.0)(a) { Verdict::allow() } else { Verdict::no_opinion() }
    }
}
