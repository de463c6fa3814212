//! `/swagger-ui/`: a page that shows the server's own OpenAPI document, without fetching anything from elsewhere.

/// The page.
pub(crate) const PAGE: &str = include_str!("swagger_ui.html");
