//! `TokenReview`: whose token it is, asked by others than the API server itself.

use std::sync::Arc;

use async_trait::async_trait;
use sampan_apiserver::subresource::{Virtual, VirtualRequest};
use sampan_auth::authentication::token::Tokens;
use sampan_model::{Map, Status, Value};

use super::self_subject_review::user_info;

/// Asks all who know tokens.
#[derive(Debug)]
pub(super) struct TokenReview(pub(super) Arc<Tokens>);

#[async_trait]
impl Virtual for TokenReview {
    async fn create(&self, request: VirtualRequest<'_>) -> Result<Value, Status> {
        let mut review = request.body;
        let token = review.str_at(&["spec", "token"]);
        if token.is_empty() {
            return Err(Status::bad_request("token is required for TokenReview in authentication"));
        }
        let asked = review.array_at(&["spec", "audiences"]);
        let asked: Vec<String> = asked.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let audiences = if asked.is_empty() { self.0.audiences() } else { &asked };
        let mut status = Map::new();
        match self.0.authenticate(token, audiences).await {
            Ok(identity) => {
                status.insert("authenticated", true);
                status.insert("user", user_info(&identity.user));
                status.insert("audiences", identity.audiences);
            }
            Err(reason) => {
                status.insert("user", Map::new());
                status.insert("error", reason.0);
            }
        }
        if let Value::Object(map) = &mut review {
            map.insert("status", status);
        }
        Ok(review)
    }
}
