//! `/swagger-ui/`: Swagger UI over the server's own OpenAPI documents; nothing is fetched from elsewhere.

use std::io::Read as _;

use flate2::read::GzDecoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, LOCATION, VARY};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use crate::http_io::respond::{self, Answer};

const PAGE: &str = include_str!("swagger_ui/index.html");
const INITIALIZER: &str = include_str!("swagger_ui/initializer.js");

/// Name, media type and compressed content.
const FILES: [(&str, &str, &[u8]); 5] = [
    file("favicon-32x32.png", "image/png", include_bytes!(concat!(env!("OUT_DIR"), "/favicon-32x32.png.gz"))),
    file("index.css", CSS, include_bytes!(concat!(env!("OUT_DIR"), "/index.css.gz"))),
    file("swagger-ui.css", CSS, include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz"))),
    file("swagger-ui-bundle.js", JS, include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz"))),
    file(
        "swagger-ui-standalone-preset.js",
        JS,
        include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-standalone-preset.js.gz")),
    ),
];

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

const fn file(
    name: &'static str,
    media: &'static str,
    content: &'static [u8],
) -> (&'static str, &'static str, &'static [u8]) {
    (name, media, content)
}

/// The page without its slash: its files are named relative to it, so that it also works behind `kubectl proxy`.
pub(crate) fn redirect() -> Answer {
    let mut answer = respond::bytes(200, "text/html; charset=utf-8", "");
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    answer.headers_mut().insert(LOCATION, HeaderValue::from_static("swagger-ui/"));
    answer
}

/// The page.
pub(crate) fn page() -> Answer {
    respond::bytes(200, "text/html; charset=utf-8", PAGE)
}

/// One of its files.
pub(crate) fn asset(name: &str, parts: &Parts) -> Option<Answer> {
    if name == "initializer.js" {
        return Some(respond::bytes(200, JS, INITIALIZER));
    }
    let (_, media, content) = FILES.iter().find(|(file, ..)| *file == name)?;
    let accepts = parts.headers.get(ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or("");
    let mut answer = if accepts.contains("gzip") {
        let mut answer = respond::bytes(200, media, *content);
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        answer
    } else {
        let mut plain = Vec::new();
        GzDecoder::new(*content).read_to_end(&mut plain).ok()?;
        respond::bytes(200, media, plain)
    };
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    Some(answer)
}
