//! What a client is told when a request fails (and when a deletion succeeds): `metav1.Status`.
//!
//! Every error of the server becomes one of these; the constructors hold Kubernetes' reasons, codes and
//! sentences (apimachinery `api/errors`), so that no other place spells them.

use std::fmt;

use crate::{FieldError, GroupKind, GroupResource, Map, Value};

/// Why a request failed, as a word that programs match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Reason {
    Unknown,
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Invalid,
    ServerTimeout,
    Timeout,
    TooManyRequests,
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    InternalError,
    Expired,
    ServiceUnavailable,
    NotImplemented,
}

impl Reason {
    /// The word; empty for [`Reason::Unknown`].
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Unknown => "",
            Reason::Unauthorized => "Unauthorized",
            Reason::Forbidden => "Forbidden",
            Reason::NotFound => "NotFound",
            Reason::AlreadyExists => "AlreadyExists",
            Reason::Conflict => "Conflict",
            Reason::Gone => "Gone",
            Reason::Invalid => "Invalid",
            Reason::ServerTimeout => "ServerTimeout",
            Reason::Timeout => "Timeout",
            Reason::TooManyRequests => "TooManyRequests",
            Reason::BadRequest => "BadRequest",
            Reason::MethodNotAllowed => "MethodNotAllowed",
            Reason::NotAcceptable => "NotAcceptable",
            Reason::RequestEntityTooLarge => "RequestEntityTooLarge",
            Reason::UnsupportedMediaType => "UnsupportedMediaType",
            Reason::InternalError => "InternalError",
            Reason::Expired => "Expired",
            Reason::ServiceUnavailable => "ServiceUnavailable",
            Reason::NotImplemented => "NotImplemented",
        }
    }
}

/// One of several causes of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// A word such as `FieldValueInvalid`.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// The field it is about; may be empty.
    pub field: String,
}

/// What the failure is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Details {
    pub name: String,
    pub group: String,
    pub kind: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    pub retry_after_seconds: u32,
}

/// The outcome of a request; used as the error type of everything that answers clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Status(Box<Inner>);

#[derive(Debug, Clone, PartialEq)]
struct Inner {
    success: bool,
    code: u16,
    reason: Reason,
    message: String,
    details: Option<Details>,
    continue_token: String,
}

impl Status {
    /// A failure in full.
    pub fn failure(code: u16, reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            success: false,
            code,
            reason,
            message: message.into(),
            details: None,
            continue_token: String::new(),
        }))
    }

    /// A success, as deletions answer.
    pub fn success(details: Option<Details>) -> Self {
        Self(Box::new(Inner {
            success: true,
            code: 200,
            reason: Reason::Unknown,
            message: String::new(),
            details,
            continue_token: String::new(),
        }))
    }

    /// The same with other details.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.0.details = Some(details);
        self
    }

    /// The same with a token by which a list can go on in spite of the failure.
    #[must_use]
    pub fn with_continue(mut self, token: String) -> Self {
        self.0.continue_token = token;
        self
    }

    fn about(self, resource: &GroupResource, name: &str) -> Self {
        self.with_details(Details {
            name: name.into(),
            group: resource.group.to_string(),
            kind: resource.resource.to_string(),
            ..Details::default()
        })
    }

    /// 404: no such object.
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::failure(404, Reason::NotFound, format!("{resource} \"{name}\" not found")).about(resource, name)
    }

    /// 404: no such path.
    pub fn path_not_found() -> Self {
        Self::failure(404, Reason::NotFound, "the server could not find the requested resource")
            .with_details(Details::default())
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::failure(409, Reason::AlreadyExists, format!("{resource} \"{name}\" already exists"))
            .about(resource, name)
    }

    /// 409: the object is not as the client believed.
    pub fn conflict(resource: &GroupResource, name: &str, why: impl fmt::Display) -> Self {
        Self::failure(
            409,
            Reason::Conflict,
            format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}"),
        )
        .about(resource, name)
    }

    /// 409 for a write with an old resourceVersion.
    pub fn modified(resource: &GroupResource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 403: not allowed.
    pub fn forbidden(resource: &GroupResource, name: &str, why: impl fmt::Display) -> Self {
        let message = match (resource.resource.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{resource} is forbidden: {why}"),
            (false, false) => format!("{resource} \"{name}\" is forbidden: {why}"),
        };
        Self::failure(403, Reason::Forbidden, message).about(resource, name)
    }

    /// 401: nobody known.
    pub fn unauthorized() -> Self {
        Self::failure(401, Reason::Unauthorized, "Unauthorized")
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, Reason::BadRequest, message)
    }

    /// 422: fields are wrong. Equal sentences are said once.
    pub fn invalid(kind: &GroupKind, name: &str, errors: &[FieldError]) -> Self {
        let list = crate::field_error::aggregate(errors);
        let message = if errors.is_empty() {
            format!("{kind} {name:?} is invalid")
        } else {
            format!("{kind} {name:?} is invalid: {list}")
        };
        Self::failure(422, Reason::Invalid, message).with_details(Details {
            name: name.into(),
            group: kind.group.to_string(),
            kind: kind.kind.to_string(),
            causes: errors.iter().map(FieldError::cause).collect(),
            ..Details::default()
        })
    }

    /// 405: the resource has no such verb.
    pub fn method_not_allowed(resource: &GroupResource, verb: &str) -> Self {
        Self::failure(
            405,
            Reason::MethodNotAllowed,
            format!("{verb} is not supported on resources of kind \"{resource}\""),
        )
        .about(resource, "")
    }

    /// 406: no form that the client accepts.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        Self::failure(
            406,
            Reason::NotAcceptable,
            format!("only the following media types are accepted: {}", accepted.join(", ")),
        )
    }

    /// 415: the body is in a form that cannot be read.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        Self::failure(
            415,
            Reason::UnsupportedMediaType,
            format!(
                "the body of the request was in an unknown format - accepted media types include: {}",
                accepted.join(", ")
            ),
        )
    }

    /// 410: the revision is not in the history any more.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, Reason::Expired, message)
    }

    /// 413: the body is larger than `limit` bytes.
    pub fn too_large(limit: usize) -> Self {
        Self::failure(
            413,
            Reason::RequestEntityTooLarge,
            format!("Request entity too large: limit is {limit}"),
        )
    }

    /// 429: later, please.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::failure(429, Reason::TooManyRequests, message)
            .with_details(Details { retry_after_seconds, ..Details::default() })
    }

    /// 500: something that should not happen, or that upstream answers so.
    pub fn internal(message: impl fmt::Display) -> Self {
        let message = message.to_string();
        let cause = Cause { reason: String::new(), message: message.clone(), field: String::new() };
        Self::failure(500, Reason::InternalError, format!("Internal error occurred: {message}"))
            .with_details(Details { causes: vec![cause], ..Details::default() })
    }

    /// 500 with the bare message and no reason, as an error of an unforeseen type travels upstream.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::failure(500, Reason::Unknown, message)
    }

    /// 501: part of the API, not of this server.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Self::failure(501, Reason::NotImplemented, message)
    }

    /// 503: not now.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, Reason::ServiceUnavailable, message)
    }

    /// 504: it took too long.
    pub fn timeout(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::failure(504, Reason::Timeout, format!("Timeout: {}", message.into()))
            .with_details(Details { retry_after_seconds, ..Details::default() })
    }

    /// The HTTP status code.
    pub fn code(&self) -> u16 {
        self.0.code
    }

    /// The reason.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What it is about.
    pub fn details(&self) -> Option<&Details> {
        self.0.details.as_ref()
    }

    /// What it is about, to be changed.
    pub fn details_mut(&mut self) -> &mut Details {
        self.0.details.get_or_insert_default()
    }

    /// As an object of the API.
    pub fn to_value(&self) -> Value {
        let inner = &*self.0;
        let mut map = Map::with_capacity(8);
        map.insert("kind", "Status");
        map.insert("apiVersion", "v1");
        let mut meta = Map::new();
        if !inner.continue_token.is_empty() {
            meta.insert("continue", inner.continue_token.as_str());
        }
        map.insert("metadata", meta);
        map.insert("status", if inner.success { "Success" } else { "Failure" });
        if !inner.message.is_empty() {
            map.insert("message", inner.message.as_str());
        }
        if inner.reason != Reason::Unknown {
            map.insert("reason", inner.reason.as_str());
        }
        if let Some(details) = &inner.details {
            map.insert("details", details.to_map());
        }
        if !inner.success {
            map.insert("code", Value::from(inner.code));
        }
        Value::Object(map)
    }
}

impl Details {
    fn to_map(&self) -> Map {
        let mut map = Map::new();
        for (key, text) in
            [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)]
        {
            if !text.is_empty() {
                map.insert(key, text.as_str());
            }
        }
        if !self.causes.is_empty() {
            map.insert("causes", self.causes.iter().map(Cause::to_map).collect::<Vec<_>>());
        }
        if self.retry_after_seconds > 0 {
            map.insert("retryAfterSeconds", self.retry_after_seconds);
        }
        map
    }
}

impl Cause {
    fn to_map(&self) -> Map {
        let mut map = Map::new();
        for (key, text) in [("reason", &self.reason), ("message", &self.message), ("field", &self.field)] {
            if !text.is_empty() {
                map.insert(key, text.as_str());
            }
        }
        map
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_error_is_said_plainly_and_several_in_brackets() {
        let kind = GroupKind::new("apps", "Deployment");
        let one = [FieldError::required("spec.selector", "")];
        assert_eq!(
            Status::invalid(&kind, "d", &one).message(),
            "Deployment.apps \"d\" is invalid: spec.selector: Required value"
        );
        let two = [one[0].clone(), FieldError::invalid("a", 1, "no"), one[0].clone()];
        let status = Status::invalid(&kind, "d", &two);
        assert_eq!(
            status.message(),
            "Deployment.apps \"d\" is invalid: [spec.selector: Required value, a: Invalid value: 1: no]"
        );
        assert_eq!(status.details().unwrap().causes.len(), 3);
    }
}
