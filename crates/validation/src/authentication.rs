//! Requests for tokens of service accounts: asked, never stored.

use sampan_model::{FieldError, FieldPath, Value};

use crate::look::{Errors, Look, Put, spec_mut};

const HOUR: i64 = 3600;
const LEAST: i64 = 600;
const MOST: i64 = 1 << 32;

/// A token lasts an hour unless the request says otherwise.
pub fn default_token_request(request: &mut Value) {
    spec_mut(request).default_ptr("expirationSeconds", HOUR);
}

/// What is wrong with a request for a token.
pub fn validate_token_request(request: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let p = FieldPath::field("spec");
    let seconds = request.sub("spec").num("expirationSeconds");
    let at = p.child("expirationSeconds");
    if seconds < LEAST {
        e.push(FieldError::invalid(at, seconds, "may not specify a duration less than 10 minutes"));
    }
    if seconds > MOST {
        e.push(FieldError::invalid(at, seconds, "may not specify a duration larger than 2^32 seconds"));
    }
    e
}
