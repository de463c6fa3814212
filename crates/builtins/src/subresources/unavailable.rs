//! What is part of the API and waits for a later layer.

use async_trait::async_trait;
use sampan_apiserver::subresource::{Action, Connect, Parent};
use sampan_model::{Status, Value};

/// Answers 501.
#[derive(Debug)]
pub(super) struct Unavailable;

#[async_trait]
impl Action for Unavailable {
    async fn create(&self, _parent: &dyn Parent, _body: Value) -> Result<Value, Status> {
        Err(Status::not_implemented("the server does not answer this yet"))
    }
}

#[async_trait]
impl Connect for Unavailable {
    async fn get(&self, parent: &dyn Parent, _query: &str) -> Result<(u16, &'static str, String), Status> {
        parent.get().await?;
        Err(Status::not_implemented("the server has no connection to nodes yet"))
    }
}
