//! `SelfSubjectReview`: who the asker is (`kubectl auth whoami`).

use async_trait::async_trait;
use jiff::Timestamp;
use sampan_apiserver::User;
use sampan_apiserver::subresource::{Virtual, VirtualRequest};
use sampan_model::time::format_time;
use sampan_model::{Map, Status, Value};

/// Answers with the user of the request.
#[derive(Debug)]
pub(super) struct SelfSubjectReview;

#[async_trait]
impl Virtual for SelfSubjectReview {
    async fn create(&self, request: VirtualRequest<'_>) -> Result<Value, Status> {
        let now = format_time(Timestamp::now());
        let metadata: Map = [("creationTimestamp", Value::from(now))].into_iter().collect();
        let status: Map = [("userInfo", user_info(request.user))].into_iter().collect();
        // Nothing of what was sent is shown again.
        let answer: Map = [
            ("apiVersion", Value::from("authentication.k8s.io/v1")),
            ("kind", "SelfSubjectReview".into()),
            ("metadata", metadata.into()),
            ("status", status.into()),
        ]
        .into_iter()
        .collect();
        Ok(answer.into())
    }
}

/// A user as the API shows it.
pub(super) fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    for (field, text) in [("username", &user.name), ("uid", &user.uid)] {
        if !text.is_empty() {
            info.insert(field, text.as_str());
        }
    }
    if !user.groups.is_empty() {
        info.insert("groups", user.groups.clone());
    }
    if !user.extra.is_empty() {
        let extra: Map = user.extra.iter().map(|(k, v)| (k.as_str(), Value::from(v.clone()))).collect();
        info.insert("extra", extra);
    }
    info.into()
}
