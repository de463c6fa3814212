//! Documents at paths of their own that other parts of the server bring.

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderValue, Method};
use sampan_model::Status;

use crate::http_io::media::Encoding;
use crate::http_io::respond::{self, Answer};

/// A document.
#[async_trait]
pub trait Page: Send + Sync + std::fmt::Debug {
    /// Where it is.
    fn path(&self) -> &'static str;
    /// What it is; clients that do not take this read a 406.
    fn content_type(&self) -> &'static str;
    /// For how long others may keep it.
    fn cache_control(&self) -> &'static str;
    /// The document as of now.
    async fn body(&self) -> Bytes;
}

/// The page as an answer to a request for it.
pub(crate) async fn answer(page: &dyn Page, accept: Option<&str>, parts: &Parts) -> Answer {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return respond::status(&crate::dispatch::not_allowed(), Encoding::Json);
    }
    if !accepts(accept, page.content_type()) {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {}", page.content_type());
        let status = Status::failure(406, sampan_model::Reason::NotAcceptable, message)
            .with_details(sampan_model::status::Details::default());
        return respond::status(&status, Encoding::Json);
    }
    let mut answer = respond::bytes(200, page.content_type(), page.body().await);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(page.cache_control()));
    answer
}

/// Whether a client takes a content type: it says so word for word, or takes anything.
fn accepts(accept: Option<&str>, content_type: &str) -> bool {
    let accept = accept.map(str::trim).filter(|a| !a.is_empty()).unwrap_or("*/*");
    accept.split(',').any(|clause| {
        let clause = clause.split(';').next().unwrap_or("").trim();
        clause == "*/*" || clause == content_type
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_takes_what_it_names_or_anything() {
        let rows = [
            (None, true),
            (Some("*/*"), true),
            (Some("text/html, */*;q=0.1"), true),
            (Some("application/jwk-set+json"), true),
            (Some("application/json"), false),
        ];
        for (accept, taken) in rows {
            assert_eq!(accepts(accept, "application/jwk-set+json"), taken, "{accept:?}");
        }
    }
}
